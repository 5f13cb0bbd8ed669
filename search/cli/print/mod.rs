//! Figures of a stage as text for a terminal.

pub mod check;
pub mod evaluation;
pub mod evaluator;
pub mod gaps;
pub mod latency;
