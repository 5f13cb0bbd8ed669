use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use crate::ClipError;

/// The handwritten digits of MNIST's test set (LeCun et al. 1998): 10,000 pictures of 28×28 grey levels.
#[derive(Clone, Debug)]
pub struct Digits {
    levels: Vec<u8>,
    labels: Vec<u8>,
    hash: [u8; 32],
}

const COUNT: usize = 10_000;
pub(crate) const SIDE: usize = 28;

/// Heads of IDX files of bytes in three dimensions, and in one.
const IMAGES_HEAD: [u32; 4] = [0x0803, COUNT as u32, SIDE as u32, SIDE as u32];
const LABELS_HEAD: [u32; 2] = [0x0801, COUNT as u32];

impl Digits {
    /// Reads `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte` of a folder, each as it is or with `.gz`.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, ClipError> {
        let folder = folder.as_ref();
        let levels = read_idx(folder, "t10k-images", "idx3-ubyte", &IMAGES_HEAD, COUNT * SIDE * SIDE)?;
        let labels = read_idx(folder, "t10k-labels", "idx1-ubyte", &LABELS_HEAD, COUNT)?;
        if let Some(index) = labels.iter().position(|&label| label > 9) {
            let message = format!("digit {index} is called {}", labels[index]);
            return Err(ClipError::Decode { path: folder.to_owned(), message });
        }
        let hash = Sha256::new_with_prefix(&levels).chain_update(&labels).finalize().into();
        Ok(Self { levels, labels, hash })
    }

    /// Rows of grey levels of a digit, white on black.
    pub(crate) fn levels(&self, index: usize) -> &[u8] {
        &self.levels[index * SIDE * SIDE..][..SIDE * SIDE]
    }

    /// Which digit it is, 0 to 9.
    pub(crate) fn label(&self, index: usize) -> u8 {
        self.labels[index]
    }

    /// SHA-256 of pictures and labels.
    pub(crate) fn hash(&self) -> &[u8; 32] {
        &self.hash
    }
}

/// The body of an IDX file whose head is known. No more than that is ever unpacked.
fn read_idx(folder: &Path, name: &str, kind: &str, head: &[u32], length: usize) -> Result<Vec<u8>, ClipError> {
    let names: Vec<String> =
        ["-", "."].iter().flat_map(|dash| ["", ".gz"].map(|end| format!("{name}{dash}{kind}{end}"))).collect();
    let Some(path) = names.iter().map(|name| folder.join(name)).find(|path| path.is_file()) else {
        let message = format!("a folder of MNIST holds {} or {}", names[0], names[1]);
        return Err(ClipError::Decode { path: folder.to_owned(), message });
    };
    let read_error = |path: &PathBuf| {
        let path = path.clone();
        move |source| ClipError::Read { path, source }
    };
    let file = File::open(&path).map_err(read_error(&path))?;
    let packed = path.extension().is_some_and(|extension| extension == "gz");
    let source: Box<dyn Read> = if packed { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    let expected = 4 * head.len() + length;
    let mut bytes = Vec::new();
    source.take(expected as u64 + 1).read_to_end(&mut bytes).map_err(read_error(&path))?;
    let refuse = |message: String| Err(ClipError::Decode { path: path.clone(), message });
    let found: Vec<u32> =
        bytes.as_chunks::<4>().0.iter().take(head.len()).map(|&b| u32::from_be_bytes(b)).collect();
    if found != head {
        return refuse(format!("its head is {found:?}, that of MNIST's test set is {head:?}"));
    }
    if bytes.len() != expected {
        let compared = if bytes.len() < expected { "ends after" } else { "goes on after" };
        return refuse(format!("it {compared} {} of {expected} bytes", bytes.len().min(expected)));
    }
    Ok(bytes.split_off(4 * head.len()))
}
