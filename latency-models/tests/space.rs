use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tnas_graph::{Dtype, Graph, GraphBuilder, Init, Op, ValueId, peak_activation_bytes};
use tnas_latency::{
    Accuracy, ArchFeatures, CandidatePredictor, FitSettings, LatencyPredictor, Related, SourceDevice, SpaceBlocks,
    TransferPredictor, most_telling,
};

/// Six slots at two widths; a choice is a number of hidden channels, 0 none.
const WIDTHS: [usize; 6] = [8, 8, 16, 16, 8, 8];
const HIDDEN: [usize; 5] = [0, 4, 8, 16, 32];

fn block(width: usize, hidden: usize) -> Graph {
    let mut g = GraphBuilder::new();
    let x = g.input("x", &[2, width, 8, 8], Dtype::F32);
    let mut y: ValueId = x;
    if hidden > 0 {
        y = g.conv2d("a", y, hidden, [3, 1], [1, 1], [1, 0], Init::FanIn);
        y = g.silu("b", y);
        y = g.conv2d("c", y, width, [1, 1], [1, 1], [0, 0], Init::FanIn);
        y = g.add("d", x, y);
    }
    g.finish(&[("y", y)]).unwrap()
}

fn space() -> SpaceBlocks {
    let blocks: Vec<Vec<Graph>> =
        WIDTHS.iter().map(|&width| HIDDEN.iter().map(|&hidden| block(width, hidden)).collect()).collect();
    SpaceBlocks::new(&block(8, 8), &blocks)
}

/// A device that runs wide convolutions at a speed of their own, which no sum of counted work predicts.
fn device_ms(choices: &[u16]) -> f64 {
    let block_ms = |(&choice, &width): (&u16, &usize)| {
        let hidden = HIDDEN[usize::from(choice)] as f64;
        if hidden > 0.0 { 0.3 + 0.002 * hidden * width as f64 + 0.4 * (hidden / 8.0).sqrt() } else { 0.0 }
    };
    5.0 + choices.iter().zip(&WIDTHS).map(block_ms).sum::<f64>()
}

fn draw(count: usize, choices: u16, seed: u64) -> Vec<Vec<u16>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| WIDTHS.iter().map(|_| rng.random_range(0..choices)).collect()).collect()
}

fn features(space: &SpaceBlocks, genomes: &[Vec<u16>]) -> Vec<ArchFeatures> {
    genomes.iter().enumerate().map(|(i, genome)| space.features(&format!("{i}"), genome).unwrap()).collect()
}

fn times(genomes: &[Vec<u16>]) -> Vec<f64> {
    genomes.iter().map(|genome| device_ms(genome)).collect()
}

#[test]
fn alike_blocks_teach_each_other() {
    let space = space();
    let (train, test) = (draw(14, 5, 1), draw(200, 5, 2));
    let (x, y, test_x, test_y) = (features(&space, &train), times(&train), features(&space, &test), times(&test));
    let mape = |blocks: Option<&SpaceBlocks>| {
        let fitted = LatencyPredictor::fit_in(blocks, &x, &y, &FitSettings::default()).unwrap();
        let predictions: Vec<_> = test_x.iter().map(|f| fitted.predict(f)).collect();
        for (prediction, f) in predictions.iter().zip(&test_x) {
            assert!((prediction.mean_ms - fitted.mean_ms(f)).abs() < 1e-9 && prediction.sigma_ms > 0.0);
        }
        Accuracy::of_predictions(&test_y, &predictions).mape
    };
    let (alone, together) = (mape(None), mape(Some(&space)));
    assert!(together < 0.6 * alone && together < 0.02, "{together} against {alone}");
}

#[test]
fn a_genome_is_predicted_as_its_features_are() {
    let space = space();
    let train = draw(40, 5, 3);
    let x = features(&space, &train);
    // Interactions, so that every part of the kernel is used.
    let noisy = |(i, genome): (usize, &Vec<u16>)| {
        device_ms(genome) * if genome[0] == genome[1] { 1.1 } else { 1.0 } + 0.01 * (i % 3) as f64
    };
    let y: Vec<f64> = train.iter().enumerate().map(noisy).collect();
    let source = SourceDevice { device: "other".into(), features: x.clone(), latency_ms: times(&train) };
    let blocks_ms: Vec<Vec<f64>> =
        (0..WIDTHS.len()).map(|_| HIDDEN.iter().map(|&hidden| 0.02 * hidden as f64).collect()).collect();
    for (blocks_ms, sources) in
        [(Vec::new(), Vec::new()), (blocks_ms.clone(), Vec::new()), (blocks_ms, vec![source])]
    {
        let related = Related { blocks: Some(&space), blocks_ms: &blocks_ms, sources: &sources };
        let model = TransferPredictor::fit(related, &x, &y, &FitSettings::default()).unwrap();
        assert_eq!(model.sources.len(), sources.len());
        let fast = CandidatePredictor::new(&model, &space);
        for (genome, f) in draw(100, 5, 4).iter().zip(features(&space, &draw(100, 5, 4))) {
            let prediction = model.predict(&f);
            assert!((fast.mean_ms(genome) - model.mean_ms(&f)).abs() < 1e-9);
            assert!((prediction.mean_ms - model.mean_ms(&f)).abs() < 1e-9);
            assert!((fast.sigma_ms(genome) / prediction.sigma_ms - 1.0).abs() < 1e-6);
        }
    }
}

