//! Weights from files and to files: the same bits, whatever is done with them afterwards.

use std::{collections::BTreeMap, error::Error, fs, path::Path};

use tnas_graph::Weights;
use tnas_network::{Parameter, Parameters, open_device};
use tnas_weights::{DType, HostTensor, WeightFiles, write_safetensors};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn write(path: &Path, tensors: &[(&str, HostTensor)]) -> Result {
    let tensors: BTreeMap<_, _> = tensors.iter().map(|(name, tensor)| (name.to_string(), tensor.clone())).collect();
    Ok(write_safetensors(path, &tensors, &BTreeMap::new())?)
}

fn load(path: &Path) -> Result<Parameters> {
    Ok(Parameters::load(&WeightFiles::open_file(path)?, &open_device("cpu")?)?)
}

fn bits(parameters: &Parameters, name: &str) -> Result<Vec<u32>> {
    Ok(parameters.values(name)?.iter().map(|x| x.to_bits()).collect())
}

#[test]
fn every_kind_of_float_is_loaded_with_its_value() -> Result {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    let numbers = [1.5f32, -0.0, f32::MIN_POSITIVE, f32::MAX, f32::INFINITY, 0.1];
    let doubles: Vec<u8> = numbers.iter().flat_map(|&x| f64::from(x).to_le_bytes()).collect();
    write(
        &path,
        &[
            ("single", HostTensor::f32(&[2, 3], &numbers)),
            ("double", HostTensor::new(DType::F64, &[6], doubles)),
            ("half", HostTensor::new(DType::F16, &[2], vec![0x00, 0x3e, 0x01, 0x00])),
            ("brain", HostTensor::new(DType::BF16, &[2], vec![0xc0, 0x3f, 0x00, 0x80])),
            ("nothing", HostTensor::f32(&[0, 4], &[])),
        ],
    )?;
    let parameters = load(&path)?;
    let expected = numbers.map(f32::to_bits);
    assert_eq!(bits(&parameters, "single")?, expected);
    assert_eq!(parameters.shape("single"), Some(vec![2, 3]));
    assert_eq!(bits(&parameters, "double")?, expected);
    assert_eq!(bits(&parameters, "half")?, [1.5, 2f32.powi(-24)].map(f32::to_bits));
    assert_eq!(bits(&parameters, "brain")?, [1.5, -0.0f32].map(f32::to_bits));
    assert!(bits(&parameters, "nothing")?.is_empty());
    Ok(())
}

#[test]
fn other_numbers_are_refused_by_name() -> Result {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    for (kind, name) in [(DType::I64, "I64"), (DType::U8, "U8"), (DType::Bool, "BOOL")] {
        write(&path, &[("step", HostTensor::new(kind, &[1], vec![1; kind.size_bytes()]))])?;
        let message = load(&path).map_or_else(|error| error.to_string(), |_| "loaded".into());
        assert!(message.contains("\"step\"") && message.contains(name), "{message}");
    }
    Ok(())
}

