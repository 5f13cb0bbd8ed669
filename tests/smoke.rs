//! One run of the smoke study, made once for every test of this build.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

/// The smallest study.
pub const STUDY: &str = "configs/studies/smoke.toml";

/// The smoke run and what its command printed.
pub struct SmokeRun {
    /// Folder of runs, for `--runs`.
    pub runs: PathBuf,
    /// JSON object on stdout.
    pub printed: Value,
    /// Lines on stderr.
    pub log: String,
}

/// Runs the program in the repository's folder.
pub fn tnas(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tnas"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap()
}

/// Runs the program, which must succeed; its stdout and its stderr.
pub fn succeeds(arguments: &[&str]) -> (String, String) {
    let output = tnas(arguments);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    assert!(output.status.success(), "{arguments:?}: {:?}\n{stdout}\n{stderr}", output.status);
    (stdout, stderr)
}

/// The smoke run, to read. It lies under the hash of the program; the test that comes first makes it, the others wait.
pub fn smoke() -> SmokeRun {
    let program = tnas_study::hash_path(Path::new(env!("CARGO_BIN_EXE_tnas"))).unwrap();
    let all = Path::new(env!("CARGO_TARGET_TMPDIR")).join("smoke");
    let folder = all.join(&program[..16]);
    fs::create_dir_all(&all).unwrap();
    let lock = File::create(all.join("lock")).unwrap();
    lock.lock().unwrap();
    let (runs, printed) = (folder.join("runs"), folder.join("printed.json"));
    if !printed.exists() {
        // Those of earlier builds, and what a stopped one left.
        for entry in fs::read_dir(&all).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_dir()) {
            fs::remove_dir_all(entry.path()).unwrap();
        }
        let (stdout, stderr) = succeeds(&["run", STUDY, "--runs", runs.to_str().unwrap(), "--json"]);
        fs::write(folder.join("log.txt"), stderr).unwrap();
        fs::write(&printed, stdout).unwrap();
    }
    let text = fs::read_to_string(printed).unwrap();
    SmokeRun {
        runs,
        printed: serde_json::from_str(&text).unwrap(),
        log: fs::read_to_string(folder.join("log.txt")).unwrap(),
    }
}

/// A copy of the smoke run, to go on with; its folder of runs.
pub fn copied() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_folder(&smoke().runs, copy.path());
    copy
}

impl SmokeRun {
    /// A file of the run.
    pub fn file(&self, name: &str) -> PathBuf {
        self.runs.join("smoke").join(name)
    }

    /// A JSON file of the run.
    pub fn json(&self, name: &str) -> Value {
        serde_json::from_str(&fs::read_to_string(self.file(name)).unwrap()).unwrap()
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
