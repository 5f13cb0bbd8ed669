use tnas_latency::{
    Accuracy, ArchFeatures, DeviceModel, Fingerprint, FitSettings, LatencyError, LatencyPredictor, MacsFit,
    OneHotFit, Quantity, TransferPredictor,
};

use crate::device::Device;

fn fit(device: &Device, count: usize, seed: u64) -> LatencyPredictor {
    let (features, latency_ms) = device.draw(count, seed);
    LatencyPredictor::fit(&features, &latency_ms, &FitSettings::default()).unwrap()
}

/// Against the truth without noise.
fn accuracy(predict: impl Fn(&ArchFeatures) -> f64, device: &Device, seed: u64) -> Accuracy {
    let (features, _) = device.draw(200, seed);
    let truth: Vec<f64> = features.iter().map(|f| device.latency_ms(f)).collect();
    Accuracy::new(&truth, &features.iter().map(predict).collect::<Vec<_>>())
}

#[test]
fn an_additive_device_is_recovered_within_its_noise() {
    let exact = Device { interaction_ms: 0.0, noise: 0.0 };
    let predictor = fit(&exact, 80, 1);
    let found = accuracy(|f| predictor.predict(f).mean_ms, &exact, 2);
    assert!(found.mape < 1e-3, "{found:?}");
    let noisy = Device { interaction_ms: 0.0, noise: 0.02 };
    let predictor = fit(&noisy, 120, 3);
    let found = accuracy(|f| predictor.predict(f).mean_ms, &noisy, 4);
    assert!(found.mape < 0.02, "{found:?}");
}

#[test]
fn interactions_are_learned_that_a_table_cannot_hold() {
    let device = Device { interaction_ms: 0.6, noise: 0.01 };
    let (features, latency_ms) = device.draw(240, 5);
    let predictor = LatencyPredictor::fit(&features, &latency_ms, &FitSettings::default()).unwrap();
    let (table, line) =
        (OneHotFit::fit(&features, &latency_ms).unwrap(), MacsFit::fit(&features, &latency_ms).unwrap());
    let ours = accuracy(|f| predictor.predict(f).mean_ms, &device, 6);
    let by_table = accuracy(|f| table.predict_ms(f), &device, 6);
    let by_line = accuracy(|f| line.predict_ms(f), &device, 6);
    assert!(ours.mape < 0.8 * by_table.mape, "{ours:?} {by_table:?}");
    assert!(by_table.mape < by_line.mape, "{by_table:?} {by_line:?}");
    assert!(ours.spearman > 0.9, "{ours:?}");
}

#[test]
fn few_measurements_do_better_than_either_baseline() {
    let device = Device { interaction_ms: 0.1, noise: 0.01 };
    let (features, latency_ms) = device.draw(40, 7);
    let predictor = LatencyPredictor::fit(&features, &latency_ms, &FitSettings::default()).unwrap();
    let (table, line) =
        (OneHotFit::fit(&features, &latency_ms).unwrap(), MacsFit::fit(&features, &latency_ms).unwrap());
    let ours = accuracy(|f| predictor.predict(f).mean_ms, &device, 8);
    let theirs = [accuracy(|f| table.predict_ms(f), &device, 8), accuracy(|f| line.predict_ms(f), &device, 8)];
    assert!(theirs.iter().all(|other| ours.mape < other.mape), "{ours:?} {theirs:?}");
}

#[test]
fn ninety_per_cent_intervals_hold_ninety_per_cent() {
    for device in [Device { interaction_ms: 0.0, noise: 0.03 }, Device { interaction_ms: 0.4, noise: 0.01 }] {
        for count in [10, 20, 80, 120] {
            let mut coverage = 0.0;
            const REPEATS: u64 = 20;
            for seed in 0..REPEATS {
                let predictor = fit(&device, count, 100 + seed);
                let (features, measured) = device.draw(200, 200 + seed);
                let predictions: Vec<_> = features.iter().map(|f| predictor.predict(f)).collect();
                coverage += Accuracy::of_predictions(&measured, &predictions).coverage.unwrap() / REPEATS as f64;
            }
            assert!((0.85..=0.95).contains(&coverage), "learned from {count}: {coverage}");
        }
    }
}

