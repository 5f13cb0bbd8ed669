//! Video clips with captions, without tensors: where they come from, how their captions become numbers, how they
//! are looked at and what can be counted on them.
//!
//! ```
//! use tnas_clips::{GifSettings, ShapeClips, ShapeSettings, Tokenizer, animated_gif, mean_frame_difference};
//!
//! # fn main() -> Result<(), tnas_clips::ClipError> {
//! let shapes = ShapeClips::new(ShapeSettings { frames: 8, size: 16, ..Default::default() })?;
//! let clip = shapes.clip(0); // such as "a red square moves left", [8, 3, 16, 16]
//! let tokenizer = Tokenizer::from_captions(shapes.captions());
//! let ids = tokenizer.encode(&clip.caption, 12); // <bos> words <eos> <pad> …
//! assert_eq!(tokenizer.decode(&ids), clip.caption);
//! assert!(mean_frame_difference(&clip) > 0.0);
//! let bytes = animated_gif(&clip, &GifSettings::default())?;
//! assert_eq!(&bytes[..6], b"GIF89a");
//! # Ok(())
//! # }
//! ```

mod bootstrap;
mod bpe_files;
mod bpe_tokenizer;
mod caption;
mod caption_tokenizer;
mod clip;
mod contact_sheet;
mod controls;
mod error;
mod evaluation;
mod folder;
mod frechet;
mod gif_in;
mod gif_out;
mod kernel_distance;
mod memorisation;
mod order;
mod pairs;
mod palette;
mod resample;
mod shapes;
mod statistics;
mod tokenizer;
mod tokenizer_file;
mod warp;

pub use bootstrap::{Interval, Resampled, Spread, bootstrap_interval, resample_counts, wilson_interval};
pub use bpe_tokenizer::BpeTokenizer;
pub use caption::CaptionPolicy;
pub use caption_tokenizer::CaptionTokenizer;
pub use clip::Clip;
pub use contact_sheet::{SheetSettings, contact_sheet};
pub use controls::{frozen, independent_frames, noisy, shuffled_frames};
pub use error::ClipError;
pub use evaluation::{Fitness, Measures, Metric, ScoredClips, Yardstick, fitness};
pub use folder::{BrokenFile, FolderSettings, FrameRange, VideoFolder};
pub use frechet::{NormalFit, frechet_distance};
pub use gif_in::{GifClip, decode_gif};
pub use gif_out::{GifSettings, animated_gif, join_side_by_side};
pub use kernel_distance::{KernelDistance, kernel_distance};
pub use memorisation::{Memorisation, cell_means, thumbnail};
pub use order::balanced_order;
pub use shapes::{Colour, Direction, Figure, Motion, ShapeClips, ShapeSettings, Split};
pub use statistics::{Neighbour, frame_differences, mean_frame_difference, nearest_neighbours};
pub use tokenizer::{Padding, Tokenizer};
pub use warp::{BlockMatching, warp_error};
