//! Tensors from files and to files, with no copy of all of them at any time.

use std::{collections::BTreeMap, path::Path};

use burn::tensor::{AllocationProperty, Bytes, DType, Device, Tensor, TensorData};
use rayon::prelude::*;
use tnas_weights::{Floats, HostTensor, Layout, SafeTensorsWriter, TensorInfo, WeightFiles, WeightsError};

use crate::{Parameter, Parameters};

/// Tensors that are converted side by side before they go to the device: what a device with memory of its own needs
/// besides on the host.
const AT_ONCE: usize = 64;

impl Parameters {
    /// All tensors of a checkpoint. On the CPU, f32 stays in the mapped file and takes no memory of its own, and other
    /// floats are converted once; other devices get a copy. Numbers that are no floats are refused by name.
    pub fn load(files: &WeightFiles, device: &Device) -> Result<Self, WeightsError> {
        Self::load_as(files, device, |name| Some(name.into()))
    }

    /// The same under other names, each for one tensor; tensors without one are left out.
    pub fn load_as(
        files: &WeightFiles,
        device: &Device,
        name: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, WeightsError> {
        let mut parameters = Self::new(device);
        let wanted: Vec<(&str, String)> =
            files.names().filter_map(|stored| Some((stored, name(stored)?))).collect();
        for some in wanted.chunks(AT_ONCE) {
            let floats = some.par_iter().map(|(stored, _)| files.floats(stored)).collect::<Result<Vec<_>, _>>()?;
            for ((stored, name), floats) in some.iter().zip(floats) {
                if parameters.get(name).is_some() {
                    let (path, tensor) = (files.place().into(), (*stored).into());
                    return Err(WeightsError::BadTensor {
                        path,
                        tensor,
                        reason: format!("{name} is there already"),
                    });
                }
                let shape = files.info(stored)?.shape.clone();
                let flat = on_device(floats, parameters.device());
                parameters.insert(name.as_str(), Parameter { shape, flat });
            }
        }
        Ok(parameters)
    }

    /// Writes all tensors as one file, whole or not at all.
    pub fn save(&self, path: impl AsRef<Path>, metadata: &BTreeMap<String, String>) -> Result<(), WeightsError> {
        save_tensors(path, &self.tensors, metadata)
    }
}

/// One tensor of a checkpoint, as [`Parameters::load`] has it.
pub fn load_tensor(files: &WeightFiles, name: &str, device: &Device) -> Result<Tensor<1>, WeightsError> {
    Ok(on_device(files.floats(name)?, device))
}

fn on_device(floats: Floats, device: &Device) -> Tensor<1> {
    let bytes = match floats {
        Floats::Stored(bytes) => Bytes::from_shared(bytes, AllocationProperty::File),
        Floats::Converted(numbers) => Bytes::from_elems(numbers),
    };
    let count = bytes.len() / size_of::<f32>();
    Tensor::from_data(TensorData::from_bytes(bytes, [count], DType::F32), (device, DType::F32))
}

/// Writes tensors one after the other: no more than one of them is copied at a time.
pub fn save_tensors(
    path: impl AsRef<Path>,
    tensors: &BTreeMap<String, Parameter>,
    metadata: &BTreeMap<String, String>,
) -> Result<(), WeightsError> {
    let info =
        |parameter: &Parameter| TensorInfo { dtype: tnas_weights::DType::F32, shape: parameter.shape.clone() };
    let layout: Layout = tensors.iter().map(|(name, parameter)| (name.clone(), info(parameter))).collect();
    let mut writer = SafeTensorsWriter::create(path, &layout, metadata)?;
    while let Some(name) = writer.expects().map(str::to_owned) {
        let data = tensors[&name].flat.clone().into_data();
        // A length that does not fit is refused by the writer.
        let numbers = data.as_slice::<f32>().unwrap_or_default();
        writer.write(&name, &HostTensor::f32(&[numbers.len()], numbers).bytes)?;
    }
    writer.commit()
}
