//! The winner for other runtimes, verified.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context;
use serde_json::{Value, json};
use tnas_export::{ModelInfo, OnnxRuntime, to_onnx, verify};
use tnas_graph::{Graph, HostTensor, Session};
use tnas_network::{BurnRuntime, Parameters, normal_vec, stream};
use tnas_space::Genotype;
use tnas_weights::{HostTensor as Stored, write_safetensors};

use super::{distill::read_student, staged};
use crate::workbench::Workbench;
use tnas_study::hash_path;

/// ONNX Runtime's version, or `None` where it is missing.
pub fn onnx_runtime_version() -> Option<String> {
    OnnxRuntime::open(None, 1).ok().map(|runtime| runtime.version())
}

/// Writes the few-step student (and the decoder) as ONNX, with a golden call beside each, and proves the files in ONNX
/// Runtime where its library is found.
pub fn export(bench: &Workbench, winner: &Genotype) -> anyhow::Result<Value> {
    let id = winner.arch_id().to_string();
    let folder = bench.run.export(&id);
    let student = bench.run.model(&format!("{id}-student"));
    let inputs = json!([winner.to_string(), hash_path(&student)?, onnx_runtime_version()]);
    let outputs = ["denoiser.onnx", "golden.safetensors", "verify.json"].map(|name| folder.join(name));
    staged(&bench.run, "export", &inputs, &outputs, &[], || {
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
        let denoiser = one(bench, &folder, info("denoiser"), "golden", &graph, &weights, &golden_inputs)?;
        let mut proofs = json!({"format_version": 1, "denoiser": denoiser});
        if let Some(codec) = &bench.codec {
            let graph = codec.autoencoder.decoder(frames, height, width)?;
            let latent = normal_vec(frames * channels * height * width, &mut rng);
            let inputs = vec![HostTensor::f32(&[frames, channels, height, width], latent)];
            proofs["decoder"] =
                one(bench, &folder, info("decoder"), "golden-decoder", &graph, &codec.parameters, &inputs)?;
        }
        let text = format!("{proofs:#}\n");
        tnas_weights::write_atomic(folder.join("verify.json"), text.as_bytes())?;
        Ok(proofs)
    })
}

/// Shape and values of a stored tensor.
type Named = (Vec<usize>, Vec<f32>);

/// Writes one graph as `<its name>.onnx` with its golden call, and compares ONNX Runtime with this program.
fn one(
    bench: &Workbench,
    folder: &Path,
    info: ModelInfo,
    golden: &str,
    graph: &Graph,
    weights: &Parameters,
    inputs: &[HostTensor],
) -> anyhow::Result<Value> {
    let path = folder.join(format!("{}.onnx", info.name));
    tnas_weights::write_atomic(&path, &to_onnx(graph, weights, &info)?)?;
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
    let Ok(runtime) = OnnxRuntime::open(None, 1) else {
        eprintln!("{:>16} not proved: ONNX Runtime was not found (pip install onnxruntime)", "export");
        return Ok(json!({"proved": false, "reason": "ONNX Runtime was not found; pip install onnxruntime"}));
    };
    let mut session = runtime.session_from_file(&path)?;
    let verification = verify(&mut session as &mut dyn Session, inputs, &expected)?;
    anyhow::ensure!(
        verification.passed,
        "failed to prove {}: ONNX Runtime differs by {}, allowed is {}",
        path.display(),
        verification.max_abs_error,
        verification.tolerance
    );
    let mut proof = serde_json::to_value(verification).context("failed to record the proof")?;
    proof["proved"] = json!(true);
    proof["runtime"] = json!(format!("onnxruntime {}", runtime.version()));
    Ok(proof)
}
