//! The networks of the pipeline other than the denoiser.

use serde::Serialize;
use tnas_graph::Graph;
use tnas_latency::{Measurement, MeasurementKind, Profile};
use tnas_record::Scope;
use tnas_space::Genotype;
use tnas_study::hash_bytes;

use crate::{
    measuring::{Measurer, Subjects, Target},
    workbench::Workbench,
};

/// A network of the pipeline other than the denoiser.
pub struct Part {
    /// Which network.
    pub kind: MeasurementKind,
    /// Identifier of it and of the shapes of a call.
    pub id: String,
    /// One call.
    pub graph: Graph,
    /// Calls for one clip.
    pub calls: usize,
}

/// The networks that the study's objectives and limits ask for besides the denoiser; none for most.
pub fn parts(bench: &Workbench, subjects: &Subjects) -> anyhow::Result<Vec<Part>> {
    if !are_asked_for(bench) {
        return Ok(Vec::new());
    }
    let encoder = &subjects.model.encoder;
    let shape = subjects.shape;
    let mut parts = vec![Part {
        kind: MeasurementKind::TextEncoder,
        id: id(&(encoder.config.to_json(), encoder.layer, shape.tokens))?,
        graph: encoder.graph(1, shape.tokens)?,
        calls: 1,
    }];
    if let Some(codec) = &bench.codec {
        parts.push(Part {
            kind: MeasurementKind::Decoder,
            id: id(&(&codec.key, shape.height, shape.width))?,
            graph: codec.autoencoder.decoder(1, shape.height, shape.width)?,
            calls: shape.frames,
        });
    }
    Ok(parts)
}

/// A name for what a network's graph follows from.
fn id(facts: &impl Serialize) -> anyhow::Result<String> {
    Ok(hash_bytes(serde_json::to_string(facts)?.as_bytes())[..16].to_string())
}

/// Whether an objective or a limit of the study is of a whole clip.
pub fn are_asked_for(bench: &Workbench) -> bool {
    let limited = bench.study.limits.iter().map(|(name, _)| name);
    bench.study.search.objectives.iter().chain(limited).any(|name| name.objective().scope == Scope::Clip)
}

/// Measures the other networks of the pipeline that the study asks for, each once.
pub fn record(
    bench: &Workbench,
    subjects: &Subjects,
    target: &Target,
    parts: &[Part],
    profile: &mut Profile,
) -> anyhow::Result<()> {
    let known = |part: &&Part| profile.measurements.iter().any(|m| m.kind == part.kind && m.arch_id == part.id);
    let missing: Vec<&Part> = parts.iter().filter(|part| !known(part)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut measurer = Measurer::new(bench, subjects, target)?;
    for part in missing {
        let outcome = measurer.measure(part.kind, &Genotype::none())?;
        profile.append(Measurement {
            arch_id: part.id.clone(),
            genotype: Genotype::none().to_string(),
            kind: part.kind,
            order: profile.next_order(),
            anchor: false,
            repeat: false,
            held_out: false,
            outcome,
        })?;
    }
    Ok(())
}
