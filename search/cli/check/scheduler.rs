//! `tnas scheduler check`: trajectories against those that another implementation recorded.

use std::path::Path;

use anyhow::Context;
use serde_json::{Value as Json, json};
use tnas_schedulers::{Trajectory, TrajectoryErrors, read_object};
use tnas_weights::SafeTensors;

use super::{Differs, row::finite};

/// Repeats every trajectory of `config.json` and `io.safetensors`.
pub fn check(folder: &Path, json: bool) -> anyhow::Result<()> {
    let path = folder.join("config.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    let cases = read_object(&text).with_context(|| format!("failed to use {}", path.display()))?;
    let io = SafeTensors::open(folder.join("io.safetensors"))?;
    let tensor = |name: &str| Some((io.info(name).ok()?.shape.clone(), io.f32(name).ok()?.into_owned()));
    let mut rows = Vec::new();
    for (name, config) in &cases {
        let config = config
            .as_object()
            .with_context(|| format!("failed to use {}: {name} is no object of options", path.display()))?;
        let trajectory = Trajectory { config, tensor: &|rest| tensor(&format!("{name}.{rest}")) };
        let errors = trajectory.run().with_context(|| format!("failed to run {name}"))?;
        if !json {
            println!("{}", line(name, &errors));
        }
        rows.push((name, errors));
    }
    anyhow::ensure!(!rows.is_empty(), "failed to use {}: it holds no trajectories", path.display());
    if json {
        let rows: Vec<Json> = rows.iter().map(|(name, errors)| row(name, errors)).collect();
        let all =
            json!({"format_version": 1, "command": "scheduler check", "folder": folder, "trajectories": rows});
        println!("{all}");
    }
    let missed: Vec<&str> =
        rows.iter().filter(|(_, errors)| !errors.passes()).map(|(name, _)| name.as_str()).collect();
    if missed.is_empty() {
        return Ok(());
    }
    Err(Differs(format!("failed to reproduce {}: {} differs", folder.display(), missed.join(", "))).into())
}

fn line(name: &str, errors: &TrajectoryErrors) -> String {
    let largest = errors.largest;
    let mut line = format!("{name}: max abs error {:.2e}, allowed {:.2e}: ", largest.error, largest.allowed);
    line += if errors.passes() { "ok" } else { "DIFFERS" };
    if let Some(step) = errors.first_step {
        line += &format!(", first at step {step}");
    }
    for (what, difference) in errors.others.iter().filter(|(_, difference)| !difference.passes()) {
        line += &format!(", {what} by {:.2e}, allowed {:.2e}", difference.error, difference.allowed);
    }
    line
}

fn row(name: &str, errors: &TrajectoryErrors) -> Json {
    let others = errors.others.iter().map(|(what, difference)| {
        json!({"name": what, "max_abs_error": finite(difference.error), "allowed": difference.allowed})
    });
    json!({"name": name, "max_abs_error": finite(errors.largest.error), "allowed": errors.largest.allowed,
        "passes": errors.passes(), "first_different_step": errors.first_step, "others": others.collect::<Vec<_>>()})
}
