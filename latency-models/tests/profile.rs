use std::{fs, path::Path};

use tnas_latency::{
    Fingerprint, Measurement, MeasurementKind, Outcome, Profile, Quantity, ReferenceTiming, Spread, Timing,
};

fn here() -> Fingerprint {
    Fingerprint::here("burn", "0.22.1", 2)
}

fn measurement(arch_id: &str, order: u32, ms: f64) -> Measurement {
    let spread = Spread { median_ms: ms, iqr_ms: 0.1, p10_ms: 0.9 * ms, p90_ms: 1.1 * ms };
    Measurement {
        arch_id: arch_id.into(),
        genotype: format!("genotype of {arch_id}"),
        kind: MeasurementKind::Whole,
        order,
        anchor: false,
        repeat: false,
        held_out: false,
        outcome: Outcome::Ran {
            timing: Timing {
                runs: 9,
                warmup_runs: 3,
                steady: true,
                cpu: Some(spread),
                wall: spread,
                reference: None,
            },
            peak_memory_bytes: Some(1 << 20),
        },
    }
}

fn anchor(order: u32, ms: f64) -> Measurement {
    Measurement { anchor: true, ..measurement("anchor", order, ms) }
}

fn profile(path: &Path, measurements: &[Measurement]) -> Profile {
    let mut profile = Profile::open(path, &here(), Quantity::Cpu, "").unwrap();
    measurements.iter().for_each(|m| profile.append(m.clone()).unwrap());
    profile
}

/// The error of a file with this text.
fn refused(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.jsonl");
    fs::write(&path, text).unwrap();
    Profile::read(&path).unwrap_err().to_string()
}

/// A sound file of so many lines.
fn sound(count: u32) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.jsonl");
    profile(&path, &(0..count).map(|i| measurement(&format!("a{i}"), i, 2.0)).collect::<Vec<_>>());
    fs::read_to_string(path).unwrap()
}

#[test]
fn what_was_appended_is_read_and_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("device/p.jsonl");
    let written = profile(&path, &[measurement("a", 0, 2.0), measurement("b", 1, 3.0)]);
    assert_eq!(Profile::read(&path).unwrap(), written);
    let mut again = Profile::open(&path, &here(), Quantity::Cpu, "").unwrap();
    assert!(again.contains(1) && !again.contains(2));
    let reason = "signal: 9".to_string();
    let failed = Measurement { outcome: Outcome::OutOfMemory { reason }, ..measurement("c", 2, 1.0) };
    again.append(failed).unwrap();
    assert_eq!(Profile::read(&path).unwrap().measurements.len(), 3);
    assert_eq!(again.samples().unwrap().len(), 2, "what did not run teaches nothing");
}

#[test]
fn a_torn_last_line_is_dropped_wherever_it_was_torn() {
    let text = sound(3);
    let second_end = text.match_indices('\n').nth(2).unwrap().0 + 1;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.jsonl");
    for end in second_end..text.len() {
        fs::write(&path, &text[..end]).unwrap();
        let mut profile = Profile::open(&path, &here(), Quantity::Cpu, "").unwrap();
        // Only the newline is missing from the last cut: the line is whole.
        let kept = if end + 1 == text.len() { 3 } else { 2 };
        assert_eq!(profile.measurements.len(), kept, "cut at {end}");
        profile.append(measurement("next", 9, 2.0)).unwrap();
        assert_eq!(Profile::read(&path).unwrap().measurements.len(), kept + 1);
    }
}

