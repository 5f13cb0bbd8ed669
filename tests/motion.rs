//! Published motion models against outputs made in Python, and as points of the search space.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use tnas_graph::{Dtype, Graph, HostTensor};
use tnas_models::{Backbone, DenoiserShape, MotionAdapter, MotionModel, NameMap, UNetConfig};
use tnas_network::{Parameters, Value, execute, normal_vec, open_device, stream};
use tnas_space::{Genotype, SearchSpace, SpaceFile};
use tnas_weights::{HostTensor as Stored, SafeTensors, write_safetensors};

fn shared(name: &str) -> Option<PathBuf> {
    tnas_testing::shared(&format!("fixtures/diffusers/{name}"))
}

fn tnas(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tnas")).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A file with some tensors left out, added or cut, and others renamed.
fn rewrite(from: &Path, to: &Path, change: impl Fn(&str, &mut Vec<usize>, &mut Vec<f32>) -> bool) {
    let file = SafeTensors::open(from).unwrap();
    let mut kept = Vec::new();
    for name in file.names() {
        let (mut shape, mut values) =
            (file.info(name).unwrap().shape.clone(), file.f32(name).unwrap().into_owned());
        if change(name, &mut shape, &mut values) {
            kept.push((name.to_string(), shape, values));
        }
    }
    let tensors = kept.iter().map(|(name, shape, values)| (name.clone(), Stored::f32(shape, values))).collect();
    write_safetensors(to, &tensors, &Default::default()).unwrap();
}

const WHOLE: [&str; 3] = ["motion_animatediff", "unet3d_modelscope", "unet_svd"];

#[test]
fn video_unets_made_by_diffusers_are_reproduced() {
    for name in WHOLE {
        let Some(folder) = shared(name) else { continue };
        let (code, text) = tnas(&["backbone", "check", path(&folder)]);
        println!("{name}: {text}");
        assert_eq!(code, Some(0), "{name}: {text}");
    }
}

#[test]
fn names_are_mapped_both_ways() {
    for name in WHOLE {
        let Some(folder) = shared(name) else { continue };
        let model = MotionModel::from_json(&read(&folder.join("config.json"))).unwrap();
        let file = SafeTensors::open(folder.join("model.safetensors")).unwrap();
        let shape = DenoiserShape { batch: 1, frames: 2, height: 8, width: 8, tokens: 1 };
        let graph = model.backbone.denoiser(&model.genotype, shape).unwrap();
        let mut expected: BTreeSet<String> = graph.weights().iter().map(|weight| weight.name.clone()).collect();
        for published in file.names().filter(|name| !name.ends_with(".pos_embed.pe")) {
            let here = model.names.here(published);
            assert_eq!(model.names.published(&here), published);
            let (stored, weight) = (&file.info(published).unwrap().shape, NameMap::shape_here);
            assert_eq!(&NameMap::published_shape(&here, &weight(stored)), stored, "{published}");
            assert_eq!(model.names.is_temporal(published), here.starts_with("temporal."), "{published}");
            assert!(expected.remove(&here), "{published} as {here}");
        }
        assert!(expected.is_empty(), "{name}: {expected:?}");
    }
}

/// A motion adapter's folder as diffusers writes it.
fn adapter(fixture: &Path, folder: &Path) {
    std::fs::copy(fixture.join("motion_adapter_config.json"), folder.join("config.json")).unwrap();
    let weights = folder.join("diffusion_pytorch_model.safetensors");
    std::fs::copy(fixture.join("motion_adapter.safetensors"), weights).unwrap();
}

/// The first golden case of an imported folder: largest error and what is allowed.
fn golden_error(folder: &Path, golden: &Path, text_per_frame: bool) -> (f32, f32) {
    let config = UNetConfig::from_json(&read(&folder.join("unet/config.json"))).unwrap();
    let genotype: serde_json::Value = serde_json::from_str(&read(&folder.join("genotype.json"))).unwrap();
    let genotype: Genotype = genotype["genotype"].as_str().unwrap().parse().unwrap();
    let device = open_device("cpu").unwrap();
    let file = SafeTensors::open(folder.join("unet/diffusion_pytorch_model.safetensors")).unwrap();
    let mut weights = Parameters::new(&device);
    for name in file.names() {
        let shape = file.info(name).unwrap().shape.clone();
        weights.insert_host(name, &shape, file.f32(name).unwrap().into_owned());
    }
    let io = SafeTensors::open(golden.join("io.safetensors")).unwrap();
    let tensor = |name: &str| {
        let name = format!("case0.{name}");
        let shape = io.info(&name).unwrap().shape.clone();
        let values = io.f32(&name).map(std::borrow::Cow::into_owned);
        let values = values.unwrap_or_else(|_| io.i64(&name).unwrap().iter().map(|&x| x as f32).collect());
        HostTensor::f32(if shape.is_empty() { &[1] } else { &shape }, values)
    };
    let (sample, mut text) = (tensor("in.sample"), tensor("in.encoder_hidden_states"));
    let &[batch, _, frames, height, width] = sample.shape.as_slice() else { panic!("{:?}", sample.shape) };
    assert_eq!(batch, 1);
    if text_per_frame {
        let one = text.as_f32().unwrap().len() / frames;
        text = HostTensor::f32(&[1, text.shape[1], text.shape[2]], text.as_f32().unwrap()[..one].to_vec());
    }
    let shape = DenoiserShape { batch, frames, height, width, tokens: text.shape[1] };
    let graph = Backbone::new(config).denoiser(&genotype, shape).unwrap();
    weights.refuse_extra(&[&graph]).unwrap();
    let inputs =
        [sample, tensor("in.timestep"), text].iter().map(|input| Value::from_host(input, &device)).collect();
    let out = execute(&graph, &weights, inputs, &device).unwrap()[0].to_host();
    let golden = tensor("out");
    (out.max_abs_difference(&golden), 1e-4 * golden.max_abs().max(1.0))
}

#[test]
fn an_adapter_over_an_image_model_is_a_point_of_the_space() {
    let (Some(base), Some(motion)) = (shared("unet2dcond_sd15"), shared("motion_animatediff")) else { return };
    let folder = tempfile::tempdir().unwrap();
    adapter(&motion, folder.path());
    let space = folder.path().join("space.toml");
    let rules = "[[rules]]\nslots = [\"down.0.*.a\", \"down.1.*.r\", \"mid.0.a\", \"up.0.*.r\", \"up.1.*.a\"]\n\
                 choices = [\"none\", \"conv1d\", \"animatediff(heads=4,length=16)\"]\n";
    std::fs::write(&space, rules).unwrap();
    let out = folder.path().join("out");
    let import = |out: &Path, more: &[&str]| {
        let arguments = ["backbone", "import", "--motion", path(folder.path()), "--out", path(out)];
        tnas(&[&arguments, more].concat())
    };
    let (code, text) = import(&out, &["--base", path(&base), "--space", path(&space)]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("down.0.0.a=animatediff(heads=4,layers=1,length=16,pos=sin)"), "{text}");
    let (error, allowed) = golden_error(&out, &motion, true);
    println!("AnimateDiff, imported: {error:.2e}, allowed {allowed:.2e}");
    assert!(error <= allowed, "{error} > {allowed}");
    // Not over itself, not without an image model, not in a space that lacks it.
    let (code, text) = import(&out, &["--base", path(&base)]);
    assert!(code == Some(1) && text.contains("not empty"), "{text}");
    let elsewhere = folder.path().join("elsewhere");
    let (code, text) = import(&elsewhere, &[]);
    assert!(code == Some(1) && text.contains("--base"), "{text}");
    std::fs::write(&space, rules.replace("length=16", "length=24")).unwrap();
    let (code, text) = import(&elsewhere, &["--base", path(&base), "--space", path(&space)]);
    assert!(code == Some(3) && text.contains("length=16"), "{text}");
    assert!(!elsewhere.exists());
}

#[test]
fn a_whole_motion_model_brings_its_image_model() {
    let Some(motion) = shared("unet3d_modelscope") else { return };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let (code, text) = tnas(&["backbone", "import", "--motion", path(&motion), "--out", path(&out), "--json"]);
    assert_eq!(code, Some(0), "{text}");
    let (error, allowed) = golden_error(&out, &motion, false);
    println!("ModelScope, imported: {error:.2e}, allowed {allowed:.2e}");
    assert!(error <= allowed, "{error} > {allowed}");
    let Some(svd) = shared("unet_svd") else { return };
    let out = folder.path().join("svd");
    let (code, text) = tnas(&["backbone", "import", "--motion", path(&svd), "--out", path(&out)]);
    assert!(code == Some(0) && text.contains("none"), "{text}");
    let (code, text) =
        tnas(&["backbone", "import", "--motion", path(&svd), "--base", path(&motion), "--out", path(&out)]);
    assert!(code == Some(1) && text.contains("--base"), "{text}");
}

/// What becomes of a tensor's shape and numbers; false leaves it out.
type Change<'a> = dyn Fn(&str, &mut Vec<usize>, &mut Vec<f32>) -> bool + 'a;

#[test]
fn weights_that_do_not_fit_are_named_as_they_were_published() {
    let (Some(base), Some(motion)) = (shared("unet2dcond_sd15"), shared("motion_animatediff")) else { return };
    let folder = tempfile::tempdir().unwrap();
    adapter(&motion, folder.path());
    let (from, to) =
        (motion.join("motion_adapter.safetensors"), folder.path().join("diffusion_pytorch_model.safetensors"));
    let import = |change: &Change| {
        rewrite(&from, &to, change);
        let out = folder.path().join("out");
        let arguments = ["backbone", "import", "--motion", path(folder.path()), "--base", path(&base), "--out"];
        tnas(&[&arguments[..], &[path(&out)]].concat())
    };
    let name = "down_blocks.1.motion_modules.0.proj_in.bias";
    let (code, text) = import(&|tensor, _, _| tensor != name);
    assert!(code == Some(3) && text.contains(name), "{text}");
    let places = "mid_block.motion_modules.0.transformer_blocks.0.pos_embed.pe";
    for hostile in [vec![], vec![384], vec![24, 16], vec![1, 24, 16]] {
        let (code, text) = import(&|tensor, shape, values| {
            if tensor == places {
                values.truncate(hostile.iter().product());
                *shape = hostile.clone();
            }
            true
        });
        assert!(code == Some(3) && text.contains(places), "{text}");
    }
    let (code, text) = import(&|tensor, shape, values| {
        if tensor == name {
            shape[0] -= 1;
            values.pop();
        }
        true
    });
    assert!(code == Some(3) && text.contains(name) && text.contains("23"), "{text}");
    // One block fewer than the weights have.
    let config = folder.path().join("config.json");
    let changed = read(&config).replace("\"use_motion_mid_block\": true", "\"use_motion_mid_block\": false");
    std::fs::write(&config, changed).unwrap();
    let (code, text) = import(&|_, _, _| true);
    assert!(code == Some(3) && text.contains("mid_block.motion_modules.0"), "{text}");
    for (option, from, to) in [
        (
            "motion_mid_block_layers_per_block",
            "mid_block_layers_per_block\": 1",
            "mid_block_layers_per_block\": 999999999999",
        ),
        ("motion_norm_num_groups", "\"motion_norm_num_groups\": 8", "\"motion_norm_num_groups\": 4"),
        ("motion_layers_per_block", "\"motion_layers_per_block\": 2", "\"motion_layers_per_block\": 3"),
        ("a_new_option", "{", "{\"a_new_option\": 1,"),
    ] {
        adapter(&motion, folder.path());
        let text = read(&config).replacen(from, to, 1);
        std::fs::remove_file(&config).unwrap();
        std::fs::write(&config, text).unwrap();
        let (code, text) = import(&|_, _, _| true);
        assert!(code == Some(3) && text.contains(option), "{code:?} {text}");
    }
}

#[test]
fn text_that_differs_between_frames_is_refused() {
    let Some(motion) = shared("motion_animatediff") else { return };
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors"] {
        std::fs::copy(motion.join(name), folder.path().join(name)).unwrap();
    }
    let file = motion.join("io.safetensors");
    // Whole numbers become floats, which the check takes too.
    let io = SafeTensors::open(&file).unwrap();
    let mut kept = Vec::new();
    for name in io.names() {
        let shape = io.info(name).unwrap().shape.clone();
        let values = io.f32(name).map(std::borrow::Cow::into_owned);
        let mut values = values.unwrap_or_else(|_| io.i64(name).unwrap().iter().map(|&x| x as f32).collect());
        if name == "case0.in.encoder_hidden_states" {
            *values.last_mut().unwrap() += 1.0;
        }
        kept.push((name.to_string(), shape, values));
    }
    let tensors = kept.iter().map(|(name, shape, values)| (name.clone(), Stored::f32(shape, values))).collect();
    write_safetensors(folder.path().join("io.safetensors"), &tensors, &Default::default()).unwrap();
    let (code, text) = tnas(&["backbone", "check", path(folder.path())]);
    assert!(code != Some(0) && text.contains("differs between the frames"), "{text}");
}

