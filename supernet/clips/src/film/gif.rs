use gif::{ColorOutput, DecodeOptions, DisposalMethod, Frame, MemoryLimit};

use super::budget::Budget;
use super::canvas::{Area, Canvas};
use super::format::shown_us;
use super::{Picture, Visit};

/// Plays a GIF: frames drawn over each other, disposed of as they ask, on `background` where nothing is drawn.
pub(crate) fn play(bytes: &[u8], background: [u8; 3], budget: &mut Budget, visit: Visit) -> Result<(), String> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::RGBA);
    options.set_memory_limit(MemoryLimit::Bytes(std::num::NonZeroU64::MIN.saturating_add(budget.rgba_bytes())));
    let mut decoder = options.read_info(bytes).map_err(|error| error.to_string())?;
    let (width, height) = (usize::from(decoder.width()), usize::from(decoder.height()));
    budget.picture(width as u64, height as u64)?;
    let mut canvas = Canvas::new(width, height);
    while let Some(frame) = decoder.read_next_frame().map_err(|error| error.to_string())? {
        budget.frame(width as u64, height as u64)?;
        let area = area(frame);
        let before = (frame.dispose == DisposalMethod::Previous).then(|| canvas.rgba.clone());
        canvas.draw_over(area, frame.buffer.as_chunks::<4>().0);
        let shown = Some(shown_us(u32::from(frame.delay) * 10));
        if visit(Picture { height, width, rgb: canvas.before(background), shown_us: shown }).is_break() {
            break;
        }
        match (frame.dispose, before) {
            (DisposalMethod::Previous, Some(before)) => canvas.rgba = before,
            (DisposalMethod::Background, _) => canvas.clear(area),
            _ => {}
        }
    }
    Ok(())
}

fn area(frame: &Frame) -> Area {
    let [left, top, width, height] = [frame.left, frame.top, frame.width, frame.height].map(usize::from);
    Area { left, top, width, height }
}

#[cfg(test)]
mod tests {
    use gif::Encoder;

    use super::*;
    use crate::Footage;

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
        let clip = Footage::decode(&bytes, [255; 3]).expect("a GIF");
        let expected = [[RED, RED, WHITE], [RED, GREEN, GREEN], [BLUE, RED, WHITE], [WHITE, RED, GREEN]];
        assert_eq!(clip.frames, expected);
        assert_eq!(clip.delays_ms, [70; 4]);
        assert_eq!(Footage::decode(&bytes, [1, 2, 3]).expect("a GIF").frames[0][2], [1, 2, 3]);
    }

    #[test]
    fn a_frame_that_leaves_the_screen_is_cut() {
        let clip =
            Footage::decode(&encoded(&[frame(2, 3, &[1, 0, 0], DisposalMethod::Keep)]), [255; 3]).expect("a GIF");
        assert_eq!(clip.frames, [[WHITE, WHITE, GREEN]]);
    }

    #[test]
    fn broken_bytes_are_errors() {
        let bytes = encoded(&[frame(0, 3, &[0, 1, 2], DisposalMethod::Keep)]);
        assert!(Footage::decode(b"", [0; 3]).is_err());
        assert!(Footage::decode(b"PNG89a", [0; 3]).is_err());
        assert!(Footage::decode(&bytes[..26], [0; 3]).is_err());
        assert!(Footage::decode(&encoded(&[]), [0; 3]).is_err());
    }
}
