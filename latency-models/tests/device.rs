use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tnas_latency::{ArchFeatures, KindCost};

pub const SLOTS: usize = 8;
pub const CHOICES: u16 = 4;

/// A device whose latency is counted work, a table of (slot, choice) and, where asked, interactions of neighbours.
pub struct Device {
    pub interaction_ms: f64,
    pub noise: f64,
}

impl Device {
    /// What it takes, without noise.
    pub fn latency_ms(&self, features: &ArchFeatures) -> f64 {
        let table = |(slot, &choice): (usize, &u16)| 0.1 * ((slot * 7 + usize::from(choice) * 3) % 5) as f64;
        let table: f64 = features.choices.iter().enumerate().map(table).sum();
        let pairs = features.choices.windows(2).filter(|pair| pair[0] == pair[1] && pair[0] > 0).count() as f64;
        4.0 + 0.2e-6 * features.macs as f64 + table + self.interaction_ms * pairs
    }

    /// Random architectures and their measured milliseconds.
    pub fn draw(&self, count: usize, seed: u64) -> (Vec<ArchFeatures>, Vec<f64>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let features: Vec<ArchFeatures> = (0..count).map(|_| architecture(&mut rng)).collect();
        let mut measured = |f| self.latency_ms(f) * (1.0 + self.noise * gauss(&mut rng));
        let latency_ms = features.iter().map(&mut measured).collect();
        (features, latency_ms)
    }
}

/// Work grows with the choice, and with the slot's width.
fn architecture(rng: &mut ChaCha8Rng) -> ArchFeatures {
    let choices: Vec<u16> = (0..SLOTS).map(|_| rng.random_range(0..CHOICES)).collect();
    let work: u64 = choices.iter().zip(1..).map(|(&choice, width)| u64::from(choice) * width).sum();
    let macs = 250_000 * work;
    let kind = KindCost { macs, moved_bytes: macs / 10, count: 30 };
    ArchFeatures {
        arch_id: format!("{choices:?}"),
        choices,
        macs,
        moved_bytes: macs / 10,
        launches: 30,
        per_kind: BTreeMap::from([("Conv2d".to_string(), kind)]),
        ..ArchFeatures::default()
    }
}

/// A sum of uniforms: near enough to a normal.
fn gauss(rng: &mut ChaCha8Rng) -> f64 {
    (0..12).map(|_| rng.random_range(0.0..1.0)).sum::<f64>() - 6.0
}
