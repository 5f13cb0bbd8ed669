//! What is searched: slots of a backbone, temporal operators, choices, genotypes, search spaces and limits.
//!
//! A backbone has [`Slot`]s, where temporal operators may be inserted; a [`Genotype`] puts one [`Choice`] into each. A
//! [`SearchSpace`] lists the choices of each slot. Each operator adds its nodes to a [`tnas_graph::GraphBuilder`].
//!
//! To add an operator, write one file in `operators/` and add its line to [`OPERATORS`].

mod choice;
mod error;
mod genotype;
pub mod layers;
mod limits;
mod operators;
mod search_space;
mod slot;

pub use choice::{Arg, Choice, OperatorSpec};
pub use error::SpaceError;
pub use genotype::{ArchId, Genotype};
pub use limits::{Limit, Limits, Verdict, verdict};
pub use operators::sinusoidal;
pub use operators::{Insertion, OPERATORS, OperatorKind, Param, temporal_prefix};
pub use search_space::{Genome, SearchSpace, SlotChoices, SpaceFile, SpaceRule};
pub use slot::{Slot, SlotInfo};
