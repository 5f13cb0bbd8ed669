use serde::Deserialize;
use serde_json::Value;

/// What a config of diffusers or transformers says that it is of. Whatever else it says is read elsewhere.
#[derive(Debug, Default, Deserialize)]
pub struct ClassName {
    #[serde(rename = "_class_name")]
    class_name: Option<String>,
    #[serde(default)]
    architectures: Value,
    /// `clip_text_model`, …: where there is no class.
    pub model_type: Option<String>,
}

impl ClassName {
    /// Of a config's text; of none where it is no JSON object.
    pub fn of(config: &str) -> Self {
        serde_json::from_str(config).unwrap_or_default()
    }

    /// Class of diffusers, or first architecture of transformers.
    pub fn class(&self) -> Option<&str> {
        self.class_name.as_deref().or_else(|| self.architectures.get(0)?.as_str())
    }
}
