use std::collections::BTreeMap;

use rayon::prelude::*;

/// At most 256 colours for many: their own where they are few enough, else boxes of colours cut in two until there
/// are enough (Heckbert 1982, with the cut at the mean of the axis of largest variance, as Wu 1991), and each box's
/// mean moved to the mean of the pixels nearest to it.
pub(crate) struct Palette {
    pub(crate) colours: Vec<[u8; 3]>,
    index: BTreeMap<[u8; 3], u8>,
}

const MAX_COLOURS: usize = 256;
/// Passes of Lloyd's algorithm after the cuts.
const REFINEMENTS: usize = 3;
/// More distinct colours than this are first gathered in bins of 8×8×8.
const MAX_DISTINCT: usize = 1 << 15;

/// A colour, or the mean of some, and how many pixels have it.
#[derive(Clone, Copy)]
struct Sample {
    rgb: [f64; 3],
    count: f64,
}

impl Palette {
    /// A palette for these pixels. The same pixels, in any order, give the same palette.
    pub(crate) fn of(pixels: impl IntoIterator<Item = [u8; 3]>) -> Self {
        let mut counts: BTreeMap<[u8; 3], u64> = BTreeMap::new();
        for pixel in pixels {
            *counts.entry(pixel).or_default() += 1;
        }
        let colours =
            if counts.len() <= MAX_COLOURS { counts.keys().copied().collect() } else { quantise(&counts) };
        let distinct: Vec<[u8; 3]> = counts.into_keys().collect();
        let nearest: Vec<u8> = distinct.par_iter().map(|colour| nearest(&colours, *colour) as u8).collect();
        Self { colours, index: distinct.into_iter().zip(nearest).collect() }
    }

    /// Index of the colour that stands for a pixel the palette was made of.
    pub(crate) fn index_of(&self, pixel: [u8; 3]) -> u8 {
        self.index.get(&pixel).copied().unwrap_or_else(|| nearest(&self.colours, pixel) as u8)
    }

    /// Red, green, blue, red, …
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.colours.concat()
    }
}

fn nearest(colours: &[[u8; 3]], pixel: [u8; 3]) -> usize {
    let distance =
        |colour: &[u8; 3]| (0..3).map(|i| (i32::from(colour[i]) - i32::from(pixel[i])).pow(2)).sum::<i32>();
    (0..colours.len()).min_by_key(|&i| distance(&colours[i])).unwrap_or(0)
}

fn quantise(counts: &BTreeMap<[u8; 3], u64>) -> Vec<[u8; 3]> {
    let samples = samples(counts);
    let mut boxes = vec![samples.clone()];
    while boxes.len() < MAX_COLOURS {
        // The first of the worst: sorted input and strict comparison make the result independent of chance.
        let mut worst = (0.0, 0);
        for (i, error) in boxes.iter().map(|samples| spread(samples).iter().sum::<f64>()).enumerate() {
            if error > worst.0 {
                worst = (error, i);
            }
        }
        if worst.0 == 0.0 {
            break;
        }
        let (low, high) = cut(boxes.swap_remove(worst.1));
        boxes.extend([low, high]);
    }
    let mut centres: Vec<[f64; 3]> = boxes.iter().map(|samples| mean(samples)).collect();
    for _ in 0..REFINEMENTS {
        refine(&mut centres, &samples);
    }
    let mut colours: Vec<[u8; 3]> = centres.iter().map(|centre| centre.map(|value| value.round() as u8)).collect();
    colours.sort_unstable();
    colours.dedup();
    colours
}

fn samples(counts: &BTreeMap<[u8; 3], u64>) -> Vec<Sample> {
    if counts.len() <= MAX_DISTINCT {
        return counts.iter().map(|(rgb, n)| Sample { rgb: rgb.map(f64::from), count: *n as f64 }).collect();
    }
    let mut bins: BTreeMap<[u8; 3], Vec<Sample>> = BTreeMap::new();
    for (rgb, n) in counts {
        let bin = rgb.map(|value| value >> 3);
        bins.entry(bin).or_default().push(Sample { rgb: rgb.map(f64::from), count: *n as f64 });
    }
    bins.values().map(|bin| Sample { rgb: mean(bin), count: bin.iter().map(|sample| sample.count).sum() }).collect()
}

fn mean(samples: &[Sample]) -> [f64; 3] {
    let count: f64 = samples.iter().map(|sample| sample.count).sum();
    [0, 1, 2].map(|i| samples.iter().map(|sample| sample.rgb[i] * sample.count).sum::<f64>() / count)
}

/// Sum of squared distances to the mean, per axis.
fn spread(samples: &[Sample]) -> [f64; 3] {
    let mean = mean(samples);
    [0, 1, 2].map(|i| samples.iter().map(|sample| (sample.rgb[i] - mean[i]).powi(2) * sample.count).sum())
}

/// In two along the axis of largest spread, at the mean; neither part is empty when the spread is not zero.
fn cut(samples: Vec<Sample>) -> (Vec<Sample>, Vec<Sample>) {
    let (spread, mean) = (spread(&samples), mean(&samples));
    let axis = if spread[0] >= spread[1] && spread[0] >= spread[2] {
        0
    } else if spread[1] >= spread[2] {
        1
    } else {
        2
    };
    samples.into_iter().partition(|sample| sample.rgb[axis] < mean[axis])
}

/// One pass of Lloyd's algorithm.
fn refine(centres: &mut [[f64; 3]], samples: &[Sample]) {
    let distance = |a: [f64; 3], b: [f64; 3]| (0..3).map(|i| (a[i] - b[i]).powi(2)).sum::<f64>();
    let owners: Vec<usize> = samples
        .par_iter()
        .map(|sample| {
            let mut best = (f64::INFINITY, 0);
            for (i, centre) in centres.iter().enumerate() {
                let d = distance(*centre, sample.rgb);
                if d < best.0 {
                    best = (d, i);
                }
            }
            best.1
        })
        .collect();
    let mut owned: Vec<Vec<Sample>> = vec![Vec::new(); centres.len()];
    for (sample, owner) in samples.iter().zip(owners) {
        owned[owner].push(*sample);
    }
    for (centre, samples) in centres.iter_mut().zip(&owned) {
        if !samples.is_empty() {
            *centre = mean(samples);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn few_colours_are_kept_exactly() {
        let pixels: Vec<[u8; 3]> = (0..=255).map(|i| [i, 255 - i, 7]).collect();
        let palette = Palette::of(pixels.clone());
        assert!(pixels.iter().all(|pixel| palette.colours[usize::from(palette.index_of(*pixel))] == *pixel));
    }

    #[test]
    fn many_colours_are_met_closely_in_any_order() {
        // 20,000 random colours, and 60,000 that go through the bins.
        for (count, allowed) in [(20_000, 22.0), (60_000, 22.0)] {
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let mut pixels: Vec<[u8; 3]> = (0..count).map(|_| rng.random()).collect();
            let palette = Palette::of(pixels.clone());
            assert!(palette.colours.len() <= 256);
            let squared: f64 = pixels
                .iter()
                .map(|pixel| {
                    let colour = palette.colours[usize::from(palette.index_of(*pixel))];
                    (0..3).map(|i| (f64::from(colour[i]) - f64::from(pixel[i])).powi(2)).sum::<f64>()
                })
                .sum();
            // 256 cells of a cube of side 256 have side 40: an error of 40·√(3/12) = 20.
            let error = (squared / f64::from(count)).sqrt();
            assert!(error < allowed, "root mean square distance {error}");
            pixels.reverse();
            assert_eq!(Palette::of(pixels).colours, palette.colours);
        }
    }
}
