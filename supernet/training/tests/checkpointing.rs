//! A step that keeps the values between segments alone takes at most half of the memory, and finds the same gradients.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../../tests/outside/counted.rs"]
#[allow(dead_code, reason = "files are not measured here")]
mod counted;

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use counted::counted;
use tnas_graph::Graph;
use tnas_models::{Backbone, DenoiserShape, UNetConfig};
use tnas_network::{Leaves, Parameters, Value, execute, normal_vec, open_device, stream};
use tnas_space::Genotype;
use tnas_training::{
    Checkpointing, FinetuneSettings, LatentSet, LoopSettings, Silent, TEMPORAL_PREFIX, TextFeatures, TrainSet,
    TrainingContext, TrainingRecipe, finetune,
};

#[global_allocator]
static COUNTED: counted::Counted = counted::Counted;

const SHAPE: DenoiserShape = DenoiserShape { batch: 1, frames: 8, height: 32, width: 32, tokens: 4 };

/// A UNet with temporal layers at every level, all weights drawn: fresh insertions would pass no gradient on.
fn network() -> (Backbone, Genotype, Graph, Parameters) {
    let config = r#"{"in_channels": 4, "out_channels": 4, "block_out_channels": [16, 32, 32], "layers_per_block": 2,
        "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"], "attention_head_dim": 2,
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"], "cross_attention_dim": 8,
        "norm_num_groups": 4}"#;
    let backbone = Backbone::new(UNetConfig::from_json(config).unwrap());
    let genotype: Genotype = "in=conv1d(k=3);down.0.0.r=attn1d(heads=2);down.1.1.a=conv1d(k=3)+attn1d(heads=2);\
        mid.0.r=attn3d(heads=2);up.1.0.a=attn1d(heads=2);up.2.2.r=conv1d(k=3)"
        .parse()
        .unwrap();
    let graph = backbone.denoiser(&genotype, SHAPE).unwrap();
    let mut parameters = Parameters::new(&open_device("cpu").unwrap());
    for weight in graph.weights() {
        let mut rng = stream(7, &weight.name, 0);
        let fan_in = weight.shape[1..].iter().product::<usize>().max(1) as f32;
        let deviation = if weight.shape.len() == 1 { 0.1 } else { 1.0 / fan_in.sqrt() };
        let offset = if weight.name.contains("norm") && weight.name.ends_with("weight") { 1.0 } else { 0.0 };
        let values = normal_vec(weight.elements(), &mut rng).iter().map(|x| offset + deviation * x).collect();
        parameters.insert_host(&weight.name, &weight.shape, values);
    }
    (backbone, genotype, graph, parameters)
}

fn gradients(graph: &Graph, leaves: &Leaves) -> BTreeMap<String, Tensor<1>> {
    let device = leaves.device();
    let plain = device.clone().inner();
    let inputs = graph.inputs.iter().enumerate().map(|(index, input)| {
        let shape = graph.shape(input.value);
        let values = normal_vec(shape.iter().product(), &mut stream(1, "test/input", index as u64));
        Value::from_f32(values, shape, &plain).constant_for(device)
    });
    let outputs = execute(graph, leaves, inputs.collect(), device).unwrap();
    let loss = outputs.into_iter().map(|out| out.flat().square().mean()).reduce(|a, b| a + b).unwrap();
    leaves.backward(loss).unwrap()
}

fn same(whole: &BTreeMap<String, Tensor<1>>, cut: &BTreeMap<String, Tensor<1>>) -> f32 {
    assert!(whole.keys().eq(cut.keys()));
    let mut worst = 0.0f32;
    for (name, gradient) in whole {
        let [a, b] = [gradient, &cut[name]].map(|x| Value::F1(x.clone()).to_vec());
        let most = a.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let error = a.iter().zip(&b).fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
        assert!(most > 0.0 && error <= 1e-6 * most, "{name}: {error} of {most}");
        worst = worst.max(error / most);
    }
    worst
}

// One test: memory is counted for the whole process.
#[test]
fn half_the_memory_and_the_same_gradients() {
    let (backbone, genotype, graph, parameters) = network();
    let leaves = || parameters.leaves(|_| true);
    // What is allocated once and for all.
    gradients(&graph, &leaves());
    let (whole, all) = counted(|| gradients(&graph, &leaves()));
    let (cut, kept) = counted(|| gradients(&graph, &leaves().in_segments()));
    println!("forward and backward: {all} bytes whole, {kept} in {} segments", graph.segments().len());
    println!("gradients: at worst {:e} of a tensor's largest", same(&whole, &cut));
    assert!(2 * kept <= all, "{kept} of {all} bytes");

    // Over frozen image weights too; some segments then have nothing to train.
    let temporal = || parameters.leaves(|name| name.starts_with(TEMPORAL_PREFIX));
    same(&gradients(&graph, &temporal()), &gradients(&graph, &temporal().in_segments()));

    // A whole training step: forward, backward, AdamW, average.
    let rng = &mut stream(1, "test/data", 0);
    let data = LatentSet { shape: [4, 8, 32, 32], clips: vec![normal_vec(4 * 8 * 1024, rng)], captions: vec![0] };
    let (context, pooled) = (vec![normal_vec(4 * 8, rng)], vec![normal_vec(8, rng)]);
    let text = TextFeatures { tokens: 4, width: 8, context, pooled };
    let step = |checkpointing| {
        let training = TrainingRecipe { batch: 1, checkpointing, ..TrainingRecipe::finetune() };
        let mut set = TrainSet::new(parameters.clone(), |_| true, &training.optimizer, 0.9);
        let settings = FinetuneSettings { training, ..FinetuneSettings::default() };
        let run = LoopSettings::new("test", 1);
        let train = || {
            let (backbone, text, data) = (&backbone, &text, &data);
            let observer = &mut Silent;
            let context = TrainingContext { backbone, text, data, held_out: None, seed: 5, run: &run, observer };
            finetune(context, &genotype, &mut set, &settings).unwrap()
        };
        counted(train).1
    };
    let (all, kept) = (step(Checkpointing::Off), step(Checkpointing::Blocks));
    println!("a training step: {all} bytes whole, {kept} in segments");
    assert!(2 * kept <= all, "{kept} of {all} bytes");
}
