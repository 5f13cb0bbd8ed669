//! What tests of several crates share: files outside the repository, and counting what is skipped without them.

use std::{
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
};

/// A file or folder of `../shared`, data next to the repository; where it is missing, `None`, and the test is counted as
/// skipped.
pub fn shared(path: &str) -> Option<PathBuf> {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(path);
    if found.exists() {
        return Some(found);
    }
    skip(&format!("../shared/{path} is missing"));
    None
}

/// Prints `skipped: …`, and adds a line to `tmp/skipped.txt` in the build's target folder: test, tab, reason.
pub fn skip(reason: &str) {
    println!("skipped: {reason}");
    let thread = std::thread::current();
    let line = format!("{}\t{reason}\n", thread.name().unwrap_or("a test"));
    let written = record().and_then(|file| {
        std::fs::create_dir_all(file.parent()?).ok()?;
        // Appended in one write: tests run at the same time.
        OpenOptions::new().create(true).append(true).open(file).ok()?.write_all(line.as_bytes()).ok()
    });
    if written.is_none() {
        println!("skipped tests cannot be counted: the record of them cannot be written");
    }
}

/// Tests lie in `<target>/<profile>/deps`.
fn record() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    Some(program.ancestors().nth(3)?.join("tmp/skipped.txt"))
}
