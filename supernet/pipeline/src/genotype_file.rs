//! `genotype.json` of a model folder.

use std::{fs, io::ErrorKind, path::Path};

use anyhow::Context;
use serde::{Deserialize, de::IntoDeserializer};
use tnas_models::TextLayer;
use tnas_record::{FormatVersion, ModelGenotype};
use tnas_space::Genotype;

/// What stands in the slots of a folder's UNet, and how it was trained.
const GENOTYPE: &str = "genotype.json";

/// The file of a folder; none where there is none, as of an image model.
pub fn read_model_genotype(folder: &Path) -> anyhow::Result<Option<ModelGenotype>> {
    let path = folder.join(GENOTYPE);
    let failed = || format!("failed to use {}", path.display());
    let bytes = match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.with_context(failed)?,
    };
    let found: ModelGenotype = serde_json::from_slice(&bytes).with_context(failed)?;
    anyhow::ensure!(
        (0.0..=1.0).contains(&found.shared_noise),
        "{}: shared_noise = {} must be of 0 to 1",
        failed(),
        found.shared_noise
    );
    Ok(Some(found))
}

/// The architecture of a folder; a folder without `genotype.json` is an image model.
pub fn read_genotype(folder: &Path) -> anyhow::Result<Genotype> {
    let Some(found) = read_model_genotype(folder)? else { return Ok(Genotype::none()) };
    found.genotype.parse().with_context(|| format!("failed to use {}", folder.join(GENOTYPE).display()))
}

/// Fraction of the noise's variance that frames of a clip have in common; 0 where the folder does not say.
pub fn shared_noise(folder: &Path) -> anyhow::Result<f64> {
    Ok(read_model_genotype(folder)?.map_or(0.0, |found| found.shared_noise))
}

/// Layer of the text encoder that the UNet reads, where the folder says.
pub fn recorded_text_layer(folder: &Path) -> anyhow::Result<Option<TextLayer>> {
    let Some(name) = read_model_genotype(folder)?.and_then(|found| found.text_layer) else { return Ok(None) };
    let read = TextLayer::deserialize(name.as_str().into_deserializer());
    read.map(Some).map_err(|error: serde::de::value::Error| {
        let path = folder.join(GENOTYPE);
        anyhow::anyhow!("failed to use {}: text_layer = {name:?}: {error}", path.display())
    })
}

/// Whether a folder's UNet continues from a given first frame.
pub fn continues_from_a_frame(folder: &Path) -> anyhow::Result<bool> {
    let found = read_model_genotype(folder)?;
    Ok(found
        .with_context(|| format!("failed to read {}: it is gone", folder.join(GENOTYPE).display()))?
        .first_frame)
}

/// What is recorded of an architecture: the rest is added by the caller.
pub fn model_genotype(genotype: &Genotype) -> ModelGenotype {
    ModelGenotype {
        format_version: FormatVersion,
        arch_id: genotype.arch_id().to_string(),
        genotype: genotype.to_string(),
        text_layer: None,
        first_frame: false,
        shared_noise: 0.0,
        weights: None,
        seed: None,
    }
}

/// Writes the file of a folder.
pub fn write_genotype(folder: &Path, record: &ModelGenotype) -> anyhow::Result<()> {
    let path = folder.join(GENOTYPE);
    let bytes = tnas_record::to_json(record).map_err(anyhow::Error::msg)?;
    tnas_weights::write_atomic(&path, &bytes).with_context(|| format!("failed to write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_records_the_noise_of_its_model() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(shared_noise(folder.path()).expect("no file"), 0.0);
        for fraction in [0.0, 0.8] {
            let record = ModelGenotype { shared_noise: fraction, ..model_genotype(&Genotype::none()) };
            write_genotype(folder.path(), &record).expect("written");
            assert_eq!(shared_noise(folder.path()).expect("a fraction"), fraction);
        }
        let refused = [
            (r#"{"genotype": "", "shared_noise": 1.5}"#, "shared_noise = 1.5"),
            (r#"{"genotype": "", "text_layer": "lst"}"#, "text_layer = \"lst\""),
            (r#"{"genotype": "", "format_version": 9}"#, "format version is 9"),
            (r#"{"genotipe": ""}"#, "missing field `genotype`"),
        ];
        for (text, expected) in refused {
            fs::write(folder.path().join(GENOTYPE), text).expect("written");
            let message = format!("{:#}", recorded_text_layer(folder.path()).expect_err("refused"));
            assert!(message.contains(expected) && message.contains(GENOTYPE), "{message}");
        }
    }
}
