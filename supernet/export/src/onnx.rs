use std::collections::BTreeMap;

use prost::Message;
use tnas_graph::{Dtype, Graph, Weights};

use crate::{
    ExportError,
    builder::{OnnxBuilder, value_info},
    operations::Lowering,
    proto::{Entry, GraphProto, Model, OperatorSet},
};

/// Operator set of the exported files: the newest that all runtimes in use read.
const OPSET: i64 = 21;
const IR_VERSION: i64 = 10;

/// Name, description and metadata of an exported file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelInfo {
    /// Name of the graph.
    pub name: String,
    /// Free text, for readers of the file.
    pub description: String,
    /// Keys and values.
    pub metadata: BTreeMap<String, String>,
}

/// A graph with its weights as an ONNX file of the portable profile: opset 21, norms and attention as operations that
/// every runtime has. Nodes keep their module paths and weights their checkpoint names; the same graph and weights give
/// the same bytes.
pub fn to_onnx(graph: &Graph, weights: &dyn Weights, info: &ModelInfo) -> Result<Vec<u8>, ExportError> {
    let bytes = graph.weights().iter().map(|weight| 4 * weight.elements()).sum();
    const LIMIT: usize = 1_900_000_000;
    if bytes > LIMIT {
        return Err(ExportError::TooLarge { bytes });
    }
    let mut lowering = Lowering::new(graph, weights);
    for node in &graph.nodes {
        lowering.node(node)?;
    }
    let (mut onnx, names) = lowering.finish();
    let mut outputs = Vec::new();
    for output in &graph.outputs {
        rename(&mut onnx, &names[output.value.index()], &output.name);
        outputs.push(value_info(&output.name, graph.shape(output.value), false));
    }
    let input = |input: &tnas_graph::Input| {
        value_info(&input.name, graph.shape(input.value), graph.dtype(input.value) == Dtype::I64)
    };
    let graph_proto = GraphProto {
        node: onnx.nodes,
        name: info.name.clone(),
        initializer: onnx.initializers,
        input: graph.inputs.iter().map(input).collect(),
        output: outputs,
    };
    let entry = |(key, value): (&String, &String)| Entry { key: key.clone(), value: value.clone() };
    let model = Model {
        ir_version: IR_VERSION,
        producer_name: "tnas".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        doc_string: info.description.clone(),
        graph: Some(graph_proto),
        opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
        metadata_props: info.metadata.iter().map(entry).collect(),
    };
    Ok(model.encode_to_vec())
}

/// Gives a value its output name, by an Identity where it is an input or read again.
fn rename(onnx: &mut OnnxBuilder, value: &str, output: &str) {
    onnx.node(&format!("{output}:identity"), "Identity", &[value], Vec::new());
    if let Some(node) = onnx.nodes.last_mut() {
        node.output = vec![output.into()];
    }
}
