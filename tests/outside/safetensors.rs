//! One safetensors file, every tensor of it read.

use std::collections::BTreeMap;

use tnas_weights::{DType, HostTensor, SafeTensors, write_safetensors};

use super::{Parser, in_folder, message};

pub const PARSER: Parser = Parser { name: "safetensors", examples, read, room_bytes: 0 };

/// A small file with tensors of several kinds.
pub fn example(tensors: &[(&str, HostTensor)]) -> Vec<u8> {
    let tensors: BTreeMap<_, _> = tensors.iter().map(|(name, tensor)| (name.to_string(), tensor.clone())).collect();
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
    in_folder(|folder| {
        let path = folder.join("example.safetensors");
        write_safetensors(&path, &tensors, &metadata).unwrap();
        std::fs::read(path).unwrap()
    })
}

fn examples() -> Vec<Vec<u8>> {
    let floats = HostTensor::f32(&[2, 3], &[0.5; 6]);
    let one = example(&[("conv_in.weight", floats.clone()), ("conv_in.bias", HostTensor::f32(&[2], &[1.0; 2]))]);
    let kinds = DType::ALL.map(|kind| HostTensor::new(kind, &[2], vec![1; 2 * kind.size_bytes()]));
    let names = DType::ALL.map(DType::as_str);
    let all: Vec<_> = names.into_iter().zip(kinds).collect();
    vec![one, example(&all), example(&[])]
}

fn read(bytes: &[u8]) -> Result<(), String> {
    let file = SafeTensors::from_bytes("model.safetensors", bytes.to_vec().into()).map_err(message)?;
    for name in file.names() {
        let info = file.info(name).map_err(message)?;
        let elements: usize = info.shape.iter().product();
        let found = match info.dtype {
            DType::F16 | DType::BF16 | DType::F32 | DType::F64 => file.f32(name).map(|numbers| numbers.len()),
            _ => file.i64(name).map(|numbers| numbers.len()),
        };
        assert_eq!(found.map_err(message)?, elements);
    }
    Ok(())
}
