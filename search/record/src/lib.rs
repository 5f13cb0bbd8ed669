//! What the stages of a run record, as types.

mod objective;
mod objective_name;
mod objective_set;

pub use objective::{Direction, OBJECTIVES, Objective, ObjectiveError, Scope, Source};
pub use objective_name::{ObjectiveName, ObjectiveNames, PerObjective};
pub use objective_set::{ObjectiveSet, ObjectiveValues};
