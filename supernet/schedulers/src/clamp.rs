use crate::{SchedulerError, options::Options};

/// How predicted data is kept within bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Clamp {
    /// Not at all.
    Free,
    /// To ±range.
    Clip(f32),
    /// To a quantile of its own magnitudes, then divided by it (Saharia et al. 2022, §2.3).
    Threshold { quantile: f32, most: f32 },
}

impl Clamp {
    /// `clips` is the class's default of `clip_sample`, or `None` where it has no such option.
    pub fn read(options: &mut Options, clips: Option<bool>) -> Result<Self, SchedulerError> {
        let threshold = options.get("thresholding", false)?;
        let quantile = options.get("dynamic_thresholding_ratio", 0.995f32)?;
        let most = options.get("sample_max_value", 1.0f32)?;
        if !(0.0..=1.0).contains(&quantile) {
            return Err(options.wrong(format!("dynamic_thresholding_ratio = {quantile} must lie between 0 and 1")));
        }
        let clip = match clips {
            Some(default) => (options.get("clip_sample", default)?, options.get("clip_sample_range", 1.0f32)?),
            None => (false, 1.0),
        };
        Ok(match (threshold, clip) {
            (true, _) => Self::Threshold { quantile, most },
            (false, (true, range)) => Self::Clip(range),
            _ => Self::Free,
        })
    }

    /// Bounds one sample.
    pub fn apply(self, data: &mut [f32]) {
        match self {
            Self::Free => {}
            Self::Clip(range) => data.iter_mut().for_each(|x| *x = x.max(-range).min(range)),
            Self::Threshold { quantile, most } => {
                let bound = magnitude(data, quantile).max(1.0).min(most);
                data.iter_mut().for_each(|x| *x = x.max(-bound).min(bound) / bound);
            }
        }
    }
}

/// Quantile of the magnitudes, between neighbours linearly.
fn magnitude(data: &[f32], quantile: f32) -> f32 {
    let mut sizes: Vec<f32> = data.iter().map(|x| x.abs()).collect();
    sizes.sort_by(f32::total_cmp);
    let Some(last) = sizes.len().checked_sub(1) else { return 0.0 };
    let rank = quantile * last as f32;
    let below = (rank.floor() as usize).min(last);
    let (low, high) = (sizes[below], sizes[(below + 1).min(last)]);
    low + (rank - below as f32) * (high - low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_below_one_clips() {
        let mut data = [0.1, -0.2, 3.0, -0.4];
        Clamp::Threshold { quantile: 0.5, most: 2.0 }.apply(&mut data);
        assert_eq!(data, [0.1, -0.2, 1.0, -0.4]);
        let mut data = [1.0, -2.0, 3.0, -4.0, 5.0];
        Clamp::Threshold { quantile: 0.5, most: 9.0 }.apply(&mut data);
        assert_eq!(data, [1.0 / 3.0, -2.0 / 3.0, 1.0, -1.0, 1.0]);
    }
}
