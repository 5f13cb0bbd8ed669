use std::{collections::BTreeSet, ops::Range};

use crate::{Graph, Op, ValueId};

/// Consecutive nodes of a graph that can be run on their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Indices of its nodes.
    pub nodes: Range<usize>,
    /// Values from before that it reads.
    pub inputs: Vec<ValueId>,
    /// Its values that later nodes read, skips among them, and outputs of the graph.
    pub outputs: Vec<ValueId>,
}

/// Numbers of segments that are tried.
const MOST_SEGMENTS: usize = 32;

impl Graph {
    /// Segments for training that keeps the values between them alone and computes the rest again for the backward pass
    /// (Chen et al. 2016). Cuts lie where least is alive, which is between blocks; their number is the one whose kept values
    /// and largest segment together are estimated to be smallest.
    pub fn segments(&self) -> Vec<Segment> {
        let live = self.live_elements();
        let total: usize = self.nodes.iter().map(|node| self.elements(node.output)).sum();
        let cut = |parts: usize| self.parts(&self.cuts(total / parts, &live));
        (1..=MOST_SEGMENTS).map(cut).min_by_key(|parts| self.peak(parts)).unwrap_or_default()
    }

    fn elements(&self, value: ValueId) -> usize {
        self.shape(value).iter().product()
    }

    /// For each node the elements made before it that it or a later one reads.
    fn live_elements(&self) -> Vec<usize> {
        let (last, uses) = (self.last_uses(), self.use_counts());
        let mut ends = vec![0; self.nodes.len()];
        let mut alive = 0;
        let mut live = Vec::with_capacity(self.nodes.len());
        for (index, node) in self.nodes.iter().enumerate() {
            live.push(alive);
            if uses[node.output.index()] > 0 {
                alive += self.elements(node.output);
                if let Some(end) = ends.get_mut(last[node.output.index()]) {
                    *end += self.elements(node.output);
                }
            }
            alive -= ends[index];
        }
        live
    }

    /// First nodes of segments of about so many elements.
    fn cuts(&self, budget: usize, live: &[usize]) -> Vec<usize> {
        let (mut cuts, mut since, mut best): (_, _, Option<usize>) = (Vec::new(), 0, None);
        for index in 1..self.nodes.len() {
            since += self.elements(self.nodes[index - 1].output);
            // A norm and the SiLU behind it run as one operation.
            let fused =
                matches!(self.nodes[index - 1].op, Op::GroupNorm { .. }) && self.nodes[index].op == Op::Silu;
            if !fused && 2 * since >= budget && best.is_none_or(|best| live[index] <= live[best]) {
                best = Some(index);
            }
            if since >= budget
                && let Some(cut) = best.take()
            {
                cuts.push(cut);
                since = self.nodes[cut..index].iter().map(|node| self.elements(node.output)).sum();
            }
        }
        cuts
    }

    fn parts(&self, cuts: &[usize]) -> Vec<Segment> {
        let (last, uses) = (self.last_uses(), self.use_counts());
        let ends = cuts.iter().copied().chain([self.nodes.len()]);
        let starts = [0].into_iter().chain(cuts.iter().copied());
        let part = |(start, end): (usize, usize)| {
            let nodes = &self.nodes[start..end];
            let made: BTreeSet<ValueId> = nodes.iter().map(|node| node.output).collect();
            let read: BTreeSet<ValueId> = nodes.iter().flat_map(|node| node.inputs.iter().copied()).collect();
            let later = |value: &&ValueId| uses[value.index()] > 0 && last[value.index()] >= end;
            let outputs = made.iter().filter(later).copied().collect();
            Segment { nodes: start..end, inputs: read.difference(&made).copied().collect(), outputs }
        };
        starts.zip(ends).map(part).collect()
    }

    /// Elements that training by these segments keeps at most.
    fn peak(&self, parts: &[Segment]) -> usize {
        let kept: BTreeSet<ValueId> = parts.iter().flat_map(|part| part.inputs.iter().copied()).collect();
        let kept: usize = kept.iter().map(|&value| self.elements(value)).sum();
        let size =
            |part: &Segment| self.nodes[part.nodes.clone()].iter().map(|n| self.elements(n.output)).sum::<usize>();
        kept + parts.iter().map(size).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dtype, GraphBuilder};

    /// Blocks of four nodes that each end in one value, and one value that is read at the very end.
    fn blocks(count: usize) -> Graph {
        let mut g = GraphBuilder::new();
        let first = g.input("x", &[8], Dtype::F32);
        let mut x = first;
        for block in 0..count {
            let a = g.affine(&format!("{block}.a"), x, 2.0, 0.0);
            let b = g.affine(&format!("{block}.b"), a, 2.0, 0.0);
            let c = g.add(&format!("{block}.c"), a, b);
            x = g.add(&format!("{block}.d"), c, x);
        }
        let out = g.add("out", x, first);
        g.finish(&[("out", out)]).unwrap()
    }

    #[test]
    fn segments_are_the_graph() {
        let graph = blocks(16);
        let segments = graph.segments();
        assert!(segments.len() > 2);
        assert_eq!(segments.first().map(|s| s.nodes.start), Some(0));
        assert_eq!(segments.last().map(|s| s.nodes.end), Some(graph.nodes.len()));
        let mut known: BTreeSet<ValueId> = graph.inputs.iter().map(|input| input.value).collect();
        for (segment, next) in segments.iter().zip(segments.iter().skip(1)) {
            assert_eq!(segment.nodes.end, next.nodes.start);
        }
        for segment in &segments {
            assert!(segment.inputs.iter().all(|value| known.contains(value)), "{segment:?}");
            known.extend(&segment.outputs);
        }
        assert!(graph.outputs.iter().all(|output| known.contains(&output.value)));
    }

    #[test]
    fn cuts_lie_between_blocks() {
        for segment in blocks(16).segments() {
            // One value crosses, beside the input.
            assert!(segment.nodes.start % 4 == 0 && segment.inputs.len() <= 2, "{segment:?}");
        }
    }

    #[test]
    fn an_empty_graph_has_an_empty_segment() {
        let mut g = GraphBuilder::new();
        let x = g.input("x", &[2], Dtype::F32);
        let graph = g.finish(&[("out", x)]).unwrap();
        assert!(graph.segments().iter().all(|segment| segment.nodes.is_empty()));
    }
}
