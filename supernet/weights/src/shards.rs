use crate::WeightsError;
use crate::header::{MAX_HEADER_BYTES, UniqueMap};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// The index of a sharded checkpoint; its other keys are of no use here.
#[derive(Deserialize)]
struct Index {
    weight_map: UniqueMap<String>,
}

/// Reads which file holds which tensor. Every file is a plain one in the index's own folder, links resolved.
pub(crate) fn read_index(path: &Path) -> Result<BTreeMap<String, PathBuf>, WeightsError> {
    let read = |source| WeightsError::Read { path: path.into(), source };
    let bad = |reason| WeightsError::BadIndex { path: path.into(), reason };
    let found = fs::metadata(path).map_err(read)?;
    if !found.is_file() || found.len() > MAX_HEADER_BYTES {
        return Err(bad(format!("it is no plain file of at most {MAX_HEADER_BYTES} bytes")));
    }
    let json = fs::read(path).map_err(read)?;
    let index: Index = serde_json::from_slice(&json).map_err(|e| bad(e.to_string()))?;
    let folder = path.parent().unwrap_or(Path::new("")).join(".").canonicalize().map_err(read)?;
    let mut shards: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut places = BTreeMap::new();
    for (tensor, name) in index.weight_map.0 {
        let shard = match shards.get(&name) {
            Some(shard) => shard.clone(),
            None => shards.entry(name.clone()).or_insert(locate(&folder, &name).map_err(bad)?).clone(),
        };
        places.insert(tensor, shard);
    }
    Ok(places)
}

/// The file of a shard, unless it could be any other file of the machine.
fn locate(folder: &Path, name: &str) -> Result<PathBuf, String> {
    let mut components = Path::new(name).components();
    let plain = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
    if !plain || name.contains(['/', '\\']) {
        return Err(format!("the shard {name:?} is not the name of a file beside it"));
    }
    let shard = folder.join(name).canonicalize().map_err(|e| format!("the shard {name:?}: {e}"))?;
    if !shard.starts_with(folder) {
        return Err(format!(
            "the shard {name:?} is a link out of its folder, to {}; copy it there",
            shard.display()
        ));
    }
    Ok(shard)
}
