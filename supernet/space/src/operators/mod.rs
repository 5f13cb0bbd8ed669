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
#[derive(Clone, Copy, Debug)]
pub enum Param {
    /// A number.
    Count(Count),
    /// A word.
    Word(Word),
}

/// A parameter whose value is a number.
#[derive(Clone, Copy, Debug)]
pub struct Count {
    /// Name in genotype text.
    pub name: &'static str,
    /// Value where none is written.
    pub default: usize,
    /// Least value.
    pub least: usize,
    /// Largest value.
    pub most: usize,
    /// Whether it must be odd.
    pub odd: bool,
}

/// A parameter whose value is one of some words.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    /// Name in genotype text.
    pub name: &'static str,
    /// The words; the first is the value where none is written.
    pub words: &'static [&'static str],
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

impl Count {
    /// A number from `least` to `most`.
    pub const fn new(name: &'static str, default: usize, least: usize, most: usize) -> Self {
        Self { name, default, least, most, odd: false }
    }

    /// An odd number from `least` to `most`.
    pub const fn odd(name: &'static str, default: usize, least: usize, most: usize) -> Self {
        Self { name, default, least, most, odd: true }
    }
}

impl Word {
    /// One of these words, the first where none is written.
    pub const fn new(name: &'static str, words: &'static [&'static str]) -> Self {
        Self { name, words }
    }
}

impl Param {
    /// Name in genotype text.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Count(count) => count.name,
            Self::Word(word) => word.name,
        }
    }

    pub(crate) fn default_arg(&self) -> Arg {
        match self {
            Self::Count(count) => Arg::Number(count.default),
            Self::Word(word) => Arg::Word(word.words[0].into()),
        }
    }

    /// The value, or what would be one.
    pub(crate) fn read(&self, text: &str) -> Result<Arg, String> {
        match *self {
            Self::Count(Count { least, most, odd, .. }) => {
                let number = text.parse().ok().filter(|number| (least..=most).contains(number));
                let number = number.filter(|number| !odd || number % 2 == 1);
                let kind = if odd { "an odd number" } else { "a number" };
                number.map(Arg::Number).ok_or_else(|| format!("{kind} from {least} to {most}"))
            }
            Self::Word(Word { words, .. }) if words.contains(&text) => Ok(Arg::Word(text.into())),
            Self::Word(Word { words, .. }) => Err(format!("one of {}", words.join(", "))),
        }
    }
}
