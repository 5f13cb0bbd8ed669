//! The networks of the pipeline other than the denoiser.

use serde_json::json;
use tnas_graph::Graph;
use tnas_latency::MeasurementKind;
use tnas_record::Scope;
use tnas_study::hash_bytes;

use crate::{measuring::Subjects, workbench::Workbench};

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
    let id = |facts: serde_json::Value| hash_bytes(facts.to_string().as_bytes())[..16].to_string();
    let mut parts = vec![Part {
        kind: MeasurementKind::TextEncoder,
        id: id(json!([encoder.config.to_json(), encoder.layer, shape.tokens])),
        graph: encoder.graph(1, shape.tokens)?,
        calls: 1,
    }];
    if let Some(codec) = &bench.codec {
        parts.push(Part {
            kind: MeasurementKind::Decoder,
            id: id(json!([codec.key, shape.height, shape.width])),
            graph: codec.autoencoder.decoder(1, shape.height, shape.width)?,
            calls: shape.frames,
        });
    }
    Ok(parts)
}

/// Whether an objective or a limit of the study is of a whole clip.
pub fn are_asked_for(bench: &Workbench) -> bool {
    let limited = bench.study.limits.iter().map(|(name, _)| name);
    bench.study.search.objectives.iter().chain(limited).any(|name| name.objective().scope == Scope::Clip)
}
