use crate::Clip;

/// Mean |x_{f+1} − x_f| of each pair of neighbouring frames, F−1 numbers. Alone it misleads: frames that have nothing
/// to do with each other score highest.
pub fn frame_differences(clip: &Clip) -> Vec<f64> {
    let difference = |f: usize| {
        let pairs = clip.frame(f).iter().zip(clip.frame(f + 1));
        pairs.map(|(a, b)| f64::from((a - b).abs())).sum::<f64>() / clip.frame_len() as f64
    };
    (0..clip.frames.saturating_sub(1)).map(difference).collect()
}

/// Mean of [`frame_differences`]; 0 for a single frame.
pub fn mean_frame_difference(clip: &Clip) -> f64 {
    let differences = frame_differences(clip);
    differences.iter().sum::<f64>() / differences.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_means_over_a_frame() {
        let frames: [[f32; 3]; 3] = [[0.0; 3], [0.3, 0.0, 0.0], [0.3, 0.6, -0.6]];
        let clip = Clip::new(3, 1, 1, frames.concat()).expect("a clip");
        let differences = frame_differences(&clip);
        assert!((differences[0] - 0.1).abs() < 1e-6 && (differences[1] - 0.4).abs() < 1e-6);
        assert!((mean_frame_difference(&clip) - 0.25).abs() < 1e-6);
        assert_eq!(mean_frame_difference(&clip.select_frames(&[1])), 0.0);
    }
}
