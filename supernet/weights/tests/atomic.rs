//! A file holds the old bytes or the new, whatever happens to the process that writes it.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tnas_weights::{AtomicFile, remove_stale_temporaries, write_atomic};

type Result = std::result::Result<(), Box<dyn Error>>;

#[test]
fn a_file_dropped_before_its_commit_leaves_no_trace() -> Result {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("weights");
    write_atomic(&path, b"old")?;
    let mut file = AtomicFile::create(&path)?;
    file.write_all(&[7; 3_000_000])?;
    drop(file);
    assert_eq!(fs::read(&path)?, b"old");
    assert_eq!(fs::read_dir(&folder)?.count(), 1);
    Ok(())
}

#[test]
fn a_commit_replaces_all_at_once() -> Result {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("weights");
    write_atomic(&path, b"a long old content")?;
    write_atomic(&path, b"new")?;
    assert_eq!(fs::read(&path)?, b"new");
    assert_eq!(fs::read_dir(&folder)?.count(), 1);
    Ok(())
}

#[test]
fn only_abandoned_temporaries_are_removed() -> Result {
    let folder = tempfile::tempdir()?;
    let inner = folder.path().join("models/a");
    fs::create_dir_all(&inner)?;
    let abandoned = inner.join(".unet.safetensors.1-0.tnas-tmp");
    fs::write(&abandoned, b"torn")?;
    fs::write(inner.join("unet.safetensors"), b"whole")?;
    let living = AtomicFile::create(inner.join("vae"))?;

    assert_eq!(remove_stale_temporaries(&folder)?, [abandoned]);
    living.commit()?;
    assert!(remove_stale_temporaries(&folder)?.is_empty());
    assert_eq!(fs::read_dir(&inner)?.count(), 2);
    Ok(())
}

/// The child of the next test: writes one version after the other.
#[test]
#[ignore = "started by a_killed_writer_tears_nothing"]
fn write_until_killed() -> Result {
    let Ok(path) = std::env::var("TNAS_TEST_PATH") else { return Ok(()) };
    for round in 0..=u8::MAX {
        write_atomic(&path, &vec![round; 4_000_000])?;
    }
    Ok(())
}

#[test]
fn a_killed_writer_tears_nothing() -> Result {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("weights");
    for wait_ms in (1..20).step_by(3) {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--ignored", "--exact", "write_until_killed"])
            .env("TNAS_TEST_PATH", &path)
            .stdout(Stdio::null())
            .spawn()?;
        let started = Instant::now();
        while !path.exists() && started.elapsed() < Duration::from_secs(20) {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(wait_ms));
        child.kill()?;
        child.wait()?;
        let found = fs::read(&path)?;
        assert!(found.len() == 4_000_000 && found.iter().all(|byte| *byte == found[0]), "torn after {wait_ms} ms");
        fs::remove_file(&path)?;
    }
    remove_stale_temporaries(&folder)?;
    assert_eq!(fs::read_dir(&folder)?.count(), 0, "every temporary file was recognised and abandoned");
    Ok(())
}
