use schemars::{Schema, schema_for};

use crate::{Evaluation, Front};

/// JSON Schemas of the records that other programs read, by file name.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    vec![("front.schema.json", schema_for!(Front)), ("evaluation.schema.json", schema_for!(Evaluation))]
}
