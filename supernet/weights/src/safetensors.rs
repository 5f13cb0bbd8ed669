use crate::header::{Header, HeaderError, MAX_HEADER_BYTES};
use crate::numbers::{self, NotI64};
use crate::{TensorInfo, WeightsError};
use bytes::Bytes;
use memmap2::Mmap;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const LENGTH_BYTES: usize = 8;

/// A safetensors file, memory-mapped and checked as a whole when it was opened.
///
/// Memory is what the pages in use take. Files of this project are replaced by renaming and stay valid while mapped; a
/// file that another program shortens in place under a mapping kills the process that reads it, as on any system.
#[derive(Debug)]
pub struct SafeTensors {
    path: PathBuf,
    data: Bytes,
    /// The mapping that `data` lies in, where the file is mapped.
    map: Option<Arc<Mmap>>,
    tensors: BTreeMap<String, (TensorInfo, Range<usize>)>,
    metadata: BTreeMap<String, String>,
}

/// Floating-point numbers that may outlive their file.
#[derive(Clone, Debug)]
pub enum Floats {
    /// Aligned f32 as this machine has them, in the file's own bytes.
    Stored(Bytes),
    /// In memory of their own.
    Converted(Vec<f32>),
}

impl SafeTensors {
    /// Maps a file and checks its header: lengths, dtypes, shapes, and ranges that cover the data exactly once.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, WeightsError> {
        let path = path.as_ref();
        let read = |source| WeightsError::Read { path: path.into(), source };
        // Asked before opening, which would wait for ever on a pipe.
        if !path.metadata().map_err(read)?.is_file() {
            return Err(not_safetensors(path, "it is not a plain file".into()));
        }
        let file = File::open(path).map_err(read)?;
        let length = file.metadata().map_err(read)?.len();
        if length < LENGTH_BYTES as u64 {
            return Err(not_safetensors(path, too_short(length)));
        }
        // SAFETY: the mapping is read-only and private to this value; see the type's note on files shortened in place.
        let map = Arc::new(unsafe { Mmap::map(&file) }.map_err(read)?);
        Ok(Self { map: Some(map.clone()), ..Self::from_bytes(path, Bytes::from_owner(Mapped(map)))? })
    }

    /// Checks the bytes of a whole file that are in memory already; `path` names them in errors.
    pub fn from_bytes(path: impl Into<PathBuf>, bytes: Bytes) -> Result<Self, WeightsError> {
        let path = path.into();
        let header_bytes = header_length(&bytes).map_err(|reason| not_safetensors(&path, reason))?;
        let data = bytes.slice(LENGTH_BYTES + header_bytes..);
        let json = &bytes[LENGTH_BYTES..LENGTH_BYTES + header_bytes];
        match Header::parse(json, data.len()) {
            Ok(Header { tensors, metadata }) => Ok(Self { path, data, map: None, tensors, metadata }),
            Err(HeaderError { tensor: None, reason }) => Err(not_safetensors(&path, reason)),
            Err(HeaderError { tensor: Some(tensor), reason }) => {
                Err(WeightsError::BadTensor { path, tensor, reason })
            }
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of its tensors, sorted.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Kind and shape of a tensor.
    pub fn info(&self, name: &str) -> Result<&TensorInfo, WeightsError> {
        self.find(name).map(|(info, _)| info)
    }

    /// The bytes of a tensor, little-endian, without a copy; they keep the mapping alive.
    pub fn bytes(&self, name: &str) -> Result<Bytes, WeightsError> {
        self.find(name).map(|(_, range)| self.data.slice(range.clone()))
    }

    /// The numbers of a floating-point tensor to keep: the mapped bytes themselves if they are stored as aligned f32. Others
    /// are converted, and the memory of the pages that they stood in is given back to the system.
    pub fn floats(&self, name: &str) -> Result<Floats, WeightsError> {
        let (_, range) = self.find(name)?;
        match self.f32(name)? {
            Cow::Borrowed(_) => Ok(Floats::Stored(self.data.slice(range.clone()))),
            Cow::Owned(numbers) => {
                if let Some(map) = &self.map {
                    release(map, map.len() - self.data.len() + range.start, range.len());
                }
                Ok(Floats::Converted(numbers))
            }
        }
    }

    /// The numbers of a floating-point tensor: borrowed if they are stored as aligned f32, converted otherwise.
    pub fn f32(&self, name: &str) -> Result<Cow<'_, [f32]>, WeightsError> {
        let (info, range) = self.find(name)?;
        numbers::as_f32(info.dtype, &self.data[range.clone()])
            .ok_or_else(|| self.wrong_kind(name, info, "floating-point numbers"))
    }

    /// The numbers of a whole-number or boolean tensor: borrowed if they are stored as aligned i64, widened otherwise.
    pub fn i64(&self, name: &str) -> Result<Cow<'_, [i64]>, WeightsError> {
        let (info, range) = self.find(name)?;
        numbers::as_i64(info.dtype, &self.data[range.clone()]).map_err(|fault| match fault {
            NotI64::Kind => self.wrong_kind(name, info, "whole numbers"),
            NotI64::TooLarge { index, value } => {
                WeightsError::TooLarge { path: self.path.clone(), tensor: name.into(), index, value }
            }
        })
    }

    /// The free text that the file carries.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    fn find(&self, name: &str) -> Result<&(TensorInfo, Range<usize>), WeightsError> {
        self.tensors.get(name).ok_or_else(|| WeightsError::NoSuchTensor {
            path: self.path.clone(),
            tensor: name.into(),
            count: self.tensors.len(),
        })
    }

    fn wrong_kind(&self, name: &str, info: &TensorInfo, wanted: &'static str) -> WeightsError {
        WeightsError::WrongKind { path: self.path.clone(), tensor: name.into(), wanted, dtype: info.dtype }
    }
}

/// A mapping as the owner of bytes.
struct Mapped(Arc<Mmap>);

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(unix)]
fn release(map: &Mmap, offset: usize, length: usize) {
    // SAFETY: the mapping is read-only and of a file: what is read afterwards comes from there, the same as before.
    let advised = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, offset, length) };
    // Where the system does not take the advice, memory stays in use, and nothing else.
    advised.ok();
}

#[cfg(not(unix))]
fn release(_map: &Mmap, _offset: usize, _length: usize) {}

/// The header's length, if the file has that many bytes after it.
fn header_length(bytes: &[u8]) -> Result<usize, String> {
    let Some(&first) = bytes.first_chunk::<LENGTH_BYTES>() else {
        return Err(too_short(bytes.len() as u64));
    };
    let (length, rest) = (u64::from_le_bytes(first), bytes.len() - LENGTH_BYTES);
    if length > MAX_HEADER_BYTES {
        return Err(format!("its header claims {length} bytes, more than {MAX_HEADER_BYTES}"));
    }
    match usize::try_from(length) {
        Ok(length) if length <= rest => Ok(length),
        _ => Err(format!("its header claims {length} bytes, the file has {rest} after the length")),
    }
}

fn too_short(length: u64) -> String {
    format!("it has {length} bytes, fewer than the {LENGTH_BYTES} of the header's length")
}

fn not_safetensors(path: &Path, reason: String) -> WeightsError {
    WeightsError::NotSafeTensors { path: path.into(), reason }
}
