use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tnas_weights::write_atomic;

/// Raise where a stored file changes its meaning: runs of another version are done anew.
pub const FORMAT_VERSION: u32 = 1;

/// A run directory: the one place that knows its file names.
#[derive(Clone, Debug)]
pub struct Run {
    root: PathBuf,
}

/// What a finished stage leaves: its key and its figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stamp {
    format_version: u32,
    key: String,
    summary: Value,
}

impl Run {
    /// Makes the folder where it is missing.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(root).with_context(|| format!("failed to make {}", root.display()))?;
        tnas_weights::remove_stale_temporaries(root)
            .with_context(|| format!("failed to clean {}", root.display()))?;
        Ok(Self { root: root.into() })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A file or folder in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Image model in diffusers layout.
    pub fn backbone(&self) -> PathBuf {
        self.path("backbone")
    }

    /// Encoded clips.
    pub fn latents(&self, split: &str) -> PathBuf {
        self.path(&format!("latents/{split}.safetensors"))
    }

    /// A stage's checkpoint.
    pub fn checkpoint(&self, stage: &str) -> PathBuf {
        self.path(&format!("checkpoints/{stage}.safetensors"))
    }

    /// Supernet weights.
    pub fn supernet(&self) -> PathBuf {
        self.path("supernet/supernet.safetensors")
    }

    /// Raw measurements of a device.
    pub fn profile(&self, device: &str) -> PathBuf {
        self.path(&format!("profile/{device}.jsonl"))
    }

    /// Latency predictor of a device.
    pub fn latency(&self, device: &str) -> PathBuf {
        self.path(&format!("latency/{device}.json"))
    }

    /// A trained model.
    pub fn model(&self, name: &str) -> PathBuf {
        self.path(&format!("models/{name}"))
    }

    /// An export.
    pub fn export(&self, name: &str) -> PathBuf {
        self.path(&format!("export/{name}"))
    }

    /// Hash of a stage's settings and inputs.
    pub fn key(&self, settings: &impl Serialize) -> anyhow::Result<String> {
        let text = serde_json::to_string(settings)?;
        Ok(hex(&Sha256::digest(format!("{FORMAT_VERSION}\n{text}").as_bytes())))
    }

    /// The figures of a stage that is up to date: same key, outputs there.
    pub fn current(&self, stage: &str, key: &str, outputs: &[PathBuf]) -> Option<Value> {
        let stamp: Stamp = serde_json::from_slice(&fs::read(self.stamp(stage)).ok()?).ok()?;
        let there = outputs.iter().all(|path| path.exists());
        (stamp.format_version == FORMAT_VERSION && stamp.key == key && there).then_some(stamp.summary)
    }

    /// Marks a stage as done.
    pub fn finish(&self, stage: &str, key: &str, summary: &Value) -> anyhow::Result<()> {
        let stamp = Stamp { format_version: FORMAT_VERSION, key: key.into(), summary: summary.clone() };
        self.write_json(&format!("stages/{stage}.json"), &stamp)
    }

    /// Figures of a stage, if it ran.
    pub fn summary(&self, stage: &str) -> Option<Value> {
        let stamp: Stamp = serde_json::from_slice(&fs::read(self.stamp(stage)).ok()?).ok()?;
        Some(stamp.summary)
    }

    /// Writes JSON whole or not at all.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(value)? + "\n";
        self.write(name, text.as_bytes())
    }

    /// Writes a file whole or not at all.
    pub fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.path(name);
        write_atomic(&path, bytes).with_context(|| format!("failed to write {}", path.display()))
    }

    fn stamp(&self, stage: &str) -> PathBuf {
        self.path(&format!("stages/{stage}.json"))
    }
}

/// Hash of a file or of all files under a folder with their names.
pub fn content_hash(path: &Path) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    add_content(path, path, &mut hash)?;
    Ok(hex(&hash.finalize()))
}

fn add_content(root: &Path, path: &Path, hash: &mut Sha256) -> anyhow::Result<()> {
    if path.is_dir() {
        let mut entries: Vec<PathBuf> =
            fs::read_dir(path)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
        entries.sort();
        return entries.iter().try_for_each(|entry| add_content(root, entry, hash));
    }
    let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy();
    let mut file = fs::File::open(path).with_context(|| format!("failed to read {}", path.display()))?;
    hash.update(name.as_bytes());
    hash.update([0]);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = std::io::Read::read(&mut file, &mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        hash.update(&buffer[..read]);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
