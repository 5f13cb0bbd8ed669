use std::{collections::BTreeMap, fmt};

use crate::Resampled;

/// A figure of a set of clips.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Kernel distance (squared MMD) to the reference.
    KernelMmd,
    /// Fréchet distance to the reference.
    Frechet,
    /// Fraction of clips whose predicted label is the one that was asked for.
    Accuracy(String),
    /// Fraction of clips of which all labels are.
    AllLabels,
    /// Mean frame difference over that of the reference.
    FrameDifference,
    /// Mean warp error over that of the reference.
    WarpError,
    /// Mean distance of the features of two clips over that of the reference.
    Diversity,
    /// The same of two clips of one caption.
    DiversityWithinCaptions,
}

/// Every metric of a set of clips.
pub type Measures = BTreeMap<Metric, Resampled>;

impl Metric {
    /// How bad a value is: 0 is best. A ratio is as bad as it is far from 1.
    pub fn badness(&self, value: f64) -> f64 {
        match self {
            Self::KernelMmd | Self::Frechet => value,
            Self::Accuracy(_) | Self::AllLabels => 1.0 - value,
            Self::FrameDifference | Self::WarpError | Self::Diversity | Self::DiversityWithinCaptions => {
                (value - 1.0).abs()
            }
        }
    }

    /// Whether it is a fraction of clips.
    pub fn is_fraction(&self) -> bool {
        matches!(self, Self::Accuracy(_) | Self::AllLabels)
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KernelMmd => f.write_str("kernel_mmd"),
            Self::Frechet => f.write_str("frechet"),
            Self::Accuracy(label) => write!(f, "accuracy/{label}"),
            Self::AllLabels => f.write_str("accuracy_of_all_labels"),
            Self::FrameDifference => f.write_str("frame_difference_ratio"),
            Self::WarpError => f.write_str("warp_error_ratio"),
            Self::Diversity => f.write_str("diversity_ratio"),
            Self::DiversityWithinCaptions => f.write_str("diversity_within_captions_ratio"),
        }
    }
}

/// Whether a metric sees what it should.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitness {
    /// Which one.
    pub metric: Metric,
    /// Controls that it does not score worse than real clips, beyond the 95 % interval of the paired difference.
    pub blind_to: Vec<String>,
}

impl Fitness {
    /// Whether every control scores worse than real clips: a metric that is not fit decides nothing by itself.
    pub fn is_fit(&self) -> bool {
        self.blind_to.is_empty()
    }
}

/// Each metric of the real clips tried on corrupted ones.
pub fn fitness(real: &Measures, controls: &[(String, Measures)]) -> Vec<Fitness> {
    let evaluated = |(metric, real): (&Metric, &Resampled)| {
        let real = real.map(|value| metric.badness(value));
        let worse = |measures: &Measures| {
            let control = measures.get(metric).map(|control| control.map(|value| metric.badness(value)));
            control.is_some_and(|control| control.minus(&real).spread().low > 0.0)
        };
        let blind_to =
            controls.iter().filter(|(_, control)| !worse(control)).map(|(name, _)| name.clone()).collect();
        Fitness { metric: metric.clone(), blind_to }
    };
    real.iter().map(evaluated).collect()
}
