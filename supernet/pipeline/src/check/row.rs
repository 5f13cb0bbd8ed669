//! Errors of one golden case.

use serde::Serialize;
use tnas_graph::HostTensor;

/// Allowed error relative to the larger of 1 and the largest golden value.
const TOLERANCE: f32 = 1e-4;

/// One case's errors.
pub struct Row {
    /// Which case.
    pub case: usize,
    /// What the model makes.
    pub outputs: Vec<Compared>,
    /// Modules inside, in the order in which they run.
    pub modules: Vec<Compared>,
}

/// A computed tensor compared with its golden values.
pub struct Compared {
    name: String,
    error: f32,
    allowed: f32,
}

/// Errors of a case, as they are printed. What cannot be compared has no number.
#[derive(Debug, Serialize)]
pub struct CaseFigures {
    case: usize,
    max_abs_error: Option<f32>,
    allowed: Option<f32>,
    passes: bool,
    outputs: Vec<ErrorFigures>,
    modules: Vec<ErrorFigures>,
    first_different: Option<String>,
}

/// The largest error of a tensor.
#[derive(Debug, Serialize)]
pub struct ErrorFigures {
    /// Tensor.
    pub name: String,
    /// Largest difference from the golden values.
    pub max_abs_error: Option<f32>,
    /// What it may be.
    pub allowed: Option<f32>,
    /// Whether it is no larger.
    pub passes: bool,
}

impl Compared {
    /// `name` is what follows `case<i>.` in the file. Tensors of different lengths differ without bound.
    pub fn new(name: &str, computed: Vec<f32>, golden: Vec<f32>) -> Self {
        let host = |values: Vec<f32>| HostTensor::f32(&[values.len()], values);
        let (computed, golden) = (host(computed), host(golden));
        let allowed = TOLERANCE * golden.max_abs().max(1.0);
        let name = name.trim_start_matches("mid.").into();
        Self { name, error: computed.max_abs_difference(&golden), allowed }
    }

    fn passes(&self) -> bool {
        self.error <= self.allowed
    }

    fn figures(&self) -> ErrorFigures {
        ErrorFigures {
            name: self.name.clone(),
            max_abs_error: finite(self.error),
            allowed: finite(self.allowed),
            passes: self.passes(),
        }
    }
}

impl Row {
    /// Whether every output is near enough.
    pub fn passes(&self) -> bool {
        self.outputs.iter().all(Compared::passes)
    }

    /// The errors of outputs and modules.
    pub fn figures(&self) -> CaseFigures {
        let worst = self.worst();
        CaseFigures {
            case: self.case,
            max_abs_error: worst.and_then(|c| finite(c.error)),
            allowed: worst.and_then(|c| finite(c.allowed)),
            passes: self.passes(),
            outputs: self.outputs.iter().map(Compared::figures).collect(),
            modules: self.modules.iter().map(Compared::figures).collect(),
            first_different: self.first_different().map(str::to_owned),
        }
    }

    fn first_different(&self) -> Option<&str> {
        self.modules.iter().find(|module| !module.passes()).map(|module| module.name.as_str())
    }

    /// The output that uses the largest fraction of what is allowed.
    fn worst(&self) -> Option<&Compared> {
        let fraction = |c: &Compared| if c.error.is_finite() { c.error / c.allowed } else { f32::INFINITY };
        self.outputs.iter().max_by(|a, b| fraction(a).total_cmp(&fraction(b)))
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "case {}:", self.case)?;
        for (index, Compared { name, error, allowed }) in self.outputs.iter().enumerate() {
            let name = name.trim_start_matches("out").trim_start_matches('.');
            let gap = if name.is_empty() { "" } else { " " };
            let comma = if index > 0 { ";" } else { "" };
            write!(f, "{comma} {name}{gap}max abs error {error:.2e}, allowed {allowed:.2e}")?;
        }
        write!(f, ": {}", if self.passes() { "ok" } else { "DIFFERS" })?;
        match self.first_different() {
            Some(name) => write!(f, ", first at {name}"),
            None if self.passes() || self.modules.is_empty() => Ok(()),
            None => write!(f, ", after the last module that is recorded"),
        }
    }
}

/// None where it is not finite: JSON has no infinity.
pub fn finite(x: f32) -> Option<f32> {
    x.is_finite().then_some(x)
}
