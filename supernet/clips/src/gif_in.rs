use gif::{ColorOutput, DecodeOptions, DisposalMethod, Frame, MemoryLimit};

use crate::{Clip, ClipError};

/// A decoded GIF: whole pictures, as a viewer would show them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GifClip {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Red, green and blue of each frame, row by row.
    pub frames: Vec<Vec<[u8; 3]>>,
    /// How long each frame is shown.
    pub delays_ms: Vec<u32>,
}

/// Pixels of all frames together, and of a byte of the file beside some anyway; a header of a few bytes can claim more than
/// a machine holds. LZW makes 2,700 pixels of a byte at most, and frames that change a corner only show the rest again.
const MAX_PIXELS: usize = 1 << 26;
const MAX_PIXELS_PER_BYTE: usize = 1 << 14;
const PIXELS_ANYWAY: usize = 1 << 20;

/// Plays a GIF: frames drawn over each other, disposed of as they ask, on `background` where nothing is drawn.
pub fn decode_gif(bytes: &[u8], background: [u8; 3]) -> Result<GifClip, ClipError> {
    let refuse = |message: String| ClipError::DecodeGif(message);
    let most = MAX_PIXELS.min(PIXELS_ANYWAY + MAX_PIXELS_PER_BYTE * bytes.len());
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::RGBA);
    options.set_memory_limit(MemoryLimit::Bytes(std::num::NonZeroU64::MIN.saturating_add(4 * most as u64)));
    let mut decoder = options.read_info(bytes).map_err(|error| refuse(error.to_string()))?;
    let (width, height) = (usize::from(decoder.width()), usize::from(decoder.height()));
    if width == 0 || height == 0 {
        return Err(refuse(format!("its screen is {width}×{height}")));
    }
    let mut canvas = Canvas { width, height, rgba: Vec::new() };
    let mut clip = GifClip { height, width, frames: Vec::new(), delays_ms: Vec::new() };
    while let Some(frame) = decoder.read_next_frame().map_err(|error| refuse(error.to_string()))? {
        if (clip.frames.len() + 1) * width * height > most {
            let (frames, bytes) = (clip.frames.len(), bytes.len());
            return Err(refuse(format!("more than {frames} frames of {width}×{height} in {bytes} bytes")));
        }
        canvas.rgba.resize(width * height, [0; 4]);
        let before = (frame.dispose == DisposalMethod::Previous).then(|| canvas.rgba.clone());
        canvas.draw(frame);
        clip.frames.push(canvas.over(background));
        clip.delays_ms.push(u32::from(frame.delay) * 10);
        match (frame.dispose, before) {
            (DisposalMethod::Previous, Some(before)) => canvas.rgba = before,
            (DisposalMethod::Background, _) => canvas.clear(frame),
            _ => {}
        }
    }
    if clip.frames.is_empty() {
        return Err(refuse("it has no frames".to_owned()));
    }
    Ok(clip)
}

impl GifClip {
    /// All frames at their own size, in [-1, 1].
    pub fn to_clip(&self) -> Clip {
        let plane = |frame: &[[u8; 3]], channel: usize| {
            frame.iter().map(|pixel| crate::clip::from_byte(pixel[channel])).collect::<Vec<f32>>()
        };
        Clip {
            frames: self.frames.len(),
            height: self.height,
            width: self.width,
            pixels: self
                .frames
                .iter()
                .flat_map(|frame| [0, 1, 2].map(|channel| plane(frame, channel)))
                .flatten()
                .collect(),
            caption: String::new(),
            labels: Default::default(),
        }
    }
}

/// The screen that frames are drawn on.
struct Canvas {
    width: usize,
    height: usize,
    rgba: Vec<[u8; 4]>,
}

impl Canvas {
    /// Indices into the canvas of those pixels of a frame that lie on it, with their index in the frame.
    fn covered(&self, frame: &Frame) -> impl Iterator<Item = (usize, usize)> + use<> {
        let [left, top, columns, rows] = [frame.left, frame.top, frame.width, frame.height].map(usize::from);
        let (width, height) = (self.width, self.height);
        (0..columns * rows)
            .map(move |i| (top + i / columns, left + i % columns, i))
            .filter(move |(row, column, _)| *row < height && *column < width)
            .map(move |(row, column, i)| (row * width + column, i))
    }

