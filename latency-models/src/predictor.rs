use serde::{Deserialize, Serialize};

use crate::{ArchFeatures, LatencyError, RooflinePrior, SpaceBlocks, prior::MOST_HINTS, residual::Residual};

/// Latency of an architecture, learned from measured ones: a roofline prior on counted work, a table of (slot, choice)
/// shrunk to it, a Gaussian process for what slots do together, and an interval that held on data left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyPredictor {
    prior: RooflinePrior,
    residual: Residual,
    /// Half the interval's width, in deviations.
    interval_sigmas: f64,
    coverage: f64,
}

/// A predicted latency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Expected milliseconds.
    pub mean_ms: f64,
    /// Deviation of a measurement from it.
    pub sigma_ms: f64,
    /// Lower end of the interval.
    pub low_ms: f64,
    /// Upper end.
    pub high_ms: f64,
}

/// How a predictor is learned.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FitSettings {
    /// Fraction of new architectures whose measurement the interval should hold.
    pub coverage: f64,
    /// Parts of the data that are left out in turn to find the interval.
    pub folds: usize,
}

impl Default for FitSettings {
    fn default() -> Self {
        Self { coverage: 0.9, folds: 10 }
    }
}

/// Fewer teach nothing.
const LEAST_ROWS: usize = 4;

/// A prior that says less is not believed: a fraction of the measured mean.
const LEAST_SCALE: f64 = 0.05;

impl LatencyPredictor {
    /// Learns from measured architectures of which only the choices and the work are known.
    pub fn fit(
        features: &[ArchFeatures],
        latency_ms: &[f64],
        settings: &FitSettings,
    ) -> Result<Self, LatencyError> {
        Self::fit_in(None, features, latency_ms, settings)
    }

    /// Learns from measured architectures of a space whose blocks are known: what alike blocks take tells of each other.
    pub fn fit_in(
        blocks: Option<&SpaceBlocks>,
        features: &[ArchFeatures],
        latency_ms: &[f64],
        settings: &FitSettings,
    ) -> Result<Self, LatencyError> {
        check(features, latency_ms)?;
        settings.check()?;
        let all: Vec<usize> = (0..features.len()).collect();
        let singular = || LatencyError::Fit(format!("no kernel of {} rows could be inverted", features.len()));
        let rows = Rows::new(features, latency_ms, &all);
        let residual = Residual::fit(rows.choices, rows.scale_ms, rows.residual_ms, blocks).ok_or_else(singular)?;
        let fitted = Self { prior: rows.prior, residual, interval_sigmas: 0.0, coverage: settings.coverage };
        let scores = fitted.held_out_scores(features, latency_ms, settings.folds).ok_or_else(singular)?;
        Ok(Self { interval_sigmas: conformal_quantile(scores, settings.coverage), ..fitted })
    }

    /// Predicts one architecture.
    pub fn predict(&self, features: &ArchFeatures) -> Prediction {
        let prior_ms = self.prior.predict_ms(features);
        let mean_ms = self.above_zero(prior_ms + self.residual.mean_ms(&features.choices), prior_ms);
        let sigma_ms = self.residual.sigma_ms(&features.choices, prior_ms);
        let half = self.interval_sigmas * sigma_ms;
        Prediction { mean_ms, sigma_ms, low_ms: (mean_ms - half).max(0.0), high_ms: mean_ms + half }
    }

    /// The expected milliseconds alone: a hundred times faster than with their deviation.
    pub fn mean_ms(&self, features: &ArchFeatures) -> f64 {
        let prior_ms = self.prior.predict_ms(features);
        self.above_zero(prior_ms + self.residual.mean_ms(&features.choices), prior_ms)
    }

    /// What slots add together, beyond the sum of what they add alone.
    pub(crate) fn interactions_ms(&self, choices: &[u16]) -> f64 {
        self.residual.interactions_ms(choices)
    }

    /// Speeds of the device.
    pub fn prior(&self) -> &RooflinePrior {
        &self.prior
    }

    /// Milliseconds that each choice at each slot takes beyond its counted work.
    pub fn table(&self) -> &[Vec<f64>] {
        self.residual.table()
    }

    /// Architectures that it learned from.
    pub fn trained_on(&self) -> usize {
        self.residual.rows()
    }

    /// Slots that it speaks of.
    pub fn slots(&self) -> usize {
        self.residual.slots()
    }

    /// Fraction of measurements that its intervals should hold.
    pub fn coverage(&self) -> f64 {
        self.coverage
    }

    /// Far from the data a sum of corrections can pass below zero; no latency does.
    pub(crate) fn above_zero(&self, mean_ms: f64, prior_ms: f64) -> f64 {
        mean_ms.max(LEAST_SCALE * prior_ms)
    }

