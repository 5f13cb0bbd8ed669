use tnas_export::RUNTIMES;
use tnas_graph::{Dtype, Graph, GraphBuilder, HostTensor, Init, Op, Runtime, RuntimeOptions, ValueId};
use tnas_models::{Backbone, DenoiserShape, MotionModel, TextEncoder, TextEncoderConfig, UNetConfig};
use tnas_network::{BurnRuntime, Parameters, normal_vec, open_device, stream};

fn repository(path: &str) -> String {
    std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Runs a graph with random weights here and in every runtime that is found.
fn check(what: &str, graph: &Graph, ids: &[i64]) {
    let device = open_device("cpu").unwrap();
    let mut parameters = Parameters::new(&device);
    parameters.init(graph.weights(), 9);
    // Zero weights would hide mistakes.
    let names: Vec<String> = parameters.names().map(String::from).collect();
    let mut rng = stream(4, what, 0);
    for name in names {
        let shape = parameters.get(&name).unwrap().shape.clone();
        let values = normal_vec(shape.iter().product(), &mut rng).into_iter().map(|x| 0.2 * x).collect();
        parameters.insert_host(name, &shape, values);
    }
    let input = |input: &tnas_graph::Input| {
        let shape = graph.shape(input.value);
        let count = shape.iter().product();
        match graph.dtype(input.value) {
            Dtype::I64 => HostTensor::i64(shape, ids[..count].to_vec()),
            Dtype::F32 => HostTensor::f32(shape, normal_vec(count, &mut stream(5, &input.name, 0))),
        }
    };
    let inputs: Vec<HostTensor> = graph.inputs.iter().map(input).collect();
    let ours = BurnRuntime::new(&device).load(graph, &parameters).unwrap().run(&inputs).unwrap();
    for kind in RUNTIMES {
        let runtime = match (kind.open)(&RuntimeOptions::cpu(1)) {
            Ok(runtime) => runtime,
            Err(error) => {
                tnas_testing::skip(&format!("{} is not found: {error}", kind.name));
                continue;
            }
        };
        let theirs = runtime.load(graph, &parameters).unwrap().run(&inputs).unwrap();
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let (error, bound) = (ours.max_abs_difference(theirs), 1e-4 * ours.max_abs().max(1.0));
            assert!(error <= bound, "{what} in {}: {error} > {bound}", kind.name);
        }
    }
}

#[test]
fn a_denoiser_with_every_operator() {
    let config = UNetConfig::from_json(&repository("configs/backbones/quickstart/unet/config.json")).unwrap();
    let genotype = "in=conv1d(k=5,expand=2);down.0.0.r=conv1d(depthwise=true);down.1.0.a=attn1d(ff=2,heads=2);\
        mid.0.a=attn3d(heads=4,ff=1,kv_stride=2);mid.0.r=cross3d(ff=1)+cross1d(heads=2);mid.1.r=linear3d(ff=1);\
        up.0.0.r=conv3d(k=5)+conv2p1d(k=3);up.0.1.a=attn1d(pos=rotary)+shift(fraction=1/4);\
        up.1.1.r=conv1d(k=3)+attn1d(pos=none)";
    let shape = DenoiserShape { batch: 2, frames: 4, height: 8, width: 8, tokens: 5 };
    check("denoiser", &Backbone::new(config).denoiser(&genotype.parse().unwrap(), shape).unwrap(), &[]);
}

#[test]
fn denoisers_with_published_blocks() {
    let config = UNetConfig::from_json(&repository("configs/backbones/quickstart/unet/config.json")).unwrap();
    let genotype = "in=modelscope(block=attn,depth=4,heads=3);down.0.0.r=modelscope;down.1.0.a=modelscope(block=attn,depth=8);\
        mid.0.a=animatediff(heads=4,layers=2);up.0.0.r=animatediff(length=4,pos=table)";
    let shape = DenoiserShape { batch: 2, frames: 3, height: 8, width: 8, tokens: 5 };
    check("published", &Backbone::new(config).denoiser(&genotype.parse().unwrap(), shape).unwrap(), &[]);
    let config = r#"{"_class_name": "UNetSpatioTemporalConditionModel", "in_channels": 4, "block_out_channels": [32, 32],
        "layers_per_block": 1, "cross_attention_dim": 12, "num_attention_heads": 2, "addition_time_embed_dim": 4,
        "projection_class_embeddings_input_dim": 12,
        "down_block_types": ["CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"],
        "up_block_types": ["UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"]}"#;
    let backbone = Backbone::new(UNetConfig::from_json(config).unwrap());
    check("spatio-temporal", &backbone.denoiser(&"none".parse().unwrap(), shape).unwrap(), &[]);
}

#[test]
fn a_denoiser_whose_time_embedding_has_an_odd_width() {
    let config = r#"{"_class_name": "UNet3DConditionModel", "in_channels": 4, "out_channels": 4, "norm_num_groups": 9,
        "block_out_channels": [9, 18], "layers_per_block": 1, "cross_attention_dim": 12, "attention_head_dim": 3,
        "down_block_types": ["CrossAttnDownBlock3D", "DownBlock3D"], "up_block_types": ["UpBlock3D", "CrossAttnUpBlock3D"]}"#;
    let model = MotionModel::from_json(config).unwrap();
    let shape = DenoiserShape { batch: 2, frames: 3, height: 8, width: 8, tokens: 5 };
    let graph = model.backbone.denoiser(&model.genotype, shape).unwrap();
    let embedding = graph.nodes.iter().find(|node| node.name == "time_proj").unwrap();
    assert_eq!(graph.shape(embedding.output), [2, 9]);
    check("odd embedding", &graph, &[]);
}

#[test]
fn a_text_encoder() {
    let config = repository("configs/backbones/quickstart/text_encoder/config.json");
    let encoder = TextEncoder::new(TextEncoderConfig::from_json(&config).unwrap());
    check("text encoder", &encoder.graph(2, 6).unwrap(), &[1, 5, 7, 2, 0, 0, 1, 9, 2, 0, 0, 0]);
}

#[test]
fn the_operations_that_neither_has() {
    let mut g = GraphBuilder::new();
    let x = g.input("x", &[2, 4, 6, 6], Dtype::F32);
    let mut apply = |name: &str, op: Op, inputs: &[ValueId]| g.node(name, op, inputs);
    let pooled = apply("pool", Op::AvgPool2d { window: [2, 2] }, &[x]);
    let large = apply("resize", Op::ResizeNearest { size: [6, 6] }, &[pooled]);
    let rest = apply("sub", Op::Sub, &[x, large]);
    let tanh = apply("tanh", Op::Tanh, &[rest]);
    let gate = apply("sigmoid", Op::Sigmoid, &[tanh]);
    let shares = apply("softmax", Op::Softmax, &[gate]);
    let mean = apply("mean", Op::Mean { axes: vec![2, 3] }, &[shares]);
    let product = apply("matmul", Op::MatMul, &[shares, x]);
    let y = g.add("add", product, mean);
    let y = g.affine("affine", y, 1.5, -0.25);
    let y = g.conv2d("halve", y, 3, [3, 3], [2, 2], [1, 1], Init::FanIn);
    let y = g.relu("relu", y);
    check("the rest", &g.finish(&[("y", y), ("mean", mean)]).unwrap(), &[]);
}
