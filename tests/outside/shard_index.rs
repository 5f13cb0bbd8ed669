//! The index of a sharded checkpoint, in a folder with two shards, links that lead out, in circles and nowhere, and a
//! forbidden file beside the folder.

use std::{fs, path::Path};

use tnas_weights::{HostTensor, WeightFiles};

use super::{Parser, in_folder, message, safetensors::example};

pub const PARSER: Parser = Parser { name: "shard_index", examples, read, room_bytes: 0 };

const STEM: &str = "diffusion_pytorch_model";

fn examples() -> Vec<Vec<u8>> {
    let index = |pairs: &[(&str, &str)]| {
        let map: Vec<String> = pairs.iter().map(|(tensor, shard)| format!("{tensor:?}: {shard:?}")).collect();
        format!("{{\"metadata\": {{\"total_size\": 16}}, \"weight_map\": {{{}}}}}", map.join(", ")).into_bytes()
    };
    vec![
        index(&[("a", "one.safetensors"), ("b", "one.safetensors"), ("c", "two.safetensors")]),
        index(&[("c", "two.safetensors"), ("a", "inside.safetensors")]),
        index(&[("a", "../secret.safetensors")]),
        index(&[("a", "/etc/passwd")]),
        index(&[("a", "out.safetensors")]),
        index(&[("a", "circle.safetensors")]),
        index(&[("a", "nowhere.safetensors")]),
        index(&[("a", "folder")]),
        index(&[("a", "diffusion_pytorch_model.safetensors.index.json")]),
    ]
}

fn read(bytes: &[u8]) -> Result<(), String> {
    in_folder(|root| {
        let folder = root.join("sharded");
        if !folder.exists() {
            make(root, &folder);
        }
        fs::write(folder.join(format!("{STEM}.safetensors.index.json")), bytes).map_err(message)?;
        let files = WeightFiles::open(&folder, STEM).map_err(message)?;
        let inside = folder.canonicalize().map_err(message)?;
        assert!(files.paths().all(|path| path.starts_with(&inside)), "a shard outside the folder was opened");
        files.names().try_for_each(|name| files.f32(name).map(drop).map_err(message))
    })
}

fn make(root: &Path, folder: &Path) {
    let number = || HostTensor::f32(&[1], &[0.5]);
    fs::create_dir_all(folder.join("folder")).unwrap();
    fs::write(folder.join("one.safetensors"), example(&[("a", number()), ("b", number())])).unwrap();
    fs::write(folder.join("two.safetensors"), example(&[("c", number())])).unwrap();
    fs::write(root.join("secret.safetensors"), example(&[("a", number())])).unwrap();
    #[cfg(unix)]
    for (from, to) in [
        ("inside.safetensors", "one.safetensors"),
        ("out.safetensors", "../secret.safetensors"),
        ("circle.safetensors", "back.safetensors"),
        ("back.safetensors", "circle.safetensors"),
        ("nowhere.safetensors", "gone.safetensors"),
    ] {
        std::os::unix::fs::symlink(to, folder.join(from)).unwrap();
    }
}
