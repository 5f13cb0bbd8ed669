//! The fused operations against the compositions: values, gradients, and the same bits for any number of threads.

use burn::tensor::{DType, Device, Tensor};

use super::{attention, compose, conv2d, gated, gelu, group_norm, layer_norm, linear, permute, silu, softmax};
use crate::{Value, normal_vec, open_device, stream};

fn random(shape: &[usize], name: &str, device: &Device) -> Value {
    let count = shape.iter().product();
    Value::from_f32(normal_vec(count, &mut stream(11, name, 0)), shape, device)
}

fn leaf<const D: usize>(value: Tensor<D>) -> Tensor<D> {
    Tensor::from_inner(value).require_grad()
}

fn assert_close(what: &str, a: Vec<f32>, b: Vec<f32>) {
    assert_eq!(a.len(), b.len(), "{what}");
    let size = b.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
    let error = a.iter().zip(&b).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(error <= 3e-5 * size, "{what}: {error} against {size}");
}

fn flat<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data_as::<f32>().try_into_vec().unwrap()
}

/// Runs both ways on leaves of the given shapes; the loss weights outputs unevenly.
fn check<const N: usize>(
    what: &str,
    shapes: [&[usize]; N],
    fused: impl Fn([Value; N]) -> Value,
    composed: impl Fn([Value; N]) -> Value,
) {
    let device = open_device("cpu").unwrap();
    let run = |f: &dyn Fn([Value; N]) -> Value| {
        let leaves: [Tensor<1>; N] =
            std::array::from_fn(|i| leaf(random(shapes[i], &format!("{what}/{i}"), &device).flat()));
        let y = f(std::array::from_fn(|i| Value::F1(leaves[i].clone()).reshape(shapes[i]))).flat();
        let count = y.dims()[0];
        let weights = random(&[count], "weights", &device).constant_for(&device.clone().autodiff()).flat();
        let mut gradients = (y.clone() * weights).sum().backward();
        let gradients: Vec<Vec<f32>> =
            leaves.iter().map(|l| flat(l.grad_remove(&mut gradients).unwrap())).collect();
        (flat(y.inner()), gradients)
    };
    let (a, b) = (run(&fused), run(&composed));
    assert_close(&format!("{what} forward"), a.0, b.0);
    for (i, slope) in slopes(what, shapes, composed).into_iter().enumerate() {
        let direction = flat(random(shapes[i], &format!("{what}/direction {i}"), &device).flat());
        let along: f64 = a.1[i].iter().zip(&direction).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        let size: f64 = a.1[i].iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        assert!((along - slope).abs() <= 2e-5 * size.max(1e-3), "{what} slope {i}: {along} against {slope}");
    }
    for (i, (a, b)) in a.1.into_iter().zip(b.1).enumerate() {
        assert_close(&format!("{what} gradient {i}"), a, b);
    }
}

/// Central differences of the composition in f64, along one random direction for each input.
fn slopes<const N: usize>(what: &str, shapes: [&[usize]; N], composed: impl Fn([Value; N]) -> Value) -> [f64; N] {
    const STEP: f64 = 1e-5;
    let device = open_device("cpu").unwrap();
    let wide = |shape: &[usize], name: &str| random(shape, name, &device).flat().cast(DType::F64);
    let loss = |moved: usize, step: f64| {
        let y = composed(std::array::from_fn(|i| {
            let x = wide(shapes[i], &format!("{what}/{i}"));
            let direction = wide(shapes[i], &format!("{what}/direction {i}"));
            let x = if i == moved { x + direction.mul_scalar(step) } else { x };
            assert_eq!(x.dtype(), DType::F64);
            Value::F1(x).reshape(shapes[i])
        }));
        let y = y.flat();
        assert_eq!(y.dtype(), DType::F64);
        let count = y.dims()[0];
        (y * wide(&[count], "weights")).into_data_as::<f64>().try_into_vec().unwrap().iter().sum::<f64>()
    };
    std::array::from_fn(|i| (loss(i, STEP) - loss(i, -STEP)) / (2.0 * STEP))
}

