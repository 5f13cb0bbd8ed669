//! Distances of sets of clips: against numbers computed elsewhere, their laws, and what corrupted real clips show of them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tnas_clips::*;
use tnas_evaluation::*;

/// Vectors by a formula that is easily written elsewhere too: s·sin(a·i + b·k² + 0.3·i·k) + t.
fn by_formula(count: usize, [a, b]: [f64; 2], [scale, shift]: [f64; 2]) -> Vec<Vec<f64>> {
    let at = |i: f64, k: f64| scale * (a * i + b * k * k + 0.3 * i * k).sin() + shift;
    (0..count).map(|i| (0..6).map(|k| at(i as f64, f64::from(k))).collect()).collect()
}

#[test]
fn distances_are_those_that_numpy_computes() {
    // numpy 2.4.6, scipy 1.17.1: Gram matrices by `@`, covariances by np.cov, the root by scipy.linalg.sqrtm; f64.
    const CASES: [(usize, usize, f64, f64); 3] = [
        (0, 1, 0.09786557494227255, 0.5728865034518407),
        (0, 2, -0.12455273921882704, 0.0483924460730254),
        (1, 2, 0.04848901207727829, 0.520845516064913),
    ];
    let sets = [
        by_formula(40, [1.1, 0.7], [1.0, 0.0]),
        by_formula(55, [0.9, 0.4], [1.3, 0.2]),
        by_formula(30, [0.7, 1.3], [1.0, 0.0]),
    ];
    for (a, b, kernel, frechet) in CASES {
        let (once_a, once_b) = (vec![1; sets[a].len()], vec![1; sets[b].len()]);
        let (a, b) = (&sets[a], &sets[b]);
        let kernels = KernelDistance::new(a, b).unwrap();
        for found in [kernel_distance(a, b).unwrap(), kernels.resampled(&once_a, &once_b)] {
            assert!((found - kernel).abs() < 1e-12, "{found} {kernel}");
        }
        let fits = [(a, &once_a), (b, &once_b)].map(|(set, once)| NormalFit::new(set, once).unwrap());
        for found in [frechet_distance(a, b).unwrap(), fits[0].distance(&fits[1])] {
            // scipy's root of a product that is not symmetric is good to about 1e-8.
            assert!((found - frechet).abs() < 1e-7, "{found} {frechet}");
        }
    }
}

fn uniform(count: usize, width: usize, shift: f64, rng: &mut ChaCha8Rng) -> Vec<Vec<f64>> {
    (0..count).map(|_| (0..width).map(|_| rng.random_range(-1.0..1.0) + shift).collect()).collect()
}

#[test]
fn distances_are_symmetric_and_blind_to_order_and_turns() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (a, b) = (uniform(40, 3, 0.0, &mut rng), uniform(50, 3, 0.4, &mut rng));
    let both = |a: &[Vec<f64>], b: &[Vec<f64>]| [kernel_distance(a, b).unwrap(), frechet_distance(a, b).unwrap()];
    let close = |x: [f64; 2], y: [f64; 2]| x.iter().zip(y).all(|(x, y)| (x - y).abs() < 1e-9);
    let turned = |set: &[Vec<f64>]| -> Vec<Vec<f64>> {
        let (sin, cos) = 0.7f64.sin_cos();
        set.iter().map(|x| vec![cos * x[0] - sin * x[1], sin * x[0] + cos * x[1], -x[2]]).collect()
    };
    let reversed: Vec<Vec<f64>> = a.iter().rev().cloned().collect();
    let found = both(&a, &b);
    assert!(close(found, both(&b, &a)));
    assert!(close(found, both(&reversed, &b)));
    assert!(close(found, both(&turned(&a), &turned(&b))));
    assert!(!close(found, both(&turned(&a), &b)));
}

/// Scored clips that have features alone; the rest is the same for all.
fn scored(features: Vec<Vec<f64>>) -> ScoredClips {
    let count = features.len();
    ScoredClips {
        features,
        predicted: Vec::new(),
        right: BTreeMap::new(),
        frame_difference: vec![1.0; count],
        warp_error: vec![1.0; count],
        nearest: vec![1.0; count],
        captions: (0..count).map(|i| format!("caption {i}")).collect(),
    }
}

