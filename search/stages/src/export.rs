//! The winner for other runtimes, verified.

use std::path::PathBuf;

use std::{collections::BTreeMap, path::Path};

use tnas_export::{ModelInfo, Verification, to_onnx, verify};
use tnas_graph::{Graph, HostTensor, RuntimeError, RuntimeKind, RuntimeOptions};
use tnas_network::{BurnRuntime, Parameters, normal_vec, stream};
use tnas_record::{ExportError, ExportProof, ExportSummary, FormatVersion, RuntimeProof};
use tnas_space::Genotype;
use tnas_weights::{HostTensor as Stored, write_safetensors};

use super::{Inputs, Stage, distill::read_student, up_to_date};
use crate::{measuring::runtimes::runtimes, settings::ProfileSettings, workbench::Workbench};

/// Writes the few-step student (and the decoder) as ONNX, with a golden call of each, and verifies the files in every
/// runtime that reads them and whose library is found.
pub struct Export<'a> {
    /// The architecture.
    pub winner: &'a Genotype,
}

impl Stage for Export<'_> {
    type Output = ExportSummary;

    fn inputs(&self, bench: &Workbench) -> anyhow::Result<Inputs> {
        let student = bench.run.model(&format!("{}-student", self.winner.arch_id()))?;
        let inputs = Inputs::new().file(student).setting("winner", &self.winner.to_string())?;
        inputs.setting("runtimes", &Readers::find(bench).versions())
    }

    fn outputs(&self, bench: &Workbench) -> anyhow::Result<Vec<PathBuf>> {
        let folder = bench.run.export(&self.winner.arch_id().to_string())?;
        Ok(["denoiser.onnx", "golden.safetensors", "verify.json"].map(|name| folder.join(name)).into())
    }

    fn run(&self, bench: &Workbench) -> anyhow::Result<ExportSummary> {
        let (winner, readers) = (self.winner, Readers::find(bench));
        let folder = bench.run.export(&winner.arch_id().to_string())?;
        let model = bench.image_model()?;
        let weights = read_student(bench, winner)?;
        let shape = bench.denoiser_shape(1, model.features.tokens);
        let graph = model.pipeline.backbone.denoiser(winner, shape)?;
        let mut rng = stream(bench.study.seed, "export", 0);
        let [channels, frames, height, width] = bench.clip_shape();
        let sample = normal_vec(channels * frames * height * width, &mut rng);
        let golden_inputs = vec![
            HostTensor::f32(&[1, channels, frames, height, width], sample),
            HostTensor::f32(&[1], vec![750.0]),
            HostTensor::f32(&[1, model.features.tokens, model.features.width], model.features.context[0].clone()),
        ];
        let sampler = model.pipeline.backbone.parameterisation.describe();
        let info = |name: &str| ModelInfo {
            name: name.into(),
            description: format!("tnas study {}", bench.study.name),
            metadata: BTreeMap::from([("sampler".to_string(), sampler.clone())]),
        };
        readers.say_missing();
        let denoiser = Exported { info: info("denoiser"), golden: "golden", graph: &graph, weights: &weights };
        let denoiser = one(bench, &folder, &readers, &denoiser, &golden_inputs)?;
        let mut proofs = ExportSummary { format_version: FormatVersion, denoiser, decoder: None };
        if let Some(codec) = &bench.codec {
            let graph = codec.autoencoder.decoder(frames, height, width)?;
            let latent = normal_vec(frames * channels * height * width, &mut rng);
            let inputs = vec![HostTensor::f32(&[frames, channels, height, width], latent)];
            let weights = &codec.parameters;
            let decoder = Exported { info: info("decoder"), golden: "golden-decoder", graph: &graph, weights };
            proofs.decoder = Some(one(bench, &folder, &readers, &decoder, &inputs)?);
        }
        let bytes = tnas_record::to_json(&proofs)
            .map_err(|message| anyhow::anyhow!("failed to record the proofs: {message}"))?;
        tnas_weights::write_atomic(folder.join("verify.json"), &bytes)?;
        Ok(proofs)
    }
}

/// Writes and verifies the export, where that is not done.
pub fn export(bench: &Workbench, winner: &Genotype) -> anyhow::Result<ExportSummary> {
    up_to_date(bench, &Export { winner })
}

/// The runtimes that read exported files, as they are found on this machine.
struct Readers {
    found: Vec<(RuntimeKind, String)>,
    missing: Vec<(RuntimeKind, RuntimeError)>,
    settings: ProfileSettings,
}

