//! The command line of tnas: what was typed becomes a validated study, and a study becomes stages.

mod metrics;
mod model_folder;
mod progress;
mod run;
mod settings;
mod stages;
mod workbench;

use std::path::PathBuf;

fn main() -> anyhow::Result<()> {
    let path = PathBuf::from(std::env::args().nth(1).unwrap_or_default());
    let text = std::fs::read_to_string(&path)?;
    let mut study: settings::Study = toml::from_str(&text)?;
    if std::env::args().nth(2).is_some() { study.backbone.train = true; }
    progress::watch_interrupts()?;
    let run = run::Run::open(&PathBuf::from("runs").join(&study.name))?;
    let bench = workbench::Workbench::open(study, run, "cpu")?;
    println!("{}", stages::backbone::backbone(&bench)?);
    println!("{}", stages::supernet::supernet(&bench)?);
    println!("{}", stages::judge::judge(&bench)?);
    let space = bench.space(&bench.image_model()?.pipeline.backbone)?;
    let winner = space.genotype(&space.covering()[4]);
    println!("{}", stages::finetune::finetune(&bench, &winner)?);
    println!("{}", stages::distill::distill(&bench, &winner)?);
    println!("{}", stages::samples::samples(&bench, &winner)?);
    Ok(())
}
