//! The command line of tnas: what was typed becomes a validated study, and a study becomes stages.

mod args;
mod latency_bench;
mod model;
mod print;
mod space;

use std::{path::Path, process::ExitCode};

use anyhow::Context;
use args::{
    BackboneCommand, Cli, Command, LatencyCommand, ModelCommand, ProfileArgs, ProfileCommand, SchedulerCommand,
    SpaceCommand, StudyArgs, TrainCommand,
};
use clap::Parser;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tnas_latency::tables::TableError;
use tnas_pipeline::{check, import};
use tnas_stages::{
    self as stages, Interrupted, failure::chain, measuring, progress, run::Run, settings::Study,
    workbench::Workbench,
};
use tnas_study::{SettingsError, SettingsSource};

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if matches!(cli.command, Command::Evaluator(_)) && std::env::args().nth(1).as_deref() == Some("judge") {
        eprintln!("warning: the command `judge` is now `evaluator`; the old name works for one more version");
    }
    match go(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", chain(&error));
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
            || matches!(e.downcast_ref(), Some(TableError::Protocol(_) | TableError::Card { .. }))
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
            || matches!(
                e.downcast_ref(),
                Some(TrainError::NoLabel { .. } | TrainError::UnknownLabelValue { .. } | TrainError::Data(_))
            )
            || matches!(e.downcast_ref(), Some(TableError::Table { .. } | TableError::Learn { .. }))
    };
    if error.chain().any(data) { 3 } else { 1 }
}

fn go(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::MeasureOne => return measuring::measure_one(),
        Command::Schemas { out } => return write_schemas(&out),
        Command::Report(args) => {
            let (study, _, run) = open(&args)?;
            return finish(&args, "report", &stages::report::report(&run, &study)?);
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
        Command::Backbone(BackboneCommand::Check(args)) => {
            print::check::model(&check::check(&args.folder, &args.device)?, args.json)
        }
        Command::Backbone(BackboneCommand::Import(args)) => import_motion(&args),
        Command::Scheduler(SchedulerCommand::Check(args)) => {
            print::check::schedulers(&check::scheduler::check(&args.folder)?, args.json)
        }
        Command::Supernet(TrainCommand::Train(args)) => with(&args, "supernet", stages::supernet::supernet),
        Command::Space(SpaceCommand::Show(args)) => space::show(&args),
        Command::Model(ModelCommand::New(args)) => model::new(&args),
        Command::Model(ModelCommand::Step(args)) => model::step(&args),
        Command::Latency(LatencyCommand::Bench(args)) => latency_bench::bench(&args),
        Command::Profile(ProfileArgs { command: Some(ProfileCommand::Plan(args)), .. }) => {
            with(&args.study_args(), "profile plan", |bench| {
                stages::remote_profile::plan_remote(bench, &args.options())
            })
        }
        Command::Profile(ProfileArgs { command: Some(ProfileCommand::Import(args)), .. }) => {
            with(&args.study_args(), "profile import", |bench| {
                stages::remote_profile::import(bench, &args.options())
            })
        }
        Command::Profile(ProfileArgs { study, .. }) => {
            let args = study.context("failed to profile: no study was given")?;
            with(&args, "profile", stages::profile::profile)
        }
        Command::Latency(LatencyCommand::Fit(args)) => with(&args, "latency", stages::latency::latency),
        Command::Latency(LatencyCommand::Eval(args)) => {
            let study = args.study.clone();
            with(&study, "latency eval", |bench| {
                let figures = stages::latency_eval::evaluate(bench, &args.options())?;
                if !study.json {
                    print::latency::print(&figures);
                }
                Ok(figures)
            })
        }
        Command::Search(args) => with(&args, "search", |bench| {
            let (search, hypervolume) = (stages::search::search(bench)?, stages::hypervolume::hypervolume(bench)?);
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
                if let Some(sweep) = args.sweep() {
                    let figures = stages::distill::sweep(bench, &stages::front::winner(bench)?, &sweep)?;
                    return Ok(serde_json::to_value(figures)?);
                }
                let variant = stages::distill::Variant::asked(bench, &args.options());
                let figures = stages::distill::distill_variant(bench, &stages::front::winner(bench)?, &variant)?;
                Ok(serde_json::to_value(figures)?)
            })
        }
        Command::Export(args) => {
            with(&args, "export", |bench| stages::export::export(bench, &stages::front::winner(bench)?))
        }
        Command::Generate(args) => {
            let study = args.study.clone();
            with(&study, "generate", |bench| stages::samples::generate_captions(bench, &args.options()?))
        }
        Command::Evaluator(TrainCommand::Train(args)) => with(&args, "evaluator", |bench| {
            let figures = stages::evaluator::evaluator(bench)?;
            print::evaluator::print(&figures, args.json);
            Ok(figures)
        }),
        Command::Evaluate(args) => {
            let study = args.study.clone();
            with(&study, "evaluate", |bench| {
                let found = stages::evaluate::evaluate(bench, &args.options())?;
                if !study.json {
                    print::evaluation::print(&found);
                    print::gaps::print(&found.few_steps);
                    println!("{}", bench.run.path("evaluation/evaluation.json").display());
                }
                Ok(found)
            })
        }
        Command::Report(_) | Command::Schemas { .. } | Command::MeasureOne => Ok(()),
    }
}

