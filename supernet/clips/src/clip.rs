use std::collections::BTreeMap;

use crate::ClipError;

/// A video with its caption.
#[derive(Clone, Debug, PartialEq)]
pub struct Clip {
    /// Number of frames, F.
    pub frames: usize,
    /// Rows, H.
    pub height: usize,
    /// Columns, W.
    pub width: usize,
    /// Red, green and blue planes of each frame, `[F, 3, H, W]`, in [-1, 1].
    pub pixels: Vec<f32>,
    /// What the clip shows, in words.
    pub caption: String,
    /// What is known of the clip, such as `motion`, `direction`, `colour`, `character`.
    pub labels: BTreeMap<String, String>,
}

impl Clip {
    /// A clip without caption or labels.
    pub fn new(frames: usize, height: usize, width: usize, pixels: Vec<f32>) -> Result<Self, ClipError> {
        if frames * 3 * height * width != pixels.len() || pixels.is_empty() {
            return Err(ClipError::PixelCount { frames, height, width, found: pixels.len() });
        }
        Ok(Self { frames, height, width, pixels, caption: String::new(), labels: BTreeMap::new() })
    }

    /// The same clip under another caption.
    pub fn with_caption(mut self, caption: impl Into<String>) -> Self {
        self.caption = caption.into();
        self
    }

    /// `[F, H, W]`.
    pub fn shape(&self) -> [usize; 3] {
        [self.frames, self.height, self.width]
    }

    /// Numbers in one frame, 3·H·W.
    pub fn frame_len(&self) -> usize {
        3 * self.height * self.width
    }

    /// One frame, `[3, H, W]`.
    pub fn frame(&self, frame: usize) -> &[f32] {
        &self.pixels[frame * self.frame_len()..(frame + 1) * self.frame_len()]
    }

    /// The clip made of the given frames of this one, in that order; caption and labels stay.
    pub fn select_frames(&self, indices: &[usize]) -> Self {
        let pixels = indices.iter().flat_map(|&frame| self.frame(frame)).copied().collect();
        Self {
            frames: indices.len(),
            height: self.height,
            width: self.width,
            pixels,
            caption: self.caption.clone(),
            labels: self.labels.clone(),
        }
    }

    /// One frame as bytes, row by row.
    pub(crate) fn frame_rgb(&self, frame: usize) -> Vec<[u8; 3]> {
        let area = self.height * self.width;
        let planes = self.frame(frame);
        (0..area).map(|i| [0, 1, 2].map(|channel| to_byte(planes[channel * area + i]))).collect()
    }
}

/// [-1, 1] to a byte; what lies outside is clamped.
pub(crate) fn to_byte(value: f32) -> u8 {
    // The cast saturates, and takes NaN to 0.
    ((value + 1.0) * 127.5).round() as u8
}

/// A byte to [-1, 1].
pub(crate) fn from_byte(byte: u8) -> f32 {
    f32::from(byte) / 127.5 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_the_round_trip() {
        assert!((0..=255).all(|byte| to_byte(from_byte(byte)) == byte));
        assert_eq!([to_byte(-3.0), to_byte(9.0), to_byte(f32::NAN)], [0, 255, 0]);
    }

    #[test]
    fn a_wrong_number_of_pixels_is_refused() {
        let error = Clip::new(2, 4, 4, vec![0.0; 95]).expect_err("95 is not 96");
        assert_eq!(error.to_string(), "hold a clip: 2 frames of 3×4×4 are 96 numbers, found 95");
    }
}
