/// What one film may ask for, for a header of a few bytes can claim more than a machine holds, and a few bytes more can
/// repeat it without end.
pub(crate) struct Budget {
    /// Bytes of the film.
    bytes: usize,
    frames: u64,
    pixels: u64,
}

/// The largest picture: 8K.
const MAX_PICTURE_PIXELS: u64 = 1 << 25;

/// The longest film: 45 minutes at 24 a second.
const MAX_FRAMES: u64 = 1 << 16;

/// Pixels of all frames together: three minutes of 720p.
const MAX_FILM_PIXELS: u64 = 1 << 32;

/// Pixels for each byte of the film, in addition to those allowed to any film. LZW makes 2,700 of a byte at most and
/// Deflate of single bits 8,300; frames that change a corner show the rest again.
const MAX_PIXELS_PER_BYTE: u64 = 1 << 14;
const PIXELS_ANYWAY: u64 = 1 << 20;

impl Budget {
    /// For a film of so many bytes.
    pub fn new(bytes: usize) -> Self {
        let pixels = MAX_PIXELS_PER_BYTE.saturating_mul(bytes as u64).saturating_add(PIXELS_ANYWAY);
        Self { bytes, frames: MAX_FRAMES, pixels: pixels.min(MAX_FILM_PIXELS) }
    }

    /// Whether a picture of this size may be made next: before any memory is asked for.
    pub fn picture(&self, width: u64, height: u64) -> Result<(), String> {
        if width == 0 || height == 0 {
            return Err(format!("its pictures are {width}×{height}"));
        }
        match width.checked_mul(height) {
            Some(pixels @ ..=MAX_PICTURE_PIXELS) if pixels <= self.pixels => Ok(()),
            Some(..=MAX_PICTURE_PIXELS) => {
                let (shown, bytes) = (MAX_FRAMES - self.frames, self.bytes);
                Err(format!(
                    "more than {shown} frames of {width}×{height} in {bytes} bytes; cut it into shorter ones"
                ))
            }
            _ => Err(format!("its pictures are {width}×{height}: more than {MAX_PICTURE_PIXELS} pixels")),
        }
    }

    /// Bytes that its pixels may still take in RGBA: a limit for decoders that allocate on their own.
    pub fn rgba_bytes(&self) -> u64 {
        4 * self.pixels.min(MAX_PICTURE_PIXELS)
    }

    /// Takes the next frame out of the budget.
    pub fn frame(&mut self, width: u64, height: u64) -> Result<(), String> {
        self.picture(width, height)?;
        self.pixels -= width * height;
        self.frames = self
            .frames
            .checked_sub(1)
            .ok_or_else(|| format!("more than {MAX_FRAMES} frames; cut it into shorter ones"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = 1 << 29;

    #[test]
    fn pictures_and_films_end() {
        assert!(Budget::new(LARGE).picture(7680, 4320).is_ok());
        for (width, height) in [(0, 1), (1, 0), (u64::MAX, 2), (65_535, 65_535)] {
            assert!(Budget::new(LARGE).picture(width, height).is_err(), "{width}×{height}");
        }
        let frames = |bytes, side| {
            let mut budget = Budget::new(bytes);
            (0..).take_while(|_| budget.frame(side, side).is_ok()).count() as u64
        };
        assert_eq!(frames(LARGE, 1), MAX_FRAMES);
        assert_eq!(frames(LARGE, 4096), MAX_FILM_PIXELS >> 24);
        assert_eq!(frames(100, 1024), 1 + ((100 * MAX_PIXELS_PER_BYTE) >> 20));
    }
}
