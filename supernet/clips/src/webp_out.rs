use image_webp::{ColorType, WebPEncoder};

use crate::gif_out::enlarged_frames;
use crate::{Clip, ClipError, FilmSettings};

/// RIFF, its length, WEBP: what stands before the chunks of a file.
pub(crate) const FILE_HEADER_BYTES: usize = 12;

/// The flag of a VP8X chunk that says that the file is an animation.
pub(crate) const ANIMATED: u8 = 1 << 1;

/// The flag of an ANMF chunk that says that a frame replaces what is there.
pub(crate) const NO_BLENDING: u8 = 1 << 1;

/// The clip as an endless animated WebP without loss: each frame is encoded as a picture of its own, and its chunk
/// laid into the animation (RIFF container of the WebP specification).
pub fn animated_webp(clip: &Clip, settings: &FilmSettings) -> Result<Vec<u8>, ClipError> {
    let (width, height) = (clip.width * settings.upscale, clip.height * settings.upscale);
    let refuse = |message: String| ClipError::Encode { format: "WebP", width, height, message };
    let (Ok(columns @ 1..=16_383), Ok(rows @ 1..=16_383)) = (u32::try_from(width), u32::try_from(height)) else {
        return Err(refuse("a side is of 1 to 16383 pixels".to_owned()));
    };
    // Sides are stored less one, in 24 bits.
    let size = [three_bytes(columns - 1), three_bytes(rows - 1)].concat();
    let mut chunks = Vec::new();
    append_chunk(&mut chunks, b"VP8X", &[&[ANIMATED, 0, 0, 0], &size[..]].concat());
    // A white background, without end.
    append_chunk(&mut chunks, b"ANIM", &[255, 255, 255, 255, 0, 0]);
    let delay = three_bytes(settings.delay_ms.min(0xff_ffff));
    for frame in enlarged_frames(clip, settings.upscale) {
        let mut picture = Vec::new();
        WebPEncoder::new(&mut picture)
            .encode(frame.as_flattened(), columns, rows, ColorType::Rgb8)
            .map_err(|error| refuse(error.to_string()))?;
        let corner = [0; 6];
        let head = [&corner[..], &size, &delay, &[NO_BLENDING]].concat();
        append_chunk(&mut chunks, b"ANMF", &[&head[..], &picture[FILE_HEADER_BYTES..]].concat());
    }
    let mut bytes = Vec::with_capacity(FILE_HEADER_BYTES + chunks.len());
    append_chunk(&mut bytes, b"RIFF", &[b"WEBP", &chunks[..]].concat());
    Ok(bytes)
}

/// Four letters, the length, the body, and a byte more where that is odd.
pub(crate) fn append_chunk(bytes: &mut Vec<u8>, name: &[u8; 4], body: &[u8]) {
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(body);
    if !body.len().is_multiple_of(2) {
        bytes.push(0);
    }
}

pub(crate) fn three_bytes(value: u32) -> [u8; 3] {
    let [a, b, c, _] = value.to_le_bytes();
    [a, b, c]
}
