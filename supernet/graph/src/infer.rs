use crate::Op;

/// Shape of an operation's result, or what is wrong with its inputs' shapes.
pub fn infer_shape(op: &Op, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
    let count = match op {
        Op::Constant { .. } | Op::Parameter { .. } => 0,
        Op::Add | Op::Sub | Op::Mul | Op::MatMul => 2,
        Op::Attention { .. } => 3,
        Op::Concat { .. } => inputs.len().max(1),
        _ => 1,
    };
    if inputs.len() != count {
        return Err(format!("{count} inputs expected, {} given", inputs.len()));
    }
    match op {
        Op::Conv2d { weight, stride, padding, groups, .. } => {
            conv2d(inputs[0], &weight.shape, *stride, *padding, *groups)
        }
        Op::Linear { weight, .. } => replace_last(inputs[0], &weight.shape),
        Op::MatMul => mat_mul(inputs[0], inputs[1]),
        Op::GroupNorm { weight, groups, .. } => group_norm(inputs[0], weight.elements(), *groups),
        Op::LayerNorm { weight, .. } => {
            let last = inputs[0].last().copied();
            if last == Some(weight.elements()) { Ok(inputs[0].to_vec()) } else { Err("last axis ≠ gain".into()) }
        }
        Op::Attention { .. } => attention(inputs[0], inputs[1], inputs[2]),
        Op::Add | Op::Sub | Op::Mul => broadcast(inputs[0], inputs[1]),
        Op::Concat { axis } => concat(inputs, *axis),
        Op::Slice { axis, start, end } => slice(inputs[0], *axis, *start, *end),
        Op::Reshape { shape } => reshape(inputs[0], shape),
        Op::Transpose { order } => transpose(inputs[0], order),
        Op::ResizeNearest { size } => with_size(inputs[0], *size),
        Op::AvgPool2d { window } => avg_pool(inputs[0], *window),
        Op::Mean { axes } => mean(inputs[0], axes),
        Op::Embedding { weight } => Ok([inputs[0], &weight.shape[1..]].concat()),
        Op::Constant { shape, data } => {
            let elements: usize = shape.iter().product();
            if elements == data.len() { Ok(shape.clone()) } else { Err(format!("{} numbers", data.len())) }
        }
        Op::Parameter { weight } => Ok(weight.shape.clone()),
        Op::Sinusoid { channels, .. } => match inputs[0] {
            [batch] if *channels > 1 => Ok(vec![*batch, *channels]),
            _ => Err("one axis and at least 2 channels expected".into()),
        },
        Op::Silu
        | Op::Gelu
        | Op::QuickGelu
        | Op::Relu
        | Op::Tanh
        | Op::Sigmoid
        | Op::Softmax
        | Op::Affine { .. } => Ok(inputs[0].to_vec()),
    }
}

fn conv2d(
    x: &[usize],
    weight: &[usize],
    stride: [usize; 2],
    padding: [usize; 4],
    groups: usize,
) -> Result<Vec<usize>, String> {
    let (&[n, c, h, w], &[o, i, kh, kw]) = (x, weight) else {
        return Err("rank 4 expected".into());
    };
    if groups == 0 || c != i * groups || o % groups != 0 {
        return Err(format!("{c} channels against a weight {weight:?} in {groups} groups"));
    }
    let size = |length: usize, kernel: usize, before: usize, after: usize, stride: usize| {
        let padded = length + before + after;
        if stride == 0 || padded < kernel { None } else { Some((padded - kernel) / stride + 1) }
    };
    let rows = size(h, kh, padding[0], padding[2], stride[0]);
    let columns = size(w, kw, padding[1], padding[3], stride[1]);
    match (rows, columns) {
        (Some(rows), Some(columns)) => Ok(vec![n, o, rows, columns]),
        _ => Err(format!("kernel {kh}×{kw} larger than the padded input")),
    }
}

fn replace_last(x: &[usize], weight: &[usize]) -> Result<Vec<usize>, String> {
    match (x.split_last(), weight) {
        (Some((last, front)), [out, inner]) if last == inner => Ok([front, &[*out]].concat()),
        _ => Err(format!("last axis against a weight {weight:?}")),
    }
}

