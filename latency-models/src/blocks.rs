use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tnas_graph::{Graph, Op};

use crate::{ArchFeatures, KindCost, LatencyError};

/// A search space as a predictor sees it: what the network costs with nothing in its slots, and what each choice adds at
/// each slot. All work is a sum of these, so that a candidate's features need no graph.
#[derive(Clone, Debug, PartialEq)]
pub struct SpaceBlocks {
    base: ArchFeatures,
    blocks: Vec<Vec<BlockFeatures>>,
    /// Largest sum of live activations of the network with one choice alone, by slot and choice; empty where not counted.
    peaks: Vec<Vec<u64>>,
}

/// What a block does, and on what: two blocks that agree in all of it take equally long.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockFeatures {
    /// Work by kind of operation.
    pub per_kind: BTreeMap<String, KindCost>,
    /// Operations that compute.
    pub launches: u64,
    /// Bytes of its weights, in f32.
    pub parameter_bytes: u64,
    /// Elements of its input over its channels: images × rows × columns.
    pub tokens: u64,
    /// Channels of its input.
    pub channels: u64,
    /// Heads of its attentions, summed.
    pub heads: u64,
    /// Elements of its convolutions' kernels, summed.
    pub kernel: u64,
    /// Keys that an attention's query meets, summed.
    pub keys: u64,
}

/// Numbers that a kernel compares: logarithms, for a tenth more of anything is a tenth at any size.
pub(crate) type Coordinates = [f64; 11];

impl SpaceBlocks {
    /// Counts the network with empty slots, and each slot's choices on their own.
    pub fn new(base: &Graph, blocks: &[Vec<Graph>]) -> Self {
        let nothing = vec![0; blocks.len()];
        let of_slot = |choices: &Vec<Graph>| choices.iter().map(BlockFeatures::new).collect();
        Self {
            base: ArchFeatures::new("", &nothing, base),
            blocks: blocks.iter().map(of_slot).collect(),
            peaks: Vec::new(),
        }
    }

    /// The same with the largest sum of live activations, in bytes, of the network with each choice alone, by slot and choice.
    /// Insertions keep shapes, and what comes after a slot reads nothing from before it, so that no two insertions are live at
    /// once: a candidate's is the largest of its choices'.
    pub fn with_peaks(self, peaks: Vec<Vec<u64>>) -> Self {
        Self { peaks, ..self }
    }

    /// Largest sum of live activations of a candidate, in bytes; that of the network with empty slots where none was counted.
    pub fn peak_activation_bytes(&self, choices: &[u16]) -> u64 {
        let peaks = self.peaks.iter().zip(choices).filter_map(|(row, &choice)| row.get(usize::from(choice)));
        peaks.copied().fold(self.base.peak_activation_bytes, u64::max)
    }

    /// By slot and choice.
    pub fn blocks(&self) -> &[Vec<BlockFeatures>] {
        &self.blocks
    }

    /// Features of a candidate, without its graph.
    pub fn features(&self, arch_id: &str, choices: &[u16]) -> Result<ArchFeatures, LatencyError> {
        let mut features = ArchFeatures { arch_id: arch_id.into(), choices: choices.to_vec(), ..self.base.clone() };
        if choices.len() != self.blocks.len() {
            let (found, slots) = (choices.len(), self.blocks.len());
            return Err(LatencyError::Fit(format!(
                "architecture {arch_id} has {found} slots, the space has {slots}"
            )));
        }
        for (slot, (&choice, blocks)) in choices.iter().zip(&self.blocks).enumerate() {
            let Some(block) = blocks.get(usize::from(choice)) else {
                let message = format!("architecture {arch_id}: slot {slot} has no choice {choice}");
                return Err(LatencyError::Fit(message));
            };
            features.add(block);
        }
        features.peak_activation_bytes = self.peak_activation_bytes(choices);
        Ok(features)
    }

    /// The network with empty slots.
    pub(crate) fn base(&self) -> &ArchFeatures {
        &self.base
    }
}

impl ArchFeatures {
    /// The same network with one block more.
    pub(crate) fn add(&mut self, block: &BlockFeatures) {
        self.launches += block.launches;
        self.parameter_bytes += block.parameter_bytes;
        for (name, cost) in &block.per_kind {
            self.macs += cost.macs;
            self.moved_bytes += cost.moved_bytes;
            let kind = self.per_kind.entry(name.clone()).or_default();
            kind.macs += cost.macs;
            kind.moved_bytes += cost.moved_bytes;
            kind.count += cost.count;
        }
    }
}

