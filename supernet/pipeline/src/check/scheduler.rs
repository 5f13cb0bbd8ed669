//! Trajectories of schedulers compared with those that another implementation recorded.

use std::{
    fmt::{Display, Formatter},
    path::Path,
};

use anyhow::Context;
use serde::Serialize;
use tnas_schedulers::{Difference, Trajectory, TrajectoryErrors, read_object};
use tnas_weights::SafeTensors;

use super::{
    Checked,
    row::{ErrorFigures, finite},
};

/// A recorded trajectory and the errors of its repetition.
pub struct TrajectoryRow {
    /// Name of the trajectory.
    pub name: String,
    /// Its errors.
    pub errors: TrajectoryErrors,
}

/// Errors of a trajectory, as they are printed. What cannot be compared has no number.
#[derive(Debug, Serialize)]
pub struct TrajectoryFigures {
    name: String,
    max_abs_error: Option<f32>,
    allowed: f32,
    passes: bool,
    first_different_step: Option<usize>,
    others: Vec<ErrorFigures>,
}

/// Repeats every trajectory of `config.json` and `io.safetensors`.
pub fn check(folder: &Path) -> anyhow::Result<Checked<TrajectoryRow>> {
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
        rows.push(TrajectoryRow { name: name.clone(), errors });
    }
    anyhow::ensure!(!rows.is_empty(), "failed to use {}: it holds no trajectories", path.display());
    let missed = rows.iter().filter(|row| !row.errors.passes()).map(|row| row.name.clone()).collect();
    Ok(Checked { folder: folder.into(), rows, missed })
}

impl Display for TrajectoryRow {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        let Self { name, errors } = self;
        let Difference { error, allowed } = errors.largest;
        let verdict = if errors.passes() { "ok" } else { "DIFFERS" };
        write!(f, "{name}: max abs error {error:.2e}, allowed {allowed:.2e}: {verdict}")?;
        if let Some(step) = errors.first_step {
            write!(f, ", first at step {step}")?;
        }
        for (what, difference) in errors.others.iter().filter(|(_, difference)| !difference.passes()) {
            write!(f, ", {what} by {:.2e}, allowed {:.2e}", difference.error, difference.allowed)?;
        }
        Ok(())
    }
}

impl TrajectoryRow {
    /// The errors, as they are printed.
    pub fn figures(&self) -> TrajectoryFigures {
        let Self { name, errors } = self;
        let others = errors.others.iter().map(|(what, difference)| ErrorFigures {
            name: (*what).into(),
            max_abs_error: finite(difference.error),
            allowed: finite(difference.allowed),
            passes: difference.passes(),
        });
        TrajectoryFigures {
            name: name.clone(),
            max_abs_error: finite(errors.largest.error),
            allowed: errors.largest.allowed,
            passes: errors.passes(),
            first_different_step: errors.first_step,
            others: others.collect(),
        }
    }
}
