/// A setting whose value cannot be used. It displays as `key = value must be …`.
///
/// ```
/// use tnas_training::SettingError;
///
/// let error = SettingError::new("batch", "= 0 must be at least 1").within("finetune");
/// assert_eq!(error.key, "finetune.batch");
/// assert_eq!(error.to_string(), "finetune.batch = 0 must be at least 1");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} {reason}")]
pub struct SettingError {
    /// Dotted key, relative to the settings that were checked.
    pub key: String,
    /// What is wrong with its value, as it follows the key in a sentence.
    pub reason: String,
}

impl SettingError {
    /// An error about one key.
    pub fn new(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { key: key.into(), reason: reason.into() }
    }

    /// The same error, of settings that stand in this table.
    pub fn within(self, table: &str) -> Self {
        Self { key: format!("{table}.{}", self.key), ..self }
    }
}
