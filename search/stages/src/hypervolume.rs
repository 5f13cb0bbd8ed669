//! Hypervolume of the archive by generation.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Context;
use tnas_record::{HypervolumeSummary, ObjectiveSet, ObjectiveValues, SearchCandidates};

use super::{Inputs, Stage, up_to_date};
use crate::workbench::Workbench;

/// Hypervolume of all candidates so far by generation.
pub struct Hypervolume;

impl Stage for Hypervolume {
    type Output = HypervolumeSummary;

    fn inputs(&self, bench: &Workbench) -> anyhow::Result<Inputs> {
        // The point that a run's own study.toml has is the one that was found: nothing changes.
        let asked = &bench.study.search.reference_point;
        let changed = asked.as_ref().filter(|&point| Some(point) != bench.run.reference_point().as_ref());
        Inputs::new().file(bench.run.files().of::<SearchCandidates>()).setting("search.reference_point", &changed)
    }

    fn outputs(&self, _bench: &Workbench) -> anyhow::Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }

    fn run(&self, bench: &Workbench) -> anyhow::Result<HypervolumeSummary> {
        let (path, asked) = (bench.run.files().of::<SearchCandidates>(), &bench.study.search.reference_point);
        let candidates: SearchCandidates =
            tnas_record::read_from(&path).context("failed to take hypervolumes")?.with_context(|| {
                format!("failed to take hypervolumes: there is no {}; run `search`", path.display())
            })?;
        let generations = by_generation(&candidates)?;
        let reference = match asked {
            Some(point) => vector(&candidates.objectives, &point.values())?,
            None => beyond_the_worst(candidates.objectives.count(), generations.values().flatten()),
        };
        let by_generation = volumes(generations.into_values(), &reference)?;
        Ok(HypervolumeSummary { reference_point: candidates.objectives.values(&reference), by_generation })
    }
}

/// Takes the hypervolumes, where that is not done.
pub fn hypervolume(bench: &Workbench) -> anyhow::Result<HypervolumeSummary> {
    up_to_date(bench, &Hypervolume)
}

/// Minimised numbers, in the objectives' order.
fn vector(objectives: &ObjectiveSet, values: &ObjectiveValues) -> anyhow::Result<Vec<f64>> {
    let missing = |name: &str| anyhow::anyhow!("failed to take a hypervolume: a point of it has no {name}");
    objectives.vector(values).map_err(missing)
}

fn by_generation(candidates: &SearchCandidates) -> anyhow::Result<BTreeMap<u32, Vec<Vec<f64>>>> {
    let mut generations: BTreeMap<u32, Vec<Vec<f64>>> = BTreeMap::new();
    for row in &candidates.rows {
        generations.entry(row.generation).or_default().push(vector(&candidates.objectives, &row.objectives)?);
    }
    Ok(generations)
}

/// Hypervolume of all points so far, after each generation.
fn volumes(generations: impl Iterator<Item = Vec<Vec<f64>>>, reference: &[f64]) -> anyhow::Result<Vec<f64>> {
    let mut so_far = Vec::new();
    let after = |points| {
        so_far.extend(points);
        Ok(tnas_evolution::hypervolume(&so_far, reference)?)
    };
    generations.map(after).collect()
}

/// A twentieth beyond the worst of each objective.
fn beyond_the_worst<'a>(count: usize, points: impl Iterator<Item = &'a Vec<f64>>) -> Vec<f64> {
    /// For objectives that are 0 everywhere: a point must be better than the reference to count.
    const LEAST: f64 = 1e-9;
    let mut worst = vec![f64::NEG_INFINITY; count];
    for point in points {
        worst.iter_mut().zip(point).for_each(|(worst, &x)| *worst = worst.max(x));
    }
    let beyond = |worst: f64| if worst < -LEAST { 0.95 * worst } else { 1.05 * worst.max(LEAST) };
    worst.into_iter().map(|worst| if worst.is_finite() { beyond(worst) } else { 1.05 * LEAST }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_point_is_worse_than_every_candidate() {
        let points = [vec![0.05, -3.0, 0.0], vec![0.04, -2.0, 0.0]];
        let reference = beyond_the_worst(3, points.iter());
        assert_eq!(reference, [1.05 * 0.05, -1.9, 1.05e-9]);
        assert!(points.iter().flat_map(|point| point.iter().zip(&reference)).all(|(x, bound)| x < bound));
        assert_eq!(beyond_the_worst(2, [].into_iter()), [1.05e-9; 2]);
    }

    #[test]
    fn hypervolume_never_falls_from_generation_to_generation() {
        let generations = [vec![vec![3.0, 1.0], vec![1.0, 3.0]], vec![vec![2.0, 2.0]], vec![vec![3.0, 3.0]]];
        let found = volumes(generations.into_iter(), &[4.0, 4.0]).expect("finite");
        assert_eq!(found, [5.0, 6.0, 6.0]);
    }
}
