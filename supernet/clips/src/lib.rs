//! Video clips with captions, without tensors: where they come from, how their captions become numbers, how they
//! are looked at and what can be counted on them.
//!
//! ```
//! use tnas_clips::{FilmSettings, ShapeClips, ShapeSettings, Tokenizer, animated_gif, mean_frame_difference};
//!
//! # fn main() -> Result<(), tnas_clips::ClipError> {
//! let shapes = ShapeClips::new(ShapeSettings { frames: 8, size: 16, ..Default::default() })?;
//! let clip = shapes.clip(0); // such as "a red square moves left", [8, 3, 16, 16]
//! let tokenizer = Tokenizer::from_captions(shapes.captions());
//! let ids = tokenizer.encode(&clip.caption, 12); // <bos> words <eos> <pad> …
//! assert_eq!(tokenizer.decode(&ids), clip.caption);
//! assert!(mean_frame_difference(&clip) > 0.0);
//! let bytes = animated_gif(&clip, &FilmSettings::default())?;
//! assert_eq!(&bytes[..6], b"GIF89a");
//! # Ok(())
//! # }
//! ```

mod apng_out;
mod bpe_files;
mod bpe_tokenizer;
mod caption;
mod caption_tokenizer;
mod clip;
mod clip_set;
mod contact_sheet;
mod digits;
mod error;
mod facts;
mod film;
mod film_format;
mod folder;
mod folder_settings;
mod frame_difference;
mod gif_out;
mod hex;
mod memory;
mod metadata;
mod moving_mnist;
#[cfg(feature = "mp4")]
mod mp4_out;
mod order;
mod palette;
mod resample;
mod shapes;
mod timing;
mod tokenizer;
mod tokenizer_file;
mod webp_out;
#[cfg(feature = "mp4")]
mod yuv;

pub use apng_out::animated_png;
pub use bpe_tokenizer::BpeTokenizer;
pub use caption::CaptionPolicy;
pub use caption_tokenizer::CaptionTokenizer;
pub use clip::Clip;
pub use clip_set::{ClipSet, ClipSource, FolderClips};
pub use contact_sheet::{SheetSettings, contact_sheet};
pub use digits::Digits;
pub use error::ClipError;
pub use film::{Film, FilmFacts, Footage, Grid, Picture};
pub use film_format::FilmFormat;
pub use folder::{BrokenFile, VideoFolder, still};
pub use folder_settings::{FolderSettings, FrameRange};
pub use frame_difference::{frame_differences, mean_frame_difference};
pub use gif_out::{FilmSettings, animated_gif, join_side_by_side};
pub use memory::{Kept, Memory};
pub use moving_mnist::{MovingMnist, MovingMnistSettings};
#[cfg(feature = "mp4")]
pub use mp4_out::h264_mp4;
pub use order::balanced_order;
pub use resample::Fit;
pub use shapes::{Colour, Direction, Figure, Motion, ShapeClips, ShapeSettings, Split};
pub use timing::Short;
pub use tokenizer::{Padding, Tokenizer};
pub use webp_out::animated_webp;