fn mat_mul(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len();
    if rank < 2 || b.len() != rank || a[..rank - 2] != b[..rank - 2] || a[rank - 1] != b[rank - 2] {
        return Err("[…, M, K] and [….., K, N] expected".into());
    }
    Ok([&a[..rank - 1], &b[rank - 1..]].concat())
}

fn group_norm(x: &[usize], channels: usize, groups: usize) -> Result<Vec<usize>, String> {
    if x.len() < 2 || x[1] != channels || groups == 0 || !channels.is_multiple_of(groups) {
        return Err(format!("{groups} groups over {channels} channels"));
    }
    Ok(x.to_vec())
}

fn attention(q: &[usize], k: &[usize], v: &[usize]) -> Result<Vec<usize>, String> {
    let (&[n, heads, l, d], &[kn, kh, m, kd], &[vn, vh, vm, vd]) = (q, k, v) else {
        return Err("[N, heads, L, D] expected three times".into());
    };
    if (n, heads, d) != (kn, kh, kd) || (n, heads, m) != (vn, vh, vm) {
        return Err("batch, heads, tokens or depth differ".into());
    }
    Ok(vec![n, heads, l, vd])
}

fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    if a.len() != b.len() {
        return Err("one rank expected".into());
    }
    let axis = |(&a, &b): (&usize, &usize)| match (a, b) {
        (a, b) if a == b => Ok(a),
        (1, b) => Ok(b),
        (a, 1) => Ok(a),
        _ => Err(format!("axes of length {a} and {b}")),
    };
    a.iter().zip(b).map(axis).collect()
}

fn concat(inputs: &[&[usize]], axis: usize) -> Result<Vec<usize>, String> {
    let Some((first, rest)) = inputs.split_first() else {
        return Err("at least one input expected".into());
    };
    if axis >= first.len() {
        return Err(format!("no axis {axis}"));
    }
    let mut shape = first.to_vec();
    for other in rest {
        let differs = |i: usize| i != axis && other[i] != first[i];
        if other.len() != first.len() || (0..first.len()).any(differs) {
            return Err(format!("axes other than {axis} differ"));
        }
        shape[axis] += other[axis];
    }
    Ok(shape)
}

fn slice(x: &[usize], axis: usize, start: usize, end: usize) -> Result<Vec<usize>, String> {
    if axis >= x.len() || start >= end || end > x[axis] {
        return Err(format!("{start}..{end} of axis {axis}"));
    }
    let mut shape = x.to_vec();
    shape[axis] = end - start;
    Ok(shape)
}

fn reshape(x: &[usize], shape: &[usize]) -> Result<Vec<usize>, String> {
    if x.iter().product::<usize>() != shape.iter().product::<usize>() {
        return Err(format!("as many elements as {shape:?} expected"));
    }
    Ok(shape.to_vec())
}

fn transpose(x: &[usize], order: &[usize]) -> Result<Vec<usize>, String> {
    let mut sorted = order.to_vec();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..x.len()) {
        return Err(format!("{order:?} is no order of {} axes", x.len()));
    }
    Ok(order.iter().map(|&axis| x[axis]).collect())
}

fn with_size(x: &[usize], size: [usize; 2]) -> Result<Vec<usize>, String> {
    match x {
        [n, c, _, _] => Ok(vec![*n, *c, size[0], size[1]]),
        _ => Err("rank 4 expected".into()),
    }
}

fn avg_pool(x: &[usize], window: [usize; 2]) -> Result<Vec<usize>, String> {
    match x {
        &[n, c, h, w] if h >= window[0] && w >= window[1] && !window.contains(&0) => {
            Ok(vec![n, c, h / window[0], w / window[1]])
        }
        _ => Err(format!("[N, C, H, W] at least {window:?} expected")),
    }
}

fn mean(x: &[usize], axes: &[usize]) -> Result<Vec<usize>, String> {
    let mut shape = x.to_vec();
    for &axis in axes {
        *shape.get_mut(axis).ok_or_else(|| format!("no axis {axis}"))? = 1;
    }
    Ok(shape)
}