const SVD: &str = r#"{"_class_name": "UNetSpatioTemporalConditionModel", "in_channels": 4, "block_out_channels": [32, 64],
    "layers_per_block": 1, "cross_attention_dim": 12, "num_attention_heads": [2, 4], "addition_time_embed_dim": 4,
    "projection_class_embeddings_input_dim": 12,
    "down_block_types": ["CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"],
    "up_block_types": ["UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"]}"#;

fn drawn_inputs(graph: &Graph) -> Vec<HostTensor> {
    let mut rng = stream(3, "motion", 0);
    let input = |input: &tnas_graph::Input| {
        assert_eq!(graph.dtype(input.value), Dtype::F32);
        let shape = graph.shape(input.value);
        HostTensor::f32(shape, normal_vec(shape.iter().product(), &mut rng))
    };
    graph.inputs.iter().map(input).collect()
}

#[test]
fn untrained_temporal_halves_change_nothing() {
    let video = Backbone::new(UNetConfig::from_json(SVD).unwrap());
    let mut image = video.clone();
    image.config.spatio_temporal = false;
    let device = open_device("cpu").unwrap();
    let shape = DenoiserShape { batch: 2, frames: 4, height: 8, width: 6, tokens: 1 };
    let graph = video.denoiser(&Genotype::none(), shape).unwrap();
    let mut weights = Parameters::new(&device);
    weights.init(graph.weights(), 5);
    let given = drawn_inputs(&graph);
    let run = |graph: &Graph| {
        let inputs = given.iter().map(|input| Value::from_host(input, &device)).collect();
        execute(graph, &weights, inputs, &device).unwrap()[0].to_host()
    };
    let still = run(&image.denoiser(&Genotype::none(), shape).unwrap());
    assert!(run(&graph).max_abs_difference(&still) <= 1e-6);
    // Its slots take operators like any other's.
    for info in video.slots() {
        let genotype: Genotype = format!("{}=animatediff(heads=4)", info.slot).parse().unwrap();
        let graph = video.denoiser(&genotype, shape).unwrap();
        weights.init(graph.weights(), 5);
        let inputs = given.iter().map(|input| Value::from_host(input, &device)).collect();
        let out = execute(&graph, &weights, inputs, &device).unwrap()[0].to_host();
        assert!(out.max_abs_difference(&still) <= 1e-6, "{genotype}");
    }
}

