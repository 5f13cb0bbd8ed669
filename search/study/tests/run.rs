//! A run's folder: one writer at a time, names that stay inside it.

use std::error::Error;
use std::fs;
use tnas_study::{RunDir, StudyError};

type Result = std::result::Result<(), Box<dyn Error>>;

#[test]
fn one_process_writes_and_the_other_is_told_which() -> Result {
    let folder = tempfile::tempdir()?;
    let run = RunDir::create(folder.path().join("runs/a"))?;
    let lock = run.lock()?;
    let again = RunDir::open(run.path())?;
    match again.lock() {
        Err(e @ StudyError::Locked { .. }) => {
            assert!(e.to_string().ends_with(&format!("process {} writes to it already", std::process::id())));
        }
        other => return Err(format!("{other:?}").into()),
    }
    drop(lock);
    again.lock()?;
    Ok(())
}

#[test]
fn a_lock_file_left_by_a_killed_process_holds_nothing() -> Result {
    let folder = tempfile::tempdir()?;
    let run = RunDir::create(folder.path())?;
    fs::write(run.files().lock(), "123456 and a long tail\n")?;
    let torn = folder.path().join(".front.json.123456-7.tnas-tmp");
    fs::write(&torn, "[")?;
    let _lock = run.lock()?;
    assert_eq!(fs::read_to_string(run.files().lock())?, format!("{}\n", std::process::id()));
    assert!(!torn.exists(), "what the killed process left half written is gone");
    Ok(())
}

#[test]
fn names_from_outside_stay_inside() -> Result {
    let run = RunDir::create(tempfile::tempdir()?.path())?;
    assert!(run.files().profile("iphone-15.pro_a17")?.ends_with("profile/iphone-15.pro_a17.jsonl"));
    for name in ["", ".", "..", "../x", "a/b", "a\\b", "a b", "ü", "a\0"] {
        assert!(run.files().profile(name).is_err() && run.files().model(name).is_err(), "{name:?}");
    }
    assert!(RunDir::open("no/such/run").is_err_and(|e| e.to_string().ends_with("there is no such folder")));
    Ok(())
}
