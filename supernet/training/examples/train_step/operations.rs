//! Single operations at shapes that occur in the cases, each as a graph of one node.

use cpu_time::ProcessTime;
use serde_json::json;
use tnas_graph::{Dtype, Graph, GraphBuilder, Init, Op, ValueId};
use tnas_network::{Parameters, Value, execute, normal_vec, open_device, stream};
use tnas_training::Optimizer;

use super::{ADAMW, Result, median};

/// Runs an operation is repeated within one sample, so that the clock's grain does not count.
const REPEATS: usize = 8;

type Build = fn(&mut GraphBuilder, ValueId) -> ValueId;

/// Name, shape of the input, and the node.
const OPERATIONS: &[(&str, &[usize], Build)] = &[
    ("conv3x3 [16,96,8,8]", &[16, 96, 8, 8], |g, x| conv(g, x, 96, 3)),
    ("conv3x3 [16,224,8,8] to 96", &[16, 224, 8, 8], |g, x| conv(g, x, 96, 3)),
    ("conv3x3 [16,128,4,4]", &[16, 128, 4, 4], |g, x| conv(g, x, 128, 3)),
    ("conv3x3 [8,64,32,32]", &[8, 64, 32, 32], |g, x| conv(g, x, 64, 3)),
    ("conv3x3 [8,128,16,16]", &[8, 128, 16, 16], |g, x| conv(g, x, 128, 3)),
    ("conv3x3 [8,256,8,8]", &[8, 256, 8, 8], |g, x| conv(g, x, 256, 3)),
    ("conv1x1 [16,96,8,8]", &[16, 96, 8, 8], |g, x| conv(g, x, 96, 1)),
    ("conv1x1 [8,64,32,32]", &[8, 64, 32, 32], |g, x| conv(g, x, 64, 1)),
    ("linear [1024,96] to 768", &[1024, 96], |g, x| g.linear("linear", x, 768, true, Init::FanIn)),
    ("linear [1024,384] to 96", &[1024, 384], |g, x| g.linear("linear", x, 96, true, Init::FanIn)),
    ("linear [8192,64] to 64", &[8192, 64], |g, x| g.linear("linear", x, 64, true, Init::FanIn)),
    ("attention [16,3,64,32]", &[16, 3, 64, 32], attention),
    ("attention [8,4,1024,16]", &[8, 4, 1024, 16], attention),
    ("attention [256,4,8,24]", &[256, 4, 8, 24], attention),
    ("attention [1024,4,8,16]", &[1024, 4, 8, 16], attention),
    ("GroupNorm+SiLU [16,96,8,8]", &[16, 96, 8, 8], norm_silu),
    ("GroupNorm+SiLU [8,64,32,32]", &[8, 64, 32, 32], norm_silu),
    ("LayerNorm [8192,64]", &[8192, 64], |g, x| g.layer_norm("norm", x, 1e-5)),
    ("softmax [2048,1024]", &[2048, 1024], |g, x| g.node("softmax", Op::Softmax, &[x])),
    ("GELU [8192,256]", &[8192, 256], |g, x| g.gelu("gelu", x)),
    ("GEGLU [8192,512]", &[8192, 512], |g, x| {
        let value = g.slice("value", x, 1, 0, 256);
        let gate = g.slice("gate", x, 1, 256, 512);
        let gate = g.gelu("gelu", gate);
        g.mul("geglu", value, gate)
    }),
    ("SiLU [8,64,32,32]", &[8, 64, 32, 32], |g, x| g.silu("silu", x)),
];

fn conv(g: &mut GraphBuilder, x: ValueId, out: usize, kernel: usize) -> ValueId {
    g.conv2d("conv", x, out, [kernel, kernel], [1, 1], [kernel / 2, kernel / 2], Init::FanIn)
}

fn attention(g: &mut GraphBuilder, x: ValueId) -> ValueId {
    g.attention("attention", x, x, x, false)
}

fn norm_silu(g: &mut GraphBuilder, x: ValueId) -> ValueId {
    let h = g.group_norm("norm", x, 16, 1e-5);
    g.silu("silu", h)
}

/// Median processor milliseconds, forward alone and with backward; of AdamW, of a step.
pub fn time(samples: usize) -> Result<()> {
    for (name, shape, build) in OPERATIONS {
        let mut g = GraphBuilder::new();
        let x = g.input("x", shape, Dtype::F32);
        let y = build(&mut g, x);
        let graph = g.finish(&[("y", y)])?;
        let (mut forward, mut both) = (Vec::new(), Vec::new());
        for _ in 0..samples {
            forward.push(sample(|| run(&graph, false))?);
            both.push(sample(|| run(&graph, true))?);
        }
        let (forward, both) = (median(&mut forward), median(&mut both));
        println!("{}", json!({"operation": name, "forward_cpu_ms": forward, "forward_backward_cpu_ms": both}));
    }
    let mut step = adamw_step()?;
    let mut times = (0..samples).map(|_| sample(&mut step)).collect::<Result<Vec<_>>>()?;
    println!("{}", json!({"operation": "AdamW of 5.3 M", "forward_backward_cpu_ms": median(&mut times)}));
    Ok(())
}

fn sample(mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    work()?;
    let started = ProcessTime::now();
    for _ in 0..REPEATS {
        work()?;
    }
    Ok(1e3 * started.elapsed().as_secs_f64() / REPEATS as f64)
}

fn run(graph: &Graph, backward: bool) -> Result<()> {
    thread_local! {
        static KEPT: std::cell::RefCell<Option<(Graph, Parameters, Value)>> = const { std::cell::RefCell::new(None) };
    }
    let device = open_device("cpu")?;
    KEPT.with_borrow_mut(|kept| {
        if kept.as_ref().is_none_or(|(of, ..)| of != graph) {
            let mut parameters = Parameters::new(&device);
            parameters.init(graph.weights(), 0);
            let shape = graph.shape(graph.inputs[0].value);
            let x = normal_vec(shape.iter().product(), &mut stream(0, "x", 0));
            parameters.insert_host("x", shape, x.clone());
            *kept = Some((graph.clone(), parameters, Value::from_f32(x, shape, &device)));
        }
        let Some((_, parameters, x)) = kept else { return Ok(()) };
        if !backward {
            std::hint::black_box(execute(graph, parameters, vec![x.clone()], &device)?);
            return Ok(());
        }
        let leaves = parameters.leaves(|_| true);
        let shape = x.shape();
        let (_, tracked) = tnas_network::WeightSource::flat(&leaves, "x").ok_or("there is no x")?;
        let tracked = Value::F1(tracked).reshape(&shape);
        let y = execute(graph, &leaves, vec![tracked], leaves.device())?.remove(0).flat();
        let mut gradients = y.sum().backward();
        std::hint::black_box(leaves.gradients(&mut gradients));
        Ok(())
    })
}

fn adamw_step() -> Result<impl FnMut() -> Result<()>> {
    let device = open_device("cpu")?;
    let mut parameters = Parameters::new(&device);
    let draw = |length: usize| normal_vec(length, &mut stream(0, "adamw", 0));
    for index in 0..53 {
        parameters.insert_host(format!("weight{index}"), &[100_000], draw(100_000));
    }
    let gradients: Vec<_> =
        parameters.iter().map(|(name, p)| (name.to_string(), p.flat.clone().mul_scalar(0.1))).collect();
    let mut optimizer = Optimizer::new(&ADAMW);
    Ok(move || {
        optimizer.step(&mut parameters, gradients.iter().cloned().collect(), 1.0, |_| ADAMW.learning_rate);
        Ok(())
    })
}
