use png::{BitDepth, ColorType, Encoder, EncodingError};

use crate::gif_out::enlarged_frames;
use crate::{Clip, ClipError, FilmSettings};

/// The clip as an endless APNG: every colour exactly as it is, for viewers and browsers that play it.
pub fn animated_png(clip: &Clip, settings: &FilmSettings) -> Result<Vec<u8>, ClipError> {
    let (width, height) = (clip.width * settings.upscale, clip.height * settings.upscale);
    let refuse = |message: String| ClipError::Encode { format: "APNG", width, height, message };
    let refuse_encoding = |error: EncodingError| refuse(error.to_string());
    let (Ok(columns), Ok(rows), Ok(frames)) =
        (u32::try_from(width), u32::try_from(height), u32::try_from(clip.frames))
    else {
        return Err(refuse("too large".to_owned()));
    };
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, columns, rows);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_animated(frames, 0).map_err(refuse_encoding)?;
    encoder.set_frame_delay(u16::try_from(settings.delay_ms).unwrap_or(u16::MAX), 1000).map_err(refuse_encoding)?;
    let mut writer = encoder.write_header().map_err(refuse_encoding)?;
    for frame in enlarged_frames(clip, settings.upscale) {
        writer.write_image_data(frame.as_flattened()).map_err(refuse_encoding)?;
    }
    writer.finish().map_err(refuse_encoding)?;
    Ok(bytes)
}
