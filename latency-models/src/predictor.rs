use nalgebra::DVector;
use serde::{Deserialize, Serialize};

use crate::{
    ArchFeatures, LatencyError, SourceDevice, SpaceBlocks,
    core::{Amplitudes, Encoding, Guess, Linear, Measured, Model, Priors, similar_from},
    correlation::spearman,
    graph_encoder,
    similarity::BlockSimilarity,
};

/// Latency of an architecture, learned from measured ones by one Gaussian process: a roofline prior on counted work, a table of
/// (slot, choice) whose entries learn from similar blocks and from other devices, interactions, and intervals.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Learned", into = "Learned")]
pub struct LatencyPredictor {
    learned: Learned,
    pub(crate) model: Model,
}

/// What the rest is computed from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Learned {
    encoding: Encoding,
    similarity: Option<BlockSimilarity>,
    /// Other devices that agree, as functions of the encoded numbers.
    sources: Vec<Source>,
    /// `[rows][features]`, and milliseconds of each row.
    rows: Vec<Vec<f64>>,
    latency_ms: Vec<f64>,
    amplitudes: Amplitudes,
    /// Variance of each row's noise over the usual: above 1 for outliers.
    inflation: Vec<f64>,
    coverage: f64,
}

/// A device that is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    mean_ms: f64,
    weights: Vec<f64>,
    /// Spearman's correlation with what was measured on the target.
    agreement: f64,
}

/// A predicted latency.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Expected milliseconds.
    pub mean_ms: f64,
    /// Standard deviation of a measurement from it, in milliseconds.
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
}

impl Default for FitSettings {
    fn default() -> Self {
        Self { coverage: 0.9 }
    }
}

/// Fewer teach nothing.
const LEAST_ROWS: usize = 4;

impl LatencyPredictor {
    /// Learns from measured architectures of which only the choices and the work are known.
    pub fn fit(
        features: &[ArchFeatures],
        latency_ms: &[f64],
        settings: &FitSettings,
    ) -> Result<Self, LatencyError> {
        Self::fit_in(None, features, latency_ms, settings)
    }

    /// Learns from measured architectures of a space whose blocks are known: similar blocks inform each other.
    pub fn fit_in(
        blocks: Option<&SpaceBlocks>,
        features: &[ArchFeatures],
        latency_ms: &[f64],
        settings: &FitSettings,
    ) -> Result<Self, LatencyError> {
        Ok(Self::transfer(blocks, &[], features, latency_ms, settings)?.0)
    }

    /// The same with other devices; their agreement with what was measured, in the order given.
    pub(crate) fn transfer(
        blocks: Option<&SpaceBlocks>,
        sources: &[SourceDevice],
        features: &[ArchFeatures],
        latency_ms: &[f64],
        settings: &FitSettings,
    ) -> Result<(Self, Vec<f64>), LatencyError> {
        check(features, latency_ms)?;
        settings.check()?;
        let all: Vec<&ArchFeatures> = sources.iter().flat_map(|source| &source.features).chain(features).collect();
        let encoding = graph_encoder::encoding(blocks, &all).map_err(LatencyError::Fit)?;
        let alone = Learned {
            encoding,
            similarity: blocks.map(BlockSimilarity::new),
            sources: Vec::new(),
            rows: features.iter().map(graph_encoder::row).collect(),
            latency_ms: latency_ms.to_vec(),
            amplitudes: Amplitudes { kernels: Vec::new(), noise: 0.0 },
            inflation: Vec::new(),
            coverage: settings.coverage,
        };
        let known = sources.iter().map(|source| alone.source(source)).collect::<Result<Vec<Source>, _>>()?;
        let agreement: Vec<f64> = known.iter().map(|source| source.agreement).collect();
        let similar = agreement.iter().any(|&agreement| agreement >= similar_from(features.len()));
        let learned = Learned { sources: if similar { known } else { Vec::new() }, ..alone };
        Ok((learned.search()?, agreement))
    }

    /// Predicts one architecture.
    pub fn predict(&self, features: &ArchFeatures) -> Prediction {
        let x = self.learned.encoding.encode(&[graph_encoder::row(features)]);
        Prediction::from(self.model.predict(&x, None)[0])
    }

    /// The expected milliseconds alone.
    pub fn mean_ms(&self, features: &ArchFeatures) -> f64 {
        let x = self.learned.encoding.encode(&[graph_encoder::row(features)]);
        self.model.mean_ms(&x, None)[0]
    }

    /// Choices of each slot that it describes.
    pub fn choices(&self) -> Vec<usize> {
        self.learned.encoding.choices_by_slot()
    }

    /// Architectures that it learned from.
    pub fn trained_on(&self) -> usize {
        self.learned.rows.len()
    }

    /// Slots that it describes.
    pub fn slots(&self) -> usize {
        self.learned.encoding.slots()
    }

    /// Fraction of measurements that its intervals should hold.
    pub fn coverage(&self) -> f64 {
        self.learned.coverage
    }

    /// Whether other devices are in its prior.
    pub(crate) fn has_sources(&self) -> bool {
        !self.learned.sources.is_empty()
    }

    pub(crate) fn encoding(&self) -> &Encoding {
        &self.learned.encoding
    }

    /// Genomes of the rows that it learned from.
    pub(crate) fn genomes(&self) -> Vec<Vec<u16>> {
        let slots = self.slots();
        self.learned.rows.iter().map(|row| row[..slots].iter().map(|&choice| choice as u16).collect()).collect()
    }
}

impl PartialEq for LatencyPredictor {
    fn eq(&self, other: &Self) -> bool {
        self.learned == other.learned
    }
}

