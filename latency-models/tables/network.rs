use serde::Deserialize;

use crate::core::Slot;

/// What stands in the slots of a published network of mobile inverted bottlenecks (Sandler et al. 2018): enough to count the
/// work of each choice in each slot, as it is counted of a graph.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Rows and columns of the first slot's input.
    pub size: usize,
    /// Channels of the first slot's input.
    pub channels: usize,
    /// Runs of slots of one width.
    pub stages: Vec<Stage>,
    /// Blocks by choice; what is not named skips.
    pub blocks: Vec<Bottleneck>,
}

/// Some slots in a row; the first may halve the image.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// How many.
    pub slots: usize,
    /// Channels of their outputs.
    pub channels: usize,
    /// Of the first one.
    pub stride: usize,
}

/// A pointwise convolution, a depthwise one, and a pointwise one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bottleneck {
    /// Value in the table.
    pub choice: i64,
    /// Of the depthwise convolution.
    pub kernel: usize,
    /// Inner channels per outer one.
    pub expansion: usize,
    /// Of the pointwise convolutions.
    pub groups: usize,
}

/// Where a block stands.
struct Place {
    channels: [f64; 2],
    /// Pixels of input and output.
    pixels: [f64; 2],
}

/// Pointwise and depthwise multiply-accumulates, bytes moved, bytes moved by the depthwise convolution, operations, bytes of
/// weights.
type Counted = [f64; 6];

impl Network {
    /// Work by slot, choice and kind.
    pub(crate) fn work(&self, slots: &[Slot]) -> Result<Vec<Vec<Vec<f64>>>, String> {
        let places = self.places();
        if places.len() != slots.len() {
            return Err(format!("network.stages have {} slots, the table has {}", places.len(), slots.len()));
        }
        let of =
            |(place, slot): (&Place, &Slot)| slot.levels.iter().map(|l| self.counted(place, l).to_vec()).collect();
        Ok(places.iter().zip(slots).map(of).collect())
    }

    fn places(&self) -> Vec<Place> {
        let (mut channels, mut size, mut places) = (self.channels, self.size, Vec::new());
        for stage in &self.stages {
            for slot in 0..stage.slots {
                let stride = if slot == 0 { stage.stride.max(1) } else { 1 };
                let after = size / stride;
                let pixels = [size, after].map(|size| (size * size) as f64);
                places.push(Place { channels: [channels, stage.channels].map(|c| c as f64), pixels });
                (channels, size) = (stage.channels, after);
            }
        }
        places
    }

    fn counted(&self, place: &Place, level: &[f64]) -> Counted {
        let block = self.blocks.iter().find(|block| level == [block.choice as f64]);
        block.map_or_else(|| place.skip(), |block| place.bottleneck(block))
    }
}

impl Place {
    fn keeps_shape(&self) -> bool {
        self.channels[0] == self.channels[1] && self.pixels[0] == self.pixels[1]
    }

    /// A pointwise convolution where the shape changes.
    fn skip(&self) -> Counted {
        if self.keeps_shape() {
            return [0.0; 6];
        }
        let ([a, b], pixels) = (self.channels, self.pixels[1]);
        let bytes = 4.0 * (a + b) * pixels;
        [a * b * pixels, 0.0, bytes, 0.0, 2.0, 4.0 * a * b]
    }

    fn bottleneck(&self, block: &Bottleneck) -> Counted {
        let ([a, b], [before, after]) = (self.channels, self.pixels);
        let (kernel, groups) = ((block.kernel * block.kernel) as f64, block.groups as f64);
        let inner = a * block.expansion as f64;
        let residual = if self.keeps_shape() { 1.0 } else { 0.0 };
        let depthwise_bytes = 4.0 * inner * (before + after);
        // Each convolution reads and writes; so does the sum with the input.
        let bytes = 4.0 * (a + inner) * before + depthwise_bytes + 4.0 * (inner + b + 2.0 * residual * b) * after;
        // Three convolutions, each normalised, two activated; groups are shuffled.
        let operations = 8.0 + residual + if block.groups > 1 { 2.0 } else { 0.0 };
        [
            (a * inner * before + inner * b * after) / groups,
            inner * kernel * after,
            bytes,
            depthwise_bytes,
            operations,
            4.0 * ((a + b) * inner / groups + inner * kernel),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted_by_place() {
        let stages = vec![Stage { slots: 2, channels: 4, stride: 1 }, Stage { slots: 1, channels: 8, stride: 2 }];
        let blocks = vec![Bottleneck { choice: 0, kernel: 3, expansion: 2, groups: 1 }];
        let network = Network { size: 4, channels: 4, stages, blocks };
        let work = network.work(&[0, 1, 2].map(|feature| Slot::of_index(feature, 2))).unwrap();
        // 4 to 8 channels and back at 16 pixels; 9 products of 8 channels at each.
        assert_eq!((work[0][0][0], work[0][0][1]), (2.0 * 4.0 * 8.0 * 16.0, 8.0 * 9.0 * 16.0));
        assert_eq!(work[0][1], [0.0; 6]);
        // A skip that changes the shape is a pointwise convolution.
        assert_eq!(work[2][1][0], 4.0 * 8.0 * 4.0);
        assert!(network.work(&[Slot::of_index(0, 2)]).is_err());
    }
}