#[test]
fn intervals_cover_and_a_set_of_one_kind_is_at_distance_zero_on_average() {
    const TRIALS: u64 = 150;
    const COUNT: usize = 48;
    // What sets of this size are at on average: the kernel distance has no bias, the Fréchet distance has.
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    let mut mean = |shift: f64| {
        let mut sums = [0.0; 2];
        for _ in 0..600 {
            let (a, b) = (uniform(COUNT, 4, shift, &mut rng), uniform(COUNT, 4, 0.0, &mut rng));
            sums[0] += kernel_distance(&a, &b).unwrap() / 600.0;
            sums[1] += frechet_distance(&a, &b).unwrap() / 600.0;
        }
        sums
    };
    let (same, expected) = (mean(0.0), mean(0.5));
    assert!(same[0].abs() < 0.01 * expected[0], "{same:?} {expected:?}");
    assert!(same[1] > 0.05 * expected[1], "{same:?} {expected:?}");
    let mut covered = [0; 2];
    for trial in 0..TRIALS {
        let mut rng = ChaCha8Rng::seed_from_u64(1000 + trial);
        let (a, b) = (scored(uniform(COUNT, 4, 0.5, &mut rng)), scored(uniform(COUNT, 4, 0.0, &mut rng)));
        let measures = ReferenceClips::new(&b, 200, trial).unwrap().measure(&[a]).unwrap();
        for (index, metric) in [Metric::KernelMmd, Metric::Frechet].iter().enumerate() {
            let spread = measures[metric].spread();
            assert!(spread.low < spread.estimate && spread.estimate < spread.high);
            covered[index] += u64::from((spread.low..spread.high).contains(&expected[index]));
        }
    }
    // 95 % asked for; 150 trials scatter by 1.8 %, and few clips narrow a percentile interval a little.
    for covered in covered {
        assert!((0.88..=0.995).contains(&(covered as f64 / TRIALS as f64)), "{covered} of {TRIALS}");
    }
}

#[test]
fn differences_are_paired_and_seeds_are_averaged() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let real = scored(uniform(60, 4, 0.0, &mut rng));
    let arm = uniform(60, 4, 0.5, &mut rng);
    let moved = |by: f64| scored(arm.iter().map(|x| x.iter().map(|x| x + by).collect()).collect());
    let reference = ReferenceClips::new(&real, 300, 5).unwrap();
    let (one, other) = (reference.measure(&[moved(0.0)]).unwrap(), reference.measure(&[moved(0.02)]).unwrap());
    let (one, other) = (&one[&Metric::KernelMmd], &other[&Metric::KernelMmd]);
    let difference = other.minus(one).spread();
    assert!(difference.low > 0.0, "{difference:?}");
    assert!(difference.standard_error < 0.2 * one.spread().standard_error, "{difference:?}");
    let both = reference.measure(&[moved(0.0), moved(0.02)]).unwrap();
    let mean = (one.estimate + other.estimate) / 2.0;
    assert!((both[&Metric::KernelMmd].estimate - mean).abs() < 1e-12);
    assert!(reference.measure(&[moved(0.0), scored(arm[1..].to_vec())]).is_err());
    assert!(ReferenceClips::new(&real, 39, 5).is_err());
}

