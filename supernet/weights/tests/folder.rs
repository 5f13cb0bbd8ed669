//! A model's folder: one file, half precision, shards; never a pickle, never a file elsewhere.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use tnas_weights::{DType, HostTensor, WeightFiles, write_safetensors};

type Result = std::result::Result<(), Box<dyn Error>>;

fn write(folder: &Path, file: &str, tensors: &[(&str, f32)]) -> Result {
    let tensors: BTreeMap<_, _> = tensors
        .iter()
        .map(|(name, number)| (name.to_string(), HostTensor::new(DType::F32, &[1], number.to_le_bytes().to_vec())))
        .collect();
    write_safetensors(folder.join(file), &tensors, &BTreeMap::from([("file".into(), file.into())]))?;
    Ok(())
}

fn index(folder: &Path, map: &[(&str, &str)]) -> Result {
    let map: Vec<_> = map.iter().map(|(tensor, shard)| format!("{tensor:?}:{shard:?}")).collect();
    let json = format!(r#"{{"metadata":{{"total_size":8}},"weight_map":{{{}}}}}"#, map.join(","));
    fs::write(folder.join("model.safetensors.index.json"), json)?;
    Ok(())
}

fn complaint(folder: &Path) -> String {
    WeightFiles::open(folder, "model").map_or_else(|e| e.to_string(), |_| "accepted".into())
}

#[test]
fn full_precision_comes_before_half_and_both_before_shards() -> Result {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    write(folder, "shard", &[("w", 3.0)])?;
    index(folder, &[("w", "shard")])?;
    assert_eq!(*WeightFiles::open(folder, "model")?.f32("w")?, [3.0]);
    write(folder, "model.fp16.safetensors", &[("w", 2.0)])?;
    assert_eq!(*WeightFiles::open(folder, "model")?.f32("w")?, [2.0]);
    write(folder, "model.safetensors", &[("w", 1.0)])?;
    assert_eq!(*WeightFiles::open(folder, "model")?.f32("w")?, [1.0]);
    Ok(())
}

#[test]
fn shards_read_as_one_file() -> Result {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    write(folder, "model-1", &[("b", 1.0), ("d", 4.0)])?;
    write(folder, "model-2", &[("a", 2.0), ("c", 3.0)])?;
    index(folder, &[("a", "model-2"), ("b", "model-1"), ("c", "model-2")])?;
    let files = WeightFiles::open(folder, "model")?;
    assert_eq!(files.names().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(files.paths().len(), 2);
    assert_eq!((&*files.f32("a")?, &*files.f32("b")?), (&[2.0][..], &[1.0][..]));
    assert_eq!(files.metadata()["file"], "model-2", "the first shard in the order of names");
    assert!(files.info("d").is_err_and(|e| e.to_string().contains("which holds 3")));
    Ok(())
}

#[test]
fn shards_that_are_missing_or_elsewhere_are_refused() -> Result {
    let outside = tempfile::tempdir()?;
    write(outside.path(), "model-1", &[("a", 1.0)])?;
    let folder = outside.path().join("inner");
    fs::create_dir(&folder)?;
    for name in ["../model-1", "/etc/passwd", "..", ".", "", "a/../../model-1", "..\\model-1"] {
        index(&folder, &[("a", name)])?;
        assert!(complaint(&folder).contains("is not the name of a file beside it"), "{name}");
    }
    index(&folder, &[("a", "model-1")])?;
    assert!(complaint(&folder).contains("the shard \"model-1\": No such file"));
    write(&folder, "model-1", &[("b", 1.0)])?;
    assert!(complaint(&folder).contains("find the tensor \"a\""));
    fs::write(folder.join("model.safetensors.index.json"), r#"{"weight_map":{"a":"model-1","a":"model-2"}}"#)?;
    assert!(complaint(&folder).contains("\"a\" stands there twice"));
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_shard_linked_from_elsewhere_is_refused() -> Result {
    let outside = tempfile::tempdir()?;
    write(outside.path(), "secret", &[("a", 1.0)])?;
    let folder = outside.path().join("inner");
    fs::create_dir(&folder)?;
    std::os::unix::fs::symlink("../secret", folder.join("model-1"))?;
    index(&folder, &[("a", "model-1")])?;
    assert!(complaint(&folder).contains("is a link out of its folder"));
    fs::rename(outside.path().join("secret"), folder.join("real"))?;
    fs::remove_file(folder.join("model-1"))?;
    std::os::unix::fs::symlink("real", folder.join("model-1"))?;
    assert_eq!(complaint(&folder), "accepted");
    Ok(())
}

#[test]
fn a_pickle_is_refused_with_the_line_that_converts_it() -> Result {
    let folder = tempfile::tempdir()?;
    let folder = folder.path().join("it's here");
    fs::create_dir(&folder)?;
    let nothing = complaint(&folder);
    assert!(
        nothing.contains("there is no model.safetensors, no model.fp16.safetensors, no model.safetensors.index")
    );
    for name in ["optimizer.pt", "pytorch_model-00002-of-00002.bin", "pytorch_model-00001-of-00002.bin"] {
        fs::write(folder.join(name), b"\x80\x02cos\nsystem")?;
    }
    let found = complaint(&folder);
    assert!(found.contains("convert it once with\n  python -c \"import sys, torch"), "{found}");
    let arguments = found.rsplit('"').next().unwrap_or_default().trim();
    let quoted = |name: &str| format!("'{}/{name}'", folder.display().to_string().replace('\'', r"'\''"));
    let expected = [
        quoted("pytorch_model-00001-of-00002.bin"),
        quoted("pytorch_model-00002-of-00002.bin"),
        quoted("model.safetensors"),
    ];
    assert_eq!(arguments, expected.join(" "));
    Ok(())
}
