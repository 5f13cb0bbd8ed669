use std::collections::{BTreeMap, btree_map::Entry};

use tnas_graph::Graph;

use crate::TrainingRecipe;

/// How the clips of a step are divided: into micro-batches, computed one after another or one on each device, and those into
/// halves, computed by two threads.
#[derive(Clone, Debug)]
pub(crate) struct MicroBatches {
    /// Clips of a step.
    pub clips: usize,
    /// Micro-batches of a step: `accumulate` for each device.
    pub count: usize,
    /// Numbers of frames that a step's clips may have: 1 too where some steps train on single frames.
    frames: Vec<usize>,
}

impl MicroBatches {
    /// Those of a recipe, for clips of a number of frames.
    pub fn new(recipe: &TrainingRecipe, frames: usize) -> Self {
        let accumulate = recipe.accumulate.max(1);
        let frames = if recipe.images > 0.0 && frames > 1 { vec![frames, 1] } else { vec![frames] };
        Self { clips: recipe.batch * accumulate, count: accumulate * recipe.devices.len().max(1), frames }
    }

    /// A graph for each size of half: `graph` builds it for a batch and a number of frames.
    pub fn graphs<E>(&self, mut graph: impl FnMut(usize, usize) -> Result<Graph, E>) -> Result<HalfGraphs, E> {
        let mut graphs = BTreeMap::new();
        for &frames in &self.frames {
            for clips in part_sizes(self.clips, self.count).flat_map(|clips| part_sizes(clips, 2)) {
                if let Entry::Vacant(slot) = graphs.entry((frames, clips)) {
                    slot.insert(graph(clips, frames)?);
                }
            }
        }
        Ok(HalfGraphs(graphs))
    }
}

/// One network's graphs for the sizes of a step's halves, by frames and clips.
pub(crate) struct HalfGraphs(BTreeMap<(usize, usize), Graph>);

impl HalfGraphs {
    /// The one for samples `[B, C, F, H, W]`.
    pub fn of(&self, [batch, _, frames, _, _]: [usize; 5]) -> &Graph {
        &self.0[&(frames, batch)]
    }
}

/// Sizes of at most `count` parts of some clips, the larger first; none is empty.
pub(crate) fn part_sizes(clips: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |part| clips / count + usize::from(part < clips % count)).filter(|&size| size > 0)
}
