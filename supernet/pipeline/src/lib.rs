//! Pipeline folders in diffusers layout: image models, text encoders, autoencoders and published motion models are read, checked
//! against golden cases, used to encode clips and captions, and written.

pub mod check;
mod class_name;
pub mod codec;
pub mod genotype_file;
pub mod import;
pub mod latents;
pub mod model_folder;
pub mod motion_weights;
pub mod space_file;
pub mod text_cache;
