//! One file per stage; each reads and writes the run directory alone.

pub mod backbone;
pub mod distill;
pub mod export;
pub mod finetune;
pub mod front;
pub mod judge;
pub mod latency;
pub mod profile;
pub mod report;
pub mod samples;
pub mod search;
pub mod supernet;

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;
use tnas_training::LoopSettings;

use crate::{metrics::Metrics, run::Run};

/// Steps between checkpoints of training loops.
const CHECKPOINT_EVERY: u64 = 50;

/// How a training loop of this name runs in a run directory.
pub fn loop_settings(run: &Run, stage: &str, steps: u64) -> LoopSettings {
    let checkpoint = Some(run.checkpoint(stage));
    LoopSettings { stage: stage.into(), steps, checkpoint, checkpoint_every: CHECKPOINT_EVERY }
}

/// The run's figures by step.
pub fn metrics(run: &Run) -> Metrics {
    Metrics::new(&run.path("metrics.jsonl"))
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
    let key = run.key(settings)?;
    if let Some(summary) = run.current(stage, &key, outputs) {
        eprintln!("{stage:>16} up to date");
        return Ok(summary);
    }
    // A checkpoint belongs to the settings that it was begun with.
    let begun = run.path(&format!("stages/{stage}.begun"));
    if std::fs::read_to_string(&begun).ok().as_deref() != Some(&key) {
        for checkpoint in checkpoints {
            let path = run.checkpoint(checkpoint);
            if path.exists() {
                std::fs::remove_file(&path)?;
            }
            metrics(run).truncate_after(checkpoint, 0);
        }
        run.write(&format!("stages/{stage}.begun"), key.as_bytes())?;
    }
    let summary = work()?;
    run.finish(stage, &key, &summary)?;
    Ok(summary)
}
