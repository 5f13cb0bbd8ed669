//! Models and schedulers compared with golden cases.

use std::path::Path;

use serde::Serialize;
use tnas_pipeline::check::{
    Checked, Row,
    row::CaseFigures,
    scheduler::{TrajectoryFigures, TrajectoryRow},
};

use super::json;

#[derive(Serialize)]
struct Cases<'a> {
    folder: &'a Path,
    cases: Vec<CaseFigures>,
}

#[derive(Serialize)]
struct Trajectories<'a> {
    folder: &'a Path,
    trajectories: Vec<TrajectoryFigures>,
}

/// Prints the cases of a model; an error where one is beyond the tolerance.
pub fn model(checked: &Checked<Row>, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let cases = checked.rows.iter().map(Row::figures).collect();
        json("backbone check", &Cases { folder: &checked.folder, cases })?;
    } else {
        checked.rows.iter().for_each(|row| println!("{row}"));
    }
    Ok(checked.verdict()?)
}

/// The same for a folder of schedulers.
pub fn schedulers(checked: &Checked<TrajectoryRow>, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let trajectories = checked.rows.iter().map(TrajectoryRow::figures).collect();
        json("scheduler check", &Trajectories { folder: &checked.folder, trajectories })?;
    } else {
        checked.rows.iter().for_each(|row| println!("{row}"));
    }
    Ok(checked.verdict()?)
}