#[test]
fn bad_lines_are_named() {
    let text = sound(3);
    let with = |from: &str, to: &str| refused(&text.replacen(from, to, 1));
    assert!(refused("").contains("empty"));
    assert!(refused("\n\n").contains("empty"));
    assert!(refused("not json\n").contains("line 1"));
    assert!(with("\"format_version\":3", "\"format_version\":99").contains("99"));
    assert!(with("\"median_ms\":2.0", "\"median_ms\":NaN").contains("line 2"));
    assert!(with("\"median_ms\":2.0", "\"median_ms\":null").contains("line 2"));
    assert!(with("\"median_ms\":2.0", "\"median_ms\":-2.0").contains("-2 must be above 0"));
    assert!(with("\"median_ms\":2.0", "\"median_ms\":1e999").contains("line 2"));
    assert!(with("\"p10_ms\":1.8", "\"p10_ms\":5.0").contains("out of order"));
    assert!(with("\"runs\":9", "\"runs\":0").contains("0 runs"));
    assert!(with("\"runs\":9", "\"runz\":9").contains("runz"));
    assert!(with("\"a2\"", "\"a1\"").contains("line 4") && with("\"a2\"", "\"a1\"").contains("a1 is there twice"));
    let torn_inside = text.replacen("\n", "\n{\"arch_id\":\n", 1);
    assert!(refused(&torn_inside).contains("line 2"), "only the last line may be torn");
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.jsonl");
    fs::write(&path, [0xff, 0xfe, b'\n', 0x00]).unwrap();
    assert!(Profile::read(&path).unwrap_err().to_string().contains("line 1"));
    assert!(Profile::read(&folder.path().join("none.jsonl")).is_err());
}

#[test]
fn another_device_or_quantity_is_refused_with_the_difference() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.jsonl");
    profile(&path, &[measurement("a", 0, 2.0)]);
    let foreign = Fingerprint { threads: 4, ..here() };
    let error = Profile::open(&path, &foreign, Quantity::Cpu, "").unwrap_err().to_string();
    assert!(error.contains("line 1") && error.contains("threads: 2 against 4"), "{error}");
    let error = Profile::open(&path, &here(), Quantity::Wall, "").unwrap_err().to_string();
    assert!(error.contains("quantity"), "{error}");
}

#[test]
fn one_row_teaches_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let one = profile(&folder.path().join("p.jsonl"), &[measurement("a", 0, 2.0)]);
    let error = one.samples().unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("1 measured"), "{error}");
}

#[test]
fn a_bad_measurement_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.jsonl");
    let mut profile = profile(&path, &[measurement("a", 0, 2.0)]);
    assert!(profile.append(measurement("b", 1, f64::NAN)).is_err());
    assert!(profile.append(measurement("a", 1, 2.0)).is_err());
    assert_eq!(Profile::read(&path).unwrap(), profile);
}

#[test]
fn the_noise_floor_is_the_median_difference_of_repeats() {
    let folder = tempfile::tempdir().unwrap();
    let again = |arch, order, ms| Measurement { repeat: true, ..measurement(arch, order, ms) };
    let profile = profile(
        &folder.path().join("p.jsonl"),
        &[
            measurement("a", 0, 1.00),
            measurement("b", 1, 2.00),
            measurement("c", 2, 4.00),
            again("a", 3, 1.02),
            again("b", 4, 2.08),
            again("c", 5, 4.40),
        ],
    );
    let floor = profile.noise_floor().unwrap();
    assert!((floor - 0.08 / 2.04).abs() < 1e-12, "{floor}");
    assert_eq!(profile.samples().unwrap()[1].latency_ms, 2.04);
}

#[test]
fn drift_is_seen_by_the_anchors_and_taken_out() {
    let folder = tempfile::tempdir().unwrap();
    // From 1 to 1.3 times slower while it was measured; all architectures take 2 ms in truth.
    let slower = |order: u32| 1.0 + 0.3 * f64::from(order) / 60.0;
    let mut measurements = Vec::new();
    for order in 0..=60 {
        measurements.push(match order % 10 {
            0 => anchor(order, 5.0 * slower(order)),
            _ => measurement(&format!("a{order}"), order, 2.0 * slower(order)),
        });
    }
    let profile = profile(&folder.path().join("p.jsonl"), &measurements);
    assert!((profile.drift().drift_pct() - 30.0).abs() < 1e-9);
    let corrected = profile.samples().unwrap();
    let others = corrected.iter().filter(|sample| sample.arch_id != "anchor").map(|sample| sample.latency_ms);
    let (least, most) = others.fold((f64::INFINITY, 0.0_f64), |(l, m), ms| (l.min(ms), m.max(ms)));
    assert!(most / least < 1.0 + 1e-9, "{least} to {most}");
}

