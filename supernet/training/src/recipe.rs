use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Deserializer, Serialize};
use tnas_network::{Compute, open_device};

use crate::{
    AdamWSettings, Checkpointing, FlowSettings, SettingError, StabilitySettings,
    defaults::{is_nothing, is_one},
};

/// How a network's weights are trained, whatever the stage teaches it: `[backbone.training]`, `[supernet.training]`,
/// `[finetune.training]` and `[distill.training]` of a study.
///
/// Each stage has its own defaults ([`TrainingRecipe::backbone`] and so on); a table that gives some fields keeps the stage's
/// defaults for the others.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(default, deny_unknown_fields, transform = without_defaults)]
pub struct TrainingRecipe {
    /// Optimiser steps.
    pub steps: u64,
    /// Clips of a micro-batch: of a step where `accumulate` is 1.
    pub batch: usize,
    /// Micro-batches of `batch` clips whose gradients are added up in a step.
    #[serde(skip_serializing_if = "is_one")]
    pub accumulate: usize,
    /// Devices that each micro-batch is spread over, with a copy of the weights on each; the command's device where empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// Precision of the forward and backward pass, `"f32"`, `"bf16"` or `"f16"`; weights and optimiser are f32.
    #[serde(skip_serializing_if = "Compute::is_f32")]
    pub compute: Compute,
    /// Activation checkpointing: `"off"` keeps all activations for the backward pass, `"blocks"` computes them again.
    #[serde(skip_serializing_if = "Checkpointing::is_off")]
    pub checkpointing: Checkpointing,
    /// Decay of the exponential moving average of the weights, which is what a stage hands on.
    pub ema_decay: f64,
    /// AdamW and the learning rate's warm-up.
    pub optimizer: AdamWSettings,
    /// Distribution and weighting of the flow's times.
    pub flow: FlowSettings,
    /// Fraction of the steps that train on single frames of the clips instead of whole clips.
    #[serde(skip_serializing_if = "is_nothing")]
    pub images: f64,
    /// Skipped steps, roll-backs and early stopping.
    #[serde(skip_serializing_if = "StabilitySettings::is_default")]
    pub stability: StabilitySettings,
}

impl Default for TrainingRecipe {
    fn default() -> Self {
        Self {
            steps: 400,
            batch: 4,
            accumulate: 1,
            devices: Vec::new(),
            compute: Compute::F32,
            checkpointing: Checkpointing::Off,
            ema_decay: 0.99,
            optimizer: AdamWSettings::default(),
            flow: FlowSettings::default(),
            images: 0.0,
            stability: StabilitySettings::default(),
        }
    }
}

/// Defaults of the stages.
impl TrainingRecipe {
    /// The image backbone, on single frames.
    pub fn backbone() -> Self {
        Self { steps: 1500, batch: 32, ema_decay: 0.995, optimizer: adamw(2e-3, 50), ..Self::default() }
    }

    /// The supernet.
    pub fn supernet() -> Self {
        Self { steps: 600, optimizer: adamw(3e-3, 20), ..Self::default() }
    }

    /// One architecture taken out of the supernet.
    pub fn finetune() -> Self {
        Self { steps: 400, optimizer: adamw(1e-3, 20), ..Self::default() }
    }

    /// The few-step student.
    pub fn distill() -> Self {
        Self { steps: 200, ema_decay: 0.95, optimizer: adamw(1e-5, 10), ..Self::default() }
    }
}

/// Takes the defaults of the fields out of the schema: each stage has its own.
fn without_defaults(schema: &mut Schema) {
    let properties = schema.get_mut("properties").and_then(serde_json::Value::as_object_mut);
    for property in properties.into_iter().flat_map(|properties| properties.values_mut()) {
        property.as_object_mut().map(|property| property.remove("default"));
    }
}

fn adamw(learning_rate: f64, warmup_steps: u64) -> AdamWSettings {
    AdamWSettings { learning_rate, warmup_steps, ..AdamWSettings::default() }
}

impl TrainingRecipe {
    /// Clips of an optimiser step, over all micro-batches.
    pub fn clips_per_step(&self) -> usize {
        self.batch * self.accumulate
    }

