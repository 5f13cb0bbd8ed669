use super::{
    Plot,
    curves::{Curves, Series},
    render,
};
use crate::{ReportError, RunRecord};

/// Hypervolume of the archive after each generation.
pub fn plot(record: &RunRecord) -> Result<Option<Plot>, ReportError> {
    let values = record.figure("hypervolume", "by_generation").and_then(|v| v.as_array());
    let points: Vec<(f64, f64)> =
        values.into_iter().flatten().enumerate().filter_map(|(i, v)| Some(((i + 1) as f64, v.as_f64()?))).collect();
    if points.is_empty() {
        return Ok(None);
    }
    let reference = record.figure("hypervolume", "reference_point").and_then(|point| point.as_object());
    let coordinates: Vec<String> =
        reference.into_iter().flatten().map(|(name, value)| format!("{name} = {value}")).collect();
    let caption = format!("Hypervolume of all candidates so far, reference point {}.", coordinates.join(", "));
    let series = vec![Series { name: "archive".into(), points }];
    render("hypervolume", caption, &Curves { x: "generation", y: "hypervolume".into(), series }).map(Some)
}
