use crate::legacy::current_name;
use crate::shards::read_index;
use crate::{Floats, SafeTensors, TensorInfo, WeightsError};
use bytes::Bytes;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const SINGLE: [&str; 2] = [".safetensors", ".fp16.safetensors"];
const INDEXES: [&str; 2] = [".safetensors.index.json", ".safetensors.index.fp16.json"];
const PICKLES: [&str; 4] = ["bin", "pt", "pth", "ckpt"];

/// The weights of one model, in one file or in shards, as one view from names to tensors. Names that diffusers has given up
/// are seen as what they are called today.
#[derive(Debug)]
pub struct WeightFiles {
    place: PathBuf,
    files: Vec<SafeTensors>,
    holder: BTreeMap<String, Stored>,
    metadata: BTreeMap<String, String>,
}

/// Where a tensor is.
#[derive(Debug)]
struct Stored {
    /// Position in the list of files.
    file: usize,
    /// The name that it has there.
    name: String,
}

impl WeightFiles {
    /// Opens `<stem>.safetensors`, else `<stem>.fp16.safetensors`, else the shards of `<stem>.safetensors.index.json`
    /// or of `<stem>.safetensors.index.fp16.json`.
    pub fn open(folder: impl AsRef<Path>, stem: &str) -> Result<Self, WeightsError> {
        let folder = folder.as_ref();
        for suffix in SINGLE {
            let path = folder.join(format!("{stem}{suffix}"));
            if path.exists() {
                return Self::open_file(path);
            }
        }
        for suffix in INDEXES {
            let index = folder.join(format!("{stem}{suffix}"));
            if index.exists() {
                return Self::open_shards(folder, &index);
            }
        }
        Err(nothing_to_load(folder, stem))
    }

    /// Opens one file.
    pub fn open_file(path: impl AsRef<Path>) -> Result<Self, WeightsError> {
        let file = SafeTensors::open(path)?;
        let place = file.path();
        let holder = holders(place, file.names().map(|name| (name.into(), 0)))?;
        Ok(Self { place: place.into(), metadata: file.metadata().clone(), files: vec![file], holder })
    }

    fn open_shards(folder: &Path, index: &Path) -> Result<Self, WeightsError> {
        let mut files: Vec<SafeTensors> = Vec::new();
        let mut places = Vec::new();
        let mut positions: BTreeMap<PathBuf, usize> = BTreeMap::new();
        let mut metadata = BTreeMap::new();
        for (tensor, shard) in read_index(index)? {
            let position = match positions.get(&shard) {
                Some(&position) => position,
                None => {
                    files.push(SafeTensors::open(&shard)?);
                    *positions.entry(shard).or_insert(files.len() - 1)
                }
            };
            files[position].info(&tensor)?;
            places.push((tensor, position));
        }
        let holder = holders(index, places)?;
        for file in files.iter().rev() {
            metadata.extend(file.metadata().clone());
        }
        Ok(Self { place: folder.into(), files, holder, metadata })
    }

    /// The file, or the folder of the shards.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// The files that hold the tensors.
    pub fn paths(&self) -> impl ExactSizeIterator<Item = &Path> {
        self.files.iter().map(SafeTensors::path)
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.holder.keys().map(String::as_str)
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.holder.contains_key(name)
    }

    /// Kind and shape of a tensor.
    pub fn info(&self, name: &str) -> Result<&TensorInfo, WeightsError> {
        self.at(name, SafeTensors::info)
    }

    /// The bytes of a tensor, little-endian, without a copy.
    pub fn bytes(&self, name: &str) -> Result<Bytes, WeightsError> {
        self.at(name, SafeTensors::bytes)
    }

    /// The numbers of a floating-point tensor to keep: mapped if they are stored as aligned f32, converted otherwise.
    pub fn floats(&self, name: &str) -> Result<Floats, WeightsError> {
        self.at(name, SafeTensors::floats)
    }

