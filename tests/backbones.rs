//! Every UNet that a config can describe: against outputs made in Python, and frame by frame against itself.

use std::{path::Path, process::Command};

use tnas_graph::{Dtype, HostTensor};
use tnas_models::{Backbone, DenoiserShape, UNetConfig};
use tnas_network::{Parameters, Value, execute, normal_vec, open_device, stream};
use tnas_space::Genotype;

pub fn shared(name: &str) -> Option<std::path::PathBuf> {
    tnas_testing::shared(&format!("fixtures/diffusers/{name}"))
}

pub fn check(folder: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tnas"));
    let output = command.args(["backbone", "check"]).arg(folder).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn unets_made_by_diffusers_are_reproduced() {
    for name in ["unet2dcond_sd15", "unet2dcond_bk_tiny", "unet2dcond_sdxl", "unet2d_ddpm", "unet2d_head8"] {
        let Some(folder) = shared(name) else { continue };
        let (code, text) = check(&folder);
        println!("{name}: {text}");
        assert_eq!(code, Some(0), "{name}: {text}");
    }
}

#[test]
fn a_difference_is_reported_with_the_module_where_it_begins() {
    let Some(folder) = shared("unet2dcond_sd15") else { return };
    let copy = tempfile::tempdir().unwrap();
    for name in ["model.safetensors", "io.safetensors"] {
        std::fs::copy(folder.join(name), copy.path().join(name)).unwrap();
    }
    let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
    let write = |config: &str| std::fs::write(copy.path().join("config.json"), config).unwrap();
    // Norms of another kind.
    let changed = config.replace("\"norm_eps\": 1e-05", "\"norm_eps\": 0.1");
    assert_ne!(changed, config);
    write(&changed);
    let (code, text) = check(copy.path());
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("first at down_blocks.0.resnets.0"), "{text}");
    // A config that asks for weights that are not there.
    write(&config.replace("\"class_embed_type\": null", "\"class_embed_type\": \"timestep\""));
    let (code, text) = check(copy.path());
    assert!(code == Some(3) && text.contains("class_embedding.linear_1"), "{code:?} {text}");
    write(&config.replace("\"dual_cross_attention\": false", "\"dual_cross_attention\": true"));
    let (code, text) = check(copy.path());
    assert!(code == Some(3) && text.contains("dual_cross_attention = true"), "{code:?} {text}");
}

/// Configs whose parts the shipped backbones lack.
const CONFIGS: &[&str] = &[
    r#""down_block_types": ["SimpleCrossAttnDownBlock2D", "ResnetDownsampleBlock2D"],
       "up_block_types": ["ResnetUpsampleBlock2D", "SimpleCrossAttnUpBlock2D"],
       "mid_block_type": "UNetMidBlock2DSimpleCrossAttn", "resnet_time_scale_shift": "scale_shift""#,
    r#""down_block_types": ["AttnDownBlock2D", "CrossAttnDownBlock2D"],
       "up_block_types": ["CrossAttnUpBlock2D", "AttnUpBlock2D"], "only_cross_attention": true,
       "mid_block_type": "UNetMidBlock2D", "downsample_padding": 0, "conv_in_kernel": 5"#,
    r#""down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
       "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"], "mid_block_type": null,
       "transformer_layers_per_block": [2, 1], "use_linear_projection": true, "center_input_sample": true"#,
];

#[test]
fn a_clip_without_temporal_layers_is_its_frames() {
    let device = open_device("cpu").unwrap();
    for options in CONFIGS {
        let config = format!(
            r#"{{"in_channels": 3, "out_channels": 3, "block_out_channels": [16, 16], "layers_per_block": 1,
                "norm_num_groups": 4, "cross_attention_dim": 12, "attention_head_dim": 4, {options}}}"#
        );
        let backbone = Backbone::new(UNetConfig::from_json(&config).unwrap());
        let frames = 3;
        let shape = DenoiserShape { batch: 2, frames, height: 8, width: 8, tokens: 5 };
        let graph = backbone.denoiser(&Genotype::none(), shape).unwrap();
        let mut weights = Parameters::new(&device);
        weights.init(graph.weights(), 7);
        let mut rng = stream(1, "test", 0);
        let inputs: Vec<HostTensor> = graph
            .inputs
            .iter()
            .map(|input| {
                assert_eq!(graph.dtype(input.value), Dtype::F32);
                let shape = graph.shape(input.value);
                HostTensor::f32(shape, normal_vec(shape.iter().product(), &mut rng))
            })
            .collect();
        let run = |graph: &tnas_graph::Graph, inputs: &[HostTensor]| {
            let inputs = inputs.iter().map(|input| Value::from_host(input, &device)).collect();
            execute(graph, &weights, inputs, &device).unwrap()[0].to_vec()
        };
        let whole = run(&graph, &inputs);
        let single = backbone.denoiser(&Genotype::none(), DenoiserShape { frames: 1, ..shape }).unwrap();
        // [B, C, F, H, W]
        let (plane, clip) = (64, 3 * frames * 64);
        let frame_of = |values: &[f32], frame: usize| -> Vec<f32> {
            let start = |b: usize, c: usize| b * clip + (c * frames + frame) * plane;
            (0..2)
                .flat_map(|b| (0..3).map(move |c| (b, c)))
                .flat_map(|(b, c)| &values[start(b, c)..][..plane])
                .copied()
                .collect()
        };
        for frame in 0..frames {
            let sample = HostTensor::f32(&[2, 3, 1, 8, 8], frame_of(inputs[0].as_f32().unwrap(), frame));
            let alone = run(&single, &[sample, inputs[1].clone(), inputs[2].clone()]);
            let together = frame_of(&whole, frame);
            let worst = alone.iter().zip(&together).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst <= 2e-6, "frame {frame}: {worst} in {options}");
        }
    }
}

/// Parameters as diffusers counts them; multiply-accumulates compared with those of the BK-SDM paper (arXiv 2305.15798, table 1),
/// which leave out attention's own products and round to 1 G.
#[test]
fn published_geometries_have_the_published_sizes() {
    let shape = DenoiserShape { batch: 1, frames: 1, height: 64, width: 64, tokens: 77 };
    for (name, millions, giga) in [
        ("sd15", 859.5, 339),
        ("bk-sdm-base", 579.4, 224),
        ("bk-sdm-small", 482.3, 218),
        ("bk-sdm-tiny", 323.4, 205),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("configs/backbones/{name}/unet/config.json"));
        let backbone = Backbone::new(UNetConfig::from_json(&std::fs::read_to_string(path).unwrap()).unwrap());
        let cost = tnas_graph::cost(&backbone.denoiser(&Genotype::none(), shape).unwrap());
        println!(
            "{name}: {} parameters, {} MACs, {} of them attention's own products",
            cost.parameters, cost.macs, cost.attention_macs
        );
        let counted = ((cost.macs - cost.attention_macs) as f64 / 1e9).round() as i64;
        assert!((counted - giga).abs() <= 1, "{name}: {counted} G");
        assert_eq!(format!("{:.1}", cost.parameters as f64 / 1e6), format!("{millions:.1}"), "{name}");
    }
}
