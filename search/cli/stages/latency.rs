use std::path::PathBuf;

use anyhow::Context;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tnas_graph::Graph;
use tnas_latency::{Accuracy, ArchFeatures, FitSettings, LatencyPredictor, MacsFit};
use tnas_network::stream;
use tnas_space::Genotype;

use super::{profile::target_profile, staged};
use crate::{model_folder::Pipeline, workbench::Workbench};
use tnas_study::hash_path;

/// A predictor with the device that it speaks of.
#[derive(Serialize, Deserialize)]
pub struct Predictor {
    format_version: u32,
    device: String,
    quantity: String,
    predictor: LatencyPredictor,
    accuracy: Accuracy,
}

/// Learns the target device's latency from its profile, and says how well on held-out architectures.
pub fn latency(bench: &Workbench) -> anyhow::Result<Value> {
    let profile = target_profile(bench)?;
    let path = Predictor::file(bench)?;
    let source = bench.run.profile(&profile.fingerprint.id());
    let inputs = json!([hash_path(&source)?, bench.study.profile.held_out, bench.study.seed, 3]);
    staged(&bench.run, "latency", &inputs, std::slice::from_ref(&path), &[], || {
        let (features, times) = samples(bench, &profile)?;
        let held_out = bench.study.profile.held_out.min(features.len() / 2);
        let mut order: Vec<usize> = (0..features.len()).collect();
        order.shuffle(&mut stream(bench.study.seed, "latency/split", 0));
        let (test, train) = order.split_at(held_out);
        let pick = |indices: &[usize]| -> (Vec<ArchFeatures>, Vec<f64>) {
            indices.iter().map(|&i| (features[i].clone(), times[i])).unzip()
        };
        let ((train_x, train_y), (test_x, test_y)) = (pick(train), pick(test));
        let fitted = LatencyPredictor::fit(&train_x, &train_y, &FitSettings::default())?;
        let line = MacsFit::fit(&train_x, &train_y)?;
        let predictions: Vec<_> = test_x.iter().map(|x| fitted.predict(x)).collect();
        let means: Vec<f64> = predictions.iter().map(|p| p.mean_ms).collect();
        let by_line: Vec<f64> = test_x.iter().map(|x| line.predict_ms(x)).collect();
        let accuracy = Accuracy::new(&test_y, &means);
        let covered = predictions.iter().zip(&test_y).filter(|(p, y)| p.low_ms <= **y && **y <= p.high_ms).count();
        let points: Vec<Value> = predictions
            .iter()
            .zip(&test_y)
            .zip(&by_line)
            .map(|((p, y), line)| {
                json!({"measured_ms": y, "predicted_ms": p.mean_ms, "low_ms": p.low_ms, "high_ms": p.high_ms,
                    "macs_fit_ms": line})
            })
            .collect();
        // What is used afterwards learns from every measurement.
        let predictor = Predictor {
            format_version: 2,
            device: profile.fingerprint.describe(),
            quantity: "processor time of one call, batch 1".into(),
            predictor: LatencyPredictor::fit(&features, &times, &FitSettings::default())?,
            accuracy,
        };
        let name = path.strip_prefix(bench.run.root()).unwrap_or(&path).to_string_lossy().into_owned();
        bench.run.write_json(&name, &predictor)?;
        Ok(json!({
            "device": profile.fingerprint.describe(),
            "trained_on": train.len(),
            "accuracy": accuracy,
            "accuracy_of_macs_fit": Accuracy::new(&test_y, &by_line),
            "coverage_90": covered as f64 / test.len().max(1) as f64,
            "noise_floor": profile.noise_floor(),
            "held_out_points": points,
        }))
    })
}

/// Features and milliseconds, at the device's usual speed, of every architecture that ran.
fn samples(bench: &Workbench, profile: &tnas_latency::Profile) -> anyhow::Result<(Vec<ArchFeatures>, Vec<f64>)> {
    let model = Pipeline::read(&bench.run.backbone())?;
    let space = bench.space(&model.backbone)?;
    let tokens = model.tokenizer.max_length().min(model.encoder.config.max_position_embeddings);
    let mut samples = (Vec::new(), Vec::new());
    let drift = profile.drift();
    for measurement in profile.measurements.iter().filter(|m| !m.repeat) {
        let Some(timing) = measurement.timing() else { continue };
        let genotype: Genotype = measurement.genotype.parse()?;
        let genome = space.genome(&genotype).context("failed to use the profile: it is of another search space")?;
        let graph = model.backbone.denoiser(&genotype, bench.denoiser_shape(1, tokens))?;
        samples.0.push(ArchFeatures::new(&measurement.arch_id, &genome, &graph));
        samples.1.push(drift.corrected_ms(measurement.order, timing.cpu.median_ms));
    }
    Ok(samples)
}

impl Predictor {
    /// Where the target device's predictor is kept.
    pub fn file(bench: &Workbench) -> anyhow::Result<PathBuf> {
        Ok(bench.run.latency(&target_profile(bench)?.fingerprint.id()))
    }

    /// Reads it.
    pub fn read(bench: &Workbench) -> anyhow::Result<Self> {
        let path = Self::file(bench)?;
        let bytes = std::fs::read(&path).with_context(|| format!("failed to read {}", path.display()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("failed to read {}", path.display()))
    }

    /// The device, for people.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Expected milliseconds of a candidate.
    pub fn latency_ms(&self, genome: &[u16], graph: &Graph) -> anyhow::Result<f64> {
        Ok(self.predictor.mean_ms(&ArchFeatures::new("", genome, graph)))
    }
}
