use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use crate::pairs::Pairs;
use crate::statistics::feature_width;
use crate::{
    EvaluationError, KernelDistance, Measures, Metric, NormalFit, Resampled, ScoredClips, resample_counts,
};

/// Real clips that others are measured by, and resamples of both.
///
/// All sets of one size are resampled alike: clip i of each was asked for by one caption and began as one noise, so that
/// differences of their metrics are paired. The reference is resampled too, alike for all.
pub struct ReferenceClips<'a> {
    reference: &'a ScoredClips,
    reference_counts: Vec<Vec<u32>>,
    fit: NormalFit,
    fits: Vec<NormalFit>,
    means: BTreeMap<Metric, Resampled>,
    resamples: usize,
    seed: u64,
}

/// Takes the reference's resamples from those of the clips: both may be as many.
const REFERENCE_SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Fewer resamples have no 2.5 % on either side.
const LEAST_RESAMPLES: usize = 40;

impl<'a> ReferenceClips<'a> {
    /// From the reference's clips, two at least, with so many resamples, 40 at least.
    pub fn new(reference: &'a ScoredClips, resamples: usize, seed: u64) -> Result<Self, EvaluationError> {
        feature_width("distances to real clips", &[&reference.features], 2)?;
        if resamples < LEAST_RESAMPLES {
            let message = format!("{resamples} resamples; at least {LEAST_RESAMPLES} give 2.5 % on either side");
            return Err(EvaluationError::Statistic { statistic: "a bootstrap interval", message });
        }
        let reference_counts = resample_counts(seed ^ REFERENCE_SEED, resamples, reference.len());
        let fits = reference_counts
            .par_iter()
            .map(|counts| fit(reference, counts))
            .collect::<Result<_, EvaluationError>>()?;
        let mut this = Self {
            reference,
            fit: NormalFit::new(&reference.features, &vec![1; reference.len()])?,
            fits,
            means: BTreeMap::new(),
            reference_counts,
            resamples,
            seed,
        };
        this.means = this.means(reference, &this.reference_counts);
        Ok(this)
    }

    /// Every metric of sets of one size: one set for each seed, whose clip i answers one caption in all of them. Figures are
    /// means over the seeds.
    pub fn measure(&self, seeds: &[ScoredClips]) -> Result<Measures, EvaluationError> {
        let size = seeds.first().map_or(0, ScoredClips::len);
        if let Some(other) = seeds.iter().find(|set| set.len() != size) {
            let message = format!("{size} clips under one seed and {} under another", other.len());
            return Err(EvaluationError::Statistic { statistic: "distances to real clips", message });
        }
        let counts = resample_counts(self.seed, self.resamples, size);
        let sets: Vec<Measures> =
            seeds.iter().map(|set| self.measure_one(set, &counts)).collect::<Result<_, _>>()?;
        let mut measures = Measures::new();
        for metric in sets.first().into_iter().flat_map(Measures::keys) {
            let parts: Vec<Resampled> = sets.iter().filter_map(|set| set.get(metric).cloned()).collect();
            measures.insert(metric.clone(), Resampled::mean(&parts));
        }
        Ok(measures)
    }