    /// The first field that no training can use.
    pub fn check(&self) -> Result<(), SettingError> {
        let wrong = |key: &str, reason: String| Err(SettingError::new(key, reason));
        let Self { batch, accumulate, devices, images, .. } = self;
        if *batch == 0 {
            return wrong("batch", "= 0 must be at least 1 clip".into());
        }
        if !(1..=65_536).contains(accumulate) {
            return wrong("accumulate", format!("= {accumulate} must be of 1 (no accumulation) to 65536"));
        }
        for device in devices {
            open_device(device).map_err(|error| SettingError::new("devices", format!("= {devices:?}: {error}")))?;
        }
        if !(0.0..=1.0).contains(images) {
            return wrong("images", format!("= {images} must be a fraction of the steps, of 0 to 1"));
        }
        self.flow.check().map_err(|error| error.within("flow"))?;
        self.stability.check().map_err(|error| error.within("stability"))
    }

    /// Reads a recipe of which fields may be missing: those are `self`'s.
    pub(crate) fn overridden<'de, D: Deserializer<'de>>(self, deserializer: D) -> Result<Self, D::Error> {
        let Given {
            steps,
            batch,
            accumulate,
            devices,
            compute,
            checkpointing,
            ema_decay,
            optimizer,
            flow,
            images,
            stability,
        } = Given::deserialize(deserializer)?;
        Ok(Self {
            steps: steps.unwrap_or(self.steps),
            batch: batch.unwrap_or(self.batch),
            accumulate: accumulate.unwrap_or(self.accumulate),
            devices: devices.unwrap_or(self.devices),
            compute: compute.unwrap_or(self.compute),
            checkpointing: checkpointing.unwrap_or(self.checkpointing),
            ema_decay: ema_decay.unwrap_or(self.ema_decay),
            optimizer: optimizer.unwrap_or(self.optimizer),
            flow: flow.unwrap_or(self.flow),
            images: images.unwrap_or(self.images),
            stability: stability.unwrap_or(self.stability),
        })
    }

    /// For `#[serde(deserialize_with)]`: a recipe over the backbone's defaults.
    pub fn deserialize_backbone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::backbone().overridden(deserializer)
    }
}

/// The fields of a recipe that a table gives.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    steps: Option<u64>,
    batch: Option<usize>,
    accumulate: Option<usize>,
    devices: Option<Vec<String>>,
    compute: Option<Compute>,
    checkpointing: Option<Checkpointing>,
    ema_decay: Option<f64>,
    optimizer: Option<AdamWSettings>,
    flow: Option<FlowSettings>,
    images: Option<f64>,
    stability: Option<StabilitySettings>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Stage {
        #[serde(deserialize_with = "TrainingRecipe::deserialize_backbone")]
        training: TrainingRecipe,
    }

    fn read(json: &str) -> Result<TrainingRecipe, String> {
        let stage = serde_json::from_str::<Stage>(&format!(r#"{{"training": {json}}}"#));
        stage.map(|stage| stage.training).map_err(|error| error.to_string())
    }

    #[test]
    fn missing_fields_are_the_stages_defaults() {
        assert_eq!(read("{}"), Ok(TrainingRecipe::backbone()));
        let found = read(r#"{"steps": 7, "images": 0.5}"#);
        assert_eq!(found, Ok(TrainingRecipe { steps: 7, images: 0.5, ..TrainingRecipe::backbone() }));
        let error = read(r#"{"stpes": 7}"#).unwrap_err();
        assert!(error.contains("stpes") && error.contains("steps") && error.contains("stability"), "{error}");
    }

    #[test]
    fn what_is_written_is_read_back() {
        let recipe = TrainingRecipe {
            accumulate: 3,
            images: 0.2,
            devices: vec!["cpu".into()],
            ..TrainingRecipe::backbone()
        };
        assert_eq!(read(&serde_json::to_string(&recipe).unwrap()), Ok(recipe));
    }

    #[test]
    fn fields_that_no_training_can_use_are_named() {
        let wrong = |change: fn(&mut TrainingRecipe)| {
            let mut recipe = TrainingRecipe::default();
            change(&mut recipe);
            recipe.check().unwrap_err().to_string()
        };
        assert!(TrainingRecipe::default().check().is_ok());
        assert!(wrong(|recipe| recipe.batch = 0).contains("batch = 0"));
        assert!(wrong(|recipe| recipe.accumulate = 0).contains("accumulate = 0"));
        assert!(wrong(|recipe| recipe.images = 1.5).contains("images = 1.5"));
        assert!(wrong(|recipe| recipe.devices = vec!["abacus".into()]).contains("abacus"));
        assert!(wrong(|recipe| recipe.flow.caption_dropout = 2.0).contains("flow.caption_dropout = 2"));
        assert!(wrong(|recipe| recipe.stability.window = 0).contains("stability.window = 0"));
    }
}