impl Learned {
    fn priors(&self, rows: &[Vec<f64>]) -> Option<Priors> {
        let x = self.encoding.encode(rows);
        let sources: Vec<Linear> = self.sources.iter().map(Source::linear).collect();
        // One that disagrees says nothing of this device.
        let agreement: Vec<f64> = self.sources.iter().map(|source| source.agreement.max(0.05)).collect();
        let mut priors = match sources.is_empty() {
            true => Priors::alone(&self.encoding, &x),
            false => Priors::from_sources(&self.encoding, &sources, &agreement)?,
        };
        if let Some(similarity) = &self.similarity {
            priors.parts.extend(similarity.parts(&self.encoding, &x));
        }
        Some(priors)
    }

    fn measured<'a>(&self, rows: &[Vec<f64>], latency_ms: &'a [f64]) -> Measured<'a> {
        let x = self.encoding.encode(rows);
        Measured { x, latency_ms, base: None, effect: None, coverage: self.coverage }
    }

    fn search(self) -> Result<LatencyPredictor, LatencyError> {
        let singular = || LatencyError::Fit(format!("no kernel of {} rows could be inverted", self.rows.len()));
        let priors = self.priors(&self.rows).ok_or_else(singular)?;
        let measured = self.measured(&self.rows, &self.latency_ms);
        let model = Model::fit(&self.encoding, priors, &measured).ok_or_else(singular)?;
        let (amplitudes, inflation) = (model.process.settings.clone(), model.process.inflation.clone());
        Ok(LatencyPredictor { learned: Self { amplitudes, inflation, ..self }, model })
    }

    /// What is learned of another device alone.
    fn source(&self, source: &SourceDevice) -> Result<Source, LatencyError> {
        check(&source.features, &source.latency_ms)?;
        let rows: Vec<Vec<f64>> = source.features.iter().map(graph_encoder::row).collect();
        let singular = || LatencyError::Fit(format!("no kernel of {} could be inverted", source.device));
        let priors = self.priors(&rows).ok_or_else(singular)?;
        let measured = self.measured(&rows, &source.latency_ms);
        let model = Model::fit(&self.encoding, priors, &measured).ok_or_else(singular)?;
        let predicted = model.mean_ms(&self.encoding.encode(&self.rows), None);
        Ok(Source {
            mean_ms: model.unit_ms * (1.0 + model.constant),
            weights: model.weights.iter().map(|weight| weight * model.unit_ms).collect(),
            agreement: spearman(&predicted, &self.latency_ms),
        })
    }
}

impl Source {
    fn linear(&self) -> Linear {
        Linear { mean_ms: self.mean_ms, weights: DVector::from_column_slice(&self.weights) }
    }
}

impl From<LatencyPredictor> for Learned {
    fn from(predictor: LatencyPredictor) -> Self {
        predictor.learned
    }
}

impl TryFrom<Learned> for LatencyPredictor {
    type Error = String;

    fn try_from(learned: Learned) -> Result<Self, String> {
        let (n, width) = (learned.rows.len(), learned.encoding.features());
        if n < LEAST_ROWS || learned.latency_ms.len() != n || learned.inflation.len() != n {
            let lengths = (n, learned.latency_ms.len(), learned.inflation.len());
            return Err(format!("rows, latencies and inflations are {lengths:?} in number"));
        }
        if let Some(row) = learned.rows.iter().find(|row| row.len() != width) {
            return Err(format!("a row has {} features, the encoding has {width}", row.len()));
        }
        let positive = |x: &f64| x.is_finite() && *x > 0.0;
        let numbers = learned.amplitudes.kernels.iter().chain(&learned.latency_ms).chain(&learned.inflation);
        let sound = numbers.chain([&learned.amplitudes.noise]).all(positive)
            && learned.rows.iter().flatten().all(|x| x.is_finite())
            && learned.encoding.is_sound()
            && learned.sources.iter().all(|s| s.weights.len() == learned.encoding.width() && positive(&s.mean_ms))
            && learned.similarity.as_ref().is_none_or(|s| s.slots() == learned.encoding.slots());
        if !sound {
            return Err("numbers that no fit gives".into());
        }
        let singular = || "its kernel cannot be inverted".to_string();
        let priors = learned.priors(&learned.rows).ok_or_else(singular)?;
        let measured = learned.measured(&learned.rows, &learned.latency_ms);
        let (amplitudes, inflation) = (&learned.amplitudes, &learned.inflation);
        let model = Model::condition(&learned.encoding, priors, &measured, amplitudes, inflation);
        Ok(Self { model: model.ok_or_else(singular)?, learned })
    }
}

impl From<Guess> for Prediction {
    fn from(guess: Guess) -> Self {
        let Guess { mean_ms, sigma_ms, low_ms, high_ms } = guess;
        Self { mean_ms, sigma_ms, low_ms, high_ms }
    }
}

impl FitSettings {
    fn check(&self) -> Result<(), LatencyError> {
        if !(self.coverage > 0.0 && self.coverage < 1.0) {
            return Err(LatencyError::Fit(format!("coverage = {} must be inside 0 to 1", self.coverage)));
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
    let known = features[0].blocks_ms.is_some();
    let sound = |f: &ArchFeatures| {
        f.blocks_ms.is_some() == known && f.blocks_ms.is_none_or(|ms| ms.is_finite() && ms >= 0.0)
    };
    if let Some(other) = features.iter().find(|f| !sound(f)) {
        let (id, found) = (&other.arch_id, other.blocks_ms);
        return fail(format!(
            "architecture {id} has blocks of {found:?} ms, the first has {:?}",
            features[0].blocks_ms
        ));
    }
    match features.iter().zip(latency_ms).find(|(_, ms)| !(ms.is_finite() && **ms > 0.0)) {
        Some((features, ms)) => fail(format!("a latency of {ms} ms, of architecture {}", features.arch_id)),
        None => Ok(()),
    }
}
