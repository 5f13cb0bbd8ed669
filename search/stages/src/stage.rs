//! A stage runs where something that it depends on changed, and is skipped otherwise.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Serialize;
use serde_json::Value;
use tnas_record::Summary;
use tnas_study::{StaleReason, canonical_json, hash_bytes, hash_path};
use tnas_training::LoopSettings;

use crate::{run::Run, workbench::Workbench};

/// Steps between checkpoints of training loops.
const CHECKPOINT_EVERY: u64 = 50;

/// One step of a study: reads settings and files, writes files, and leaves an output of a type of its own.
pub trait Stage {
    /// Name of the stage: in messages, of its stamp in `stages/`, of its figures.
    const NAME: &'static str = Self::Output::STAGE;

    /// What it leaves in its stamp.
    type Output: Summary;

    /// Ending of the name, of stages that run in several variants.
    fn variant(&self) -> String {
        String::new()
    }

    /// All that the output depends on.
    fn inputs(&self, bench: &Workbench) -> anyhow::Result<Inputs>;

    /// Files and folders of the run that it writes and no other stage changes.
    fn outputs(&self, bench: &Workbench) -> anyhow::Result<Vec<PathBuf>>;

    /// Names of the checkpoints of its training loops, which belong to the inputs that they were begun with.
    fn checkpoints(&self) -> Vec<String> {
        Vec::new()
    }

    /// Does the work.
    fn run(&self, bench: &Workbench) -> anyhow::Result<Self::Output>;
}

/// Settings by their dotted names, and files by their contents.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    settings: BTreeMap<String, Value>,
    files: Vec<PathBuf>,
}

impl Inputs {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A setting, or a table of settings, by its dotted name in the study.
    pub fn setting(mut self, name: &str, value: &impl Serialize) -> anyhow::Result<Self> {
        self.settings.insert(name.into(), serde_json::to_value(value)?);
        Ok(self)
    }

    /// Something that is known by the hash of its contents, e.g. the study's clips.
    pub fn contents(mut self, name: &str, sha256: &str) -> Self {
        self.settings.insert(name.into(), [("sha256", sha256)].into_iter().collect());
        self
    }

    /// A file or folder: its contents count, its place does not.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.push(path.into());
        self
    }

    /// Seed, clips and noise of a study, which every stage that trains or scores on noised clips depends on.
    pub fn of_noised_clips(bench: &Workbench) -> anyhow::Result<Self> {
        let inputs = Self::new().contents("clips", &bench.clips()?.key).setting("seed", &bench.study.seed)?;
        inputs.setting("noise", &bench.study.noise)
    }

    /// SHA-256 of all of them.
    pub fn key(&self) -> anyhow::Result<String> {
        let files = self.files.iter().map(hash_path).collect::<Result<Vec<_>, _>>()?;
        Ok(hash_bytes(canonical_json(&(&self.settings, files))?.as_bytes()))
    }
}

/// The output of a stage: that of its last run where its inputs are what they were, else that of a run now.
pub fn up_to_date<S: Stage>(bench: &Workbench, stage: &S) -> anyhow::Result<S::Output> {
    let (run, name) = (&bench.run, format!("{}{}", S::NAME, stage.variant()));
    let Inputs { settings, files } = stage.inputs(bench)?;
    let mut record = run.stage(&name)?.outputs(stage.outputs(bench)?).inputs(files);
    for (setting, value) in settings {
        record = record.setting(setting, &value)?;
    }
    let reason = match run.dir().stale_reason(&record)? {
        Some(reason) => reason,
        None => match run.dir().stamp(&name)?.map(|stamp| stamp.figures()) {
            Ok(Ok(output)) => {
                eprintln!("{name:>16} up to date");
                return Ok(output);
            }
            Ok(Err(message)) => StaleReason::Unreadable(message),
            Err(reason) => reason,
        },
    };
    if reason != StaleReason::NotFinished {
        eprintln!("{name:>16} runs again: {reason}");
    }
    forget_checkpoints_of_other_inputs(run, &name, &record.key()?, &stage.checkpoints())?;
    let output = stage.run(bench)?;
    run.dir().finish(&record, &output)?;
    Ok(output)
}

/// A checkpoint belongs to the inputs that it was begun with.
fn forget_checkpoints_of_other_inputs(
    run: &Run,
    stage: &str,
    key: &str,
    checkpoints: &[String],
) -> anyhow::Result<()> {
    let begun = format!("stages/{stage}.begun");
    if std::fs::read_to_string(run.path(&begun)).ok().as_deref() == Some(key) {
        return Ok(());
    }
    for checkpoint in checkpoints {
        let path = run.checkpoint(checkpoint)?;
        if path.exists() {
            std::fs::remove_file(&path)?;
        }
        run.metrics()?.truncate_after(checkpoint, 0)?;
        run.times()?.truncate_after(checkpoint, 0)?;
    }
    run.write(&begun, key.as_bytes())
}

/// How a training loop of this name runs in a run directory.
pub fn loop_settings(run: &Run, stage: &str, steps: u64) -> anyhow::Result<LoopSettings> {
    let checkpoint = Some(run.checkpoint(stage)?);
    Ok(LoopSettings { stage: stage.into(), steps, checkpoint, checkpoint_every: CHECKPOINT_EVERY })
}
