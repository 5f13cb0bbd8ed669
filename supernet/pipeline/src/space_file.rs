//! A backbone's geometry and a search space over it, from their files.

use std::path::Path;

use anyhow::Context;
use tnas_models::{Backbone, UNetConfig};
use tnas_space::{SearchSpace, SpaceError, SpaceFile};

use crate::model_folder::parameterised;

/// A UNet's config, of a pipeline's folder or its own.
pub fn read_backbone(folder: &Path) -> anyhow::Result<Backbone> {
    let inner = folder.join("unet/config.json");
    let path = if inner.exists() { inner } else { folder.join("config.json") };
    let text = std::fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?;
    let config = UNetConfig::from_json(&text).with_context(|| format!("failed to use {}", path.display()))?;
    parameterised(Backbone::new(config), folder)
}

/// A search space over a backbone.
pub fn read_space(path: &Path, backbone: &Backbone) -> anyhow::Result<SearchSpace> {
    let (file, source) = tnas_study::load_source::<SpaceFile>(path, &[], &[])?;
    SearchSpace::new(&backbone.slots(), &file).map_err(|error| match error {
        SpaceError::Rule { key, error } => source.error(&key, error.to_string()).into(),
        error => anyhow::Error::from(error).context(format!("failed to use space {}", path.display())),
    })
}
