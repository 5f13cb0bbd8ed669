//! Running graphs on Burn tensors.
//!
//! [`Parameters`] holds weights by their checkpoint names; [`execute`] runs a [`tnas_graph::Graph`] with them. Nothing
//! here knows what a UNet is: training, sampling and measuring all run whatever graph they are given.

mod adapter;
mod compute;
mod device;
mod execute;
mod fused;
#[cfg(feature = "wgpu")]
mod gpu;
mod ops;
mod parameters;
mod runtime;
mod segmented;
mod side_by_side;
mod stream;
mod tensor_file;
mod value;

pub use adapter::{Adapter, AdapterKind};
pub use burn::tensor::Device;
pub use compute::{Compute, ComputeError};
pub use device::{DeviceError, adapters, open_device};
pub use execute::{WeightSource, execute};
pub use fused::{AdamWStep, adamw, squares};
pub use parameters::{Leaves, Parameter, Parameters, ParametersError, accumulate, merged_weights};
pub use runtime::{BURN, BurnRuntime};
pub use side_by_side::side_by_side;
pub use stream::{Stream, clip_noise, normal_vec, stream};
pub use tensor_file::{load_tensor, save_tensors};
pub use value::Value;
