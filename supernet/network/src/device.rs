use burn::tensor::Device;
use thiserror::Error;

use crate::Adapter;

/// Why a device cannot be had.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// Not a device's name.
    #[error("open device {0:?}: expected cpu, gpu, gpu:software or cuda:N")]
    Unknown(String),
    /// The program was built without it.
    #[error(
        "open device {device}: this program was built without the feature {feature}; use --device cpu, or build with --features {feature}"
    )]
    NotBuilt {
        /// What was asked.
        device: String,
        /// The cargo feature.
        feature: &'static str,
    },
    /// There is none in this machine.
    #[error("open device {device}: {message}; use --device cpu")]
    NotFound {
        /// What was asked.
        device: String,
        /// What the driver said.
        message: String,
    },
}

/// Opens `cpu`, `gpu` (a graphics card by Vulkan, Metal or Direct3D), `gpu:software` (a software rasteriser) or `cuda:N`. Never falls
/// back to another one.
pub fn open_device(name: &str) -> Result<Device, DeviceError> {
    match name {
        "cpu" => open_cpu(),
        "gpu" | "gpu:software" => open_gpu(name),
        _ => match name.strip_prefix("cuda:").map(str::parse) {
            Some(Ok(index)) => open_cuda(name, index),
            _ => Err(DeviceError::Unknown(name.into())),
        },
    }
}

#[cfg(feature = "flex")]
fn open_cpu() -> Result<Device, DeviceError> {
    Ok(Device::flex())
}

#[cfg(not(feature = "flex"))]
fn open_cpu() -> Result<Device, DeviceError> {
    Err(DeviceError::NotBuilt { device: "cpu".into(), feature: "flex" })
}

/// The graphics adapters of this machine, the best first; an error where the program was built without them.
#[cfg(feature = "wgpu")]
pub fn adapters() -> Result<Vec<Adapter>, DeviceError> {
    Ok(crate::gpu::adapters())
}

/// The graphics adapters of this machine, the best first; an error where the program was built without them.
#[cfg(not(feature = "wgpu"))]
pub fn adapters() -> Result<Vec<Adapter>, DeviceError> {
    Err(DeviceError::NotBuilt { device: "gpu".into(), feature: "wgpu" })
}

#[cfg(feature = "wgpu")]
fn open_gpu(name: &str) -> Result<Device, DeviceError> {
    crate::gpu::open(name)
}

#[cfg(not(feature = "wgpu"))]
fn open_gpu(name: &str) -> Result<Device, DeviceError> {
    Err(DeviceError::NotBuilt { device: name.into(), feature: "wgpu" })
}

#[cfg(feature = "cuda")]
fn open_cuda(name: &str, index: usize) -> Result<Device, DeviceError> {
    use burn::tensor::Tensor;
    let probe = std::thread::spawn(move || {
        let device = Device::cuda(index);
        let _ = Tensor::<1>::ones([4], &device).sum().into_scalar::<f32>();
        device
    });
    let message = "no CUDA device of that index was found".to_string();
    probe.join().map_err(|_| DeviceError::NotFound { device: name.into(), message })
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(name: &str, _index: usize) -> Result<Device, DeviceError> {
    Err(DeviceError::NotBuilt { device: name.into(), feature: "cuda" })
}
