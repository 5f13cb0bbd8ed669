//! JSON Schemas of what people and other programs write and read.

use schemars::{Schema, schema_for};
use tnas_latency::Profile;

use crate::settings::Study;

/// JSON Schemas by file name: of a study (as TOML or JSON), of each line of a profile, and of the records of a run. Earlier names
/// of settings, which still work with a warning, are not in the study's.
pub fn schemas() -> Vec<(&'static str, Schema)> {
    let mut schemas = tnas_record::schemas();
    schemas.push(("study.schema.json", schema_for!(Study)));
    schemas.push(("profile.schema.json", Profile::line_schema()));
    schemas
}
