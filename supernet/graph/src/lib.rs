//! An architecture as a graph of semantic operations.
//!
//! A [`Graph`] is a list of [`Node`]s with static shapes, in execution order. It holds no tensors: weights are
//! named ([`Weight`]) and live elsewhere. Everything else in the project reads this one structure: running and
//! training it, counting its cost, measuring it, drawing it and exporting it.
//!
//! ```
//! use tnas_graph::{Dtype, GraphBuilder, Init, cost};
//!
//! let mut g = GraphBuilder::new();
//! let x = g.input("sample", &[1, 3, 8, 8], Dtype::F32);
//! let y = g.conv2d("conv_in", x, 16, [3, 3], [1, 1], [1, 1], Init::FanIn);
//! let y = g.silu("act", y);
//! let graph = g.finish(&[("out", y)]).unwrap();
//! assert_eq!(graph.shape(graph.outputs[0].value), [1, 16, 8, 8]);
//! assert_eq!(cost(&graph).parameters, 3 * 16 * 9 + 16);
//! ```

mod builder;
mod cost;
mod graph;
mod host;
mod infer;
mod op;
mod runtime;
mod runtime_kind;
mod segments;
mod weight;

pub use builder::GraphBuilder;
pub use cost::{Cost, NodeCost, cost, node_cost, peak_activation_bytes};
pub use graph::{Dtype, Graph, GraphError, Input, Node, Output, ValueId};
pub use host::{HostData, HostTensor};
pub use infer::infer_shape;
pub use op::Op;
pub use runtime::{Runtime, RuntimeError, Session, WeightError, WeightMap, Weights, resolve};
pub use runtime_kind::{RuntimeKind, RuntimeOptions};
pub use segments::Segment;
pub use weight::{Elastic, Init, Weight};
