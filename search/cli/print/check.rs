//! Models and schedulers compared with golden cases.

use serde_json::{Value, json};
use tnas_pipeline::check::{Checked, Row, scheduler::TrajectoryRow};

/// Prints the cases of a model, then says whether one is beyond the tolerance.
pub fn model(checked: &Checked<Row>, as_json: bool) -> anyhow::Result<()> {
    let cases = checked.rows.iter().map(|row| (row.to_string(), row.to_json()));
    print(checked, "backbone check", "cases", cases, as_json)
}

/// The same for a folder of schedulers.
pub fn schedulers(checked: &Checked<TrajectoryRow>, as_json: bool) -> anyhow::Result<()> {
    let rows = checked.rows.iter().map(|row| (row.to_string(), row.to_json()));
    print(checked, "scheduler check", "trajectories", rows, as_json)
}

fn print<R>(
    checked: &Checked<R>,
    command: &str,
    key: &str,
    rows: impl Iterator<Item = (String, Value)>,
    as_json: bool,
) -> anyhow::Result<()> {
    if as_json {
        let rows: Vec<Value> = rows.map(|(_, row)| row).collect();
        println!("{}", json!({"format_version": 1, "command": command, "folder": checked.folder, key: rows}));
    } else {
        rows.for_each(|(line, _)| println!("{line}"));
    }
    Ok(checked.verdict()?)
}
