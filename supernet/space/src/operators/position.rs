//! Fixed sinusoidal position codes.

/// Sinusoidal code of `positions` as `[positions, channels]`, sines and cosines interleaved (Vaswani et al. 2017, §3.5).
pub fn sinusoidal(positions: usize, channels: usize) -> Vec<f32> {
    let value = |position: usize, channel: usize| {
        let rate = 10_000f64.powf(-((channel / 2 * 2) as f64) / channels as f64);
        let angle = position as f64 * rate;
        (if channel.is_multiple_of(2) { angle.sin() } else { angle.cos() }) as f32
    };
    (0..positions).flat_map(|p| (0..channels).map(move |c| value(p, c))).collect()
}

/// Code of frame, row and column as `[F·H·W, C]`: the frame's code over all channels plus the row's in the first half of
/// the channels and the column's in the second.
pub(super) fn sinusoidal_3d(frames: usize, height: usize, width: usize, channels: usize) -> Vec<f32> {
    let half = channels / 2;
    let (time, rows) = (sinusoidal(frames, channels), sinusoidal(height, half));
    let columns = sinusoidal(width, channels - half);
    let mut code = Vec::with_capacity(frames * height * width * channels);
    for frame in 0..frames {
        for row in 0..height {
            for column in 0..width {
                let space = rows[row * half..][..half].iter().chain(&columns[column * (channels - half)..]);
                code.extend(time[frame * channels..][..channels].iter().zip(space).map(|(t, s)| t + s));
            }
        }
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_position_has_a_code_of_its_own() {
        let code = sinusoidal_3d(3, 4, 4, 16);
        assert_eq!(code.len(), 3 * 16 * 16);
        let rows: Vec<&[f32]> = code.chunks(16).collect();
        for (i, a) in rows.iter().enumerate() {
            for b in &rows[..i] {
                assert!(a.iter().zip(*b).any(|(a, b)| (a - b).abs() > 1e-3));
            }
        }
    }
}
