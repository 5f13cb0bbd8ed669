//! Weights of published motion models under this project's names.

use std::path::Path;

use anyhow::Context;
use tnas_graph::{WeightError, Weights};
use tnas_models::{MotionModel, NameMap, is_sinusoidal};
use tnas_network::{Device, Parameter, Parameters, ParametersError};
use tnas_space::{Arg, Slot, temporal_prefix};

use crate::model_folder::{read_parameters, stem};

/// Ending of the name of a motion module's table of places.
const PLACES: &str = ".pos_embed.pe";

/// Weights of a folder under one of the stems that diffusers and its users write.
pub fn read_published(folder: &Path, device: &Device) -> anyhow::Result<Parameters> {
    read_parameters(folder, stem(folder), device)
}

/// Published weights with the names and shapes that they have here. Tables of places that a motion module makes itself are
/// left out; where a module's table is another one, the model's genotype records it.
pub fn here(published: Parameters, mut model: MotionModel) -> anyhow::Result<(Parameters, MotionModel)> {
    let mut weights = Parameters::new(published.device());
    for (name, parameter) in published.iter() {
        let (here, shape) = (model.names.here(name), NameMap::shape_here(&parameter.shape));
        // A name that is this project's own is nobody's in a published file.
        if model.names.published(&here) != name {
            return Err(ParametersError::Extra { count: 1, first: name.into() }.into());
        }
        weights.insert(here, Parameter { shape, flat: parameter.flat.clone() });
    }
    let slots: Vec<Slot> = model.genotype.insertions().map(|(slot, _)| slot.clone()).collect();
    for slot in slots {
        let front = format!("{}.animatediff.0.", temporal_prefix(&slot));
        let tables: Vec<String> = weights
            .names()
            .filter(|name| name.starts_with(&front) && name.ends_with(PLACES))
            .map(String::from)
            .collect();
        let choice = model.genotype.choice(&slot);
        let length = choice.operators().first().and_then(|operator| operator.argument("length"));
        let Some(&Arg::Number(length)) = length else {
            // Only AnimateDiff's modules have tables of places.
            continue;
        };
        let mut all_own = true;
        for name in &tables {
            let shape = weights.shape(name).with_context(|| format!("failed to find weight {name}"))?;
            if shape.get(1) != Some(&length) {
                let expected = [&[1, length], shape.get(2..).unwrap_or(&[])].concat();
                let name = model.names.published(name);
                return Err(WeightError::Shape { name, expected, found: shape }.into());
            }
            all_own &= is_sinusoidal(&shape, &weights.values(name)?);
        }
        if all_own {
            weights = without(weights, |name| tables.iter().any(|table| table == name));
        } else {
            model = model.with_table(&slot).context("failed to keep the places of frames")?;
        }
    }
    Ok((weights, model))
}

/// The weights that are not left out.
pub fn without(weights: Parameters, left_out: impl Fn(&str) -> bool) -> Parameters {
    let mut kept = Parameters::new(weights.device());
    for (name, parameter) in weights.iter().filter(|(name, _)| !left_out(name)) {
        kept.insert(name, parameter.clone());
    }
    kept
}
