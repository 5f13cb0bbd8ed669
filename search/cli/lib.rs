//! The command line of tnas: what was typed becomes a validated study, and a study becomes stages.

mod args;
mod doctor;
mod latency_bench;
mod model;
mod print;
mod space;
mod stage_commands;

use std::{path::Path, process::ExitCode};

use anyhow::Context;
use args::{
    BackboneCommand, Cli, Command, DistillArgs, LatencyCommand, ModelCommand, ProfileArgs, ProfileCommand,
    SchedulerCommand, SpaceCommand, StudyArgs,
};
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use serde::Serialize;
use serde_json::Value;
use tnas_latency::tables::TableError;
use tnas_pipeline::{check, import};
use tnas_record::Evaluation;
use tnas_stages::{
    self as stages, Interrupted, failure::chain, measuring, progress, run::Run, settings::Study,
    workbench::Workbench,
};
use tnas_study::{SettingsError, SettingsSource};

/// Parses the command line and runs the command.
pub fn main() -> ExitCode {
    let matches = stage_commands::add(Cli::command()).get_matches();
    let first = std::env::args().nth(1).unwrap_or_default();
    if let Some((old, new)) = stage_commands::renamed(&first) {
        eprintln!("warning: the command `{old}` is now `{new}`; the old name works for one more version");
    }
    match go(&matches) {
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

/// What was typed: stages of a study, or a command of its own.
fn go(matches: &ArgMatches) -> anyhow::Result<()> {
    if let Some((chosen, args)) = stage_commands::typed(matches) {
        progress::watch_interrupts()?;
        let Some(first) = chosen.first() else { return Ok(()) };
        return with(&args, first.name, |bench| {
            let figures = stage_commands::run(bench, &chosen)?;
            chosen.iter().try_for_each(|stage| print::stage(stage.name, bench, args.json))?;
            Ok(figures)
        });
    }
    match Cli::from_arg_matches(matches)?.command {
        Command::MeasureOne => measuring::measure_one(),
        Command::Schemas { out } => write_schemas(&out),
        Command::Doctor { json } => doctor::doctor(json),
        Command::Report(args) => {
            let (study, _, run) = open(&args)?;
            finish(&args, "report", &stages::report::report(&run, &study)?)
        }
        command => {
            progress::watch_interrupts()?;
            command_of_its_own(command)
        }
    }
}

fn command_of_its_own(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Run(args) => with(&args, "run", run_all),
        Command::Backbone(command) => backbone(command),
        Command::Profile(args) => profile(args),
        Command::Latency(LatencyCommand::Bench(args)) => latency_bench::bench(&args),
        Command::Latency(LatencyCommand::Eval(args)) => with(&args.study, "latency eval", |bench| {
            let figures = stages::latency_eval::evaluate(bench, &args.options())?;
            if !args.study.json {
                print::latency::print(&figures);
            }
            Ok(figures)
        }),
        Command::Scheduler(SchedulerCommand::Check(args)) => {
            print::check::schedulers(&check::scheduler::check(&args.folder)?, args.json)
        }
        Command::Space(SpaceCommand::Show(args)) => space::show(&args),
        Command::Model(ModelCommand::New(args)) => model::new(&args),
        Command::Model(ModelCommand::Step(args)) => model::step(&args),
        Command::Compare(args) => {
            with(&args, "compare", |bench| stages::compare::compare(bench, &stages::front::winner(bench)?))
        }
        Command::Distill(args) => distill(&args),
        Command::Generate(args) => {
            with(&args.study, "generate", |bench| stages::generate::generate_captions(bench, &args.options()?))
        }
        Command::Evaluate(args) => with(&args.study, "evaluate", |bench| {
            let found = stages::evaluate::evaluate(bench, &args.options())?;
            if !args.study.json {
                print::evaluation::print(&found);
                print::gaps::print(&found.few_steps);
                println!("{}", bench.run.files().of::<Evaluation>().display());
            }
            Ok(found)
        }),
        Command::Report(_) | Command::Schemas { .. } | Command::Doctor { .. } | Command::MeasureOne => Ok(()),
    }
}

fn backbone(command: BackboneCommand) -> anyhow::Result<()> {
    let trained = |mut args: StudyArgs, train: bool| {
        args.overrides.push(format!("backbone.train={train}"));
        with(&args, "backbone", stages::backbone::backbone)
    };
    match command {
        BackboneCommand::Train(args) => trained(args, true),
        BackboneCommand::Take(args) => trained(args, false),
        BackboneCommand::Check(args) => print::check::model(&check::check(&args.folder, &args.device)?, args.json),
        BackboneCommand::Import(args) => import_motion(&args),
    }
}

fn profile(args: ProfileArgs) -> anyhow::Result<()> {
    match args.command {
        Some(ProfileCommand::Plan(args)) => with(&args.study_args(), "profile plan", |bench| {
            stages::remote_profile::plan_remote(bench, &args.options())
        }),
        Some(ProfileCommand::Import(args)) => with(&args.study_args(), "profile import", |bench| {
            stages::remote_profile::import(bench, &args.options())
        }),
        None => {
            let args = args.study.context("failed to profile: no study was given")?;
            with(&args, "profile", stages::profile::profile)
        }
    }
}

fn distill(args: &DistillArgs) -> anyhow::Result<()> {
    with(&args.study, "distill", |bench| {
        let winner = stages::front::winner(bench)?;
        if let Some(sweep) = args.sweep() {
            return Ok(serde_json::to_value(stages::distill::sweep(bench, &winner, &sweep)?)?);
        }
        let variant = stages::distill::Variant::asked(bench, &args.options());
        Ok(serde_json::to_value(stages::distill::distill_variant(bench, &winner, &variant)?)?)
    })
}

/// Writes every schema into a folder.
fn write_schemas(out: &Path) -> anyhow::Result<()> {
    for (name, schema) in stages::schemas() {
        let path = out.join(name);
        let text = serde_json::to_string_pretty(&schema)? + "\n";
        tnas_weights::write_atomic(&path, text.as_bytes())
            .with_context(|| format!("failed to write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

/// What was imported, as `--json` prints it.
#[derive(Serialize)]
struct ImportFigures<'a> {
    out: &'a Path,
    arch_id: &'a str,
    genotype: String,
    image_parameters: usize,
    temporal_parameters: usize,
    space: Option<&'a Path>,
}

/// Imports a published motion model, and prints what it is.
fn import_motion(args: &args::ImportArgs) -> anyhow::Result<()> {
    let imported = import::import(&args.import())?;
    let import::Imported { genotype, image_parameters: image, temporal_parameters: temporal } = imported;
    let id = genotype.arch_id().to_string();
    if args.json {
        return print::json(
            "backbone import",
            &ImportFigures {
                out: &args.out,
                arch_id: &id,
                genotype: genotype.to_string(),
                image_parameters: image,
                temporal_parameters: temporal,
                space: args.space.as_deref(),
            },
        );
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
    // What is wrong with the clips is reported before the first stage.
    stages::samples::options(bench)?;
    let figures = stage_commands::run(bench, &stages::STAGES.iter().collect::<Vec<_>>())?;
    let winner = stages::front::winner(bench)?;
    eprintln!();
    eprintln!("report    {}", bench.run.path("report/index.html").display());
    eprintln!("clips     {}", bench.run.path("samples").display());
    eprintln!("model     {}", bench.run.model(&winner.arch_id().to_string())?.display());
    eprintln!("export    {}", bench.run.export(&winner.arch_id().to_string())?.display());
    Ok(figures)
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

/// Figures of a study's command.
#[derive(Serialize)]
struct Figures<T> {
    figures: T,
}

fn finish(args: &StudyArgs, name: &str, figures: &impl Serialize) -> anyhow::Result<()> {
    if args.json {
        print::json(name, &Figures { figures })?;
    }
    Ok(())
}