/// Writes every schema into a folder.
fn write_schemas(out: &Path) -> anyhow::Result<()> {
    for (name, schema) in tnas_record::schemas() {
        let path = out.join(name);
        let text = serde_json::to_string_pretty(&schema)? + "\n";
        tnas_weights::write_atomic(&path, text.as_bytes())
            .with_context(|| format!("failed to write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

/// Imports a published motion model, and prints what it is.
fn import_motion(args: &args::ImportArgs) -> anyhow::Result<()> {
    let imported = import::import(&args.import())?;
    let import::Imported { genotype, image_parameters: image, temporal_parameters: temporal } = imported;
    let id = genotype.arch_id().to_string();
    if args.json {
        let figures = json!({"format_version": 1, "command": "backbone import", "out": args.out, "arch_id": id,
            "genotype": genotype.to_string(), "image_parameters": image, "temporal_parameters": temporal,
            "space": args.space});
        println!("{figures}");
        return Ok(());
    }
    println!("{id}: {image} parameters of the image model, {temporal} temporal ones");
    println!("{genotype}");
    if let Some(space) = &args.space {
        println!("{} holds it", space.display());
    }
    Ok(())
}

/// From clips to the report, in the order of the paper.
fn run_all(bench: &Workbench) -> anyhow::Result<Value> {
    // What is wrong with the clips is said before the first stage.
    bench.clips()?;
    let mut figures = Map::new();
    for stage in stages::STAGES {
        figures.insert(stage.name.into(), (stage.run)(bench)?);
    }
    let winner = stages::front::winner(bench)?;
    eprintln!();
    eprintln!("report    {}", bench.run.path("report/index.html").display());
    eprintln!("clips     {}", bench.run.path("samples").display());
    eprintln!("model     {}", bench.run.model(&winner.arch_id().to_string()).display());
    eprintln!("export    {}", bench.run.export(&winner.arch_id().to_string()).display());
    Ok(Value::Object(figures))
}

/// Opens a study's run and does something with it.
fn with<T: Serialize>(
    args: &StudyArgs,
    name: &str,
    work: impl FnOnce(&Workbench) -> anyhow::Result<T>,
) -> anyhow::Result<()> {
    if let Some(threads) = args.threads {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().context("failed to set the threads")?;
    }
    let (study, source, run) = open(args)?;
    let lock = tnas_study::RunDir::create(run.root())?.lock()?;
    let bench = Workbench::open(study, source, run, &args.device, &args.runs)?;
    let figures = work(&bench)?;
    write_resolved(&bench.study, &bench.run)?;
    drop(lock);
    finish(args, name, &figures)
}

fn open(args: &StudyArgs) -> anyhow::Result<(Study, SettingsSource, Run)> {
    let (study, source) = Study::load(&args.study, &args.overrides)?;
    for warning in source.warnings() {
        eprintln!("warning: {warning}");
    }
    let run = Run::open(&args.runs.join(&study.name))?;
    write_resolved(&study, &run)?;
    Ok((study, source, run))
}

/// The run's own study.toml: every setting, and the reference point of its hypervolumes as soon as there is one.
fn write_resolved(study: &Study, run: &Run) -> anyhow::Result<()> {
    let mut resolved = study.clone();
    resolved.search.reference_point = resolved
        .search
        .reference_point
        .or_else(|| run.reference_point().filter(|point| point.is_of(&study.search.objectives.set())));
    let head = concat!("# Resolved settings, by tnas ", env!("CARGO_PKG_VERSION"), ".\n");
    run.write("study.toml", (head.to_string() + &tnas_study::to_toml_string(&resolved)?).as_bytes())
}

fn finish(args: &StudyArgs, name: &str, figures: &impl Serialize) -> anyhow::Result<()> {
    if args.json {
        println!("{}", json!({"format_version": 1, "command": name, "figures": serde_json::to_value(figures)?}));
    }
    Ok(())
}