#[test]
fn the_mean_is_the_same_alone_and_with_its_deviation() {
    let device = Device { interaction_ms: 0.4, noise: 0.01 };
    let predictor = fit(&device, 60, 9);
    for features in device.draw(50, 10).0 {
        let prediction = predictor.predict(&features);
        assert_eq!(predictor.mean_ms(&features), prediction.mean_ms);
        assert!(prediction.sigma_ms > 0.0);
        assert!(prediction.low_ms <= prediction.mean_ms && prediction.mean_ms <= prediction.high_ms);
    }
}

#[test]
fn a_measured_architecture_is_surer_than_a_new_one() {
    let device = Device { interaction_ms: 0.4, noise: 0.001 };
    let predictor = fit(&device, 60, 11);
    let mean_sigma = |seed| {
        let (features, _) = device.draw(60, seed);
        features.iter().map(|f| predictor.predict(f).sigma_ms).sum::<f64>()
    };
    assert!(mean_sigma(11) < mean_sigma(12));
}

#[test]
fn the_same_data_gives_the_same_bytes_and_survives_the_file() {
    let device = Device { interaction_ms: 0.4, noise: 0.01 };
    let folder = tempfile::tempdir().unwrap();
    let model = |name: &str| {
        let predictor = fit(&device, 30, 13);
        let accuracy = Some(accuracy(|f| predictor.predict(f).mean_ms, &device, 14));
        let model = DeviceModel {
            format_version: DeviceModel::FORMAT_VERSION,
            fingerprint: Fingerprint::here("burn", "0.22.1", 2),
            quantity: Quantity::Cpu,
            accuracy,
            latency: TransferPredictor { blocks_ms: Vec::new(), sources: Vec::new(), predictor },
            memory: None,
        };
        let path = folder.path().join(name);
        model.save(&path).unwrap();
        (model, path)
    };
    let ((first, first_path), (_, second_path)) = (model("a.json"), model("b.json"));
    assert_eq!(std::fs::read(&first_path).unwrap(), std::fs::read(&second_path).unwrap());
    let read = DeviceModel::read(&first_path).unwrap();
    assert_eq!(read, first);
    for features in device.draw(20, 15).0 {
        assert_eq!(read.latency.predict(&features), first.latency.predict(&features));
    }
}

#[test]
fn a_damaged_file_is_refused() {
    let device = Device { interaction_ms: 0.0, noise: 0.01 };
    let text = serde_json::to_string(&fit(&device, 10, 16)).unwrap();
    assert!(serde_json::from_str::<LatencyPredictor>(&text).is_ok());
    for (sound, damaged) in [
        ("\"latency_ms\":[", "\"latency_ms\":[0.5,"),
        ("\"noise\":", "\"noise\":-"),
        ("\"rows\":[[", "\"rows\":[[0,"),
        ("\"inflation\":[", "\"inflation\":[null,"),
        ("\"kept\":[", "\"kept\":[7,"),
        ("\"kernels\":[", "\"kernels\":[0.5,"),
    ] {
        assert!(text.contains(sound), "{sound}");
        let damaged = text.replacen(sound, damaged, 1);
        assert!(serde_json::from_str::<LatencyPredictor>(&damaged).is_err(), "{damaged}");
    }
}

#[test]
fn data_that_teaches_nothing_is_refused() {
    let device = Device { interaction_ms: 0.0, noise: 0.01 };
    let (features, latency_ms) = device.draw(10, 17);
    let settings = FitSettings::default();
    for bad in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
        let mut latency_ms = latency_ms.clone();
        latency_ms[3] = bad;
        let error = LatencyPredictor::fit(&features, &latency_ms, &settings).unwrap_err();
        assert!(matches!(&error, LatencyError::Fit(message) if message.contains(&features[3].arch_id)), "{error}");
    }
    assert!(LatencyPredictor::fit(&features[..3], &latency_ms[..3], &settings).is_err());
    assert!(LatencyPredictor::fit(&features, &latency_ms[..9], &settings).is_err());
    let mut ragged = features.clone();
    ragged[4].choices.pop();
    assert!(LatencyPredictor::fit(&ragged, &latency_ms, &settings).is_err());
    assert!(LatencyPredictor::fit(&features, &latency_ms, &FitSettings { coverage: 1.0 }).is_err());
}

#[test]
fn a_constant_device_is_predicted_as_such() {
    let (features, _) = Device { interaction_ms: 0.0, noise: 0.0 }.draw(12, 18);
    let predictor = LatencyPredictor::fit(&features, &[7.0; 12], &FitSettings::default()).unwrap();
    assert!(features.iter().all(|f| (predictor.predict(f).mean_ms - 7.0).abs() < 1e-6));
}
