use tnas_graph::{Dtype, Graph, HostTensor, Output, ValueId};
use tnas_weights::SafeTensors;

/// One case of a file of inputs and outputs.
pub struct Golden<'a> {
    /// The file.
    pub io: &'a SafeTensors,
    /// Which case.
    pub case: usize,
}

impl Golden<'_> {
    /// Whether the file has outputs of this case: `case<i>.out` or `case<i>.out.<name>`.
    pub fn exists(&self) -> bool {
        let (one, many) = (self.name("out"), self.name("out."));
        self.io.names().any(|name| name == one || name.starts_with(&many))
    }

    /// An error where a tensor has an axis of 0: the file holds nothing of it, so its other axes could be of any length.
    pub fn refuse_empty(&self) -> anyhow::Result<()> {
        let front = self.name("");
        for name in self.io.names().filter(|name| name.starts_with(&front)) {
            let shape = &self.io.info(name)?.shape;
            anyhow::ensure!(!shape.contains(&0), "{name} has the shape {shape:?}, which is empty");
        }
        Ok(())
    }

    /// Shape of a tensor of this case.
    pub fn shape(&self, rest: &str) -> Option<Vec<usize>> {
        self.io.info(&self.name(rest)).ok().map(|info| info.shape.clone())
    }

    /// A tensor as floats; integers are converted.
    pub fn floats(&self, rest: &str) -> anyhow::Result<Vec<f32>> {
        let name = self.name(rest);
        match self.io.f32(&name) {
            Ok(values) => Ok(values.into_owned()),
            Err(_) => Ok(self.io.i64(&name)?.iter().map(|&x| x as f32).collect()),
        }
    }

    /// An input as a graph takes it; one number where one of each sample is wanted stands for all.
    pub fn input(&self, name: &str, shape: &[usize], dtype: Dtype) -> anyhow::Result<HostTensor> {
        let (rest, count) = (format!("in.{name}"), shape.iter().product::<usize>());
        if dtype == Dtype::I64 {
            let ids = self.io.i64(&self.name(&rest))?.to_vec();
            anyhow::ensure!(ids.len() == count, "{rest} has {} numbers, {shape:?} are expected", ids.len());
            return Ok(HostTensor::i64(shape, ids));
        }
        let mut values = self.floats(&rest)?;
        if values.len() == 1 && shape.len() == 1 {
            values = vec![values[0]; count];
        }
        anyhow::ensure!(values.len() == count, "{rest} has {} numbers, {shape:?} are expected", values.len());
        Ok(HostTensor::f32(shape, values))
    }

    /// Adds the modules that are recorded (`case<i>.mid.<module>`) to the outputs, in the order in which they run.
    /// `recorded` gives the name of a node in the file.
    pub fn tap(&self, graph: &mut Graph, recorded: impl Fn(&str) -> String) {
        let front = self.name("mid.");
        let modules = self.io.names().filter_map(|name| name.strip_prefix(&front));
        let names: Vec<String> = graph.nodes.iter().map(|node| recorded(&node.name)).collect();
        let mut found: Vec<(ValueId, &str)> =
            modules.filter_map(|module| Some((last_of(graph, &names, module)?, module))).collect();
        found.sort();
        for (value, module) in found {
            graph.outputs.push(Output { name: format!("mid.{module}"), value });
        }
    }

    /// Leaves a graph the outputs that are recorded (`case<i>.out` or `case<i>.out.<name>`), under their names in the file;
    /// `find` gives the graph's own name.
    pub fn select(&self, graph: &mut Graph, find: impl Fn(&str) -> Option<String>) -> anyhow::Result<()> {
        let front = self.name("out");
        let mut outputs = Vec::new();
        for rest in self.io.names().filter_map(|name| name.strip_prefix(&front)) {
            let name = match rest.strip_prefix('.') {
                Some(name) => name,
                None if rest.is_empty() => "",
                None => continue,
            };
            let own = find(name);
            let output = graph.outputs.iter().find(|output| Some(&output.name) == own.as_ref());
            let Some(&Output { value, .. }) = output else {
                let known: Vec<&str> = graph.outputs.iter().map(|output| output.name.as_str()).collect();
                anyhow::bail!("the model has no output for out{rest}; it makes {}", known.join(", "));
            };
            outputs.push(Output { name: format!("out{rest}"), value });
        }
        graph.outputs = outputs;
        Ok(())
    }

    fn name(&self, rest: &str) -> String {
        format!("case{}.{rest}", self.case)
    }
}

/// What a module makes: the value of the last node under its name.
fn last_of(graph: &Graph, names: &[String], module: &str) -> Option<ValueId> {
    let inside =
        |name: &str| name.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let last = names.iter().rposition(|name| inside(name))?;
    Some(graph.nodes[last].output)
}
