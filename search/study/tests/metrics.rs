//! A log survives a kill: its last line may be torn, and a resumed run leaves the file of one that was not killed.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::Path;
use tnas_study::{MetricRecord, MetricsLog};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn train(log: &mut MetricsLog, stage: &str, steps: std::ops::RangeInclusive<u64>) -> Result {
    for step in steps {
        log.append(stage, step, [("loss", 1.0 / step as f64), ("accuracy", 0.5)])?;
    }
    Ok(())
}

/// The file of a run without a kill.
fn undisturbed(path: &Path) -> Result<Vec<u8>> {
    let mut log = MetricsLog::open(path)?;
    train(&mut log, "backbone", 1..=3)?;
    train(&mut log, "supernet", 1..=9)?;
    Ok(fs::read(path)?)
}

#[test]
fn lines_are_canonical_and_come_back() -> Result {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("new/metrics.jsonl");
    let mut log = MetricsLog::open(&path)?;
    log.append("supernet", 7, [("loss", f64::NAN), ("a", 0.1)])?;
    log.sync()?;
    let expected =
        "{\"format_version\":1,\"stage\":\"supernet\",\"step\":7,\"values\":{\"a\":0.1,\"loss\":\"nan\"}}\n";
    assert_eq!(fs::read_to_string(&path)?, expected);
    let MetricRecord { stage, step, values } = MetricsLog::read(&path)?.remove(0);
    assert_eq!((stage.as_str(), step, values["a"]), ("supernet", 7, 0.1));
    assert!(values["loss"].is_nan());
    Ok(())
}

#[test]
fn a_resumed_run_leaves_the_file_of_an_undisturbed_one() -> Result {
    let folder = tempfile::tempdir()?;
    let expected = undisturbed(&folder.path().join("whole"))?;
    let path = folder.path().join("killed");
    // Killed at all kinds of places, then resumed from a checkpoint after step 3 of either stage.
    let second_stage = expected.split_inclusive(|byte| *byte == b'\n').take(3).map(<[u8]>::len).sum::<usize>();
    for cut in (0..=expected.len()).step_by(13) {
        fs::write(&path, &expected[..cut])?;
        let before = MetricsLog::read(&path)?.len();
        let mut log = MetricsLog::open(&path)?;
        assert_eq!(MetricsLog::read(&path)?.len(), before);
        let checkpoint = before.saturating_sub(3).min(3) as u64;
        if cut < second_stage {
            log.truncate_after("backbone", 0)?;
            train(&mut log, "backbone", 1..=3)?;
        }
        assert_eq!(log.truncate_after("supernet", checkpoint)?, before.saturating_sub(6));
        train(&mut log, "supernet", checkpoint + 1..=9)?;
        assert_eq!(fs::read(&path)?, expected, "cut at {cut}");
    }
    assert_eq!(fs::read_dir(&folder)?.count(), 2, "no temporary file is left");
    Ok(())
}

#[test]
fn only_the_stages_own_lines_are_removed() -> Result {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("metrics.jsonl");
    let mut log = MetricsLog::open(&path)?;
    train(&mut log, "supernet", 1..=4)?;
    train(&mut log, "finetune", 1..=4)?;
    assert_eq!(log.truncate_after("supernet", 2)?, 2);
    log.append("supernet", 3, [("loss", 0.5)])?;
    let found: Vec<_> = MetricsLog::read(&path)?.into_iter().map(|record| (record.stage, record.step)).collect();
    let steps = |stage: &str| found.iter().filter(|(s, _)| s == stage).map(|(_, step)| *step).collect::<Vec<_>>();
    assert_eq!(steps("supernet"), [1, 2, 3]);
    assert_eq!(steps("finetune"), [1, 2, 3, 4]);
    Ok(())
}

#[test]
fn a_broken_line_in_the_middle_is_told() -> Result {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("metrics.jsonl");
    train(&mut MetricsLog::open(&path)?, "supernet", 1..=2)?;
    writeln!(fs::OpenOptions::new().append(true).open(&path)?, "{{\"format_version\":2}}")?;
    train(&mut MetricsLog::open(&path)?, "supernet", 3..=3)?;
    let found = MetricsLog::read(&path).map_or_else(|e| e.to_string(), |_| "accepted".into());
    assert!(found.ends_with("metrics.jsonl, line 3: its format version is 2, this program knows 1"), "{found}");
    Ok(())
}
