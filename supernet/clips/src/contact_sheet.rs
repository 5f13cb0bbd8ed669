use png::{BitDepth, ColorType, Encoder, EncodingError};

use crate::gif_out::enlarged;
use crate::{Clip, ClipError};

/// How a contact sheet is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SheetSettings {
    /// Each pixel becomes a square of this side.
    pub upscale: usize,
    /// Pixels of the sheet between pictures and around them.
    pub gutter: usize,
    /// Red, green and blue of what is no picture.
    pub gutter_rgb: [u8; 3],
}

impl Default for SheetSettings {
    fn default() -> Self {
        Self { upscale: 3, gutter: 4, gutter_rgb: [255; 3] }
    }
}

/// A PNG of clips: a row each, its frames from left to right. Clips may differ in length, not in height and width. The same
/// clips give the same bytes.
pub fn contact_sheet(clips: &[&Clip], settings: &SheetSettings) -> Result<Vec<u8>, ClipError> {
    let SheetSettings { upscale, gutter, gutter_rgb } = *settings;
    let Some(first) = clips.first() else {
        return Err(ClipError::Setting {
            name: "clips",
            value: "[]".to_owned(),
            reason: "draw one at least".to_owned(),
        });
    };
    let size = |clip: &Clip| [clip.height, clip.width];
    if let Some(other) = clips.iter().find(|clip| size(clip) != size(first)) {
        return Err(ClipError::UnequalClips { expected: first.shape(), found: other.shape() });
    }
    let frames = clips.iter().map(|clip| clip.frames).max().unwrap_or(0);
    let (cell_height, cell_width) = (first.height * upscale, first.width * upscale);
    let height = gutter + clips.len() * (cell_height + gutter);
    let width = gutter + frames * (cell_width + gutter);
    let mut sheet = vec![gutter_rgb; height * width];
    for (row, clip) in clips.iter().enumerate() {
        for frame in 0..clip.frames {
            let (top, left) = (gutter + row * (cell_height + gutter), gutter + frame * (cell_width + gutter));
            let picture = enlarged(&clip.frame_rgb(frame), clip.width, upscale);
            for (y, line) in picture.chunks(cell_width.max(1)).enumerate() {
                let start = (top + y) * width + left;
                sheet[start..start + cell_width].copy_from_slice(line);
            }
        }
    }
    encode_png(&sheet, height, width)
}

fn encode_png(rgb: &[[u8; 3]], height: usize, width: usize) -> Result<Vec<u8>, ClipError> {
    let refuse = |message: String| ClipError::Encode { format: "PNG", width, height, message };
    let (Ok(columns), Ok(rows)) = (u32::try_from(width), u32::try_from(height)) else {
        return Err(refuse("too large".to_owned()));
    };
    let refuse_encoding = |error: EncodingError| refuse(error.to_string());
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, columns, rows);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(refuse_encoding)?;
    writer.write_image_data(rgb.as_flattened()).map_err(refuse_encoding)?;
    writer.finish().map_err(refuse_encoding)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> (u32, u32, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().expect("a PNG");
        let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
        let info = reader.next_frame(&mut pixels).expect("a picture");
        (info.width, info.height, pixels)
    }

    #[test]
    fn rows_are_clips_and_columns_are_frames() {
        let long = Clip::new(2, 1, 1, vec![-1.0, -1.0, -1.0, 1.0, -1.0, -1.0]).expect("a clip");
        let short = Clip::new(1, 1, 1, vec![-1.0, 1.0, -1.0]).expect("a clip");
        let settings = SheetSettings { upscale: 1, gutter: 1, gutter_rgb: [9; 3] };
        let (width, height, pixels) = decoded(&contact_sheet(&[&long, &short], &settings).expect("a sheet"));
        assert_eq!((width, height), (5, 5));
        let (g, black, red, green) = ([9; 3], [0; 3], [255, 0, 0], [0, 255, 0]);
        let expected = [[g; 5], [g, black, g, red, g], [g; 5], [g, green, g, g, g], [g; 5]];
        assert_eq!(pixels, expected.as_flattened().as_flattened());
    }

    #[test]
    fn clips_of_other_sizes_and_no_clips_are_refused() {
        let (one, two) =
            (Clip::new(1, 1, 1, vec![0.0; 3]).expect("a clip"), Clip::new(1, 2, 1, vec![0.0; 6]).expect("a clip"));
        assert!(contact_sheet(&[&one, &two], &SheetSettings::default()).is_err());
        assert!(contact_sheet(&[], &SheetSettings::default()).is_err());
    }
}
