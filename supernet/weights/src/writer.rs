use crate::header::METADATA;
use crate::{AtomicFile, Stored, TensorInfo, WeightsError};
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Kind and shape of every tensor of a file to be written, by name.
pub type Layout = BTreeMap<String, TensorInfo>;

/// Writes tensors one after the other, so that no more than one needs to be in memory.
///
/// Larger elements come first, and names in order among equal sizes: every tensor is then aligned to its elements, as
/// readers that map the file need it. Equal contents give equal bytes.
#[derive(Debug)]
pub struct SafeTensorsWriter {
    file: AtomicFile,
    path: PathBuf,
    expected: VecDeque<(String, usize)>,
}

impl SafeTensorsWriter {
    /// Starts a file that will hold these tensors, and writes its header.
    pub fn create(
        path: impl AsRef<Path>,
        layout: &Layout,
        metadata: &BTreeMap<String, String>,
    ) -> Result<Self, WeightsError> {
        let path = path.as_ref();
        let mut expected = VecDeque::new();
        for (name, info) in file_order(layout) {
            if name == METADATA {
                return Err(unwritable(path, name, "the name is reserved".into()));
            }
            let bytes = info.dtype.tensor_bytes(&info.shape).ok_or_else(|| {
                unwritable(path, name, format!("{} of {:?} is too large", info.dtype, info.shape))
            })?;
            expected.push_back((name.clone(), bytes));
        }
        let mut file = AtomicFile::create(path)?;
        file.write_all(&header(layout, metadata, &expected)).map_err(|source| write_error(path, source))?;
        Ok(Self { file, path: path.into(), expected })
    }

    /// The name of the tensor that the file waits for; `None` when all are there.
    pub fn expects(&self) -> Option<&str> {
        self.expected.front().map(|(name, _)| name.as_str())
    }

    /// Writes the next tensor's little-endian elements.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), WeightsError> {
        let refused = |reason| Err(unwritable(&self.path, name, reason));
        match self.expected.front() {
            None => return refused("it was not promised".into()),
            Some((next, _)) if next != name => return refused(format!("{next:?} was expected before it")),
            Some((_, size)) if *size != bytes.len() => {
                return refused(format!("its shape takes {size} bytes, found {}", bytes.len()));
            }
            Some(_) => self.file.write_all(bytes).map_err(|source| write_error(&self.path, source))?,
        }
        self.expected.pop_front();
        Ok(())
    }

    /// Makes the file appear.
    pub fn commit(self) -> Result<(), WeightsError> {
        match self.expected.front() {
            Some((name, _)) => {
                let reason = format!("it and {} more were promised but not written", self.expected.len() - 1);
                Err(unwritable(&self.path, name, reason))
            }
            None => self.file.commit(),
        }
    }
}

/// Writes all tensors and free text to a file, which then appears at once.
pub fn write_safetensors(
    path: impl AsRef<Path>,
    tensors: &BTreeMap<String, impl Stored>,
    metadata: &BTreeMap<String, String>,
) -> Result<(), WeightsError> {
    let layout = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.info())).collect();
    let mut writer = SafeTensorsWriter::create(path, &layout, metadata)?;
    for (name, _) in file_order(&layout) {
        writer.write(name, &tensors[name].bytes())?;
    }
    writer.commit()
}

fn file_order(layout: &Layout) -> Vec<(&String, &TensorInfo)> {
    let mut order: Vec<_> = layout.iter().collect();
    // The sort is stable: names stay in order.
    order.sort_by_key(|(_, info)| Reverse(info.dtype.size_bytes()));
    order
}

/// The length, then the JSON, padded so that the data starts at a multiple of 8 bytes.
fn header(layout: &Layout, metadata: &BTreeMap<String, String>, sizes: &VecDeque<(String, usize)>) -> Vec<u8> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut entries = Vec::new();
    if !metadata.is_empty() {
        let texts: Vec<_> = metadata.iter().map(|(k, v)| format!("{}:{}", quoted(k), quoted(v))).collect();
        entries.push(format!("{}:{{{}}}", quoted(METADATA), texts.join(",")));
    }
    let mut begin = 0u128;
    for (name, size) in sizes {
        let (TensorInfo { dtype, shape }, end) = (&layout[name], begin + *size as u128);
        let shape: Vec<_> = shape.iter().map(usize::to_string).collect();
        entries.push(format!(
            r#"{}:{{"dtype":"{dtype}","shape":[{}],"data_offsets":[{begin},{end}]}}"#,
            quoted(name),
            shape.join(",")
        ));
        begin = end;
    }
    let mut json = format!("{{{}}}", entries.join(",")).into_bytes();
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.append(&mut json);
    bytes
}

fn unwritable(path: &Path, tensor: &str, reason: String) -> WeightsError {
    WeightsError::Unwritable { path: path.into(), tensor: tensor.into(), reason }
}

fn write_error(path: &Path, source: io::Error) -> WeightsError {
    WeightsError::Write { path: path.into(), source }
}
