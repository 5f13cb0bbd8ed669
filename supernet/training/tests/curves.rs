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

/// Adversarial training amplifies roundings: another order of sums, 1e-7 of a figure, is 2e-3 of the loss twenty steps later and
/// 5e-2 after thirty.
const ADVERSARIAL: (usize, f64) = (20, 1e-2);

/// Figures of every step by name.
#[derive(Default)]
struct Curves(BTreeMap<&'static str, Vec<f64>>);

impl Observer for Curves {
    fn step(&mut self, _: &str, _: u64, _: u64, figures: &[(&'static str, f64)]) {
        for &(name, value) in figures {
            self.0.entry(name).or_default().push(value);
        }
    }
}

/// The wanted figures of one run, by the run's name and theirs.
fn curves(
    run: &str,
    wanted: &[&str],
    stage: impl Fn(&LoopSettings, &mut dyn Observer) -> Result<Parameters, TrainError>,
) -> Vec<(String, Vec<f64>)> {
    let mut curves = Curves::default();
    stage(&LoopSettings::new("test", STEPS), &mut curves).unwrap();
    wanted.iter().map(|&figure| (format!("{run} {figure}"), curves.0[figure].clone())).collect()
}

#[test]
fn curves_are_golden() {
    let world = World::new();
    let student =
        |settings, run: &LoopSettings, observer: &mut dyn Observer| world.student(settings, run, observer);
    let (adversarial, scores) = (adversarial_settings(), score_settings());
    let found: BTreeMap<String, Vec<f64>> = [
        curves("finetune", &["loss"], |run, o| world.finetune(&world.data, &finetune_settings(), None, run, o)),
        curves("supernet", &["loss"], |run, o| world.supernet(&supernet_settings(), run, o)),
        curves("adversarial", &["loss_heads", "loss_student"], |run, o| student(&adversarial, run, o)),
        curves("dmd2", &["gradient_norm", "loss_score"], |run, o| student(&scores, run, o)),
    ]
    .into_iter()
    .flatten()
    .collect();
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
    let golden: BTreeMap<String, Vec<f64>> = text
        .lines()
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, values)| (name.to_string(), values.split(' ').map(|x| x.parse().unwrap()).collect()))
        .collect();
    assert!(golden.keys().eq(found.keys()));
    for (name, values) in &found {
        let golden = &golden[name];
        assert_eq!(values.len(), golden.len(), "{name}");
        let (steps, tolerance) =
            if name.starts_with("adversarial") { ADVERSARIAL } else { (values.len(), TOLERANCE) };
        for (step, (x, y)) in values.iter().zip(golden).take(steps).enumerate() {
            assert!((x - y).abs() <= tolerance * y.abs().max(1.0), "{name}, step {step}: {x}, golden {y}");
        }
    }
}
