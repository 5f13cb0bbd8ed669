//! Networks against golden inputs and outputs made in Python.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{collections::BTreeMap, path::Path};

use tnas_graph::{Graph, HostTensor};
use tnas_models::{Autoencoder, Backbone, DenoiserShape, TextEncoder, TextEncoderConfig, UNetConfig};
use tnas_network::{Parameters, Value, execute, open_device};
use tnas_space::Genotype;
use tnas_testing::shared;
use tnas_weights::SafeTensors;

fn tensor(file: &SafeTensors, name: &str) -> HostTensor {
    let info = file.info(name).unwrap_or_else(|error| panic!("{error}"));
    match format!("{:?}", info.dtype).as_str() {
        "I64" | "I32" => HostTensor::i64(&info.shape, file.i64(name).unwrap().to_vec()),
        _ => HostTensor::f32(&info.shape, file.f32(name).unwrap().into_owned()),
    }
}

fn parameters(path: &Path) -> Parameters {
    let file = SafeTensors::open(path).unwrap();
    let mut parameters = Parameters::new(&open_device("cpu").unwrap());
    for name in file.names() {
        let shape = file.info(name).unwrap().shape.clone();
        parameters.insert_host(name, &shape, file.f32(name).unwrap().into_owned());
    }
    parameters
}

fn run(graph: &Graph, parameters: &Parameters, inputs: &[HostTensor]) -> Vec<HostTensor> {
    parameters.refuse_extra(&[graph]).unwrap();
    let inputs = inputs.iter().map(|input| Value::from_host(input, parameters.device())).collect();
    execute(graph, parameters, inputs, parameters.device()).unwrap().iter().map(Value::to_host).collect()
}

fn assert_close(what: &str, ours: &HostTensor, golden: &HostTensor) {
    let golden = HostTensor { shape: ours.shape.clone(), data: golden.data.clone() };
    let (error, bound) = (ours.max_abs_difference(&golden), 1e-4 * golden.max_abs().max(1.0));
    println!("{what}: max abs error {error:.2e}, allowed {bound:.2e}");
    assert!(error <= bound, "{what}: {error} > {bound}");
}

fn check_unet(name: &str) {
    let Some(folder) = shared(&format!("fixtures/diffusers/{name}")) else { return };
    let config = UNetConfig::from_json(&std::fs::read_to_string(folder.join("config.json")).unwrap()).unwrap();
    let backbone = Backbone::new(config);
    let parameters = parameters(&folder.join("model.safetensors"));
    let io = SafeTensors::open(folder.join("io.safetensors")).unwrap();
    for case in (0..).take_while(|case| io.info(&format!("case{case}.out")).is_ok()) {
        let sample = tensor(&io, &format!("case{case}.in.sample"));
        let context = tensor(&io, &format!("case{case}.in.encoder_hidden_states"));
        let [batch, _, height, width] = sample.shape[..] else { panic!("{:?}", sample.shape) };
        let timestep = tensor(&io, &format!("case{case}.in.timestep"));
        let times: Vec<f32> = match &timestep.data {
            tnas_graph::HostData::F32(data) => data.clone(),
            tnas_graph::HostData::I64(data) => data.iter().map(|&t| t as f32).collect(),
        };
        let times = if times.len() == batch { times } else { vec![times[0]; batch] };
        let shape = DenoiserShape { batch, frames: 1, height, width, tokens: context.shape[1] };
        let graph = backbone.denoiser(&Genotype::none(), shape).unwrap();
        let [b, c, h, w] = sample.shape[..] else { panic!() };
        let sample = HostTensor { shape: vec![b, c, 1, h, w], data: sample.data };
        let out = run(&graph, &parameters, &[sample, HostTensor::f32(&[batch], times), context]);
        assert_close(&format!("{name} case {case}"), &out[0], &tensor(&io, &format!("case{case}.out")));
    }
}

#[test]
fn unet_of_stable_diffusion_1() {
    check_unet("unet2dcond_sd15");
}

#[test]
fn unet_of_bk_sdm_tiny() {
    check_unet("unet2dcond_bk_tiny");
}

#[test]
fn clip_text_encoder() {
    let Some(folder) = shared("fixtures/diffusers/clip_text") else { return };
    let config =
        TextEncoderConfig::from_json(&std::fs::read_to_string(folder.join("config.json")).unwrap()).unwrap();
    let parameters = parameters(&folder.join("model.safetensors"));
    let io = SafeTensors::open(folder.join("io.safetensors")).unwrap();
    let ids = tensor(&io, "case0.in.input_ids");
    let [batch, tokens] = ids.shape[..] else { panic!() };
    let tnas_graph::HostData::I64(data) = &ids.data else { panic!() };
    let encoder = TextEncoder::new(config);
    let mut pooling = vec![0.0; data.len()];
    for (row, ids) in data.chunks(tokens).enumerate() {
        pooling[row * tokens + encoder.end_of_text(ids)] = 1.0;
    }
    let pooling = HostTensor::f32(&[batch, tokens], pooling);
    let graph = encoder.graph(batch, tokens).unwrap();
    let parameters_of_text = {
        let mut kept = Parameters::new(parameters.device());
        for (stored, parameter) in parameters.iter() {
            if let Some(name) = TextEncoder::weight_name(stored) {
                kept.insert(name, parameter.clone());
            }
        }
        kept
    };
    let out = run(&graph, &parameters_of_text, &[ids, pooling]);
    for (index, name) in ["last_hidden_state", "pooler_output"].into_iter().enumerate() {
        let golden = io.names().find(|key| key.starts_with("case0.out") && key.contains(name)).map(String::from);
        assert_close(name, &out[index], &tensor(&io, &golden.unwrap_or_else(|| panic!("{name}"))));
    }
}

#[test]
fn tiny_autoencoder_of_flux_2() {
    let Some(folder) = shared("checkpoints/taef2") else { return };
    let all = parameters(&folder.join("taef2.safetensors"));
    let shapes: BTreeMap<String, Vec<usize>> = all.iter().map(|(n, p)| (n.into(), p.shape.clone())).collect();
    let autoencoder = Autoencoder::from_shapes(shapes).unwrap();
    assert_eq!((autoencoder.layout().channels, autoencoder.layout().down), (32, 8));
    let io = SafeTensors::open(folder.join("taef2_io.safetensors")).unwrap();
    let image = tensor(&io, "bigbuckbunny.image");
    let encoder = autoencoder.encoder(1, image.shape[2], image.shape[3]).unwrap();
    let latent = tensor(&io, "bigbuckbunny.latent");
    let decoder = autoencoder.decoder(1, latent.shape[2], latent.shape[3]).unwrap();
    all.refuse_extra(&[&encoder, &decoder]).unwrap();
    let go = |graph: &Graph, input: &HostTensor| {
        let inputs = vec![Value::from_host(input, all.device())];
        execute(graph, &all, inputs, all.device()).unwrap()[0].to_host()
    };
    // The golden images are 0 to 1, ours −1 to 1.
    let each = |tensor: &HostTensor, change: fn(f32) -> f32| {
        HostTensor::f32(&tensor.shape, tensor.as_f32().unwrap().iter().copied().map(change).collect())
    };
    let ours = go(&encoder, &each(&image, |x| 2.0 * x - 1.0));
    assert_close("taef2 latent", &ours, &latent);
    let recon = tensor(&io, "bigbuckbunny.recon");
    assert_close("taef2 image", &each(&go(&decoder, &latent), |x| 0.5 * x + 0.5), &recon);
    assert_close("taef2 image of our latent", &each(&go(&decoder, &ours), |x| 0.5 * x + 0.5), &recon);
}
