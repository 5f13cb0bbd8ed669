use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use tnas_stages::options::{ProfileImportOptions, ProfilePlanOptions};

use super::StudyArgs;

/// Measuring here, or on another device.
#[derive(Args, Clone)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct ProfileArgs {
    /// Another device.
    #[command(subcommand)]
    pub command: Option<ProfileCommand>,
    /// This machine.
    #[command(flatten)]
    pub study: Option<StudyArgs>,
}

/// Measurements of another device.
#[derive(Subcommand, Clone)]
pub enum ProfileCommand {
    /// Write the models to measure and a table to fill.
    Plan(ProfilePlanArgs),
    /// Check a filled table and import it as the device's profile.
    Import(ProfileImportArgs),
}

/// What is to be measured on another device.
#[derive(Args, Clone)]
pub struct ProfilePlanArgs {
    /// The study's TOML file.
    #[arg(default_value = "configs/studies/quickstart.toml")]
    pub study: PathBuf,
    /// Name of the device to measure on.
    #[arg(long)]
    pub device: String,
    /// Architectures to measure; a third of them is held out for tests.
    #[arg(long)]
    pub samples: usize,
    /// Folder for the models and the table; `measure/DEVICE` of the run where not given.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Overrides a setting.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Where runs are kept.
    #[arg(long, default_value = "runs")]
    pub runs: PathBuf,
    /// End with one JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}

impl ProfilePlanArgs {
    /// What the stage is asked for.
    pub fn options(&self) -> ProfilePlanOptions {
        ProfilePlanOptions { device: self.device.clone(), samples: self.samples, out: self.out.clone() }
    }

    /// The study and its run.
    pub fn study_args(&self) -> StudyArgs {
        StudyArgs::on_cpu(&self.study, &self.overrides, &self.runs, self.json)
    }
}

impl ProfileImportArgs {
    /// What the stage is asked for.
    pub fn options(&self) -> ProfileImportOptions {
        ProfileImportOptions { device: self.device.clone(), from: self.from.clone() }
    }

    /// The study and its run.
    pub fn study_args(&self) -> StudyArgs {
        StudyArgs::on_cpu(&self.study, &self.overrides, &self.runs, self.json)
    }
}

impl StudyArgs {
    /// Of a command whose `--device` is another one.
    fn on_cpu(study: &Path, overrides: &[String], runs: &Path, json: bool) -> Self {
        let (study, runs) = (study.into(), runs.into());
        Self { study, overrides: overrides.to_vec(), runs, device: "cpu".into(), threads: None, json }
    }
}

/// What was measured on another device.
#[derive(Args, Clone)]
pub struct ProfileImportArgs {
    /// The study's TOML file.
    #[arg(default_value = "configs/studies/quickstart.toml")]
    pub study: PathBuf,
    /// Name of the device, as it was planned.
    #[arg(long)]
    pub device: String,
    /// Folder with the filled table; `measure/DEVICE` of the run where not given.
    #[arg(long)]
    pub from: Option<PathBuf>,
    /// Overrides a setting.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Where runs are kept.
    #[arg(long, default_value = "runs")]
    pub runs: PathBuf,
    /// End with one JSON object on stdout.
    #[arg(long)]
    pub json: bool,
}