#[test]
fn group_norms() {
    for (groups, silu, shape) in [(4, true, [2, 8, 5, 3]), (8, false, [3, 8, 4, 4]), (1, true, [2, 6, 1, 7])] {
        let channels = shape[1];
        check(
            "group norm",
            [&shape, &[channels], &[channels]],
            |[x, w, b]| Value::F4(group_norm(x.image(), w.flat(), b.flat(), groups, 1e-5, silu)),
            |[x, w, b]| Value::F4(compose::group_norm(x.image(), w.flat(), b.flat(), groups, 1e-5, silu)),
        );
    }
}

#[test]
fn group_norm_of_a_transposed_view() {
    check(
        "group norm, transposed",
        [&[2, 3, 8, 5], &[8], &[8]],
        |[x, w, b]| Value::F4(group_norm(x.image().permute([0, 2, 1, 3]), w.flat(), b.flat(), 2, 1e-5, true)),
        |[x, w, b]| {
            Value::F4(compose::group_norm(x.image().permute([0, 2, 1, 3]), w.flat(), b.flat(), 2, 1e-5, true))
        },
    );
}

#[test]
fn layer_norms() {
    for shape in [[3, 7], [300, 48]] {
        check(
            "layer norm",
            [&shape, &[shape[1]], &[shape[1]]],
            |[x, w, b]| Value::F2(layer_norm(x.rows(), w.flat(), b.flat(), 1e-5)),
            |[x, w, b]| Value::F2(compose::layer_norm(x.rows(), w.flat(), b.flat(), 1e-5)),
        );
    }
}

#[test]
fn attentions() {
    for (q, k, causal) in [
        ([2, 2, 5, 4], [2, 2, 7, 4], false),
        ([40, 4, 8, 8], [40, 4, 8, 8], true),
        ([1, 2, 64, 16], [1, 2, 64, 16], false),
        ([1, 2, 45, 12], [1, 2, 45, 12], true),
        ([2, 1, 70, 20], [2, 1, 24, 20], false),
        ([2, 1, 16, 8], [2, 1, 3, 8], false),
    ] {
        check(
            "attention",
            [&q, &k, &k],
            |[q, k, v]| Value::F4(attention(q.image(), k.image(), v.image(), 0.5, causal)),
            |[q, k, v]| Value::F4(compose::attention(q.image(), k.image(), v.image(), 0.5, causal)),
        );
    }
}

#[test]
fn convolutions() {
    use burn::tensor::{module, ops::ConvOptions};
    // Input, output channels, kernel, stride, padding: whole images, rows of one, strides, one-sided zeros, 1-D, 1×1.
    for (x, out, kernel, stride, padding) in [
        ([20, 3, 8, 8], 5, [3, 3], [1, 1], [1, 1, 1, 1]),
        ([2, 4, 33, 20], 6, [3, 3], [1, 1], [1, 1, 1, 1]),
        ([3, 4, 9, 12], 2, [3, 3], [2, 2], [1, 1, 1, 1]),
        ([3, 4, 8, 8], 2, [3, 3], [2, 2], [0, 0, 1, 1]),
        ([2, 6, 8, 40], 6, [5, 1], [1, 1], [2, 0, 2, 0]),
        ([7, 6, 5, 5], 9, [1, 1], [1, 1], [0, 0, 0, 0]),
        ([1, 6, 40, 40], 9, [1, 1], [1, 1], [0, 0, 0, 0]),
        ([2, 3, 2, 2], 4, [5, 5], [1, 1], [2, 2, 2, 2]),
    ] {
        let [top, left, bottom, right] = padding;
        let options = || ConvOptions::new_with_padding(stride, [(top, bottom), (left, right)], [1, 1], 1);
        check(
            "convolution",
            [&x, &[out, x[1], kernel[0], kernel[1]], &[out]],
            |[x, w, b]| Value::F4(conv2d(x.image(), w.image(), Some(b.flat()), stride, padding, 1)),
            |[x, w, b]| Value::F4(module::conv2d(x.image(), w.image(), Some(b.flat()), options())),
        );
    }
}