    fn draw(&mut self, frame: &Frame) {
        let (pixels, _) = frame.buffer.as_chunks::<4>();
        for (target, source) in self.covered(frame) {
            // GIF knows no half transparency.
            if pixels[source][3] != 0 {
                self.rgba[target] = pixels[source];
            }
        }
    }

    fn clear(&mut self, frame: &Frame) {
        for (target, _) in self.covered(frame) {
            self.rgba[target] = [0; 4];
        }
    }

    fn over(&self, background: [u8; 3]) -> Vec<[u8; 3]> {
        self.rgba.iter().map(|&[r, g, b, alpha]| if alpha == 0 { background } else { [r, g, b] }).collect()
    }
}

#[cfg(test)]
mod tests {
    use gif::Encoder;

    use super::*;

    const PALETTE: [u8; 12] = [255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9];
    const RED: [u8; 3] = [255, 0, 0];
    const GREEN: [u8; 3] = [0, 255, 0];
    const BLUE: [u8; 3] = [0, 0, 255];
    const WHITE: [u8; 3] = [255; 3];

    fn frame(at: u16, width: u16, pixels: &[u8], dispose: DisposalMethod) -> Frame<'static> {
        Frame {
            left: at,
            width,
            height: 1,
            dispose,
            delay: 7,
            transparent: Some(3),
            buffer: pixels.to_vec().into(),
            ..Frame::default()
        }
    }

    /// A GIF of three by one pixels.
    fn encoded(frames: &[Frame]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 3, 1, &PALETTE).expect("header");
        for frame in frames {
            encoder.write_frame(frame).expect("frame");
        }
        drop(encoder);
        bytes
    }

    #[test]
    fn frames_are_kept_cleared_or_undone_as_they_ask() {
        let bytes = encoded(&[
            frame(0, 3, &[0, 0, 3], DisposalMethod::Keep),
            frame(1, 2, &[1, 1], DisposalMethod::Previous),
            frame(0, 1, &[2], DisposalMethod::Background),
            frame(2, 1, &[1], DisposalMethod::Any),
        ]);
        let clip = decode_gif(&bytes, [255; 3]).expect("a GIF");
        let expected = [[RED, RED, WHITE], [RED, GREEN, GREEN], [BLUE, RED, WHITE], [WHITE, RED, GREEN]];
        assert_eq!(clip.frames, expected);
        assert_eq!(clip.delays_ms, [70; 4]);
        assert_eq!(decode_gif(&bytes, [1, 2, 3]).expect("a GIF").frames[0][2], [1, 2, 3]);
    }

    #[test]
    fn a_frame_that_leaves_the_screen_is_cut() {
        let clip = decode_gif(&encoded(&[frame(2, 3, &[1, 0, 0], DisposalMethod::Keep)]), [255; 3]).expect("a GIF");
        assert_eq!(clip.frames, [[WHITE, WHITE, GREEN]]);
    }

    #[test]
    fn broken_bytes_are_errors() {
        let bytes = encoded(&[frame(0, 3, &[0, 1, 2], DisposalMethod::Keep)]);
        assert!(decode_gif(b"", [0; 3]).is_err());
        assert!(decode_gif(b"PNG89a", [0; 3]).is_err());
        assert!(decode_gif(&bytes[..26], [0; 3]).is_err());
        assert!(decode_gif(&encoded(&[]), [0; 3]).is_err());
    }

    #[test]
    fn damaged_bytes_do_not_panic() {
        let bytes = encoded(&[
            frame(0, 3, &[0, 1, 2], DisposalMethod::Previous),
            frame(1, 2, &[1, 3], DisposalMethod::Background),
        ]);
        for at in 0..bytes.len() {
            for damage in [0, 1, 0x21, 0x2c, 0x3b, 0x7f, 0x80, 0xff] {
                let mut damaged = bytes.clone();
                damaged[at] = damage;
                if let Ok(clip) = decode_gif(&damaged, [0; 3]) {
                    assert!(clip.frames.iter().all(|frame| frame.len() == clip.height * clip.width));
                }
            }
        }
    }
}
