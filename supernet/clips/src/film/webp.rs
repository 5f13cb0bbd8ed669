//! WebP: `image-webp` decodes pictures, frames are laid on the screen here, exactly.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use super::budget::Budget;
use super::canvas::{Area, Canvas, before};
use super::format::shown_us;
use super::{Picture, Visit};
use crate::webp_out::{ANIMATED, FILE_HEADER_BYTES, NO_BLENDING, append_chunk, three_bytes};

/// Bytes that the decoder may read at once: colour profiles, and other things that are no picture.
const MAX_OTHER_BYTES: usize = 1 << 28;

/// The flag of an ANMF chunk that says that a frame's area is cleared after it.
const CLEARED: u8 = 1 << 0;

/// The flag of a VP8X chunk that says that a picture has an alpha channel.
const ALPHA: u8 = 1 << 4;

/// Plays a WebP: an animation, or a single picture.
pub(crate) fn play(bytes: &[u8], background: [u8; 3], budget: &mut Budget, visit: Visit) -> Result<(), String> {
    let chunks = chunks(body(bytes)?)?;
    let animation = match chunks.first() {
        Some((b"VP8X", head)) if head.first().is_some_and(|flags| flags & ANIMATED != 0) => head,
        _ => {
            let (width, height, rgba) = still(bytes, budget)?;
            budget.frame(width as u64, height as u64)?;
            let _ = visit(Picture { height, width, rgb: before(&rgba, background), shown_us: None });
            return Ok(());
        }
    };
    let [width, height] = [4, 7].map(|at| number(animation, at).map(|side| side + 1));
    let (width, height) = width.zip(height).ok_or("its head is cut off")?;
    budget.picture(width as u64, height as u64)?;
    let mut canvas = Canvas::new(width, height);
    for frame in chunks.iter().filter(|(name, _)| *name == b"ANMF").map(|(_, frame)| *frame) {
        budget.frame(width as u64, height as u64)?;
        let head = FrameHead::of(frame).ok_or("a frame's head is cut off")?;
        let rgba = head.picture(frame, budget)?;
        match head.flags & NO_BLENDING {
            0 => canvas.draw_over(head.area, &rgba),
            _ => canvas.replace(head.area, &rgba),
        }
        // What is not drawn on shows what is behind the clip; the file's own colour is a hint that viewers pass over.
        let rgb = canvas.before(background);
        if visit(Picture { height, width, rgb, shown_us: Some(shown_us(head.delay_ms)) }).is_break() {
            break;
        }
        if head.flags & CLEARED != 0 {
            canvas.clear(head.area);
        }
    }
    Ok(())
}

/// What stands before a frame's picture (RIFF container of the WebP specification, "ANMF").
struct FrameHead {
    area: Area,
    delay_ms: u32,
    flags: u8,
}

impl FrameHead {
    const BYTES: usize = 16;

    fn of(frame: &[u8]) -> Option<Self> {
        let [left, top, width, height, delay] = [0, 3, 6, 9, 12].map(|at| number(frame, at));
        let area = Area { left: 2 * left?, top: 2 * top?, width: width? + 1, height: height? + 1 };
        Some(Self { area, delay_ms: delay? as u32, flags: *frame.get(15)? })
    }

    /// A frame's pixels: its chunks are those of a picture of its own.
    fn picture(&self, frame: &[u8], budget: &Budget) -> Result<Vec<[u8; 4]>, String> {
        let Area { width, height, .. } = self.area;
        let mut file = Vec::new();
        for (name, body) in chunks(&frame[Self::BYTES..])? {
            if name == b"ALPH" {
                let sides = [width, height].map(|side| three_bytes(side as u32 - 1)).concat();
                append_chunk(&mut file, b"VP8X", &[&[ALPHA, 0, 0, 0], &sides[..]].concat());
            }
            if [b"ALPH", b"VP8 ", b"VP8L"].contains(&name) {
                append_chunk(&mut file, name, body);
            }
        }
        let mut whole = Vec::with_capacity(FILE_HEADER_BYTES + file.len());
        append_chunk(&mut whole, b"RIFF", &[b"WEBP", &file[..]].concat());
        let (found_width, found_height, rgba) = still(&whole, budget)?;
        if [found_width, found_height] != [width, height] {
            return Err(format!("a frame of {width}×{height} holds a picture of {found_width}×{found_height}"));
        }
        Ok(rgba)
    }
}

/// A picture's width, height and pixels.
fn still(bytes: &[u8], budget: &Budget) -> Result<(usize, usize, Vec<[u8; 4]>), String> {
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(message)?;
    decoder.set_memory_limit(MAX_OTHER_BYTES);
    let (width, height) = decoder.dimensions();
    budget.picture(width.into(), height.into())?;
    let mut buffer = vec![0; decoder.output_buffer_size().ok_or("its pictures are too large")?];
    decoder.read_image(&mut buffer).map_err(message)?;
    let rgba = match decoder.has_alpha() {
        true => buffer.as_chunks::<4>().0.to_vec(),
        false => buffer.as_chunks::<3>().0.iter().map(|&[r, g, b]| [r, g, b, 255]).collect(),
    };
    Ok((width as usize, height as usize, rgba))
}

