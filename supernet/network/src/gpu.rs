//! Graphics adapters by wgpu: which there are, and which one `gpu` is.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use burn::tensor::{
    Device, DeviceKind, Tensor,
    wgpu::wgpu::{Adapter as WgpuAdapter, Backends, DeviceType, Instance, InstanceDescriptor},
};

use crate::{Adapter, AdapterKind, DeviceError};

/// What Burn calls the first adapter of a kind.
const fn device_kind(kind: AdapterKind) -> DeviceKind {
    match kind {
        AdapterKind::Discrete => DeviceKind::DiscreteGpu(0),
        AdapterKind::Integrated => DeviceKind::IntegratedGpu(0),
        AdapterKind::Virtual => DeviceKind::VirtualGpu(0),
        // Burn looks for a graphics API with anything but a rasteriser.
        AdapterKind::Other => DeviceKind::DefaultDevice,
        AdapterKind::Software => DeviceKind::Cpu,
    }
}

impl From<DeviceType> for AdapterKind {
    fn from(kind: DeviceType) -> Self {
        match kind {
            DeviceType::DiscreteGpu => Self::Discrete,
            DeviceType::IntegratedGpu => Self::Integrated,
            DeviceType::VirtualGpu => Self::Virtual,
            DeviceType::Cpu => Self::Software,
            DeviceType::Other => Self::Other,
        }
    }
}

/// Every adapter that wgpu finds, the best first. One card is listed once for each graphics API that reaches it.
pub fn adapters() -> Vec<Adapter> {
    let mut adapters = on(Backends::PRIMARY);
    // OpenGL reaches cards that the others do not, and its drivers print to the terminal.
    if adapters.iter().all(|adapter| adapter.kind == AdapterKind::Software) {
        adapters.extend(on(Backends::SECONDARY));
    }
    adapters.sort_by_key(|adapter| adapter.kind);
    adapters
}

/// The adapters that some graphics APIs reach.
fn on(backends: Backends) -> Vec<Adapter> {
    let instance =
        Instance::new(InstanceDescriptor { backends, ..InstanceDescriptor::new_without_display_handle() });
    // Ready at once, but in a browser.
    let found = pin!(instance.enumerate_adapters(backends));
    let Poll::Ready(found) = found.poll(&mut Context::from_waker(Waker::noop())) else { return Vec::new() };
    found.iter().map(described).collect()
}

fn described(adapter: &WgpuAdapter) -> Adapter {
    let (info, limits) = (adapter.get_info(), adapter.limits());
    Adapter {
        kind: info.device_type.into(),
        name: info.name,
        backend: format!("{:?}", info.backend),
        driver: [info.driver, info.driver_info].join(" ").trim().to_owned(),
        max_buffer_bytes: limits.max_buffer_size,
        max_storage_bytes: limits.max_storage_buffer_binding_size,
    }
}

/// Opens `gpu`, the best adapter that is no software rasteriser, or `gpu:software`, which is one.
pub(crate) fn open(name: &str) -> Result<Device, DeviceError> {
    let kind = chosen(name, &adapters())?;
    // Opening an adapter may panic: tried in a thread of its own, once, before any work.
    let probe = std::thread::spawn(move || {
        let device = Device::wgpu(kind);
        let sum = Tensor::<1>::ones([4], &device).sum().into_scalar::<f32>();
        (device, sum)
    });
    let fail = |message: &str| DeviceError::NotFound { device: name.into(), message: message.into() };
    match probe.join() {
        Ok((device, 4.0)) => Ok(device),
        Ok((_, sum)) => Err(fail(&format!("the adapter computes 1+1+1+1 = {sum}"))),
        Err(_) => Err(fail("the adapter that was found cannot be opened")),
    }
}

/// What Burn is asked for.
fn chosen(name: &str, adapters: &[Adapter]) -> Result<DeviceKind, DeviceError> {
    let software = |adapter: &&Adapter| adapter.kind == AdapterKind::Software;
    let fail = |message: String| DeviceError::NotFound { device: name.into(), message };
    let (wanted, found) = match name {
        "gpu:software" => ("software rasteriser", adapters.iter().find(software)),
        _ => ("graphics adapter", adapters.iter().find(|adapter| !software(adapter))),
    };
    match (found, adapters.iter().find(software)) {
        (Some(adapter), _) => Ok(device_kind(adapter.kind)),
        (None, Some(rasteriser)) => Err(fail(format!(
            "the only adapter is {}, a software rasteriser, slower than the processor itself; --device gpu:software takes it all the \
             same",
            rasteriser.name
        ))),
        (None, None) => Err(fail(format!("no {wanted} was found"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(kind: AdapterKind) -> Adapter {
        let text = String::from;
        Adapter {
            name: text("llvmpipe (LLVM 15.0.6, 256 bits)"),
            backend: text("Vulkan"),
            driver: text("llvmpipe"),
            kind,
            max_buffer_bytes: 1 << 30,
            max_storage_bytes: 1 << 27,
        }
    }

    #[test]
    fn a_software_rasteriser_is_taken_only_where_it_is_asked_for() {
        let (software, card) = ([adapter(AdapterKind::Software)], [adapter(AdapterKind::Discrete)]);
        let refused = chosen("gpu", &software).expect_err("a rasteriser").to_string();
        assert!(refused.contains("llvmpipe (LLVM 15.0.6, 256 bits), a software rasteriser"), "{refused}");
        assert!(refused.contains("gpu:software") && refused.contains("use --device cpu"), "{refused}");
        assert_eq!(chosen("gpu:software", &software).expect("asked for"), DeviceKind::Cpu);
        assert_eq!(chosen("gpu", &card).expect("a card"), DeviceKind::DiscreteGpu(0));
        let missing = chosen("gpu:software", &card).expect_err("a card").to_string();
        assert!(missing.contains("no software rasteriser was found"), "{missing}");
        let both = [card, software].concat();
        assert_eq!(chosen("gpu", &both).expect("a card"), DeviceKind::DiscreteGpu(0));
        assert!(chosen("gpu", &[]).expect_err("none").to_string().contains("no graphics adapter was found"));
    }
}
