//! Where the steps lie, in NumPy's arithmetic, whose rounding decides between neighbours.

use crate::{SchedulerError, options::Options};

/// How timesteps are spread over the training ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spacing {
    /// Even, both ends included.
    Linspace,
    /// Whole strides from 0, the last stride's end left out.
    Leading,
    /// Even strides down from the last.
    Trailing,
}

impl Spacing {
    pub fn read(options: &mut Options, default: Self) -> Result<Self, SchedulerError> {
        let words = [("linspace", Self::Linspace), ("leading", Self::Leading), ("trailing", Self::Trailing)];
        options.word("timestep_spacing", &words, default)
    }

    /// Timesteps, highest first. Those of `Linspace` may be fractions.
    pub fn timesteps(self, train: usize, steps: usize, offset: i64) -> Vec<f64> {
        match self {
            Self::Linspace => rev(linspace(0.0, train as f64 - 1.0, steps)),
            Self::Leading => rev((0..steps).map(|i| (i * (train / steps)) as f64 + offset as f64).collect()),
            Self::Trailing => trailing(train, train, steps),
        }
    }
}

/// Down from `last` by strides of train / steps. One that rounding leaves at 0 is none.
pub(crate) fn trailing(last: usize, train: usize, steps: usize) -> Vec<f64> {
    let (start, step) = (last as f64, -(train as f64 / steps as f64));
    let stride = (start + step) - start;
    let count = (-start / step).ceil() as usize;
    let rounded = (0..count).map(|i| (start + i as f64 * stride).round_ties_even() - 1.0);
    rounded.filter(|&t| t >= 0.0).collect()
}

/// `numpy.linspace`
pub(crate) fn linspace(start: f64, end: f64, count: usize) -> Vec<f64> {
    let step = (end - start) / (count.max(2) - 1) as f64;
    let value = |i| if i > 0 && i + 1 == count { end } else { i as f64 * step + start };
    (0..count).map(value).collect()
}

/// `torch.linspace` in f32, from both ends to the middle, each product and sum rounded once.
pub(crate) fn linspace_f32(start: f64, end: f64, count: usize) -> Vec<f32> {
    let (start, end) = (start as f32, end as f32);
    let step = (end - start) / (count.max(2) - 1) as f32;
    let value = |i: usize| {
        if i < count / 2 { step.mul_add(i as f32, start) } else { (-step).mul_add((count - i - 1) as f32, end) }
    };
    (0..count).map(value).collect()
}

/// The list from its end.
pub(crate) fn rev<T>(mut list: Vec<T>) -> Vec<T> {
    list.reverse();
    list
}

/// Timesteps as f32.
pub(crate) fn narrow(list: &[f64]) -> Vec<f32> {
    list.iter().map(|&x| x as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_spacings() {
        let of = |spacing: Spacing, offset| spacing.timesteps(1000, 4, offset);
        assert_eq!(of(Spacing::Leading, 1), [751.0, 501.0, 251.0, 1.0]);
        assert_eq!(of(Spacing::Trailing, 1), [999.0, 749.0, 499.0, 249.0]);
        assert_eq!(of(Spacing::Linspace, 1), [999.0, 666.0, 333.0, 0.0]);
        assert!((1..=1000).all(|steps| Spacing::Trailing.timesteps(1000, steps, 0).len() == steps));
    }
}
