//! A stage runs where something that it depends on changed, and is skipped otherwise.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;
use tnas_training::LoopSettings;

use tnas_study::StaleReason;

use crate::run::Run;

/// Steps between checkpoints of training loops.
const CHECKPOINT_EVERY: u64 = 50;

/// How a training loop of this name runs in a run directory.
pub fn loop_settings(run: &Run, stage: &str, steps: u64) -> LoopSettings {
    let checkpoint = Some(run.checkpoint(stage));
    LoopSettings { stage: stage.into(), steps, checkpoint, checkpoint_every: CHECKPOINT_EVERY }
}

/// Skips a stage that is up to date; else forgets its checkpoints of other settings, does it and marks it.
pub fn staged(
    run: &Run,
    stage: &str,
    settings: &impl Serialize,
    outputs: &[PathBuf],
    checkpoints: &[&str],
    work: impl FnOnce() -> anyhow::Result<Value>,
) -> anyhow::Result<Value> {
    let record = run.stage(stage, settings, outputs)?;
    let Some(reason) = run.dir().stale_reason(&record)? else {
        eprintln!("{stage:>16} up to date");
        return Ok(run.summary(stage).unwrap_or_default());
    };
    match reason {
        StaleReason::NotFinished => {}
        // The settings hold hashes of what the stage reads: their text says nothing to people.
        StaleReason::Setting { .. } => {
            eprintln!("{stage:>16} runs again, for its settings or what it reads changed")
        }
        reason => eprintln!("{stage:>16} runs again, for {reason}"),
    }
    // A checkpoint belongs to the settings that it was begun with.
    let begun = run.path(&format!("stages/{stage}.begun"));
    let key = run.key(settings)?;
    if std::fs::read_to_string(&begun).ok().as_deref() != Some(&key) {
        for checkpoint in checkpoints {
            let path = run.checkpoint(checkpoint);
            if path.exists() {
                std::fs::remove_file(&path)?;
            }
            run.metrics()?.truncate_after(checkpoint, 0)?;
            run.times()?.truncate_after(checkpoint, 0)?;
        }
        run.write(&format!("stages/{stage}.begun"), key.as_bytes())?;
    }
    let summary = work()?;
    run.dir().finish(&record, summary.clone())?;
    Ok(summary)
}
