//! The command line of tnas: what was typed becomes a validated study, and a study becomes stages.

mod args;
pub mod check;
mod codec;
mod dataset;
mod import;
mod latency_bench;
mod latents;
mod measuring;
mod model;
mod model_folder;
mod motion_weights;
mod previews;
mod progress;
mod run;
pub mod settings;
mod space;
mod stages;
mod text_cache;
mod workbench;

use std::process::ExitCode;

use anyhow::Context;
use args::{
    BackboneCommand, Cli, Command, LatencyCommand, ModelCommand, ProfileArgs, ProfileCommand, SchedulerCommand,
    SpaceCommand, StudyArgs, TrainCommand,
};
use clap::Parser;
use run::Run;
use serde_json::{Map, Value, json};
use settings::Study;
use tnas_latency::bench::BenchError;
use tnas_study::SettingsError;
use workbench::Workbench;

/// The user asked to stop; what was done is kept.
#[derive(Debug)]
pub struct Interrupted {
    /// Stage that was running.
    pub stage: String,
}

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "failed to finish {}: interrupted; run the same command again to go on", self.stage)
    }
}

impl std::error::Error for Interrupted {}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    match go(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}

/// 1 failed, 2 usage or settings, 3 bad data or model, 75 interrupted with a valid checkpoint.
fn exit_code(error: &anyhow::Error) -> u8 {
    use tnas_training::TrainError;
    let interrupted = |e: &(dyn std::error::Error + 'static)| {
        e.is::<Interrupted>() || matches!(e.downcast_ref(), Some(TrainError::Interrupted { .. }))
    };
    if error.chain().any(interrupted) {
        return 75;
    }
    let settings = |e: &(dyn std::error::Error + 'static)| {
        e.is::<SettingsError>()
            || e.is::<tnas_network::DeviceError>()
            || matches!(e.downcast_ref(), Some(BenchError::Protocol(_) | BenchError::Card { .. }))
    };
    if error.chain().any(settings) {
        return 2;
    }
    let data = |e: &(dyn std::error::Error + 'static)| {
        e.is::<tnas_weights::WeightsError>()
            || e.is::<tnas_space::SpaceError>()
            || e.is::<tnas_models::ModelError>()
            || e.is::<tnas_schedulers::SchedulerError>()
            || e.is::<tnas_clips::ClipError>()
            || e.is::<tnas_graph::WeightError>()
            || e.is::<tnas_network::ParametersError>()
            || e.is::<check::Differs>()
            || matches!(e.downcast_ref(), Some(BenchError::Table { .. } | BenchError::Learn { .. }))
    };
    if error.chain().any(data) { 3 } else { 1 }
}

fn go(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::MeasureOne => return measuring::measure_one(),
        Command::Report(args) => {
            let (study, run) = open(&args)?;
            return finish(&args, "report", stages::report::report(&run, &study)?);
        }
        _ => progress::watch_interrupts()?,
    }
    match cli.command {
        Command::Run(args) => with(&args, "run", run_all),
        Command::Backbone(BackboneCommand::Train(mut args)) => {
            args.overrides.push("backbone.train=true".into());
            with(&args, "backbone", stages::backbone::backbone)
        }
        Command::Backbone(BackboneCommand::Take(mut args)) => {
            args.overrides.push("backbone.train=false".into());
            with(&args, "backbone", stages::backbone::backbone)
        }
        Command::Backbone(BackboneCommand::Check(args)) => check::check(&args.folder, &args.device, args.json),
        Command::Backbone(BackboneCommand::Import(args)) => import::import(&args),
        Command::Scheduler(SchedulerCommand::Check(args)) => check::scheduler::check(&args.folder, args.json),
        Command::Supernet(TrainCommand::Train(args)) => with(&args, "supernet", stages::supernet::supernet),
        Command::Space(SpaceCommand::Show(args)) => space::show(&args),
        Command::Model(ModelCommand::New(args)) => model::new(&args),
        Command::Model(ModelCommand::Step(args)) => model::step(&args),
        Command::Latency(LatencyCommand::Bench(args)) => latency_bench::bench(&args),
        Command::Profile(ProfileArgs { command: Some(ProfileCommand::Plan(args)), .. }) => {
            with(&args.study_args(), "profile plan", |bench| stages::remote_profile::plan_remote(bench, &args))
        }
        Command::Profile(ProfileArgs { command: Some(ProfileCommand::Import(args)), .. }) => {
            with(&args.study_args(), "profile import", |bench| stages::remote_profile::import(bench, &args))
        }
        Command::Profile(ProfileArgs { study, .. }) => {
            let args = study.context("failed to profile: no study was given")?;
            with(&args, "profile", stages::profile::profile)
        }
        Command::Latency(LatencyCommand::Fit(args)) => with(&args, "latency", stages::latency::latency),
        Command::Latency(LatencyCommand::Eval(args)) => {
            let study = args.study.clone();
            with(&study, "latency eval", |bench| stages::latency_eval::evaluate(bench, &args))
        }
        Command::Search(args) => with(&args, "search", |bench| {
            let (search, hypervolume) = (stages::search::search(bench)?, stages::search::hypervolume(bench)?);
            Ok(json!({"search": search, "hypervolume": hypervolume, "front": stages::front::front(bench)?}))
        }),
        Command::Finetune(args) => {
            with(&args, "finetune", |bench| stages::finetune::finetune(bench, &stages::front::winner(bench)?))
        }
        Command::Compare(args) => {
            with(&args, "compare", |bench| stages::compare::compare(bench, &stages::front::winner(bench)?))
        }
        Command::Distill(args) => {
            let study = args.study.clone();
            with(&study, "distill", |bench| {
                if !args.sweep_mean.is_empty() {
                    return stages::distill::sweep(bench, &stages::front::winner(bench)?, &args);
                }
                let variant = stages::distill::Variant::asked(bench, &args);
                stages::distill::distill_variant(bench, &stages::front::winner(bench)?, &variant)
            })
        }
        Command::Export(args) => {
            with(&args, "export", |bench| stages::export::export(bench, &stages::front::winner(bench)?))
        }
        Command::Generate(args) => {
            let study = args.study.clone();
            with(&study, "generate", |bench| stages::samples::generate_captions(bench, &args))
        }
        Command::Evaluator(TrainCommand::Train(args)) => with(&args, "evaluator", |bench| {
            let figures = stages::evaluator::evaluator(bench)?;
            stages::evaluator::print(&figures, args.json);
            Ok(figures)
        }),
        Command::Evaluate(args) => {
            let study = args.study.clone();
            with(&study, "evaluate", |bench| stages::evaluate::evaluate(bench, &args))
        }
        Command::Report(_) | Command::MeasureOne => Ok(()),
    }
}