#[test]
fn pointwise_functions() {
    use burn::tensor::activation;
    check("silu", [&[3, 700]], |[x]| Value::F2(silu(x.rows())), |[x]| Value::F2(activation::silu(x.rows())));
    check("gelu", [&[3, 700]], |[x]| Value::F2(gelu(x.rows())), |[x]| Value::F2(activation::gelu(x.rows())));
}

#[test]
fn layers_on_tokens() {
    for (rows, inputs, outputs) in [(7, 5, 3), (300, 40, 72)] {
        check(
            "linear",
            [&[rows, inputs], &[outputs, inputs], &[outputs]],
            |[x, w, b]| Value::F2(linear(x.rows(), w.rows(), Some(b.flat()))),
            |[x, w, b]| Value::F2(compose::linear(x.rows(), w.rows(), Some(b.flat()))),
        );
        check(
            "linear without bias",
            [&[rows, inputs], &[outputs, inputs]],
            |[x, w]| Value::F2(linear(x.rows(), w.rows(), None)),
            |[x, w]| Value::F2(compose::linear(x.rows(), w.rows(), None)),
        );
    }
    for width in [6, 1000] {
        let rows = [50, width];
        check(
            "softmax",
            [&rows],
            |[x]| Value::F2(softmax(x.rows())),
            |[x]| Value::F2(burn::tensor::activation::softmax(x.rows(), 1)),
        );
        check("GEGLU", [&rows], |[x]| Value::F2(gated(x.rows())), |[x]| Value::F2(compose::gated(x.rows())));
    }
    check(
        "permute",
        [&[2, 24, 8, 33]],
        |[x]| Value::F4(permute(x.image(), [0, 3, 2, 1])),
        |[x]| Value::F4(x.image().permute([0, 3, 2, 1])),
    );
}

#[test]
fn the_number_of_threads_changes_no_bit_of_layers_on_tokens() {
    let device = open_device("cpu").unwrap();
    let run = || {
        let x = leaf(random(&[300, 64], "x", &device).rows());
        let (w, b) = (leaf(random(&[96, 64], "w", &device).rows()), leaf(random(&[96], "b", &device).flat()));
        let y = gated(linear(x.clone(), w.clone(), Some(b.clone())));
        let [rows, width] = y.dims();
        let y = permute(softmax(y).reshape([rows / 20, 20, 4, width / 4]), [0, 2, 1, 3]);
        let mut gradients = attention(y.clone(), y.clone(), y.clone(), 0.3, true).powi_scalar(2).sum().backward();
        let found = [w.grad_remove(&mut gradients).map(flat), x.grad_remove(&mut gradients).map(flat)];
        (found.map(Option::unwrap), b.grad_remove(&mut gradients).map(flat))
    };
    let with = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run);
    assert_eq!(with(1), with(2));
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let device = open_device("cpu").unwrap();
    let run = || {
        let x = leaf(random(&[6, 16, 9, 9], "x", &device).image());
        let (w, b) = (leaf(random(&[16], "w", &device).flat()), leaf(random(&[16], "b", &device).flat()));
        let y = group_norm(x.clone(), w.clone(), b.clone(), 4, 1e-5, true);
        let kernel = leaf(random(&[16, 16, 3, 3], "kernel", &device).image());
        let large = y.clone().narrow(0, 0, 1).repeat_dim(3, 9);
        let convolved = [y.clone(), large].map(|y| conv2d(y, kernel.clone(), None, [1, 1], [1, 1, 1, 1], 1).sum());
        let a = attention(y.clone(), y.clone(), y.clone(), 0.3, false);
        let [small, large] = convolved;
        let mut gradients = (a.sum() + small + large).backward();
        let gradient = [
            kernel.grad_remove(&mut gradients).map(flat),
            x.grad_remove(&mut gradients).map(flat),
            w.grad_remove(&mut gradients).map(flat),
            b.grad_remove(&mut gradients).map(flat),
        ];
        gradient.map(Option::unwrap)
    };
    let with = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run);
    assert_eq!(with(1), with(2));
}