/// The chunks of a file, which must have the length that its head says: one that was cut is known for it.
fn body(bytes: &[u8]) -> Result<&[u8], String> {
    let length = bytes.get(4..8).and_then(|length| length.try_into().ok()).map_or(0, u32::from_le_bytes);
    let expected = length as usize + 8;
    let whole = bytes.get(FILE_HEADER_BYTES..expected);
    whole.ok_or_else(|| format!("it ends after {} of {expected} bytes", bytes.len()))
}

/// A name and a body.
type Chunk<'a> = (&'a [u8; 4], &'a [u8]);

/// The chunks that fill `bytes`.
fn chunks(mut bytes: &[u8]) -> Result<Vec<Chunk<'_>>, String> {
    let mut found = Vec::new();
    while let Some((name, rest)) = bytes.split_first_chunk::<4>() {
        let (length, rest) = rest.split_first_chunk::<4>().ok_or("a chunk without its length")?;
        let length = u32::from_le_bytes(*length) as usize;
        let (body, rest) = rest.split_at_checked(length).ok_or_else(|| {
            let name = String::from_utf8_lossy(name);
            format!("its chunk {name:?} has {length} bytes, and there are {}", rest.len())
        })?;
        found.push((name, body));
        // A body of odd length is followed by a byte more.
        bytes = rest.get(length % 2..).unwrap_or_default();
    }
    Ok(found)
}

/// A number in three bytes, the lowest first.
fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let &[a, b, c] = bytes.get(at..)?.first_chunk::<3>()?;
    Some(u32::from_le_bytes([a, b, c, 0]) as usize)
}

fn message(error: DecodingError) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use image_webp::{ColorType, WebPEncoder};

    use super::*;
    use crate::Footage;

    const RED: [u8; 4] = [255, 1, 2, 255];
    const BLUE: [u8; 4] = [3, 4, 255, 255];
    const CLEAR: [u8; 4] = [9, 9, 9, 0];

    /// An animation of four by one pixels, of frames at a column with flags.
    fn encoded(frames: &[(usize, u8, &[[u8; 4]])]) -> Vec<u8> {
        let mut file = Vec::new();
        let sides = |width: usize| [three_bytes(width as u32 - 1), three_bytes(0)].concat();
        append_chunk(&mut file, b"VP8X", &[&[ANIMATED | ALPHA, 0, 0, 0], &sides(4)[..]].concat());
        append_chunk(&mut file, b"ANIM", &[0; 6]);
        for (left, flags, pixels) in frames {
            let mut picture = Vec::new();
            let encoder = WebPEncoder::new(&mut picture);
            encoder.encode(pixels.as_flattened(), pixels.len() as u32, 1, ColorType::Rgba8).expect("encodes");
            let place = [three_bytes(*left as u32 / 2), three_bytes(0)].concat();
            let head = [&place[..], &sides(pixels.len()), &three_bytes(70), &[*flags]].concat();
            append_chunk(&mut file, b"ANMF", &[&head[..], &picture[FILE_HEADER_BYTES..]].concat());
        }
        let mut whole = Vec::new();
        append_chunk(&mut whole, b"RIFF", &[b"WEBP", &file[..]].concat());
        whole
    }

    #[test]
    fn frames_are_blended_replaced_and_cleared_as_they_ask() {
        let bytes = encoded(&[
            (0, 0, &[RED, BLUE, CLEAR, RED]),
            (0, 0, &[CLEAR, RED]),
            (2, NO_BLENDING | CLEARED, &[BLUE, CLEAR]),
            (2, 0, &[CLEAR, BLUE]),
        ]);
        let film = Footage::decode(&bytes, [200; 3]).expect("a WebP");
        let (red, blue, none) = ([255, 1, 2], [3, 4, 255], [200; 3]);
        let expected =
            [[red, blue, none, red], [red, red, none, red], [red, red, blue, none], [red, red, none, blue]];
        assert_eq!(film.frames, expected);
        assert_eq!(film.delays_ms, [70; 4]);
    }

    #[test]
    fn torn_chunks_and_pictures_of_other_sides_are_refused() {
        let bytes = encoded(&[(0, 0, &[RED; 4])]);
        let at = bytes.windows(4).position(|name| name == b"ANMF").expect("a frame");
        let mut wide = bytes.clone();
        // Sides stand behind name, length and corner.
        wide[at + 8 + 6] = 9;
        let message = Footage::decode(&wide, [0; 3]).expect_err("other sides").to_string();
        assert!(message.contains("a frame of 10×1 holds a picture of 4×1"), "{message}");
        let mut long = bytes;
        long[at + 4..at + 8].copy_from_slice(&[0xff; 4]);
        assert!(Footage::decode(&long, [0; 3]).is_err());
    }
}
