//! Embeddings of times are those of diffusers' `get_timestep_embedding`, of odd widths too.

use tnas_graph::{Dtype, GraphBuilder, HostTensor, Op, Runtime, WeightMap};
use tnas_network::{BurnRuntime, open_device};

/// `get_timestep_embedding(times, channels, flip_sin_to_cos, downscale_freq_shift)` as written there, in double precision:
/// exponent = −ln(10000)·i/(half − shift); sines, then cosines, the halves changed where flipped; odd widths padded by a zero.
fn oracle(times: &[f32], channels: usize, flip: bool, shift: f64) -> Vec<f64> {
    let half = channels / 2;
    let mut rows = Vec::new();
    for &time in times {
        let angle = |i: usize| f64::from(time) * (-(10_000f64.ln()) * i as f64 / (half as f64 - shift)).exp();
        let (sin, cos) = ((0..half).map(|i| angle(i).sin()), (0..half).map(|i| angle(i).cos()));
        let mut row: Vec<f64> = if flip { cos.chain(sin).collect() } else { sin.chain(cos).collect() };
        if channels % 2 == 1 {
            row.push(0.0);
        }
        rows.extend(row);
    }
    rows
}

#[test]
fn a_zero_ends_an_embedding_of_odd_width() {
    let times = [0.0f32, 1.0, 2.5, 17.0];
    let device = open_device("cpu").unwrap();
    for channels in [2, 3, 8, 9, 33] {
        for (flip, shift) in [(true, 0.0f32), (false, 0.0), (true, 0.5), (false, 0.5)] {
            let mut g = GraphBuilder::new();
            let t = g.input("t", &[times.len()], Dtype::F32);
            let op = Op::Sinusoid { channels, flip_sin_to_cos: flip, frequency_shift: shift };
            let y = g.node("embedding", op, &[t]);
            let graph = g.finish(&[("y", y)]).unwrap();
            assert_eq!(graph.shape(y), [times.len(), channels]);
            let input = HostTensor::f32(&[times.len()], times.to_vec());
            let session = BurnRuntime::new(&device).load(&graph, &WeightMap::default());
            let found = session.unwrap().run(&[input]).unwrap().remove(0);
            let expected = oracle(&times, channels, flip, f64::from(shift)).into_iter().map(|x| x as f32).collect();
            let expected = HostTensor::f32(&[times.len(), channels], expected);
            let error = found.max_abs_difference(&expected);
            assert!(error < 2e-6, "{channels} channels, flip {flip}, shift {shift}: {error}");
        }
    }
}

#[test]
fn one_channel_holds_no_embedding() {
    let mut g = GraphBuilder::new();
    let t = g.input("t", &[3], Dtype::F32);
    let y = g.node("embedding", Op::Sinusoid { channels: 1, flip_sin_to_cos: true, frequency_shift: 0.0 }, &[t]);
    let message = g.finish(&[("y", y)]).unwrap_err().to_string();
    assert!(message.contains("at least 2 channels"), "{message}");
}
