//! Loss curves of tiny runs are those of the golden file.
//!
//! On one machine a run repeats bit by bit; between machines the width of the processor's vectors changes the order of
//! sums, so the file is compared with a tolerance. `TNAS_WRITE_GOLDEN=1` writes it anew.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod world;

use std::{collections::BTreeMap, fmt::Write, path::Path};

use tnas_network::Parameters;
use tnas_training::{LoopSettings, Observer, TrainError};
use world::{World, adversarial_settings, finetune_settings, score_settings, supernet_settings};

const STEPS: u64 = 30;

/// Relative to the figure, or to 1 where it is smaller.
const TOLERANCE: f64 = 1e-3;

#[derive(Default)]
struct Curve(Vec<f64>, &'static str);

impl Observer for Curve {
    fn step(&mut self, _: &str, _: u64, _: u64, figures: &[(&'static str, f64)]) {
        self.0.extend(figures.iter().filter(|(name, _)| *name == self.1).map(|(_, value)| value));
    }
}

fn curve(
    figure: &'static str,
    stage: impl Fn(&LoopSettings, &mut dyn Observer) -> Result<Parameters, TrainError>,
) -> Vec<f64> {
    let mut curve = Curve(Vec::new(), figure);
    stage(&LoopSettings::new("test", STEPS), &mut curve).unwrap();
    curve.0
}

#[test]
fn curves_are_golden() {
    let world = World::new();
    let found: BTreeMap<&str, Vec<f64>> = BTreeMap::from([
        ("finetune loss", curve("loss", |run, o| world.finetune(&world.data, &finetune_settings(), None, run, o))),
        ("supernet loss", curve("loss", |run, o| world.supernet(&supernet_settings(), run, o))),
        (
            "adversarial loss_heads",
            curve("loss_heads", |run, o| world.adversarial(&adversarial_settings(), run, o)),
        ),
        (
            "adversarial loss_student",
            curve("loss_student", |run, o| world.adversarial(&adversarial_settings(), run, o)),
        ),
        ("dmd2 loss_score", curve("loss_score", |run, o| world.adversarial(&score_settings(), run, o))),
        ("dmd2 gradient_norm", curve("gradient_norm", |run, o| world.adversarial(&score_settings(), run, o))),
    ]);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/curves.txt");
    if std::env::var_os("TNAS_WRITE_GOLDEN").is_some() {
        let mut text = String::new();
        for (name, values) in &found {
            let values: Vec<String> = values.iter().map(|x| format!("{x:.7}")).collect();
            writeln!(text, "{name}: {}", values.join(" ")).unwrap();
        }
        std::fs::write(&path, text).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let golden: BTreeMap<&str, Vec<f64>> = text
        .lines()
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, values)| (name, values.split(' ').map(|x| x.parse().unwrap()).collect()))
        .collect();
    assert!(golden.keys().eq(found.keys()));
    for (name, values) in &found {
        let golden = &golden[name];
        assert_eq!(values.len(), golden.len(), "{name}");
        for (step, (x, y)) in values.iter().zip(golden).enumerate() {
            assert!((x - y).abs() <= TOLERANCE * y.abs().max(1.0), "{name}, step {step}: {x}, golden {y}");
        }
    }
}
