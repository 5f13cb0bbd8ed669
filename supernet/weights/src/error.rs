use crate::DType;
use std::io;
use std::path::PathBuf;

/// What went wrong with a weight file; each message completes "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// A file or folder could not be read.
    #[error("read {path}: {source}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("write {path}: {source}")]
    Write {
        /// The file that should have appeared.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The file as a whole is not safetensors.
    #[error("open {path} as safetensors: {reason}")]
    NotSafeTensors {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its numbers.
        reason: String,
    },
    /// One tensor's entry in the header is wrong.
    #[error("open {path} as safetensors: tensor {tensor:?}: {reason}")]
    BadTensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is wrong, with its numbers.
        reason: String,
    },
    /// There is no tensor of this name.
    #[error("find the tensor {tensor:?} in {path}, which holds {count}")]
    NoSuchTensor {
        /// The file or folder.
        path: PathBuf,
        /// The name asked for.
        tensor: String,
        /// Tensors there are.
        count: usize,
    },
    /// The tensor's numbers are of another kind.
    #[error("read the tensor {tensor:?} of {path} as {wanted}: it is {dtype}")]
    WrongKind {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What was asked for.
        wanted: &'static str,
        /// What it is.
        dtype: DType,
    },
    /// A whole number does not fit 64 bits with sign.
    #[error("read the tensor {tensor:?} of {path} as i64: element {index} is {value}")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Where it stands.
        index: usize,
        /// The number.
        value: u64,
    },
    /// A folder holds none of the files looked for.
    #[error("find weights in {folder}: there is no {}", tried.join(", no "))]
    NoWeights {
        /// The folder.
        folder: PathBuf,
        /// The names tried.
        tried: Vec<String>,
    },
    /// A folder holds only pickled weights, which run code when they are loaded.
    #[error("load {file}: a pickle can run code and is never read; convert it once with\n{command}")]
    Pickle {
        /// The pickled file.
        file: PathBuf,
        /// The shell line that converts it.
        command: String,
    },
    /// The index of a sharded checkpoint is wrong.
    #[error("read the shard index {path}: {reason}")]
    BadIndex {
        /// The index.
        path: PathBuf,
        /// What is wrong, with its numbers.
        reason: String,
    },
    /// What should be written does not fit together.
    #[error("write {path}: tensor {tensor:?}: {reason}")]
    Unwritable {
        /// The file that should have appeared.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is wrong, with its numbers.
        reason: String,
    },
}
