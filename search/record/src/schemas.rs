use schemars::{Schema, schema_for};

use crate::{Evaluation, Front};

/// JSON Schemas of the files that other programs read, by file name. Those of a profile and of a study belong to the
/// crates that define them; `tnas schemas` writes all.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    vec![("front.schema.json", schema_for!(Front)), ("evaluation.schema.json", schema_for!(Evaluation))]
}
