use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use burn::tensor::{Device, Tensor};
use tnas_network::{Parameter, Parameters, load_tensor, save_tensors};
use tnas_weights::WeightFiles;

use crate::{LoopRecord, TrainError, TrainSet, optimizer::Moments};

/// State of a training loop that can be written to a file, whole or not at all.
pub trait Checkpoint {
    /// Writes the state and the loop's record.
    fn save(&self, path: &Path, record: &LoopRecord) -> Result<(), TrainError>;

    /// Restores the state in place; returns the loop's record.
    fn load(&mut self, path: &Path) -> Result<LoopRecord, TrainError>;

    /// The averaged weights, as a stage hands them on.
    fn weights(&self) -> Parameters;
}

const FORMAT_VERSION: &str = "1";

impl Checkpoint for TrainSet {
    fn save(&self, path: &Path, record: &LoopRecord) -> Result<(), TrainError> {
        save_sets(path, &[("", self)], record)
    }

    fn load(&mut self, path: &Path) -> Result<LoopRecord, TrainError> {
        load_sets(path, &mut [("", self)])
    }

    fn weights(&self) -> Parameters {
        self.averaged()
    }
}

/// Writes the trained weights, moments and averages of several sets into one file, each under a prefix of its own.
pub(crate) fn save_sets(path: &Path, sets: &[(&str, &TrainSet)], record: &LoopRecord) -> Result<(), TrainError> {
    let mut tensors: BTreeMap<String, Parameter> = BTreeMap::new();
    let text = serde_json::to_string(record).map_err(|error| bad_file(path, error.to_string()))?;
    let mut metadata: BTreeMap<String, String> =
        [("format_version", FORMAT_VERSION.into()), ("step", record.done.to_string()), ("loop", text)]
            .map(|(key, value): (&str, String)| (key.to_string(), value))
            .into();
    for (front, set) in sets {
        let mut put = |kind: &str, name: &str, flat: &Tensor<1>| {
            let parameter = Parameter { shape: flat.dims().to_vec(), flat: flat.clone() };
            tensors.insert(format!("{front}{kind}/{name}"), parameter);
        };
        for (name, parameter) in set.parameters.iter().filter(|(name, _)| set.trained.contains(*name)) {
            put("weight", name, &parameter.flat);
        }
        for (name, parameter) in set.ema.average().iter() {
            put("average", name, &parameter.flat);
        }
        for (name, note) in &set.notes {
            metadata.insert(format!("{front}note/{name}"), note.to_string());
        }
        for (name, moments) in set.optimizer.moments() {
            put("moment1", name, &moments.first);
            put("moment2", name, &moments.second);
            metadata.insert(format!("{front}steps/{name}"), moments.steps.to_string());
        }
    }
    save_tensors(path, &tensors, &metadata).map_err(|error| bad_file(path, error.to_string()))
}

/// Restores what [`save_sets`] wrote.
pub(crate) fn load_sets(path: &Path, sets: &mut [(&str, &mut TrainSet)]) -> Result<LoopRecord, TrainError> {
    let file = WeightFiles::open_file(path).map_err(|error| bad_file(path, error.to_string()))?;
    let metadata = file.metadata();
    let number = |key: &str| -> Result<u64, TrainError> {
        let text = metadata.get(key).ok_or_else(|| bad_file(path, format!("it has no {key}")))?;
        text.parse().map_err(|_| bad_file(path, format!("{key} = {text:?} is no number")))
    };
    if metadata.get("format_version").map(String::as_str) != Some(FORMAT_VERSION) {
        return Err(bad_file(path, format!("its format version is not {FORMAT_VERSION}; delete it to start anew")));
    }
    for (front, set) in sets {
        let device = set.parameters.device().clone();
        let mut average = Parameters::new(&device);
        let stored = StoredSet { file: &file, path, front, device };
        for name in set.trained.clone() {
            let Some(shape) = set.parameters.get(&name).map(|parameter| parameter.shape.clone()) else { continue };
            let length = shape.iter().product();
            let flat = stored.read("weight", &name, length)?;
            set.parameters.insert(&name, Parameter { shape: shape.clone(), flat });
            average.insert(&name, Parameter { shape, flat: stored.read("average", &name, length)? });
            if let Ok(steps) = number(&format!("{front}steps/{name}")) {
                let (first, second) =
                    (stored.read("moment1", &name, length)?, stored.read("moment2", &name, length)?);
                set.optimizer.restore(name, Moments { steps, first, second });
            }
        }
        set.ema.restore(average);
        let notes = format!("{front}note/");
        set.notes = metadata
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(&notes)?.to_string(), value.parse().ok()?)))
            .collect();
    }
    match metadata.get("loop") {
        Some(text) => {
            serde_json::from_str(text).map_err(|error| bad_file(path, format!("its loop {text:?}: {error}")))
        }
        // Checkpoints of earlier versions hold the counters alone.
        None => Ok(LoopRecord { done: number("step")?, bad: number("bad_steps")?, ..LoopRecord::default() }),
    }
}

/// The flat tensors of one set in a checkpoint.
struct StoredSet<'a> {
    file: &'a WeightFiles,
    path: &'a Path,
    /// Prefix of its names.
    front: &'a str,
    device: Device,
}

impl StoredSet<'_> {
    fn read(&self, kind: &str, name: &str, length: usize) -> Result<Tensor<1>, TrainError> {
        let key = format!("{}{kind}/{name}", self.front);
        let flat = load_tensor(self.file, &key, &self.device);
        let flat = flat.map_err(|error| bad_file(self.path, error.to_string()))?;
        let [found] = flat.dims();
        if found != length {
            let message = format!("{key}: expected {length} elements, found {found}; delete it to start anew");
            return Err(bad_file(self.path, message));
        }
        Ok(flat)
    }
}

fn bad_file(path: &Path, message: String) -> TrainError {
    TrainError::Checkpoint { path: PathBuf::from(path), message }
}
