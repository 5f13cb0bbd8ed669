use crate::{
    ArchFeatures, SpaceBlocks,
    core::{Encoding, Layout, Slot, Work},
};

/// Kinds of counted work, each with a speed of its own, in the manner of a roofline (Williams et al. 2009).
const KINDS: usize = 7;

/// Multiply-accumulates of convolutions, of linear layers and products, and of attention; bytes moved in all, by operations
/// that only change places, and by normalisations; operations.
pub(crate) fn work(features: &ArchFeatures) -> [f64; KINDS] {
    [
        features.macs_of(&["Conv2d", "Conv3d"]) as f64,
        features.macs_of(&["Linear", "MatMul"]) as f64,
        features.macs_of(&["Attention"]) as f64,
        features.moved_bytes as f64,
        features.bytes_of(&["Transpose", "Concat", "Slice", "ResizeNearest"]) as f64,
        features.bytes_of(&["GroupNorm", "LayerNorm", "Softmax"]) as f64,
        features.launches as f64,
    ]
}

/// A graph as a row: its choices, its counted work, and the time of its blocks on their own where that was measured.
pub(crate) fn row(features: &ArchFeatures) -> Vec<f64> {
    let choices = features.choices.iter().map(|&choice| f64::from(choice));
    choices.chain(work(features)).chain(features.blocks_ms).collect()
}

/// The encoder of a space's graphs, centred on some of their rows.
pub(crate) fn encoding(blocks: Option<&SpaceBlocks>, features: &[&ArchFeatures]) -> Result<Encoding, String> {
    let slots = features.first().map_or(0, |f| f.choices.len());
    let seen = |slot: usize| features.iter().map(|f| usize::from(f.choices[slot]) + 1).max().unwrap_or(1);
    let known = |slot: usize| blocks.and_then(|blocks| blocks.blocks().get(slot)).map_or(0, Vec::len);
    let rows: Vec<Vec<f64>> = features.iter().map(|features| row(features)).collect();
    let layout = Layout {
        slots: (0..slots).map(|slot| Slot::of_index(slot, seen(slot).max(known(slot)))).collect(),
        work: Work::Features((slots..rows.first().map_or(slots, Vec::len)).collect()),
        keep_table: true,
        ..Layout::default()
    };
    Encoding::new(layout, &rows)
}
