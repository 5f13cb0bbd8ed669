use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Clip, ClipError, FilmSettings, animated_gif, animated_png, animated_webp};

/// A format that clips are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FilmFormat {
    /// At most 256 colours; plays everywhere.
    #[default]
    Gif,
    /// Every colour as it is.
    Apng,
    /// The same, in fewer bytes.
    Webp,
    /// H.264, in very few bytes and with loss; where the program is built with the feature `mp4`.
    Mp4,
}

impl FilmFormat {
    /// Those that this program was built to write.
    pub const ALL: &[Self] = if cfg!(feature = "mp4") {
        &[Self::Gif, Self::Apng, Self::Webp, Self::Mp4]
    } else {
        &[Self::Gif, Self::Apng, Self::Webp]
    };

    /// What files of the format are called; an APNG is a PNG to everyone who does not play it.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Gif => "gif",
            Self::Apng => "png",
            Self::Webp => "webp",
            Self::Mp4 => "mp4",
        }
    }

    /// A clip as a file's bytes. The same clip gives the same bytes.
    pub fn encode(self, clip: &Clip, settings: &FilmSettings) -> Result<Vec<u8>, ClipError> {
        match self {
            Self::Gif => animated_gif(clip, settings),
            Self::Apng => animated_png(clip, settings),
            Self::Webp => animated_webp(clip, settings),
            #[cfg(feature = "mp4")]
            Self::Mp4 => crate::h264_mp4(clip, settings),
            #[cfg(not(feature = "mp4"))]
            Self::Mp4 => Err(no_mp4()),
        }
    }
}

#[cfg(not(feature = "mp4"))]
fn no_mp4() -> ClipError {
    ClipError::Setting {
        name: "format",
        value: "mp4".to_owned(),
        reason: "this program was built without it; build with --features mp4".to_owned(),
    }
}

impl fmt::Display for FilmFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gif => "gif",
            Self::Apng => "apng",
            Self::Webp => "webp",
            Self::Mp4 => "mp4",
        })
    }
}

impl FromStr for FilmFormat {
    type Err = ClipError;

    fn from_str(text: &str) -> Result<Self, ClipError> {
        match text {
            "gif" => Ok(Self::Gif),
            "apng" | "png" => Ok(Self::Apng),
            "webp" => Ok(Self::Webp),
            #[cfg(feature = "mp4")]
            "mp4" => Ok(Self::Mp4),
            #[cfg(not(feature = "mp4"))]
            "mp4" => Err(no_mp4()),
            _ => Err(ClipError::Setting {
                name: "format",
                value: text.to_owned(),
                reason: "say gif, apng, webp or mp4".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Footage, ShapeClips, ShapeSettings};

    #[test]
    fn formats_without_loss_keep_every_byte() {
        let shapes = ShapeClips::new(ShapeSettings { size: 24, ..Default::default() }).expect("settings");
        for format in [FilmFormat::Apng, FilmFormat::Webp] {
            for index in 0..10 {
                let clip = shapes.clip(index);
                let settings = FilmSettings { upscale: 1, delay_ms: 85 };
                let bytes = format.encode(&clip, &settings).expect("encodes");
                assert_eq!(bytes, format.encode(&clip, &settings).expect("encodes"));
                let read = Footage::decode(&bytes, [0; 3]).expect("plays");
                assert_eq!((read.frames.len(), read.height, read.width), (8, 24, 24));
                assert!(read.delays_ms.iter().all(|&delay| delay == 85));
                for frame in 0..8 {
                    assert_eq!(read.frames[frame], clip.frame_rgb(frame), "{format} {index} {frame}");
                }
            }
        }
    }

    #[cfg(feature = "mp4")]
    #[test]
    fn h264_is_close_and_keeps_frames_times_and_sides() {
        let shapes =
            ShapeClips::new(ShapeSettings { frames: 12, size: 33, ..Default::default() }).expect("settings");
        for index in 0..5 {
            let clip = shapes.clip(index);
            let settings = FilmSettings { upscale: 1, delay_ms: 85 };
            let bytes = FilmFormat::Mp4.encode(&clip, &settings).expect("encodes");
            assert_eq!(bytes, FilmFormat::Mp4.encode(&clip, &settings).expect("encodes"));
            let read = Footage::decode(&bytes, [0; 3]).expect("plays");
            assert_eq!((read.frames.len(), read.height, read.width), (12, 34, 34));
            assert!(read.delays_ms.iter().all(|&delay| delay == 85), "{:?}", read.delays_ms);
            let settings = FilmSettings { upscale: 2, delay_ms: 85 };
            let large = Footage::decode(&FilmFormat::Mp4.encode(&clip, &settings).expect("encodes"), [0; 3]);
            // With two pixels a side chroma keeps each pixel's colour.
            let (large, mut error, mut count) = (large.expect("plays"), 0u64, 0u64);
            for frame in 0..12 {
                let own = crate::gif_out::enlarged(&clip.frame_rgb(frame), 33, 2);
                for (a, b) in own.iter().zip(&large.frames[frame]) {
                    error += (0..3).map(|i| u64::from(a[i].abs_diff(b[i]))).sum::<u64>();
                    count += 3;
                }
            }
            assert!(error < 4 * count, "mean error {}", error as f64 / count as f64);
        }
        let tiny = shapes.clip(0).select_frames(&[0]);
        let tiny = crate::Clip::new(1, 4, 4, tiny.pixels[..48].to_vec()).expect("a clip");
        assert!(FilmFormat::Mp4.encode(&tiny, &FilmSettings { upscale: 1, delay_ms: 1 }).is_err());
    }

    #[test]
    fn formats_are_what_they_print() {
        for &format in FilmFormat::ALL {
            assert_eq!(format.to_string().parse::<FilmFormat>().expect("known"), format);
        }
        assert!("avi".parse::<FilmFormat>().is_err());
        assert_eq!("mp4".parse::<FilmFormat>().is_ok(), cfg!(feature = "mp4"));
    }

    #[test]
    fn sides_that_a_format_cannot_hold_are_refused() {
        let clip = Clip::new(1, 1, 1, vec![0.0; 3]).expect("a clip");
        for format in [FilmFormat::Apng, FilmFormat::Webp] {
            assert!(format.encode(&clip, &FilmSettings { upscale: 0, delay_ms: 1 }).is_err(), "{format}");
        }
        assert!(FilmFormat::Webp.encode(&clip, &FilmSettings { upscale: 16_384, delay_ms: 1 }).is_err());
    }
}