#[test]
fn the_reference_tells_times_at_the_usual_speed() {
    let folder = tempfile::tempdir().unwrap();
    // The machine is 1.5 times slower in the second half, and the reference with it.
    let measured = |order: u32, arch: &str, ms: f64| {
        let speed = if order < 5 { 1.0 } else { 1.5 };
        let mut measurement = measurement(arch, order, ms * speed);
        let Outcome::Ran { timing, .. } = &mut measurement.outcome else { unreachable!() };
        let (cpu_ms, cpu_ratio) = (4.0 * speed, ms / 4.0);
        timing.reference = Some(ReferenceTiming { cpu_ms, wall_ms: 1.0, cpu_ratio, wall_ratio: 1.0 });
        measurement
    };
    let mut all: Vec<Measurement> = (0..9).map(|i| measured(i, &format!("a{i}"), 2.0)).collect();
    all.push(Measurement { repeat: true, ..measured(9, "a0", 2.0) });
    let mut profile = profile(&folder.path().join("p.jsonl"), &all);
    // The usual speed is the median's.
    assert_eq!(profile.usual_reference_ms(), Some(5.0));
    assert!(profile.samples().unwrap().iter().all(|sample| (sample.latency_ms - 2.5).abs() < 1e-12));
    assert_eq!(profile.noise_floor(), Some(0.0));
    let quality = profile.finish().unwrap();
    let read = Profile::read(&folder.path().join("p.jsonl")).unwrap();
    assert_eq!((read.quality, read.measurements), (Some(quality), all));
}

#[test]
fn a_profile_of_another_purpose_is_not_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.jsonl");
    Profile::begin(&path, &here(), Quantity::Cpu, "these").unwrap();
    assert!(Profile::open(&path, &here(), Quantity::Cpu, "these").is_ok());
    let error = Profile::open(&path, &here(), Quantity::Cpu, "others").unwrap_err().to_string();
    assert!(error.contains("begun for other"), "{error}");
}

#[test]
fn the_layout_before_is_still_read() {
    let text = sound(3).replacen("\"format_version\":3", "\"format_version\":2", 1);
    let before = text
        .replace(",\"purpose\":\"\",\"quality\":null", "")
        .replace(",\"held_out\":false", "")
        .replace(",\"steady\":true", "")
        .replace(",\"reference\":null", "");
    assert!(!before.contains("purpose") && !before.contains("steady"), "{before}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.jsonl");
    fs::write(&path, before).unwrap();
    assert_eq!(Profile::read(&path).unwrap().samples().unwrap().len(), 3);
}

#[test]
fn other_networks_of_the_pipeline_change_no_architecture() {
    let folder = tempfile::tempdir().unwrap();
    let measured = |kind, arch: &str, order: u32, cpu_ms: f64, ratio: f64| {
        let mut measurement = Measurement { kind, ..measurement(arch, order, cpu_ms * ratio) };
        let Outcome::Ran { timing, .. } = &mut measurement.outcome else { unreachable!() };
        timing.reference = Some(ReferenceTiming { cpu_ms, wall_ms: 1.0, cpu_ratio: ratio, wall_ratio: 1.0 });
        measurement
    };
    let whole: Vec<Measurement> =
        (0..4).map(|i| measured(MeasurementKind::Whole, &format!("a{i}"), i, 4.0, 1.5)).collect();
    let mut profile = profile(&folder.path().join("p.jsonl"), &whole);
    let before = (profile.samples().unwrap(), profile.usual_reference_ms());
    assert_eq!(profile.next_order(), 4);
    // The machine became slower before they were measured: their times are at its usual speed too.
    for (kind, id, ratio) in [(MeasurementKind::TextEncoder, "text", 0.25), (MeasurementKind::Decoder, "vae", 8.0)]
    {
        let order = profile.next_order();
        profile.append(measured(kind, id, order, 6.0, ratio)).unwrap();
    }
    assert_eq!((profile.samples().unwrap(), profile.usual_reference_ms()), before);
    assert_eq!(profile.part_ms(MeasurementKind::TextEncoder, "text"), Some(1.0));
    assert_eq!(profile.part_ms(MeasurementKind::Decoder, "vae"), Some(32.0));
    assert_eq!(profile.part_ms(MeasurementKind::Decoder, "another"), None);
}