/// From clips to the report, in the order of the paper.
fn run_all(bench: &Workbench) -> anyhow::Result<Value> {
    let mut figures = Map::new();
    let mut done = |name: &str, value: Value| figures.insert(name.into(), value);
    done("backbone", stages::backbone::backbone(bench)?);
    done("supernet", stages::supernet::supernet(bench)?);
    done("profile", stages::profile::profile(bench)?);
    done("latency", stages::latency::latency(bench)?);
    done("search", stages::search::search(bench)?);
    done("hypervolume", stages::search::hypervolume(bench)?);
    done("front", stages::front::front(bench)?);
    let winner = stages::front::winner(bench)?;
    done("finetune", stages::finetune::finetune(bench, &winner)?);
    done("distill", stages::distill::distill(bench, &winner)?);
    done("evaluator", stages::evaluator::evaluator(bench)?);
    done("samples", stages::samples::samples(bench, &winner)?);
    done("export", stages::export::export(bench, &winner)?);
    done("report", stages::report::report(&bench.run, &bench.study)?);
    eprintln!();
    eprintln!("report    {}", bench.run.path("report/index.html").display());
    eprintln!("clips     {}", bench.run.path("samples").display());
    eprintln!("model     {}", bench.run.model(&winner.arch_id().to_string()).display());
    eprintln!("export    {}", bench.run.export(&winner.arch_id().to_string()).display());
    Ok(Value::Object(figures))
}

/// Opens a study's run and does something with it.
fn with(
    args: &StudyArgs,
    name: &str,
    work: impl FnOnce(&Workbench) -> anyhow::Result<Value>,
) -> anyhow::Result<()> {
    if let Some(threads) = args.threads {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().context("failed to set the threads")?;
    }
    let (study, run) = open(args)?;
    let lock = tnas_study::RunDir::create(run.root())?.lock()?;
    let bench = Workbench::open(study, run, &args.device, &args.runs)?;
    let figures = work(&bench)?;
    write_resolved(&bench.study, &bench.run)?;
    drop(lock);
    finish(args, name, figures)
}

fn open(args: &StudyArgs) -> anyhow::Result<(Study, Run)> {
    let study: Study = tnas_study::load(&args.study, &args.overrides)?;
    study.validate(&args.study)?;
    let run = Run::open(&args.runs.join(&study.name))?;
    write_resolved(&study, &run)?;
    Ok((study, run))
}

/// The run's own study.toml: every setting, and the reference point of its hypervolumes as soon as there is one.
fn write_resolved(study: &Study, run: &Run) -> anyhow::Result<()> {
    let mut resolved = study.clone();
    resolved.search.reference_point = resolved.search.reference_point.or_else(|| run.reference_point());
    let head = concat!("# Resolved settings, by tnas ", env!("CARGO_PKG_VERSION"), ".\n");
    run.write("study.toml", (head.to_string() + &tnas_study::to_toml_string(&resolved)?).as_bytes())
}

fn finish(args: &StudyArgs, name: &str, figures: Value) -> anyhow::Result<()> {
    if args.json {
        println!("{}", json!({"format_version": 1, "command": name, "figures": figures}));
    }
    Ok(())
}
