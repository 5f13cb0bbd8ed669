use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use super::budget::Budget;
use super::canvas::before;
use super::format::shown_us;
use super::{Picture, Visit};

/// Bytes that the decoder may read at once: colour profiles, and other things that are no picture.
const MAX_OTHER_BYTES: usize = 1 << 28;

/// Plays a WebP: an animation, or a single picture.
pub(crate) fn play(bytes: &[u8], background: [u8; 3], budget: &mut Budget, visit: Visit) -> Result<(), String> {
    whole(bytes)?;
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(told)?;
    decoder.set_memory_limit(MAX_OTHER_BYTES);
    let (width, height) = decoder.dimensions();
    Budget::picture(width.into(), height.into())?;
    let size = decoder.output_buffer_size().ok_or("its pictures are too large")?;
    let mut buffer = vec![0; size];
    let channels = if decoder.has_alpha() { 4 } else { 3 };
    let mut show = |buffer: &[u8], shown_us| {
        let rgb = match channels {
            4 => before(buffer.as_chunks::<4>().0, background),
            _ => buffer.as_chunks::<3>().0.to_vec(),
        };
        visit(Picture { height: height as usize, width: width as usize, rgb, shown_us })
    };
    if !decoder.is_animated() {
        budget.frame(width.into(), height.into())?;
        decoder.read_image(&mut buffer).map_err(told)?;
        let _ = show(&buffer, None);
        return Ok(());
    }
    // What is not drawn on, and what a frame leaves behind, shows what is behind the clip; the file's own colour is a
    // hint that viewers pass over.
    let [r, g, b] = background;
    decoder.set_background_color([r, g, b, 255]).map_err(told)?;
    for _ in 0..decoder.num_frames() {
        budget.frame(width.into(), height.into())?;
        let delay_ms = decoder.read_frame(&mut buffer).map_err(told)?;
        if show(&buffer, Some(shown_us(delay_ms))).is_break() {
            break;
        }
    }
    Ok(())
}

/// Whether the file has the length that its head says: the decoder plays what is there of a file that was cut.
fn whole(bytes: &[u8]) -> Result<(), String> {
    let length = bytes.get(4..8).and_then(|length| length.try_into().ok()).map_or(0, u32::from_le_bytes);
    let expected = u64::from(length) + 8;
    if expected <= bytes.len() as u64 {
        return Ok(());
    }
    Err(format!("it ends after {} of {expected} bytes", bytes.len()))
}

fn told(error: DecodingError) -> String {
    error.to_string()
}
