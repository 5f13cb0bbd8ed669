//! Measuring architectures, each in a process of its own.

mod child;
pub mod runtimes;
mod target;

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tnas_graph::Graph;
use tnas_latency::{MeasurePolicy, MeasurementKind, MeasuringProcess, Outcome, SpaceBlocks};
use tnas_models::{Backbone, DenoiserShape, TextEncoder, TextEncoderConfig};
use tnas_network::open_device;
use tnas_pipeline::{
    codec::Codec,
    model_folder::{self, Pipeline},
};
use tnas_space::{Genotype, SearchSpace};

pub use child::{measure_one, weights};
pub use target::Target;

use crate::workbench::Workbench;

/// Measures architectures on one target, each in a process of its own.
pub struct Measurer {
    process: MeasuringProcess,
    configs: PathBuf,
    autoencoder: Option<PathBuf>,
    target: Target,
    shape: DenoiserShape,
    policy: MeasurePolicy,
}

/// Request to a measuring process.
#[derive(Serialize, Deserialize)]
struct Request {
    configs: PathBuf,
    /// Where the decoder comes from.
    autoencoder: Option<PathBuf>,
    kind: MeasurementKind,
    genotype: String,
    target: Target,
    /// Batch, frames, height, width, text tokens.
    shape: [usize; 5],
    policy: MeasurePolicy,
}

/// The networks that can be measured: a study's image model with the choices of its search space.
pub struct Subjects {
    /// Folder of the image model's configs.
    pub configs: PathBuf,
    /// The image model.
    pub model: Pipeline,
    /// Choices of temporal layers at its slots.
    pub space: SearchSpace,
    /// Shape of one call of the network.
    pub shape: DenoiserShape,
}

impl Subjects {
    /// The study's image model: the run's where there is one, else as the study gives it. Only its geometry is read.
    pub fn open(bench: &Workbench) -> anyhow::Result<Self> {
        let trained = bench.run.backbone();
        let configs = if trained.exists() { trained } else { bench.study.backbone.path.clone() };
        let model = Pipeline::read(&configs)?;
        let space = bench.space(&model.backbone)?;
        let tokens = model.tokenizer.max_length().min(model.encoder.config.max_position_embeddings);
        Ok(Self { configs, model, space, shape: bench.denoiser_shape(1, tokens) })
    }

    /// The network of a genotype.
    pub fn graph(&self, genotype: &Genotype) -> anyhow::Result<Graph> {
        Ok(self.model.backbone.denoiser(genotype, self.shape)?)
    }

    /// Graph of each choice at each slot.
    pub fn blocks(&self) -> anyhow::Result<SpaceBlocks> {
        space_blocks(&self.model.backbone, &self.space, self.shape)
    }
}

/// Graph of each choice of a space at each slot.
pub fn space_blocks(backbone: &Backbone, space: &SearchSpace, shape: DenoiserShape) -> anyhow::Result<SpaceBlocks> {
    let of_slot = |slot: &tnas_space::SlotChoices| -> anyhow::Result<Vec<Graph>> {
        slot.choices.iter().map(|choice| Ok(backbone.block(&slot.info, choice, shape)?)).collect()
    };
    let blocks = space.slots().iter().map(of_slot).collect::<anyhow::Result<Vec<_>>>()?;
    let peaks = space.slots().iter().map(|slot| {
        let alone = |choice: &tnas_space::Choice| -> anyhow::Result<u64> {
            let genotype = Genotype::new([(slot.info.slot.clone(), choice.clone())]);
            Ok(tnas_graph::peak_activation_bytes(&backbone.denoiser(&genotype, shape)?))
        };
        slot.choices.iter().map(alone).collect()
    });
    let peaks = peaks.collect::<anyhow::Result<Vec<Vec<u64>>>>()?;
    Ok(SpaceBlocks::new(&backbone.denoiser(&Genotype::none(), shape)?, &blocks).with_peaks(peaks))
}

impl Measurer {
    /// A measurer of the study's settings.
    pub fn new(bench: &Workbench, subjects: &Subjects, target: &Target) -> anyhow::Result<Self> {
        let policy = bench.study.profile.policy(target.quantity());
        /// Beyond what the policy allows: for starting, and for one run that cannot be stopped.
        const GRACE: Duration = Duration::from_secs(600);
        let timeout = GRACE + Duration::from_secs_f64(4.0 * policy.max_seconds);
        Ok(Self {
            process: MeasuringProcess::new(&std::env::current_exe()?, &["measure-one"], target.threads, timeout),
            configs: std::path::absolute(&subjects.configs)?,
            autoencoder: bench.study.autoencoder.as_ref().map(|of| std::path::absolute(&of.path)).transpose()?,
            target: target.clone(),
            shape: subjects.shape,
            policy,
        })
    }

    /// Measures a network or a block in a new process; a process that dies is a result.
    pub fn measure(&mut self, kind: MeasurementKind, genotype: &Genotype) -> anyhow::Result<Outcome> {
        let DenoiserShape { batch, frames, height, width, tokens } = self.shape;
        let request = Request {
            configs: self.configs.clone(),
            autoencoder: self.autoencoder.clone(),
            kind,
            genotype: genotype.to_string(),
            target: self.target.clone(),
            shape: [batch, frames, height, width, tokens],
            policy: self.policy,
        };
        Ok(self.process.ask(&request)?)
    }
}

/// Graph of a request: the whole network, or of a block its genotype's one insertion alone.
fn subject(
    request: &Request,
    configs: (Backbone, TextEncoderConfig),
    shape: DenoiserShape,
) -> anyhow::Result<Graph> {
    let (backbone, text) = configs;
    Ok(match request.kind {
        MeasurementKind::Whole => backbone.denoiser(&request.genotype.parse()?, shape)?,
        MeasurementKind::Block => block(&backbone, &request.genotype.parse()?, shape)?,
        MeasurementKind::TextEncoder => {
            let layer = model_folder::text_layer(&request.configs)?;
            TextEncoder::new(text).with_layer(layer).graph(1, shape.tokens)?
        }
        MeasurementKind::Decoder => {
            let path = request.autoencoder.as_ref();
            let path = path.context("failed to measure the decoder: the study has no autoencoder")?;
            Codec::read(path, &open_device("cpu")?)?.autoencoder.decoder(1, shape.height, shape.width)?
        }
    })
}

fn block(backbone: &Backbone, genotype: &Genotype, shape: DenoiserShape) -> anyhow::Result<Graph> {
    let mut insertions = genotype.insertions();
    let (Some((slot, choice)), None) = (insertions.next(), insertions.next()) else {
        anyhow::bail!("failed to measure the block {genotype}: it is not one choice at one slot");
    };
    let infos = backbone.slots();
    let Some(info) = infos.iter().find(|info| info.slot == *slot) else {
        anyhow::bail!("failed to measure the block {genotype}: the backbone has no slot {slot}");
    };
    Ok(backbone.block(info, choice, shape)?)
}
