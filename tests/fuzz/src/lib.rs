//! What every fuzzer does: reads its input with one parser, which may refuse it, but not panic, hang, or take more memory
//! than the input gives reason for.
#![allow(clippy::unwrap_used, reason = "a fuzzer that cannot go on fails")]

#[path = "../../outside/mod.rs"]
pub mod outside;

use std::{fs, path::Path};

use outside::{Parser, counted};

#[global_allocator]
static COUNTED: counted::Counted = counted::Counted;

/// Writes the parser's examples to the folder that the environment variable `SEEDS` names, where it does, and lets it set up
/// what is made once, so that this does not count as a reading's memory.
pub fn start(parser: &Parser) {
    if let Some(folder) = std::env::var_os("SEEDS") {
        fs::create_dir_all(&folder).unwrap();
        for (index, example) in (parser.examples)().into_iter().enumerate() {
            fs::write(Path::new(&folder).join(format!("example-{index}")), example).unwrap();
        }
    }
    (parser.examples)().iter().for_each(|example| drop((parser.read)(example)));
}

/// One reading.
pub fn run(parser: &Parser, bytes: &[u8]) {
    let (result, peak) = counted::counted(|| (parser.read)(bytes));
    let allowed = counted::allowed_bytes(bytes.len()) + parser.room_bytes;
    assert!(peak <= allowed, "{} bytes took {peak} bytes of memory, {allowed} are allowed", bytes.len());
    if let Err(message) = result {
        assert!(!message.is_empty());
    }
}