    /// |error|/σ of each row by a predictor that did not see its fold; the kernel is kept.
    fn held_out_scores(&self, features: &[ArchFeatures], latency_ms: &[f64], folds: usize) -> Option<Vec<f64>> {
        let folds = folds.min(features.len());
        let mut scores = Vec::new();
        for fold in 0..folds {
            let (out, kept): (Vec<usize>, Vec<usize>) = (0..features.len()).partition(|row| row % folds == fold);
            let rows = Rows::new(features, latency_ms, &kept);
            let residual = self.residual.refit(rows.choices, rows.scale_ms, rows.residual_ms)?;
            let (interval_sigmas, coverage) = (self.interval_sigmas, self.coverage);
            let without = Self { prior: rows.prior, residual, interval_sigmas, coverage };
            scores.extend(out.into_iter().map(|row| {
                let prediction = without.predict(&features[row]);
                (latency_ms[row] - prediction.mean_ms).abs() / prediction.sigma_ms
            }));
        }
        Some(scores)
    }
}

/// Some rows of the data with the prior that they give.
struct Rows {
    prior: RooflinePrior,
    choices: Vec<Vec<u16>>,
    scale_ms: Vec<f64>,
    residual_ms: Vec<f64>,
}

impl Rows {
    fn new(features: &[ArchFeatures], latency_ms: &[f64], indices: &[usize]) -> Self {
        let features: Vec<&ArchFeatures> = indices.iter().map(|&index| &features[index]).collect();
        let latency_ms: Vec<f64> = indices.iter().map(|&index| latency_ms[index]).collect();
        let prior = RooflinePrior::fit(&features, &latency_ms);
        let expected: Vec<f64> = features.iter().map(|features| prior.predict_ms(features)).collect();
        let least = LEAST_SCALE * latency_ms.iter().sum::<f64>() / latency_ms.len() as f64;
        Self {
            prior,
            choices: features.iter().map(|features| features.choices.clone()).collect(),
            scale_ms: expected.iter().map(|ms| ms.max(least)).collect(),
            residual_ms: latency_ms.iter().zip(&expected).map(|(ms, expected)| ms - expected).collect(),
        }
    }
}

/// The ⌈(n+1)·coverage⌉-th smallest score (Vovk et al. 2005; for folds Barber et al. 2021, CV+).
fn conformal_quantile(mut scores: Vec<f64>, coverage: f64) -> f64 {
    scores.sort_by(f64::total_cmp);
    let rank = ((scores.len() + 1) as f64 * coverage).ceil() as usize;
    scores[rank.clamp(1, scores.len()) - 1]
}

impl FitSettings {
    fn check(&self) -> Result<(), LatencyError> {
        if !(self.coverage > 0.0 && self.coverage < 1.0) || self.folds < 2 {
            let message =
                format!("coverage = {} must be inside 0 to 1, folds = {} at least 2", self.coverage, self.folds);
            return Err(LatencyError::Fit(message));
        }
        Ok(())
    }
}

/// Refuses data that no fit can use.
pub(crate) fn check(features: &[ArchFeatures], latency_ms: &[f64]) -> Result<(), LatencyError> {
    let fail = |message: String| Err(LatencyError::Fit(message));
    let counts = (features.len(), latency_ms.len());
    if counts.0 != counts.1 || counts.0 < LEAST_ROWS {
        return fail(format!("{} architectures, {} latencies; at least {LEAST_ROWS} of each", counts.0, counts.1));
    }
    let slots = features[0].choices.len();
    if let Some(other) = features.iter().find(|f| f.choices.len() != slots) {
        let message =
            format!("architecture {} has {} slots, the first has {slots}", other.arch_id, other.choices.len());
        return fail(message);
    }
    let hints = features[0].hints_ms.len();
    let sound =
        |f: &ArchFeatures| f.hints_ms.len() == hints && f.hints_ms.iter().all(|x| x.is_finite() && *x >= 0.0);
    if let Some(other) = features.iter().find(|f| !sound(f)) {
        let (id, found) = (&other.arch_id, &other.hints_ms);
        return fail(format!("architecture {id} has hints {found:?}, the first has {hints} of them"));
    }
    if hints > MOST_HINTS {
        return fail(format!("{hints} other measurements to learn from; at most {MOST_HINTS}"));
    }
    match features.iter().zip(latency_ms).find(|(_, ms)| !(ms.is_finite() && **ms > 0.0)) {
        Some((features, ms)) => fail(format!("a latency of {ms} ms, of architecture {}", features.arch_id)),
        None => Ok(()),
    }
}
