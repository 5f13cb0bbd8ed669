//! Every parser of files from outside, each as one function of bytes, for the tests that corrupt files and for the fuzzers.

pub mod autoencoder;
pub mod autoencoder_config;
pub mod counted;
pub mod genotype;
pub mod gif;
pub mod golden;
pub mod metadata;
pub mod metadata_csv;
pub mod motion;
pub mod png;
pub mod profile;
pub mod safetensors;
pub mod scheduler;
pub mod shard_index;
pub mod space;
pub mod study;
pub mod text_encoder;
pub mod tokenizer;
pub mod unet;
pub mod webp;

use std::{cell::OnceCell, fmt::Display, fs, path::Path};

/// A parser of files from outside.
pub struct Parser {
    /// Its name.
    pub name: &'static str,
    /// Whole files that it reads.
    pub examples: fn() -> Vec<Vec<u8>>,
    /// Reads one and uses what was read, or says why it cannot.
    pub read: fn(&[u8]) -> Result<(), String>,
    /// Memory that what was read may take besides, such as the graph of a config.
    pub room_bytes: usize,
}

/// Bytes of the largest graph that a config may describe.
pub const GRAPH: usize = 128 << 20;

/// All of them.
pub const PARSERS: &[Parser] = &[
    safetensors::PARSER,
    shard_index::PARSER,
    unet::PARSER,
    motion::PARSER,
    scheduler::PARSER,
    text_encoder::PARSER,
    autoencoder::PARSER,
    autoencoder_config::PARSER,
    space::PARSER,
    genotype::PARSER,
    tokenizer::PARSER,
    profile::PARSER,
    metadata::PARSER,
    metadata_csv::PARSER,
    gif::PARSER,
    png::PARSER,
    webp::PARSER,
    study::PARSER,
    golden::PARSER,
];

/// An error as its text.
pub fn message(error: impl Display) -> String {
    error.to_string()
}

/// The bytes as text, as every reader of text files refuses others.
pub fn text(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(message)
}

/// A file of the project itself.
pub fn shipped(path: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(ROOT).join(path)).expect("a file of the project")
}

/// From the package that these files are compiled into to the project's folder.
const ROOT: &str = if cfg!(fuzzing) { "../.." } else { "." };

thread_local! {
    static FOLDER: OnceCell<tempfile::TempDir> = const { OnceCell::new() };
}

/// Does something in a folder of this thread's own; files of earlier calls may stand there.
pub fn in_folder<R>(work: impl FnOnce(&Path) -> R) -> R {
    FOLDER.with(|folder| {
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_path_buf() } else { std::env::temp_dir() };
        work(folder.get_or_init(|| tempfile::tempdir_in(place).unwrap()).path())
    })
}
