use gif::{DisposalMethod, Encoder, EncodingError, Frame, Repeat};

use crate::palette::Palette;
use crate::{Clip, ClipError};

/// How an animated GIF is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilmSettings {
    /// Each pixel becomes a square of this side.
    pub upscale: usize,
    /// How long each frame is shown; GIF rounds it to hundredths of a second.
    pub delay_ms: u32,
}

impl Default for FilmSettings {
    fn default() -> Self {
        Self { upscale: 4, delay_ms: 120 }
    }
}

/// The clip as an endless GIF with a palette of its own. The same clip gives the same bytes.
pub fn animated_gif(clip: &Clip, settings: &FilmSettings) -> Result<Vec<u8>, ClipError> {
    let upscale = settings.upscale;
    let (width, height) = (clip.width * upscale, clip.height * upscale);
    let refuse = |message: String| ClipError::Encode { format: "GIF", width, height, message };
    let (Ok(columns @ 1..), Ok(rows @ 1..)) = (u16::try_from(width), u16::try_from(height)) else {
        return Err(refuse("a side is of 1 to 65535 pixels".to_owned()));
    };
    let frames: Vec<Vec<[u8; 3]>> = (0..clip.frames).map(|frame| clip.frame_rgb(frame)).collect();
    let palette = Palette::of(frames.iter().flatten().copied());
    let refuse_encoding = |error: EncodingError| refuse(error.to_string());
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, columns, rows, &palette.bytes()).map_err(refuse_encoding)?;
    encoder.set_repeat(Repeat::Infinite).map_err(refuse_encoding)?;
    for frame in frames {
        let indices: Vec<u8> = frame.into_iter().map(|pixel| palette.index_of(pixel)).collect();
        let frame = Frame {
            width: columns,
            height: rows,
            delay: u16::try_from((settings.delay_ms + 5) / 10).unwrap_or(u16::MAX),
            dispose: DisposalMethod::Keep,
            buffer: enlarged(&indices, clip.width, upscale).into(),
            ..Frame::default()
        };
        encoder.write_frame(&frame).map_err(refuse_encoding)?;
    }
    drop(encoder);
    Ok(bytes)
}

/// Clips of one shape next to each other, with `gutter` white columns between, to be compared frame by
/// frame: samples of many steps and of four, of teacher and student. Captions are joined by " | ".
pub fn join_side_by_side(clips: &[&Clip], gutter: usize) -> Result<Clip, ClipError> {
    let Some(first) = clips.first() else {
        return Err(ClipError::Setting {
            name: "clips",
            value: "[]".to_owned(),
            reason: "join one at least".to_owned(),
        });
    };
    if let Some(other) = clips.iter().find(|clip| clip.shape() != first.shape()) {
        return Err(ClipError::UnequalClips { expected: first.shape(), found: other.shape() });
    }
    let (width, gap) = (first.width, vec![1.0; gutter]);
    let mut pixels = Vec::new();
    // Row r of plane p is the same run of numbers in every clip.
    for row in 0..first.frames * 3 * first.height {
        for (i, clip) in clips.iter().enumerate() {
            if i > 0 {
                pixels.extend_from_slice(&gap);
            }
            pixels.extend_from_slice(&clip.pixels[row * width..(row + 1) * width]);
        }
    }
    let captions: Vec<&str> = clips.iter().map(|clip| clip.caption.as_str()).collect();
    let joined = Clip::new(first.frames, first.height, clips.len() * (width + gutter) - gutter, pixels)?;
    Ok(joined.with_caption(captions.join(" | ")))
}

/// Pictures of a clip, each pixel a square.
pub(crate) fn enlarged_frames(clip: &Clip, factor: usize) -> impl Iterator<Item = Vec<[u8; 3]>> {
    (0..clip.frames).map(move |frame| enlarged(&clip.frame_rgb(frame), clip.width, factor))
}

/// Each item a square of `factor`×`factor`, row by row.
pub(crate) fn enlarged<T: Copy>(items: &[T], width: usize, factor: usize) -> Vec<T> {
    let mut large = Vec::with_capacity(items.len() * factor * factor);
    for row in items.chunks(width) {
        let wide: Vec<T> = row.iter().flat_map(|&item| std::iter::repeat_n(item, factor)).collect();
        for _ in 0..factor {
            large.extend_from_slice(&wide);
        }
    }
    large
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Footage, ShapeClips, ShapeSettings};

    #[test]
    fn what_is_written_is_read_back_within_the_palette_s_error() {
        let shapes = ShapeClips::new(ShapeSettings { size: 24, ..Default::default() }).expect("settings");
        for index in 0..20 {
            let clip = shapes.clip(index);
            let bytes = animated_gif(&clip, &FilmSettings { upscale: 1, delay_ms: 85 }).expect("a GIF");
            let gif = Footage::decode(&bytes, [0; 3]).expect("a GIF");
            assert_eq!((gif.frames.len(), gif.height, gif.width, gif.delays_ms[0]), (8, 24, 24, 90));
            let read = gif.to_clip();
            let worst = clip.pixels.iter().zip(&read.pixels).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            let mean = clip.pixels.iter().zip(&read.pixels).map(|(a, b)| (a - b).abs()).sum::<f32>()
                / clip.pixels.len() as f32;
            assert!(worst < 0.15 && mean < 0.01, "{}: worst {worst}, mean {mean}", clip.caption);
            assert_eq!(bytes, animated_gif(&clip, &FilmSettings { upscale: 1, delay_ms: 85 }).expect("a GIF"));
        }
    }

    #[test]
    fn few_colours_are_written_exactly_and_enlarged() {
        let pixels = [-1.0, 1.0, 1.0, -1.0].repeat(3);
        let clip = Clip::new(1, 2, 2, pixels).expect("a clip");
        let bytes = animated_gif(&clip, &FilmSettings { upscale: 2, delay_ms: 100 }).expect("a GIF");
        let gif = Footage::decode(&bytes, [7; 3]).expect("a GIF");
        let (black, white) = ([0; 3], [255; 3]);
        assert_eq!(gif.frames[0][..8], [[black, black, white, white]; 2].concat());
        assert!(animated_gif(&clip, &FilmSettings { upscale: 40_000, delay_ms: 1 }).is_err());
        assert!(animated_gif(&clip, &FilmSettings { upscale: 0, delay_ms: 1 }).is_err());
    }

    #[test]
    fn joined_clips_keep_their_pixels() {
        let clip =
            |value: f32| Clip::new(2, 1, 2, vec![value; 12]).expect("a clip").with_caption(format!("{value}"));
        let joined = join_side_by_side(&[&clip(0.25), &clip(0.5)], 1).expect("of one shape");
        assert_eq!((joined.shape(), joined.caption.as_str()), ([2, 1, 5], "0.25 | 0.5"));
        assert_eq!(joined.pixels, [0.25, 0.25, 1.0, 0.5, 0.5].repeat(6));
        let other = Clip::new(1, 1, 2, vec![0.0; 6]).expect("a clip");
        assert!(join_side_by_side(&[&clip(0.0), &other], 1).is_err() && join_side_by_side(&[], 1).is_err());
    }
}
