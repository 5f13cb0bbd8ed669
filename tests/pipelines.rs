//! A whole pipeline of diffusers: its autoencoder, text encoder and tokenizer, against outputs made in Python and in a study.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value as Json, json};
use tnas_graph::{Graph, HostTensor, Weights};
use tnas_models::{Autoencoder, Backbone, DenoiserShape, TextEncoder, TextEncoderConfig, TextLayer, UNetConfig};
use tnas_network::{Parameters, Value, execute, normal_vec, open_device, stream};
use tnas_space::Genotype;
use tnas_weights::{HostTensor as Stored, write_safetensors};

use crate::backbones::{check, shared};

const HERE: &str = env!("CARGO_MANIFEST_DIR");

#[test]
fn autoencoders_and_text_encoders_made_in_python_are_reproduced() {
    for name in ["ae_kl", "ae_tiny", "clip_text"] {
        let Some(folder) = shared(name) else { continue };
        let (code, text) = check(&folder);
        println!("{name}: {text}");
        assert_eq!(code, Some(0), "{name}: {text}");
    }
}

#[test]
fn options_that_change_nothing_known_are_refused_by_name() {
    let refused = |config: Json, complaint: &str| {
        let read = match config["_class_name"].as_str() {
            Some(_) => Autoencoder::from_json(&config.to_string()).map(|_| ()),
            None => TextEncoderConfig::from_json(&config.to_string()).map(|_| ()),
        };
        let message = read.expect_err(complaint).to_string();
        assert!(message.contains(complaint), "{complaint}: {message}");
    };
    let with = |class: &str, option: &str, value: Json| json!({"_class_name": class, option: value});
    for (option, value) in [
        ("act_fn", json!("mish")),
        ("down_block_types", json!(["DownBlock2D"])),
        ("up_block_types", json!(["UpDecoderBlock2D", "UpDecoderBlock2D"])),
        ("norm_num_groups", json!(7)),
        ("layers_per_block", json!(0)),
        ("latents_mean", json!([0.0, 0.0, 0.0, 0.0])),
        ("scaling_factor", json!(0.0)),
        ("some_new_option", json!(true)),
    ] {
        refused(with("AutoencoderKL", option, value), option);
    }
    for (option, value) in [
        ("upsample_fn", json!("trilinear")),
        ("encoder_block_out_channels", json!([8, 8, 8, 16])),
        ("num_decoder_blocks", json!([1, 1])),
        ("block_out_channels", json!([1, 2, 3, 4])),
        ("upsampling_scaling_factor", json!(0)),
        ("some_new_option", json!(true)),
    ] {
        refused(with("AutoencoderTiny", option, value), option);
    }
    refused(json!({"_class_name": "AsymmetricAutoencoderKL"}), "AsymmetricAutoencoderKL");
    for (option, value) in [
        ("hidden_act", json!("gelu_new")),
        ("architectures", json!(["T5EncoderModel"])),
        ("model_type", json!("clip")),
        ("use_attention_mask", json!(true)),
        ("num_attention_heads", json!(7)),
        ("some_new_option", json!(true)),
    ] {
        refused(json!({option: value}), option);
    }
}

#[test]
fn latents_are_scaled_as_the_config_says_and_back() {
    let device = open_device("cpu").unwrap();
    let base = json!({"_class_name": "AutoencoderKL", "block_out_channels": [8], "norm_num_groups": 4,
        "latent_channels": 2});
    let with = |more: &[(&str, Json)]| {
        let mut config = base.clone();
        more.iter().for_each(|(option, value)| config[*option] = value.clone());
        Autoencoder::from_json(&config.to_string()).unwrap()
    };
    let each = [
        (vec![("scaling_factor", json!(0.5)), ("shift_factor", json!(0.25))], [(0.25, 0.5); 2]),
        (
            vec![
                ("scaling_factor", json!(0.5)),
                ("latents_mean", json!([1.0, -1.0])),
                ("latents_std", json!([2.0, 0.25])),
            ],
            [(1.0, 0.25), (-1.0, 2.0)],
        ),
    ];
    for (options, expected) in each {
        let autoencoder = with(&options);
        let (encoder, decoder) = (autoencoder.encoder(1, 4, 4).unwrap(), autoencoder.decoder(1, 4, 4).unwrap());
        let weights = drawn(&autoencoder.round_trip(1, 4, 4).unwrap(), 3);
        let run = |graph: &Graph, values: &[f32]| {
            let shape = graph.shape(graph.inputs[0].value).to_vec();
            let input = Value::from_host(&HostTensor::f32(&shape, values.to_vec()), &device);
            execute(graph, &weights, vec![input], &device).unwrap()[0].to_vec()
        };
        let image = normal_vec(3 * 16, &mut stream(1, "test", 0));
        let bare = run(&autoencoder.clone().bare().encoder(1, 4, 4).unwrap(), &image);
        let scaled = run(&encoder, &image);
        for (index, (bare, scaled)) in bare.iter().zip(&scaled).enumerate() {
            let (shift, gain) = expected[index / 16];
            assert!((scaled - (bare - shift) * gain).abs() < 1e-6);
        }
        // Decoding takes the scale out again, and cuts to what an image can hold.
        let plain = run(&autoencoder.bare().decoder(1, 4, 4).unwrap(), &bare);
        for (plain, ours) in plain.iter().zip(run(&decoder, &scaled)) {
            assert!((plain.clamp(-1.0, 1.0) - ours).abs() < 1e-5);
        }
    }
}