    fn measure_one(&self, set: &ScoredClips, counts: &[Vec<u32>]) -> Result<Measures, EvaluationError> {
        feature_width("distances to real clips", &[&set.features, &self.reference.features], 2)?;
        let mut measures = Measures::new();
        let kernels = KernelDistance::new(&set.features, &self.reference.features)?;
        let kernel_mmd = |counts: &[u32], reference: &[u32]| kernels.resampled(counts, reference);
        let all_reference = vec![1; self.reference.len()];
        let pairs = counts.par_iter().zip(&self.reference_counts);
        measures.insert(
            Metric::KernelMmd,
            Resampled {
                estimate: kernel_mmd(&vec![1; set.len()], &all_reference),
                values: pairs.map(|(counts, reference)| kernel_mmd(counts, reference)).collect(),
            },
        );
        let distances = counts.par_iter().zip(&self.fits);
        measures.insert(
            Metric::Frechet,
            Resampled {
                estimate: self.fit.distance(&fit(set, &vec![1; set.len()])?),
                values: distances
                    .map(|(counts, reference)| Ok(reference.distance(&fit(set, counts)?)))
                    .collect::<Result<_, EvaluationError>>()?,
            },
        );
        for (metric, mean) in self.means(set, counts) {
            // Real clips that do not move, or are all one, leave nothing to compare with.
            match self.means.get(&metric) {
                Some(real) if real.estimate > 0.0 => {
                    let values = mean.values.iter().zip(&real.values).map(|(a, b)| a / b).collect();
                    measures.insert(metric, Resampled { estimate: mean.estimate / real.estimate, values });
                }
                _ => {}
            }
        }
        for (label, right) in &set.right {
            measures.extend(fraction(right, counts).map(|found| (Metric::Accuracy(label.clone()), found)));
        }
        if set.right.len() > 1 {
            let all: Vec<Option<bool>> = (0..set.len())
                .map(|i| set.right.values().try_fold(true, |all, right| Some(all & right[i]?)))
                .collect();
            measures.extend(fraction(&all, counts).map(|found| (Metric::AllLabels, found)));
        }
        Ok(measures)
    }

    /// Means over the clips, and over pairs of them, of what is reported as a ratio.
    fn means(&self, set: &ScoredClips, counts: &[Vec<u32>]) -> BTreeMap<Metric, Resampled> {
        let once = vec![1; set.len()];
        let resampled = |of: &(dyn Fn(&[u32]) -> f64 + Sync)| Resampled {
            estimate: of(&once),
            values: counts.par_iter().map(|counts| of(counts)).collect(),
        };
        let distances = Pairs::new(&set.features, &set.features, |x, y| {
            x.iter().zip(y).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
        });
        let mut means = BTreeMap::from([
            (Metric::FrameDifference, resampled(&|counts| mean(&set.frame_difference, counts))),
            (Metric::WarpError, resampled(&|counts| mean(&set.warp_error, counts))),
            (Metric::Diversity, resampled(&|counts| distances.mean(counts, counts, true))),
        ]);
        let distinct: BTreeSet<&String> = set.captions.iter().collect();
        let places: BTreeMap<&String, usize> = distinct.into_iter().zip(0..).collect();
        let captions: Vec<usize> = set.captions.iter().map(|caption| places[caption]).collect();
        let alike = |i: usize, j: usize| i != j && captions[i] == captions[j];
        let within = resampled(&|counts| distances.mean_where(counts, counts, alike));
        // With hardly a caption twice, resamples without a pair are likely.
        if within.estimate.is_finite() && within.values.iter().all(|value| value.is_finite()) {
            means.insert(Metric::DiversityWithinCaptions, within);
        }
        means
    }
}

fn fit(set: &ScoredClips, counts: &[u32]) -> Result<NormalFit, EvaluationError> {
    NormalFit::new(&set.features, counts)
}

fn mean(values: &[f64], counts: &[u32]) -> f64 {
    let (sum, weight) = values.iter().zip(counts).fold((0.0, 0.0), |(sum, weight), (value, &count)| {
        (sum + f64::from(count) * value, weight + f64::from(count))
    });
    sum / weight
}

/// Fraction of the clips of which it is known that are right; nothing where it is known of none.
fn fraction(right: &[Option<bool>], counts: &[Vec<u32>]) -> Option<Resampled> {
    let of = |counts: &[u32]| {
        let known = right.iter().zip(counts).filter_map(|(right, &count)| Some(((*right)?, f64::from(count))));
        let (sum, weight) = known.fold((0.0, 0.0), |(sum, weight), (right, count)| {
            (sum + if right { count } else { 0.0 }, weight + count)
        });
        sum / weight
    };
    let estimate = of(&vec![1; right.len()]);
    // A resample may know of none.
    let value = |counts: &Vec<u32>| Some(of(counts)).filter(|fraction| fraction.is_finite()).unwrap_or(estimate);
    estimate.is_finite().then(|| Resampled { estimate, values: counts.iter().map(value).collect() })
}
