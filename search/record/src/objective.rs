use std::{borrow::Cow, fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A quantity of an architecture that a search minimises or maximises, and that limits and winner rules can bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    /// Name in settings, stores and files.
    pub name: Cow<'static, str>,
    /// Name on the axes of plots and in the heads of tables.
    pub label: Cow<'static, str>,
    /// Unit of its values; empty for plain numbers.
    pub unit: Cow<'static, str>,
    /// How the search comes by its values.
    pub source: Source,
    /// Which values are better.
    pub direction: Direction,
    /// What the values are of.
    pub scope: Scope,
}

/// How the search comes by an objective's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// By running the candidate on held-out clips: only for candidates that keep the limits.
    Scored,
    /// By a model fitted on measurements of the target device; measured on the front.
    Predicted,
    /// By measuring every candidate on the target device, as a library's own scorer may; a study's objectives are predicted instead.
    Measured,
    /// By counting the candidate's graph: exact.
    Counted,
}

/// What an objective's values are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// One call of the denoiser on one clip.
    Call,
    /// A whole clip: the text encoder, every step of the denoiser, the decoder.
    Clip,
}

/// Which values of an objective are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Small ones.
    Minimise,
    /// Large ones.
    Maximise,
}

/// Every objective that a study can name. To add one, add it here, and its computation to `COMPUTATIONS` in
/// `search/stages/src/objectives.rs`.
pub const OBJECTIVES: &[Objective] = &[
    Objective::minimised("loss", "held-out loss", "", Source::Scored),
    Objective::minimised("latency_ms", "latency", "ms", Source::Predicted),
    Objective::minimised("parameters", "parameters", "", Source::Counted),
    Objective::minimised("macs", "multiply-accumulates", "", Source::Counted),
    Objective::minimised("peak_memory_bytes", "weights and live activations", "bytes", Source::Counted),
    Objective::minimised("process_memory_bytes", "peak memory of the process", "bytes", Source::Predicted),
    Objective::minimised("clip_latency_ms", "latency of a clip", "ms", Source::Predicted).of_clip(),
];

/// What is wrong with the objectives of a study; each message completes "failed to …".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectiveError {
    /// There is no such objective.
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// A study without objectives.
    None,
    /// An objective is named twice.
    Twice {
        /// Its name.
        name: String,
    },
    /// A number of an objective is NaN or infinite.
    NotFinite {
        /// The objective's name.
        name: String,
    },
}

impl Objective {
    /// A quantity of which small values are better.
    pub const fn minimised(name: &'static str, label: &'static str, unit: &'static str, source: Source) -> Self {
        let (name, label, unit) = (Cow::Borrowed(name), Cow::Borrowed(label), Cow::Borrowed(unit));
        Self { name, label, unit, source, direction: Direction::Minimise, scope: Scope::Call }
    }

    /// The same quantity of a whole clip.
    pub const fn of_clip(mut self) -> Self {
        self.scope = Scope::Clip;
        self
    }

    /// The same quantity, of which large values are better.
    pub const fn maximised(mut self) -> Self {
        self.direction = Direction::Maximise;
        self
    }

    /// The known objective of a name.
    pub fn known(name: &str) -> Result<&'static Self, ObjectiveError> {
        let found = OBJECTIVES.iter().find(|objective| objective.name == name);
        found.ok_or_else(|| ObjectiveError::Unknown { name: name.into() })
    }

    /// A value as a number of which small ones are better. Its own inverse.
    pub fn oriented(&self, value: f64) -> f64 {
        match self.direction {
            Direction::Minimise => value,
            Direction::Maximise => -value,
        }
    }

    /// Whether a value is no worse than a bound: at most it where small values are better, else at least it.
    pub fn keeps(&self, value: f64, bound: f64) -> bool {
        self.oriented(value) <= self.oriented(bound)
    }

    /// Label and unit, as for the axis of a plot: `latency [ms]`.
    pub fn axis(&self) -> String {
        if self.unit.is_empty() { self.label.to_string() } else { format!("{} [{}]", self.label, self.unit) }
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl FromStr for Objective {
    type Err = ObjectiveError;

    fn from_str(name: &str) -> Result<Self, ObjectiveError> {
        Self::known(name).cloned()
    }
}

impl fmt::Display for ObjectiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // In the manner of serde, so that settings can name the nearest.
            Self::Unknown { name } => {
                let names: Vec<String> = OBJECTIVES.iter().map(|known| format!("`{known}`")).collect();
                write!(f, "unknown objective `{name}`, expected one of {}", names.join(", "))
            }
            Self::None => f.write_str("search without objectives: name at least one, such as \"loss\""),
            Self::Twice { name } => write!(f, "search by `{name}` twice: name each objective once"),
            Self::NotFinite { name } => write!(f, "use `{name}`: a finite number is needed"),
        }
    }
}

impl std::error::Error for ObjectiveError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_objective_parses_from_its_name_and_survives_storage() {
        for objective in OBJECTIVES {
            assert_eq!(objective.to_string().parse().as_ref(), Ok(objective));
            let text = serde_json::to_string(objective).expect("serialises");
            assert_eq!(&serde_json::from_str::<Objective>(&text).expect("parses"), objective);
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(objective.name.chars().all(plain), "{objective} is a key of TOML without quotes");
        }
        let names: std::collections::BTreeSet<&str> = OBJECTIVES.iter().map(|known| &*known.name).collect();
        assert_eq!(names.len(), OBJECTIVES.len());
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let message = "los".parse::<Objective>().expect_err("unknown").to_string();
        assert!(message.starts_with("unknown objective `los`, expected one of `loss`, `latency_ms`"), "{message}");
    }

    #[test]
    fn to_maximise_is_to_minimise_the_negation() {
        let cost = Objective::minimised("cost", "cost", "", Source::Counted);
        let gain = cost.clone().maximised();
        for (value, bound) in [(1.0, 2.0), (2.0, 1.0), (3.0, 3.0), (-1.0, 0.5)] {
            assert_eq!(gain.oriented(value), cost.oriented(-value));
            assert_eq!(gain.oriented(gain.oriented(value)), value);
            assert_eq!(gain.keeps(value, bound), cost.keeps(-value, -bound));
        }
    }

    #[test]
    fn an_axis_has_the_unit_where_there_is_one() {
        assert_eq!(Objective::known("latency_ms").map(Objective::axis).as_deref(), Ok("latency [ms]"));
        assert_eq!(Objective::known("loss").map(Objective::axis).as_deref(), Ok("held-out loss"));
    }
}