#[test]
fn published_blocks_have_the_published_sizes() {
    for (channels, module, convolution) in [(320, "2.26", "1.23"), (640, "9.02", "4.92"), (1280, "36.07", "19.68")]
    {
        let config = format!(
            r#"{{"block_out_channels": [{channels}], "layers_per_block": 1, "down_block_types": ["DownBlock2D"],
                "up_block_types": ["UpBlock2D"], "mid_block_type": null}}"#
        );
        let backbone = Backbone::new(UNetConfig::from_json(&config).unwrap());
        let shape = DenoiserShape { batch: 1, frames: 16, height: 8, width: 8, tokens: 1 };
        let count = |genotype: &str| {
            tnas_graph::cost(&backbone.denoiser(&genotype.parse().unwrap(), shape).unwrap()).parameters
        };
        let added =
            |choice: &str| format!("{:.2}", (count(&format!("down.0.0.r={choice}")) - count("none")) as f64 / 1e6);
        assert_eq!(added("animatediff"), module, "{channels}");
        assert_eq!(added("modelscope(block=conv)"), convolution, "{channels}");
        println!("{channels}: {module} M and {convolution} M, attention {} M", added("modelscope(block=attn)"));
    }
}

#[test]
fn published_models_are_in_the_space_that_ships() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file: SpaceFile = toml::from_str(&read(&root.join("configs/spaces/published.toml"))).unwrap();
    let image =
        Backbone::new(UNetConfig::from_json(&read(&root.join("configs/backbones/sd15/unet/config.json"))).unwrap());
    let over = |adapter: &str| MotionAdapter::from_json(adapter).unwrap().over(&image).unwrap();
    let first = r#"{"motion_max_seq_length": 24, "use_motion_mid_block": false}"#;
    let model_scope = MotionModel::from_json(r#"{"_class_name": "UNet3DConditionModel"}"#).unwrap();
    let shape = DenoiserShape { batch: 1, frames: 16, height: 64, width: 64, tokens: 77 };
    for (name, model, temporal) in [
        ("AnimateDiff 1", over(first), 417_137_600),
        ("AnimateDiff 2", over("{}"), 453_209_280),
        ("ModelScope", model_scope, 545_323_136),
    ] {
        let space = SearchSpace::new(&model.backbone.slots(), &file).unwrap();
        assert!(space.genome(&model.genotype).is_ok(), "{name}: {}", model.genotype);
        let count = |genotype| tnas_graph::cost(&model.backbone.denoiser(genotype, shape).unwrap()).parameters;
        let (whole, image) = (count(&model.genotype), count(&Genotype::none()));
        println!("{name}: {whole} parameters, {} of them temporal", whole - image);
        // As diffusers counts them.
        assert_eq!(whole - image, temporal, "{name}");
    }
}

#[test]
fn more_frames_than_places_are_an_error() {
    let backbone = Backbone::new(UNetConfig::from_json(SVD).unwrap());
    let genotype: Genotype = "in=animatediff(length=8)".parse().unwrap();
    let shape = DenoiserShape { batch: 1, frames: 9, height: 8, width: 8, tokens: 1 };
    let message = backbone.denoiser(&genotype, shape).unwrap_err().to_string();
    assert!(message.contains("temporal.in.animatediff.0") && message.contains("0..9"), "{message}");
}
