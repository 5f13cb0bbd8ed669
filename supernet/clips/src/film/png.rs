use std::io::Cursor;
use std::ops::ControlFlow;

use png::{BlendOp, ColorType, Decoder, DecodingError, DisposeOp, FrameControl, Limits, Reader, Transformations};

use super::budget::Budget;
use super::canvas::{Area, Canvas, before};
use super::format::shown_us;
use super::{Grid, Picture, Visit};

type Source<'a> = Reader<Cursor<&'a [u8]>>;

/// Bytes that the decoder may hold besides the picture: rows, palette, profiles.
const MAX_OTHER_BYTES: usize = 1 << 28;

/// Plays a PNG: an animation, a grid of frames, or a single picture.
pub(crate) fn play(
    bytes: &[u8],
    grid: Option<Grid>,
    background: [u8; 3],
    budget: &mut Budget,
    visit: Visit,
) -> Result<(), String> {
    let mut source = open(bytes, budget)?;
    // An animation of one frame is a picture.
    let animation =
        source.info().animation_control().map(|control| control.num_frames).filter(|&frames| frames > 1);
    match (animation, grid) {
        (Some(_), Some(_)) => Err("it is an animation, and is called a grid of frames".to_owned()),
        (Some(frames), None) => play_animation(&mut source, frames, background, budget, visit),
        (None, Some(grid)) => cut(picture(&mut source, background, budget)?, grid, visit),
        (None, None) => {
            let _ = visit(picture(&mut source, background, budget)?);
            Ok(())
        }
    }
}

/// The one picture of a PNG; of an animation, what viewers without animation show.
pub(crate) fn still(bytes: &[u8], background: [u8; 3], budget: &mut Budget) -> Result<Picture, String> {
    picture(&mut open(bytes, budget)?, background, budget)
}

fn open<'a>(bytes: &'a [u8], budget: &Budget) -> Result<Source<'a>, String> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: MAX_OTHER_BYTES });
    decoder.set_transformations(Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let (width, height) = decoder.read_header_info().map_err(message)?.size();
    budget.picture(width.into(), height.into())?;
    decoder.read_info().map_err(message)
}

fn picture(source: &mut Source, background: [u8; 3], budget: &mut Budget) -> Result<Picture, String> {
    let (area, rgba) = next(source, budget)?;
    // Reads to the end, so that a cut file is known for one.
    source.finish().map_err(message)?;
    Ok(Picture { height: area.height, width: area.width, rgb: before(&rgba, background), shown_us: None })
}

/// The next frame, which may cover a part of the screen, in RGBA.
fn next(source: &mut Source, budget: &mut Budget) -> Result<(Area, Vec<[u8; 4]>), String> {
    let (width, height) = source.info().size();
    budget.frame(width.into(), height.into())?;
    let size = source.output_buffer_size().ok_or("its pictures are too large")?;
    let mut buffer = vec![0; size];
    let info = source.next_frame(&mut buffer).map_err(message)?;
    let samples = &buffer[..info.buffer_size()];
    let rgba = match info.color_type {
        ColorType::Rgba => samples.as_chunks::<4>().0.to_vec(),
        ColorType::Rgb => samples.as_chunks::<3>().0.iter().map(|&[r, g, b]| [r, g, b, 255]).collect(),
        ColorType::GrayscaleAlpha => samples.as_chunks::<2>().0.iter().map(|&[v, a]| [v, v, v, a]).collect(),
        ColorType::Grayscale => samples.iter().map(|&v| [v, v, v, 255]).collect(),
        ColorType::Indexed => return Err("its palette was not applied".to_owned()),
    };
    let place = source.info().frame_control();
    let [left, top] = place.map_or([0, 0], |control| [control.x_offset as usize, control.y_offset as usize]);
    Ok((Area { left, top, width: info.width as usize, height: info.height as usize }, rgba))
}

fn play_animation(
    source: &mut Source,
    frames: u32,
    background: [u8; 3],
    budget: &mut Budget,
    visit: Visit,
) -> Result<(), String> {
    if source.info().frame_control().is_none() {
        // The picture for viewers without animation is no frame.
        next(source, budget)?;
    }
    let (width, height) = source.info().size();
    let mut canvas = Canvas::new(width as usize, height as usize);
    for _ in 0..frames {
        let (area, rgba) = next(source, budget)?;
        let control = *source.info().frame_control().ok_or("a frame without its control chunk")?;
        let undone = (control.dispose_op == DisposeOp::Previous).then(|| canvas.rgba.clone());
        match control.blend_op {
            BlendOp::Source => canvas.replace(area, &rgba),
            BlendOp::Over => canvas.draw_over(area, &rgba),
        }
        let shown = Some(shown_us(delay_ms(&control)));
        let picture =
            Picture { height: canvas.height, width: canvas.width, rgb: canvas.before(background), shown_us: shown };
        if visit(picture).is_break() {
            return Ok(());
        }
        match (control.dispose_op, undone) {
            (DisposeOp::Previous, Some(before)) => canvas.rgba = before,
            (DisposeOp::Background, _) => canvas.clear(area),
            _ => {}
        }
    }
    source.finish().map_err(message)
}

fn delay_ms(control: &FrameControl) -> u32 {
    let denominator = if control.delay_den == 0 { 100 } else { u32::from(control.delay_den) };
    (u32::from(control.delay_num) * 1000 + denominator / 2) / denominator
}

/// Frames of a grid, row by row.
fn cut(sheet: Picture, grid: Grid, visit: Visit) -> Result<(), String> {
    let Grid { rows, columns, frames } = grid;
    let refuse = |reason: &str| {
        Err(format!("{}×{}, cut into {rows} rows × {columns} columns: {reason}", sheet.width, sheet.height))
    };
    if rows == 0 || columns == 0 || !sheet.height.is_multiple_of(rows) || !sheet.width.is_multiple_of(columns) {
        return refuse("its sides are no multiples of that");
    }
    let frames = frames.unwrap_or(rows * columns);
    if frames == 0 || frames > rows * columns {
        return refuse(&format!("that holds no {frames} frames"));
    }
    let (height, width) = (sheet.height / rows, sheet.width / columns);
    for frame in 0..frames {
        let (top, left) = (frame / columns * height, frame % columns * width);
        let row = |y: usize| &sheet.rgb[(top + y) * sheet.width + left..][..width];
        let rgb = (0..height).flat_map(row).copied().collect();
        if visit(Picture { height, width, rgb, shown_us: None }) == ControlFlow::Break(()) {
            break;
        }
    }
    Ok(())
}

fn message(error: DecodingError) -> String {
    error.to_string()
}
