//! A profile of measurements, and what is made of it.

use std::fs;

use tnas_latency::{Fingerprint, Measurement, MeasurementKind, Outcome, Profile, Quantity, Spread, Timing};

use super::{Parser, in_folder, message};

pub const PARSER: Parser = Parser { name: "profile", examples, read, room_bytes: 0 };

fn measurement(order: u32, anchor: bool) -> Measurement {
    let ms = 2.0 + f64::from(order) / 8.0;
    let spread = Spread { median_ms: ms, iqr_ms: 0.1, p10_ms: 0.9 * ms, p90_ms: 1.1 * ms };
    let timing = Timing { runs: 9, warmup_runs: 3, steady: true, cpu: Some(spread), wall: spread, reference: None };
    Measurement {
        arch_id: if anchor { "anchor".into() } else { format!("a{order}") },
        genotype: "mid.0.r=conv1d".into(),
        kind: MeasurementKind::Whole,
        order,
        anchor,
        repeat: false,
        held_out: false,
        outcome: Outcome::Ran { timing, peak_memory_bytes: Some(1 << 20) },
    }
}

fn examples() -> Vec<Vec<u8>> {
    let lost = Outcome::OutOfMemory { reason: "signal: 9".into() };
    let lines = [
        measurement(0, true),
        measurement(1, false),
        measurement(2, false),
        measurement(3, true),
        Measurement { repeat: true, ..measurement(1, false) },
        Measurement { outcome: lost, ..measurement(5, false) },
        measurement(6, true),
    ];
    in_folder(|folder| {
        let path = folder.join("example.jsonl");
        fs::remove_file(&path).unwrap_or_default();
        let here = Fingerprint::here("burn", "0.22.1", 1);
        let mut profile = Profile::open(&path, &here, Quantity::Cpu, "").unwrap();
        lines.into_iter().for_each(|line| profile.append(line).unwrap());
        vec![fs::read(path).unwrap()]
    })
}

fn read(bytes: &[u8]) -> Result<(), String> {
    in_folder(|folder| {
        let path = folder.join("cpu.jsonl");
        fs::write(&path, bytes).map_err(message)?;
        let profile = Profile::read(&path).map_err(message)?;
        assert!(profile.drift().drift_pct() >= 0.0);
        profile.samples().map(drop).map_err(message)
    })
}
