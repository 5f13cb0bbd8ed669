/// What one film may ask for, for a header of a few bytes can claim more than a machine holds, and a few bytes more can
/// repeat it without end.
pub(crate) struct Budget {
    frames: u64,
    pixels: u64,
}

/// The largest picture: 8K.
const MAX_PICTURE_PIXELS: u64 = 1 << 25;

/// The longest film: 45 minutes at 24 a second.
const MAX_FRAMES: u64 = 1 << 16;

/// Pixels of all frames together: three minutes of 720p.
const MAX_FILM_PIXELS: u64 = 1 << 32;

impl Default for Budget {
    fn default() -> Self {
        Self { frames: MAX_FRAMES, pixels: MAX_FILM_PIXELS }
    }
}

impl Budget {
    /// Whether a picture of this size may be made: before any memory is asked for.
    pub fn picture(width: u64, height: u64) -> Result<(), String> {
        if width == 0 || height == 0 {
            return Err(format!("its pictures are {width}×{height}"));
        }
        match width.checked_mul(height) {
            Some(..=MAX_PICTURE_PIXELS) => Ok(()),
            _ => Err(format!("its pictures are {width}×{height}: more than {MAX_PICTURE_PIXELS} pixels")),
        }
    }

    /// Takes the next frame out of the budget.
    pub fn frame(&mut self, width: u64, height: u64) -> Result<(), String> {
        Self::picture(width, height)?;
        let left = self.frames.checked_sub(1).zip(self.pixels.checked_sub(width * height));
        let shown = MAX_FRAMES - self.frames;
        (self.frames, self.pixels) =
            left.ok_or_else(|| format!("more than {shown} frames of {width}×{height}; cut it into shorter ones"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_and_films_end() {
        assert!(Budget::picture(7680, 4320).is_ok());
        for (width, height) in [(0, 1), (1, 0), (u64::MAX, 2), (65_535, 65_535)] {
            assert!(Budget::picture(width, height).is_err(), "{width}×{height}");
        }
        let mut budget = Budget::default();
        let frames = (0..).take_while(|_| budget.frame(1, 1).is_ok()).count() as u64;
        assert_eq!(frames, MAX_FRAMES);
        let mut budget = Budget::default();
        let frames = (0..).take_while(|_| budget.frame(4096, 4096).is_ok()).count() as u64;
        assert_eq!(frames, MAX_FILM_PIXELS >> 24);
    }
}
