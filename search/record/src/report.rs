use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::summary::summary_of;

/// The report's own record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportSummary {
    /// Who made the real clips, for the page.
    pub attribution: Option<String>,
}

summary_of!("report", ReportSummary);

/// The written report, as its command prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WrittenReport {
    /// Files written.
    pub files: usize,
    /// The page.
    pub page: PathBuf,
}