impl BlockFeatures {
    /// Counts a block whose first input is `[B·F, C, H, W]`.
    pub fn new(graph: &Graph) -> Self {
        let counted = ArchFeatures::new("", &[], graph);
        let input: Vec<u64> =
            graph.inputs.first().map_or(&[][..], |x| graph.shape(x.value)).iter().map(|&n| n as u64).collect();
        let channels = input.get(1).copied().unwrap_or(1);
        let (mut heads, mut kernel, mut keys) = (0, 0, 0);
        for node in &graph.nodes {
            match &node.op {
                Op::Attention { .. } => {
                    heads += graph.shape(node.inputs[0])[1] as u64;
                    keys += graph.shape(node.inputs[1])[2] as u64;
                }
                Op::Conv2d { weight, .. } => kernel += weight.shape[2..].iter().product::<usize>() as u64,
                _ => {}
            }
        }
        Self {
            per_kind: counted.per_kind,
            launches: counted.launches,
            parameter_bytes: counted.parameter_bytes,
            tokens: input.iter().product::<u64>() / channels.max(1),
            channels,
            heads,
            kernel,
            keys,
        }
    }

    /// Whether it does anything.
    pub fn is_empty(&self) -> bool {
        self.launches == 0
    }

    pub(crate) fn coordinates(&self) -> Coordinates {
        let macs = |kinds: &[&str]| -> u64 {
            kinds.iter().filter_map(|&kind| self.per_kind.get(kind)).map(|cost| cost.macs).sum()
        };
        let all: u64 = self.per_kind.values().map(|cost| cost.macs).sum();
        let bytes: u64 = self.per_kind.values().map(|cost| cost.moved_bytes).sum();
        let log = |count: u64| (1.0 + count as f64).ln();
        [
            log(macs(&["Conv2d"])),
            log(macs(&["Linear", "MatMul"])),
            log(macs(&["Attention"])),
            log(bytes),
            // Intensity: multiply-accumulates per byte.
            (1.0 + all as f64 / (1.0 + bytes as f64)).ln(),
            log(self.launches),
            log(self.tokens),
            log(self.channels),
            log(self.heads),
            log(self.kernel),
            log(self.keys),
        ]
    }
}

#[cfg(test)]
mod tests {
    use tnas_graph::{Dtype, GraphBuilder, Init, ValueId};

    use super::*;

    fn block(g: &mut GraphBuilder, x: ValueId, width: usize) -> ValueId {
        let y = g.conv2d("block.c", x, width, [3, 1], [1, 1], [1, 0], Init::FanIn);
        let y = g.silu("block.a", y);
        g.conv2d("block.d", y, 4, [1, 1], [1, 1], [0, 0], Init::FanIn)
    }

    fn network(width: Option<usize>) -> Graph {
        let mut g = GraphBuilder::new();
        let x = g.input("x", &[2, 4, 8, 8], Dtype::F32);
        let mut y = g.conv2d("first", x, 4, [3, 3], [1, 1], [1, 1], Init::FanIn);
        if let Some(width) = width {
            y = block(&mut g, y, width);
        }
        let y = g.silu("last", y);
        g.finish(&[("y", y)]).unwrap()
    }

    fn alone(width: Option<usize>) -> Graph {
        let mut g = GraphBuilder::new();
        let x = g.input("x", &[2, 4, 8, 8], Dtype::F32);
        let y = match width {
            Some(width) => block(&mut g, x, width),
            None => x,
        };
        g.finish(&[("y", y)]).unwrap()
    }

    #[test]
    fn features_of_a_candidate_are_those_of_its_graph() {
        let widths = [None, Some(8), Some(16)];
        let space = SpaceBlocks::new(&network(None), &[widths.map(alone).to_vec()]);
        for (choice, width) in (0..).zip(widths) {
            let counted = ArchFeatures::new("a", &[choice], &network(width));
            let summed = space.features("a", &[choice]).unwrap();
            assert_eq!(ArchFeatures { peak_activation_bytes: counted.peak_activation_bytes, ..summed }, counted);
        }
        assert!(space.features("a", &[3]).is_err() && space.features("a", &[0, 0]).is_err());
        assert!(space.blocks()[0][0].is_empty() && !space.blocks()[0][1].is_empty());
        assert_eq!((space.blocks()[0][1].tokens, space.blocks()[0][1].channels), (128, 4));
        assert_eq!(space.blocks()[0][1].kernel, 4);
    }
}