impl Readers {
    fn find(bench: &Workbench) -> Self {
        let settings = bench.study.profile.clone();
        let mut readers = Self { found: Vec::new(), missing: Vec::new(), settings };
        for kind in runtimes().filter(|kind| kind.reads.contains(&"onnx")) {
            match (kind.version)(&readers.options(kind)) {
                Ok(version) => readers.found.push((*kind, version)),
                Err(error) => readers.missing.push((*kind, error)),
            }
        }
        readers
    }

    /// One thread of the CPU.
    fn options(&self, kind: &RuntimeKind) -> RuntimeOptions {
        RuntimeOptions { library: self.settings.library(kind.name).cloned(), ..RuntimeOptions::cpu(1) }
    }

    /// Names with versions, e.g. `onnxruntime 1.23.0`.
    fn versions(&self) -> Vec<String> {
        self.found.iter().map(|(kind, version)| format!("{} {version}", kind.name)).collect()
    }

    fn say_missing(&self) {
        for (kind, error) in &self.missing {
            eprintln!("{:>16} is not verified by {}, for it failed to {error}", "export", kind.name);
        }
    }

    /// Runs a file in every runtime, and fails where one differs.
    fn verify(&self, file: &Path, inputs: &[HostTensor], expected: &[HostTensor]) -> anyhow::Result<ExportProof> {
        if self.found.is_empty() {
            let ways: Vec<&str> = self.missing.iter().filter_map(|(kind, _)| kind.install).collect();
            let reason = format!("no runtime that reads it was found; {}", ways.join(", or "));
            return Ok(ExportProof { proved: false, reason: Some(reason), runtimes: Vec::new() });
        }
        let mut runtimes = Vec::new();
        for ((kind, _), runtime) in self.found.iter().zip(self.versions()) {
            let mut session = (kind.open)(&self.options(kind))?.load_file(file)?;
            let verification = verify(session.as_mut(), inputs, expected)?;
            anyhow::ensure!(
                verification.passed,
                "failed to verify {} in {runtime}: the largest error is {}, the tolerance {}",
                file.display(),
                verification.max_abs_error,
                verification.tolerance
            );
            let Verification { max_abs_error, max_abs_output, tolerance, passed } = verification;
            let error = ExportError { max_abs_error, max_abs_output, tolerance, passed };
            runtimes.push(RuntimeProof { runtime, precision: kind.precision.to_string(), error });
        }
        Ok(ExportProof { proved: true, reason: None, runtimes })
    }
}

/// A graph to export.
struct Exported<'a> {
    info: ModelInfo,
    /// File of its golden call, without extension.
    golden: &'a str,
    graph: &'a Graph,
    weights: &'a Parameters,
}

/// Shape and values of a stored tensor.
type Named = (Vec<usize>, Vec<f32>);

/// Writes one graph as `<its name>.onnx` with its golden call, and verifies it.
fn one(
    bench: &Workbench,
    folder: &Path,
    readers: &Readers,
    model: &Exported<'_>,
    inputs: &[HostTensor],
) -> anyhow::Result<ExportProof> {
    let Exported { info, golden, graph, weights } = model;
    let path = folder.join(format!("{}.onnx", info.name));
    tnas_weights::write_atomic(&path, &to_onnx(graph, *weights, info)?)?;
    let expected = BurnRuntime::new(&bench.device).session(graph, weights)?.run(inputs)?;
    let named = |front: &str, name: &str, tensor: &HostTensor| -> Option<(String, Named)> {
        Some((format!("{front}.{name}"), (tensor.shape.clone(), tensor.as_f32()?.to_vec())))
    };
    let ins = graph.inputs.iter().zip(inputs).filter_map(|(input, tensor)| named("in", &input.name, tensor));
    let outs =
        graph.outputs.iter().zip(&expected).filter_map(|(output, tensor)| named("out", &output.name, tensor));
    let values: BTreeMap<String, Named> = ins.chain(outs).collect();
    let tensors: BTreeMap<String, Stored<'_>> =
        values.iter().map(|(name, (shape, values))| (name.clone(), Stored::f32(shape, values))).collect();
    write_safetensors(folder.join(format!("{golden}.safetensors")), &tensors, &BTreeMap::new())?;
    readers.verify(&path, inputs, &expected)
}