#[test]
fn a_source_that_agrees_is_learned_from_and_one_that_does_not_is_left_out() {
    let space = space();
    let (train, many, test) = (draw(8, 5, 5), draw(120, 5, 6), draw(200, 5, 7));
    let source = |device: &str, of: fn(f64) -> f64| SourceDevice {
        device: device.into(),
        features: features(&space, &many),
        latency_ms: times(&many).into_iter().map(of).collect(),
    };
    let (like, unlike) = (source("like", |ms| 1.0 + 2.0 * ms), source("unlike", |ms| 30.0 - ms));
    let (x, y, test_x) = (features(&space, &train), times(&train), features(&space, &test));
    let fit = |sources: &[SourceDevice]| {
        let related = Related { sources, ..Related::default() };
        TransferPredictor::fit(related, &x, &y, &FitSettings::default()).unwrap()
    };
    let mape = |model: &TransferPredictor| {
        let predicted: Vec<f64> = test_x.iter().map(|f| model.mean_ms(f)).collect();
        Accuracy::new(&times(&test), &predicted).mape
    };
    let (alone, transferred) = (fit(&[]), fit(&[unlike.clone(), like]));
    assert_eq!(transferred.sources[0].device, "like");
    assert!(transferred.sources[1].agreement < 0.0);
    assert!(mape(&transferred) < 0.5 * mape(&alone), "{} against {}", mape(&transferred), mape(&alone));
    // Where no device agrees, nothing is learned from any.
    let refused = fit(&[unlike]);
    assert!(refused.sources.is_empty() && (mape(&refused) - mape(&alone)).abs() < 0.02);
}

#[test]
fn the_most_telling_begin_with_the_extremes_and_show_every_choice() {
    let genomes: Vec<Vec<u16>> =
        draw(300, 5, 8).into_iter().collect::<std::collections::BTreeSet<_>>().into_iter().collect();
    let chosen = most_telling(&genomes, device_ms, 20);
    assert_eq!(chosen.len(), 20);
    assert_eq!(chosen.iter().collect::<std::collections::BTreeSet<_>>().len(), 20);
    let times: Vec<f64> = times(&genomes);
    assert!(times.iter().all(|ms| times[chosen[0]] <= *ms && *ms <= times[chosen[1]]));
    let seen = |slot: usize, choice: u16| chosen.iter().filter(|&&index| genomes[index][slot] == choice).count();
    for slot in 0..WIDTHS.len() {
        for choice in 0..5 {
            let seen = seen(slot, choice);
            assert!(seen >= 2, "slot {slot}, choice {choice}: {seen}");
        }
    }
    assert_eq!(most_telling(&genomes, device_ms, 9), chosen[..9]);
    assert_eq!(most_telling(&genomes[..1], device_ms, 5), [0]);
}

/// A small U-shaped network with a skip and three slots, of which each takes a number of hidden channels.
fn u_shaped(choices: &[u16]) -> Graph {
    let mut g = GraphBuilder::new();
    let x = g.input("x", &[2, 8, 8, 8], Dtype::F32);
    let insert = |g: &mut GraphBuilder, x: ValueId, slot: usize| {
        let hidden = [0, 4, 48, 160][usize::from(choices[slot])];
        if hidden == 0 {
            return x;
        }
        let width = g.shape(x)[1];
        let y = g.conv2d(&format!("{slot}.a"), x, hidden, [3, 1], [1, 1], [1, 0], Init::FanIn);
        let y = g.silu(&format!("{slot}.b"), y);
        let y = g.conv2d(&format!("{slot}.c"), y, width, [1, 1], [1, 1], [0, 0], Init::FanIn);
        g.add(&format!("{slot}.d"), x, y)
    };
    let y = g.conv2d("down", x, 16, [3, 3], [1, 1], [1, 1], Init::FanIn);
    let skip = insert(&mut g, y, 0);
    let y = g.conv2d("middle", skip, 32, [3, 3], [2, 2], [1, 1], Init::FanIn);
    let y = insert(&mut g, y, 1);
    let y = g.node("wide", Op::ResizeNearest { size: [8, 8] }, &[y]);
    let y = g.concat("skip", &[y, skip], 1);
    let y = g.conv2d("up", y, 24, [3, 3], [1, 1], [1, 1], Init::FanIn);
    let y = insert(&mut g, y, 2);
    let y = g.conv2d("last", y, 8, [3, 3], [1, 1], [1, 1], Init::FanIn);
    g.finish(&[("y", y)]).unwrap()
}

#[test]
fn peak_memory_of_a_candidate_is_the_largest_of_its_insertions() {
    let alone = |slot: usize, choice: u16| {
        let mut choices = [0; 3];
        choices[slot] = choice;
        peak_activation_bytes(&u_shaped(&choices))
    };
    let peaks: Vec<Vec<u64>> = (0..3).map(|slot| (0..4).map(|choice| alone(slot, choice)).collect()).collect();
    let nothing = peaks[0][0];
    let blocks: Vec<Vec<Graph>> =
        (0..3).map(|_| vec![block(8, 0), block(8, 4), block(8, 8), block(8, 16)]).collect();
    let space = SpaceBlocks::new(&u_shaped(&[0; 3]), &blocks);
    assert_eq!(space.peak_activation_bytes(&[3, 3, 3]), nothing, "where none was counted");
    let space = space.with_peaks(peaks.clone());
    let mut found = std::collections::BTreeSet::new();
    for index in 0..64_u16 {
        let choices = [index % 4, index / 4 % 4, index / 16];
        let peak = peak_activation_bytes(&u_shaped(&choices));
        assert_eq!(space.peak_activation_bytes(&choices), peak, "{choices:?}");
        assert_eq!(space.features("", &choices).unwrap().peak_activation_bytes, peak, "{choices:?}");
        found.insert(peak);
    }
    // An insertion hides below the network's own peak, and each slot's largest decides somewhere.
    assert_eq!(peaks[1][1], nothing);
    assert!((0..3).all(|slot| peaks[slot][3] > nothing && found.contains(&peaks[slot][3])), "{peaks:?}");
}