    /// The numbers of a floating-point tensor: borrowed if they are stored as aligned f32, converted otherwise.
    pub fn f32(&self, name: &str) -> Result<Cow<'_, [f32]>, WeightsError> {
        self.at(name, SafeTensors::f32)
    }

    /// The numbers of a whole-number or boolean tensor.
    pub fn i64(&self, name: &str) -> Result<Cow<'_, [i64]>, WeightsError> {
        self.at(name, SafeTensors::i64)
    }

    /// The free text of all files; where two differ, the first file's.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Asks the file that holds a tensor, which knows it by its stored name.
    fn at<'a, R>(
        &'a self,
        name: &str,
        ask: impl FnOnce(&'a SafeTensors, &str) -> Result<R, WeightsError>,
    ) -> Result<R, WeightsError> {
        match self.holder.get(name) {
            Some(Stored { file, name }) => ask(&self.files[*file], name),
            None => Err(WeightsError::NoSuchTensor {
                path: self.place.clone(),
                tensor: name.into(),
                count: self.holder.len(),
            }),
        }
    }
}

/// Tensors by the names that they have today; an error where two have one.
fn holders(
    path: &Path,
    places: impl IntoIterator<Item = (String, usize)>,
) -> Result<BTreeMap<String, Stored>, WeightsError> {
    let mut holders: BTreeMap<String, Stored> = BTreeMap::new();
    for (name, file) in places {
        let current = current_name(&name);
        if let Some(other) = holders.get(&current) {
            let reason = format!("{:?} is the same weight under another name; keep one", other.name);
            return Err(WeightsError::BadTensor { path: path.into(), tensor: name, reason });
        }
        holders.insert(current, Stored { file, name });
    }
    Ok(holders)
}

/// The error for a folder without safetensors, which says how to make them if there is a pickle.
fn nothing_to_load(folder: &Path, stem: &str) -> WeightsError {
    let pickles = match pickles(folder, stem) {
        Ok(pickles) => pickles,
        Err(source) => return WeightsError::Read { path: folder.into(), source },
    };
    match pickles.first() {
        Some(first) => {
            WeightsError::Pickle { file: first.clone(), command: conversion(folder, stem, first, &pickles) }
        }
        None => {
            let tried = SINGLE.iter().chain(&INDEXES).map(|suffix| format!("{stem}{suffix}")).collect();
            WeightsError::NoWeights { folder: folder.into(), tried }
        }
    }
}

/// The pickled files of a folder, the likeliest first.
fn pickles(folder: &Path, stem: &str) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| PICKLES.iter().any(|pickle| extension == *pickle)) {
            found.push(path);
        }
    }
    found.sort_by_key(|path| {
        let name = file_name(path);
        // transformers calls the pickled twin of `model` so.
        let rank = [stem, "pytorch_model"].iter().position(|start| name.starts_with(start)).unwrap_or(2);
        (rank, name)
    });
    Ok(found)
}

/// The shell line that turns a pickle, or all shards of one, into a safetensors file.
fn conversion(folder: &Path, stem: &str, first: &Path, pickles: &[PathBuf]) -> String {
    const SCRIPT: &str = "import sys, torch; from safetensors.torch import save_file; d = {}; \
        [d.update(torch.load(f, map_location='cpu', weights_only=True)) for f in sys.argv[1:-1]]; \
        d = d.get('state_dict', d); \
        save_file({k: v.clone().contiguous() for k, v in d.items() if torch.is_tensor(v)}, sys.argv[-1])";
    let shard_start = |path: &Path| {
        file_name(path)
            .split_once("-of-")
            .map(|(start, _)| start.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned())
    };
    let sources: Vec<&Path> = match shard_start(first) {
        Some(start) => {
            pickles.iter().map(PathBuf::as_path).filter(|p| shard_start(p).as_ref() == Some(&start)).collect()
        }
        None => vec![first],
    };
    let mut line = format!("  python -c \"{SCRIPT}\"");
    for path in sources {
        line += &format!(" {}", shell_quoted(path));
    }
    line + &format!(" {}", shell_quoted(&folder.join(format!("{stem}.safetensors"))))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn shell_quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}