#[test]
fn numbers_off_their_alignment_are_loaded_too() -> Result {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    for padding in 0..4 {
        let json = format!(r#"{{"w":{{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}}}{}"#, " ".repeat(padding));
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.extend(json.as_bytes());
        bytes.extend([1.25f32, -3.0].iter().flat_map(|x| x.to_le_bytes()));
        fs::write(&path, bytes)?;
        assert_eq!(bits(&load(&path)?, "w")?, [1.25f32, -3.0].map(f32::to_bits));
    }
    Ok(())
}

#[test]
fn old_names_are_loaded_as_the_new_ones() -> Result {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    let one = || HostTensor::f32(&[1], &[2.0]);
    let old = ["query.weight", "key.bias", "value.weight", "proj_attn.bias", "group_norm.weight"];
    let old = old.map(|name| format!("mid_block.attentions.0.{name}"));
    write(&path, &old.each_ref().map(|name| (name.as_str(), one())))?;
    let names: Vec<String> = load(&path)?.names().map(|name| name.replace("mid_block.attentions.0.", "")).collect();
    assert_eq!(names, ["group_norm.weight", "to_k.bias", "to_out.0.bias", "to_q.weight", "to_v.weight"]);

    write(&path, &[("attentions.0.key.bias", one()), ("attentions.0.to_k.bias", one())])?;
    let message = load(&path).map_or_else(|error| error.to_string(), |_| "loaded".into());
    assert!(message.contains("the same weight under another name"), "{message}");
    Ok(())
}

#[test]
fn tensors_may_be_renamed_and_left_out_but_not_merged() -> Result {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    write(&path, &[("a", HostTensor::f32(&[1], &[1.0])), ("b", HostTensor::i64(&[1], &[2]))])?;
    let (files, device) = (WeightFiles::open_file(&path)?, open_device("cpu")?);
    let kept = Parameters::load_as(&files, &device, |name| (name == "a").then(|| "c".into()))?;
    assert_eq!(kept.names().collect::<Vec<_>>(), ["c"], "what is left out is not read either");
    write(&path, &[("a", HostTensor::f32(&[1], &[1.0])), ("b", HostTensor::f32(&[1], &[2.0]))])?;
    let merged = Parameters::load_as(&WeightFiles::open_file(&path)?, &device, |_| Some("c".into()));
    assert!(merged.is_err_and(|error| error.to_string().contains("c is there already")));
    Ok(())
}

#[test]
fn a_file_keeps_its_bytes_whatever_is_done_with_its_tensors() -> Result {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    let numbers: Vec<f32> = (0..1000).map(|i| (i as f32).sin()).collect();
    write(&path, &[("w", HostTensor::f32(&[1000], &numbers))])?;
    let before = fs::read(&path)?;
    let mut parameters = load(&path)?;
    let flat = parameters.get("w").ok_or("no w")?.flat.clone();
    // Replaced first, so that the tensor owns its memory alone and could be changed in place.
    parameters.insert("w", Parameter { shape: vec![1000], flat: flat.clone() * 0.0 });
    let changed = flat.add_scalar(1.0).mul_scalar(3.0);
    assert_eq!(changed.into_data().as_slice::<f32>()?[0], 3.0);
    assert_eq!(fs::read(&path)?, before);
    Ok(())
}

#[test]
fn tensors_outlive_the_file_that_they_were_loaded_from() -> Result {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    write(&path, &[("w", HostTensor::f32(&[2], &[1.0, 2.0]))])?;
    let parameters = load(&path)?;
    write(&path, &[("w", HostTensor::f32(&[2], &[7.0, 8.0]))])?;
    assert_eq!(*parameters.values("w")?, [1.0, 2.0], "a file is replaced, not overwritten");
    fs::remove_file(&path)?;
    assert_eq!(*parameters.values("w")?, [1.0, 2.0]);
    Ok(())
}

#[test]
fn what_is_saved_is_loaded_and_saved_again_as_the_same_bytes() -> Result {
    let folder = tempfile::tempdir()?;
    let paths = ["one", "two"].map(|name| folder.path().join(name));
    let numbers: Vec<f32> = (0..24).map(|i| (i as f32).cos()).collect();
    let mut parameters = Parameters::new(&open_device("cpu")?);
    parameters.insert_host("b.weight", &[2, 3, 4], numbers.clone());
    parameters.insert_host("a.bias", &[24], numbers);
    let metadata = BTreeMap::from([("format".to_string(), "pt".to_string())]);
    parameters.save(&paths[0], &metadata)?;
    let loaded = load(&paths[0])?;
    assert_eq!(loaded.shape("b.weight"), Some(vec![2, 3, 4]));
    loaded.save(&paths[1], &metadata)?;
    // Onto the file that it is mapped from.
    loaded.save(&paths[0], &metadata)?;
    assert_eq!(fs::read(&paths[0])?, fs::read(&paths[1])?);
    assert_eq!(bits(&load(&paths[0])?, "a.bias")?, bits(&parameters, "a.bias")?);
    Ok(())
}
