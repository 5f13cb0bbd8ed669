use std::collections::BTreeSet;

use crate::proto::{Attribute, Dimension, Node, Shape, Tensor, TensorType, Type, ValueInfo};

/// ONNX element types.
const FLOAT: i32 = 1;
const INT64: i32 = 7;

/// Collects ONNX nodes and initialisers; values are strings.
#[derive(Default)]
pub(crate) struct OnnxBuilder {
    pub nodes: Vec<Node>,
    pub initializers: Vec<Tensor>,
    named: BTreeSet<String>,
}

impl OnnxBuilder {
    /// Adds a node; its result is named after it.
    pub fn node(&mut self, name: &str, kind: &str, inputs: &[&str], attributes: Vec<Attribute>) -> String {
        let output = format!("{name}:out");
        self.nodes.push(Node {
            input: inputs.iter().map(ToString::to_string).collect(),
            output: vec![output.clone()],
            name: name.into(),
            op_type: kind.into(),
            attribute: attributes,
        });
        output
    }

    /// Adds floats, once per name.
    pub fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        if self.named.insert(name.into()) {
            let raw_data = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            self.push(name, shape, FLOAT, raw_data);
        }
        name.into()
    }

    /// Adds integers, once per name.
    pub fn integers(&mut self, name: &str, values: &[i64]) -> String {
        if self.named.insert(name.into()) {
            let raw_data = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            self.push(name, &[values.len()], INT64, raw_data);
        }
        name.into()
    }

    fn push(&mut self, name: &str, shape: &[usize], data_type: i32, raw_data: Vec<u8>) {
        let dims = shape.iter().map(|&length| length as i64).collect();
        self.initializers.push(Tensor { dims, data_type, name: name.into(), raw_data });
    }
}

/// An integer attribute.
pub(crate) fn int(name: &str, i: i64) -> Attribute {
    Attribute { name: name.into(), i: Some(i), kind: 2, ..Attribute::default() }
}

/// A float attribute.
pub(crate) fn float(name: &str, f: f32) -> Attribute {
    Attribute { name: name.into(), f: Some(f), kind: 1, ..Attribute::default() }
}

/// A string attribute.
pub(crate) fn word(name: &str, s: &str) -> Attribute {
    Attribute { name: name.into(), s: Some(s.as_bytes().to_vec()), kind: 3, ..Attribute::default() }
}

/// A list of integers.
pub(crate) fn ints(name: &str, values: &[usize]) -> Attribute {
    let ints = values.iter().map(|&x| x as i64).collect();
    Attribute { name: name.into(), ints, kind: 7, ..Attribute::default() }
}

/// An input's or output's name, type and shape.
pub(crate) fn value_info(name: &str, shape: &[usize], integers: bool) -> ValueInfo {
    let dim = shape.iter().map(|&length| Dimension { value: Some(length as i64) }).collect();
    let element = if integers { INT64 } else { FLOAT };
    let tensor = TensorType { element, shape: Some(Shape { dim }) };
    ValueInfo { name: name.into(), kind: Some(Type { tensor: Some(tensor) }) }
}