/// Random weights of a graph.
fn drawn(graph: &Graph, seed: u64) -> Parameters {
    let mut weights = Parameters::new(&open_device("cpu").unwrap());
    weights.init(graph.weights(), seed);
    weights
}

fn save(path: &Path, weights: &Parameters, rename: impl Fn(&str) -> String) {
    let values: Vec<(String, Vec<usize>, Vec<f32>)> = weights
        .iter()
        .map(|(name, weight)| (rename(name), weight.shape.clone(), weights.values(name).unwrap().into_owned()))
        .collect();
    let tensors = values.iter().map(|(name, shape, values)| (name.clone(), Stored::f32(shape, values))).collect();
    write_safetensors(path, &tensors, &Default::default()).unwrap();
}

/// A small Stable Diffusion with random weights, a study of it, and their folder.
pub struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    pub fn new() -> Self {
        let this = Self { folder: tempfile::tempdir().unwrap() };
        let unet = json!({"_class_name": "UNet2DConditionModel", "in_channels": 4, "out_channels": 4,
            "block_out_channels": [8, 8], "layers_per_block": 1, "norm_num_groups": 4, "cross_attention_dim": 16,
            "attention_head_dim": 2, "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
            "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"], "sample_size": 8});
        let vae = json!({"_class_name": "AutoencoderKL", "block_out_channels": [8, 8], "norm_num_groups": 4,
            "down_block_types": ["DownEncoderBlock2D", "DownEncoderBlock2D"], "layers_per_block": 1,
            "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D"], "scaling_factor": 0.5});
        let text = json!({"architectures": ["CLIPTextModelWithProjection"], "model_type": "clip_text_model",
            "vocab_size": 625, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
            "num_attention_heads": 2, "max_position_embeddings": 24, "hidden_act": "gelu", "eos_token_id": 624,
            "projection_dim": 12});
        let settings = json!({"tokenizer_class": "CLIPTokenizer", "model_max_length": 24, "pad_token": "!"});
        this.write("sd/unet/config.json", &unet.to_string());
        this.write("sd/vae/config.json", &vae.to_string());
        this.write("sd/text_encoder/config.json", &text.to_string());
        this.write("sd/tokenizer/tokenizer_config.json", &settings.to_string());
        this.write("sd/model_index.json", r#"{"_class_name": "StableDiffusionPipeline"}"#);
        for name in ["vocab.json", "merges.txt"] {
            let from = Path::new(HERE).join("supernet/clips/tests/bpe").join(name);
            this.write(&format!("sd/tokenizer/{name}"), &fs::read_to_string(from).unwrap());
        }
        let shape = DenoiserShape { batch: 1, frames: 1, height: 8, width: 8, tokens: 24 };
        let backbone = Backbone::new(UNetConfig::from_json(&unet.to_string()).unwrap());
        let graph = backbone.denoiser(&Genotype::none(), shape).unwrap();
        let weights = "diffusion_pytorch_model.safetensors";
        save(&this.path(&format!("sd/unet/{weights}")), &drawn(&graph, 1), str::to_owned);
        let graph = Autoencoder::from_json(&vae.to_string()).unwrap().round_trip(1, 8, 8).unwrap();
        save(&this.path(&format!("sd/vae/{weights}")), &drawn(&graph, 2), str::to_owned);
        let encoder = TextEncoder::new(TextEncoderConfig::from_json(&text.to_string()).unwrap());
        // transformers 5 leaves the class's own front part out.
        let rename = |name: &str| name.strip_prefix("text_model.").unwrap_or(name).to_owned();
        save(
            &this.path("sd/text_encoder/model.safetensors"),
            &drawn(&encoder.whole_graph(1, 24).unwrap(), 3),
            rename,
        );
        this.write("space.toml", "[[rules]]\nslots = [\"down.0.0.r\"]\nchoices = [\"none\", \"conv1d(k=3)\"]\n");
        let study = format!(
            "name = \"pipeline\"\nspace = {:?}\n[data]\nkind = \"shapes\"\nframes = 3\nsize = 16\ntrain_clips = 6\n\
             validation_clips = 4\n[backbone]\npath = {:?}\n[autoencoder]\npath = {:?}\n[supernet.training]\nsteps = 2\n\
             batch = 2\nwarmup_steps = 1\n",
            this.path("space.toml"),
            this.path("sd"),
            this.path("sd"),
        );
        this.write("study.toml", &study);
        this
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    pub fn json(&self, name: &str) -> Json {
        serde_json::from_str(&fs::read_to_string(self.path(name)).unwrap()).unwrap()
    }

    /// Runs a stage of the study: exit code and what was said.
    pub fn stage(&self, stage: [&str; 2], settings: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tnas"));
        command.current_dir(self.folder.path()).args(stage).arg("study.toml");
        for setting in settings {
            command.args(["--set", setting]);
        }
        let output = command.output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }
}

