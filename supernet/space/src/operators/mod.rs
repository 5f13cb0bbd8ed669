mod animatediff;
mod attn1d;
mod attn3d;
mod conv1d;
mod conv2p1d;
mod conv3d;
mod cross;
mod linear3d;
mod modelscope;
mod position;
mod published;
mod shift;
mod tokens;

pub use position::sinusoidal;
use tnas_graph::{GraphBuilder, ValueId};

use crate::{Arg, OperatorSpec, Slot};

/// Every temporal operator. To add one, write its file and its line here.
pub const OPERATORS: &[OperatorKind] = &[
    conv1d::CONV1D,
    conv3d::CONV3D,
    conv2p1d::CONV2P1D,
    attn1d::ATTN1D,
    attn3d::ATTN3D,
    cross::CROSS1D,
    cross::CROSS3D,
    linear3d::LINEAR3D,
    shift::SHIFT,
    animatediff::ANIMATEDIFF,
    modelscope::MODELSCOPE,
];

/// A temporal operator: its name, its parameters and how it adds itself to a graph.
pub struct OperatorKind {
    /// Name in genotype text.
    pub name: &'static str,
    /// Parameters with defaults.
    pub params: &'static [Param],
    /// x + f(x) on `[B·F, C, H, W]`, with weights under the path; f must start at zero.
    pub build: fn(&mut GraphBuilder, &str, &OperatorSpec, &Insertion, ValueId) -> ValueId,
}

/// A parameter of an operator.
pub struct Param {
    /// Name in genotype text.
    pub name: &'static str,
    /// Value where none is written.
    pub default: &'static str,
    /// What may be written.
    pub allowed: Allowed,
}

/// Values that a parameter takes.
pub enum Allowed {
    /// Counts from the first to the second.
    Between(usize, usize),
    /// Odd counts from the first to the second.
    Odd(usize, usize),
    /// One of these words.
    Words(&'static [&'static str]),
}

/// How images of `[B·F, C, H, W]` fall into clips.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insertion {
    /// Clips, B.
    pub batch: usize,
    /// Frames of a clip, F.
    pub frames: usize,
    /// Groups of the operator's own group norms.
    pub norm_groups: usize,
}

/// Front part of the weight names of a slot's operators.
pub fn temporal_prefix(slot: &Slot) -> String {
    format!("temporal.{slot}")
}

impl Param {
    pub(crate) fn default_arg(&self) -> Arg {
        self.read(self.default).unwrap_or_else(|_| Arg::Word(self.default.into()))
    }

    /// The value, or what would be one.
    pub(crate) fn read(&self, text: &str) -> Result<Arg, String> {
        let number = text.parse::<usize>();
        match (&self.allowed, number) {
            (Allowed::Between(low, high), Ok(number)) if (*low..=*high).contains(&number) => {
                Ok(Arg::Number(number))
            }
            (Allowed::Odd(low, high), Ok(number)) if (*low..=*high).contains(&number) && number % 2 == 1 => {
                Ok(Arg::Number(number))
            }
            (Allowed::Words(words), _) if words.contains(&text) => Ok(Arg::Word(text.into())),
            (Allowed::Between(low, high), _) => Err(format!("a number from {low} to {high}")),
            (Allowed::Odd(low, high), _) => Err(format!("an odd number from {low} to {high}")),
            (Allowed::Words(words), _) => Err(format!("one of {}", words.join(", "))),
        }
    }
}
