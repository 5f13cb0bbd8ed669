use std::collections::BTreeMap;

use tnas_graph::Weights;
use tnas_models::{Backbone, DenoiserShape, UNetConfig};
use tnas_network::{Parameters, Stream, Value, execute, merged_weights, normal_vec, open_device, stream};
use tnas_space::{Genotype, OPERATORS, SearchSpace, SpaceFile};
use tnas_weights::{HostTensor, SafeTensors, write_safetensors};

fn repository(path: &str) -> String {
    std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn with_space(name: &str) -> (Backbone, SearchSpace) {
    let backbone =
        Backbone::new(UNetConfig::from_json(&repository("configs/backbones/quickstart/unet/config.json")).unwrap());
    let file: SpaceFile = toml::from_str(&repository(&format!("configs/spaces/{name}.toml"))).unwrap();
    let space = SearchSpace::new(&backbone.slots(), &file).unwrap();
    (backbone, space)
}

/// A supernet with drawn weights; the temporal ones start as the operators say.
fn supernet(backbone: &Backbone, space: &SearchSpace, shape: DenoiserShape) -> Parameters {
    let graphs: Vec<_> =
        space.covering().iter().map(|g| backbone.denoiser(&space.genotype(g), shape).unwrap()).collect();
    let mut parameters = Parameters::new(&open_device("cpu").unwrap());
    parameters.init(merged_weights(&graphs).values(), 3);
    parameters
}

fn inputs(backbone: &Backbone, shape: DenoiserShape, rng: &mut Stream, parameters: &Parameters) -> Vec<Value> {
    let DenoiserShape { batch, frames, height, width, tokens } = shape;
    let mut random =
        |shape: &[usize]| Value::from_f32(normal_vec(shape.iter().product(), rng), shape, parameters.device());
    let sample = random(&[batch, backbone.config.in_channels, frames, height, width]);
    let context = random(&[batch, tokens, backbone.config.text_width()]);
    vec![sample, Value::from_f32(vec![321.0; batch], &[batch], parameters.device()), context]
}

#[test]
fn an_untrained_supernet_is_the_image_model_for_every_genotype() {
    for name in ["quickstart", "full"] {
        untrained_equals_image_model(name);
    }
}

fn untrained_equals_image_model(name: &str) {
    let (backbone, space) = with_space(name);
    let shape = DenoiserShape { batch: 2, frames: 4, height: 8, width: 8, tokens: 5 };
    let parameters = supernet(&backbone, &space, shape);
    let mut rng = stream(1, "identity", 0);
    let given = inputs(&backbone, shape, &mut rng, &parameters);
    let run = |genotype: &Genotype| {
        let graph = backbone.denoiser(genotype, shape).unwrap();
        execute(&graph, &parameters, given.clone(), parameters.device()).unwrap()[0].to_host()
    };
    let image_model = run(&Genotype::none());
    for genome in space.covering().into_iter().chain((0..8).map(|_| space.sample(&mut rng))) {
        let genotype = space.genotype(&genome);
        assert_eq!(run(&genotype).max_abs_difference(&image_model), 0.0, "{genotype}");
    }
}

#[test]
fn every_untrained_operator_at_every_slot_is_the_image_model() {
    let (backbone, space) = with_space("full");
    let shape = DenoiserShape { batch: 1, frames: 3, height: 8, width: 8, tokens: 4 };
    let mut parameters = supernet(&backbone, &space, shape);
    let given = inputs(&backbone, shape, &mut stream(3, "identity", 0), &parameters);
    let run = |parameters: &Parameters, genotype: &Genotype| {
        let graph = backbone.denoiser(genotype, shape).unwrap();
        execute(&graph, parameters, given.clone(), parameters.device()).unwrap()[0].to_host()
    };
    let image_model = run(&parameters, &Genotype::none());
    let kinds = OPERATORS.iter().map(|kind| kind.name).chain(["modelscope(block=attn)", "animatediff(pos=table)"]);
    for kind in kinds {
        for slot in backbone.slots() {
            let genotype: Genotype = format!("{}={kind}", slot.slot).parse().unwrap();
            parameters.init(backbone.denoiser(&genotype, shape).unwrap().weights(), 3);
            assert_eq!(run(&parameters, &genotype).max_abs_difference(&image_model), 0.0, "{genotype}");
        }
    }
}

#[test]
fn the_extracted_network_is_the_supernet_path_and_the_file_is_the_network() {
    extracted_equals_path("quickstart", 10);
    extracted_equals_path("full", 50);
}

fn extracted_equals_path(name: &str, genotypes: usize) {
    let (backbone, space) = with_space(name);
    let shape = DenoiserShape { batch: 1, frames: 4, height: 8, width: 8, tokens: 5 };
    let mut parameters = supernet(&backbone, &space, shape);
    let mut rng = stream(2, "extract", 0);
    // Temporal weights that do something.
    let names: Vec<String> =
        parameters.names().filter(|name| name.starts_with("temporal.")).map(String::from).collect();
    for name in names {
        let shape = parameters.get(&name).unwrap().shape.clone();
        let values = normal_vec(shape.iter().product(), &mut rng).into_iter().map(|x| 0.1 * x).collect();
        parameters.insert_host(name, &shape, values);
    }
    let given = inputs(&backbone, shape, &mut rng, &parameters);
    let mut sliced = 0;
    for _ in 0..genotypes {
        let genotype = space.genotype(&space.sample(&mut rng));
        let graph = backbone.denoiser(&genotype, shape).unwrap();
        let extracted = parameters.extract(&graph).unwrap();
        let run =
            |weights: &Parameters| execute(&graph, weights, given.clone(), weights.device()).unwrap()[0].to_host();
        let path = run(&parameters);
        assert_eq!(run(&extracted).max_abs_difference(&path), 0.0, "{genotype}");
        assert_eq!(run(&reloaded(&extracted)).max_abs_difference(&path), 0.0, "{genotype}");
        let narrower = |weight: &&&tnas_graph::Weight| parameters.get(&weight.name).unwrap().shape != weight.shape;
        sliced += graph.weights().iter().filter(narrower).count();
    }
    assert!(sliced > 0, "no genotype uses a part of a larger weight");
}

/// The same weights after a file.
fn reloaded(parameters: &Parameters) -> Parameters {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("diffusion_pytorch_model.safetensors");
    let values: BTreeMap<&str, _> =
        parameters.names().map(|name| (name, parameters.values(name).unwrap())).collect();
    let tensor = |(name, parameter): (&str, &tnas_network::Parameter)| {
        (name.to_string(), HostTensor::f32(&parameter.shape, &values[name]))
    };
    let tensors = parameters.iter().map(tensor).collect();
    write_safetensors(&path, &tensors, &Default::default()).unwrap();
    let file = SafeTensors::open(&path).unwrap();
    let mut out = Parameters::new(parameters.device());
    for name in file.names() {
        out.insert_host(name, &file.info(name).unwrap().shape, file.f32(name).unwrap().into_owned());
    }
    out
}