#[test]
fn a_pipeline_folder_is_the_backbone_of_a_study() {
    let scene = Scene::new();
    let (code, text) = scene.stage(["backbone", "take"], &[]);
    assert_eq!(code, Some(0), "{text}");
    // What was read is carried on.
    for name in ["tokenizer/vocab.json", "tokenizer/merges.txt", "tokenizer/tokenizer_config.json"] {
        let read = fs::read(scene.path(&format!("sd/{name}"))).unwrap();
        assert_eq!(fs::read(scene.path(&format!("runs/pipeline/backbone/{name}"))).unwrap(), read, "{name}");
    }
    for name in ["unet/config.json", "text_encoder/config.json"] {
        assert_eq!(scene.json(&format!("runs/pipeline/backbone/{name}")), scene.json(&format!("sd/{name}")));
    }
    assert_eq!(scene.json("runs/pipeline/backbone/genotype.json")["text_layer"], "last");
    let (code, text) = scene.stage(["supernet", "train"], &[]);
    assert_eq!(code, Some(0), "{text}");
    // A denoiser trained elsewhere takes latents as the autoencoder's config scales them.
    assert!(!scene.path("runs/pipeline/backbone/vae/latent_statistics.json").exists());
    // The layer that the UNet reads is a setting, and the pipeline that is written remembers it.
    let (code, text) = scene.stage(["backbone", "take"], &["backbone.text_layer=\"penultimate\""]);
    assert_eq!(code, Some(0), "{text}");
    let layer = scene.json("runs/pipeline/backbone/genotype.json")["text_layer"].clone();
    assert_eq!(serde_json::from_value::<TextLayer>(layer).unwrap(), TextLayer::Penultimate);
}

#[test]
fn what_does_not_fit_in_a_pipeline_is_named() {
    let scene = Scene::new();
    let (code, text) = scene.stage(["backbone", "take"], &["data.size=17"]);
    assert!(code == Some(1) && text.contains("data.size = 17"), "{code:?} {text}");
    let (code, text) = scene.stage(["backbone", "take"], &["backbone.text_layer=\"first\""]);
    assert!(code == Some(2) && text.contains("penultimate"), "{code:?} {text}");
    let config = fs::read_to_string(scene.path("sd/vae/config.json")).unwrap();
    let changed = config.replace("\"layers_per_block\":1", "\"layers_per_block\":2");
    assert_ne!(changed, config);
    scene.write("sd/vae/config.json", &changed);
    let (code, text) = scene.stage(["backbone", "take"], &[]);
    assert!(code != Some(0) && text.contains("resnets.1"), "{code:?} {text}");
    fs::remove_file(scene.path("sd/vae/config.json")).unwrap();
    let (code, text) = scene.stage(["backbone", "take"], &[]);
    assert!(code != Some(0) && text.contains("config.json is missing"), "{code:?} {text}");
    scene.write("sd/vae/config.json", &config);
    let config = fs::read_to_string(scene.path("sd/text_encoder/config.json")).unwrap();
    scene.write("sd/text_encoder/config.json", &config.replace("\"vocab_size\":625", "\"vocab_size\":600"));
    let (code, text) = scene.stage(["backbone", "take"], &[]);
    assert!(code != Some(0) && text.contains("625 ids"), "{code:?} {text}");
    scene.write(
        "sd/text_encoder/config.json",
        &config.replace("\"intermediate_size\":32", "\"intermediate_size\":33"),
    );
    let (code, text) = scene.stage(["backbone", "take"], &[]);
    assert!(code != Some(0) && text.contains("mlp.fc1"), "{code:?} {text}");
}
