use super::{
    Plot,
    curves::{Curves, Series},
    render,
};
use crate::{ReportError, RunRecord};

/// Hypervolume of the archive after each generation.
pub fn plot(record: &RunRecord) -> Result<Option<Plot>, ReportError> {
    let Some(found) = &record.figures.hypervolume else { return Ok(None) };
    let points: Vec<(f64, f64)> = (1_u32..).map(f64::from).zip(found.by_generation.iter().copied()).collect();
    if points.is_empty() {
        return Ok(None);
    }
    let coordinates: Vec<String> =
        found.reference_point.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let caption = format!("Hypervolume of all candidates so far, reference point {}.", coordinates.join(", "));
    let series = vec![Series { name: "archive".into(), points }];
    render("hypervolume", caption, &Curves { x: "generation", y: "hypervolume".into(), series }).map(Some)
}