/// What is seen where, and how much it changes: features without an evaluator.
fn described(clips: &[Clip]) -> ScoredClips {
    let features = |clip: &Clip| -> Vec<f64> {
        let cells = cell_means(clip, 2, 2);
        let seen = (0..12).map(|cell| cells.chunks(12).map(|frame| frame[cell]).sum::<f64>() / clip.frames as f64);
        let square = |f: usize| {
            let pairs = clip.frame(f).iter().zip(clip.frame(f + 1));
            (pairs.map(|(a, b)| f64::from((a - b).powi(2))).sum::<f64>() / 768.0).sqrt()
        };
        let moves: Vec<f64> = (0..clip.frames - 1).map(square).collect();
        let mean = moves.iter().sum::<f64>() / moves.len() as f64;
        let uneven = moves.iter().map(|x| (x - mean).abs()).sum::<f64>();
        seen.chain([10.0 * mean, 5.0 * uneven]).collect()
    };
    let how = BlockMatching::for_size(16);
    ScoredClips {
        features: clips.iter().map(features).collect(),
        predicted: Vec::new(),
        right: BTreeMap::from([("colour".to_owned(), vec![Some(true); clips.len()])]),
        frame_difference: clips.iter().map(mean_frame_difference).collect(),
        warp_error: clips.iter().map(|clip| warp_error(clip, &how)).collect(),
        nearest: vec![1.0; clips.len()],
        captions: clips.iter().map(|clip| clip.caption.clone()).collect(),
    }
}

fn shapes(range: std::ops::Range<usize>) -> Vec<Clip> {
    let settings = ShapeSettings { frames: 8, size: 16, split: Split::Test, ..Default::default() };
    let clips = ShapeClips::new(settings).unwrap();
    range.map(|index| clips.clip(index)).collect()
}

#[test]
fn corrupted_shapes_are_worse_than_real_ones_and_a_blind_metric_is_named() {
    let (real, reference) = (shapes(0..128), described(&shapes(128..256)));
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let corrupted = [
        ("shuffled frames", real.iter().map(|clip| shuffled_frames(clip, &mut rng)).collect()),
        ("frozen", real.iter().map(frozen).collect()),
        ("noisy", real.iter().map(|clip| noisy(clip, &mut rng, 0.3)).collect()),
        ("independent frames", independent_frames(&real, &mut rng)),
    ];
    let measured = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let reference = ReferenceClips::new(&reference, 100, 3).unwrap();
            let measure = |clips: &Vec<Clip>| reference.measure(&[described(clips)]).unwrap();
            let controls: Vec<(String, Measures)> =
                corrupted.iter().map(|(name, clips)| ((*name).to_owned(), measure(clips))).collect();
            (measure(&real), controls)
        })
    };
    let (measures, controls) = measured(1);
    assert_eq!((&measures, &controls), (&measured(3).0, &measured(2).1), "the same bits for any number of threads");
    let found = fitness(&measures, &controls);
    let of = |metric: Metric| found.iter().find(|fitness| fitness.metric == metric).unwrap();
    for metric in [Metric::KernelMmd, Metric::Frechet, Metric::FrameDifference, Metric::WarpError] {
        assert!(of(metric.clone()).is_fit(), "{:?}", of(metric));
    }
    // A label that is predicted of any clip says nothing, and is reported so.
    assert_eq!(of(Metric::Accuracy("colour".into())).blind_to.len(), 4);
}

#[test]
fn ratios_of_real_clips_are_near_one_and_captions_that_come_twice_are_compared() {
    let (real, reference) = (shapes(0..200), described(&shapes(200..400)));
    let measures = ReferenceClips::new(&reference, 100, 3).unwrap().measure(&[described(&real)]).unwrap();
    for metric in [Metric::FrameDifference, Metric::WarpError, Metric::Diversity] {
        let spread = measures[&metric].spread();
        assert!((0.75..1.3).contains(&spread.estimate), "{metric} {spread:?}");
        assert!(spread.low < 1.0 && spread.high > 1.0, "{metric} {spread:?}");
    }
    // One clip for each caption, over and over.
    let mut same = described(&real.iter().take(10).cycle().take(200).cloned().collect::<Vec<_>>());
    let mut open = reference.clone();
    for set in [&mut same, &mut open] {
        set.captions = (0..set.len()).map(|i| format!("caption {}", i % 10)).collect();
    }
    let measures = ReferenceClips::new(&open, 100, 3).unwrap().measure(&[same]).unwrap();
    assert_eq!(measures[&Metric::DiversityWithinCaptions].estimate, 0.0);
    assert!(measures[&Metric::Diversity].estimate > 0.5);
}
