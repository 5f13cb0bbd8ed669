//! Reading and writing safetensors without trusting them.
//!
//! A file is memory-mapped and checked as a whole when it is opened; after that a tensor is a slice of it, by name, and
//! costs no memory. Whatever is written appears at once or not at all.
//!
//! ```
//! use std::collections::BTreeMap;
//! use tnas_weights::{HostTensor, SafeTensors, write_safetensors};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let path = folder.path().join("model.safetensors");
//! let bias = HostTensor::f32(&[3], &[0.5, -1.0, 2.0]);
//! write_safetensors(&path, &BTreeMap::from([("conv_in.bias".into(), bias)]), &BTreeMap::new())?;
//!
//! let file = SafeTensors::open(&path)?;
//! assert_eq!(file.names().collect::<Vec<_>>(), ["conv_in.bias"]);
//! assert_eq!(*file.f32("conv_in.bias")?, [0.5, -1.0, 2.0]);
//! # Ok(())
//! # }
//! ```

mod atomic;
mod dtype;
mod error;
mod folder;
mod header;
mod host_tensor;
mod legacy;
mod numbers;
mod safetensors;
mod shards;
mod writer;

pub use atomic::{AtomicFile, is_temporary, remove_stale_temporaries, write_atomic};
pub use dtype::{DType, bf16_to_f32, f16_to_f32};
pub use error::WeightsError;
pub use folder::WeightFiles;
pub use header::TensorInfo;
pub use host_tensor::{HostTensor, Stored};
pub use safetensors::{Floats, SafeTensors};
pub use writer::{Layout, SafeTensorsWriter, write_safetensors};
