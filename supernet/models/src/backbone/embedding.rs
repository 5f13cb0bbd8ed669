//! The embedding of time, class and sizes that resnets read.

use tnas_graph::{Dtype, GraphBuilder, Init, Op, ValueId, Weight};

use super::{
    config::{Activation, ClassEmbedding, Embedding, TextTime},
    layers::activate,
};

/// The embedding of time, class and sizes `[B, channels]`, before resnets' activation. `first` is the width of the time's
/// sinusoids.
pub(super) fn embedding(g: &mut GraphBuilder, settings: &Embedding, first: usize, timestep: ValueId) -> ValueId {
    let batch = g.shape(timestep)[0];
    let mut parts = Parts { g, settings, first, batch };
    let mut e = parts.time(timestep);
    if let Some(class) = settings.class {
        let class = parts.class(class);
        e = if settings.concat_class {
            parts.g.concat("embedding.with_class", &[e, class], 1)
        } else {
            parts.g.add("embedding.with_class", e, class)
        };
    }
    if let Some(text_time) = settings.text_time {
        let added = parts.text_time(text_time);
        e = parts.g.add("embedding.with_text_time", e, added);
    }
    match settings.sum_activation {
        Some(activation) => activate(g, "time_embed_act", e, activation),
        None => e,
    }
}

/// The embeddings that are added, each `[B, channels]`.
struct Parts<'a> {
    g: &'a mut GraphBuilder,
    settings: &'a Embedding,
    first: usize,
    batch: usize,
}

impl Parts<'_> {
    fn time(&mut self, timestep: ValueId) -> ValueId {
        let Self { settings, first, batch, .. } = *self;
        let mut e = self.sinusoids("time_proj", timestep, first);
        if let Some(width) = settings.condition {
            let condition = self.g.input("timestep_cond", &[batch, width], Dtype::F32);
            let condition = self.g.linear("time_embedding.cond_proj", condition, first, false, Init::FanIn);
            e = self.g.add("time_embedding.conditioned", e, condition);
        }
        e = self.two_layers("time_embedding", e, settings.activation);
        match settings.post_activation {
            Some(activation) => activate(self.g, "time_embedding.post_act", e, activation),
            None => e,
        }
    }

    fn class(&mut self, class: ClassEmbedding) -> ValueId {
        let Self { settings, first, batch, .. } = *self;
        let path = "class_embedding";
        match class {
            ClassEmbedding::Table(classes) => {
                let weight =
                    Weight::new(format!("{path}.weight"), &[classes, settings.channels], Init::Normal(1.0));
                let labels = self.g.input("class_labels", &[batch, 1], Dtype::I64);
                let rows = self.g.node(path, Op::Embedding { weight }, &[labels]);
                self.g.reshape("class_embedding.rows", rows, &[batch, settings.channels])
            }
            ClassEmbedding::Time => {
                let labels = self.g.input("class_labels", &[batch], Dtype::F32);
                let labels = self.sinusoids("class_proj", labels, first);
                self.two_layers(path, labels, settings.activation)
            }
            ClassEmbedding::Identity => self.labels(settings.channels),
            ClassEmbedding::Projection(width) => {
                let labels = self.labels(width);
                self.two_layers(path, labels, Activation::Silu)
            }
            ClassEmbedding::Linear(width) => {
                let labels = self.labels(width);
                self.g.linear(path, labels, settings.channels, true, Init::FanIn)
            }
        }
    }

    /// Pooled text, where there is any, and sizes.
    fn text_time(&mut self, text_time: TextTime) -> ValueId {
        let batch = self.batch;
        let TextTime { time_channels, ids, .. } = text_time;
        let pooled = text_time.text_channels();
        let text =
            (pooled > 0).then(|| self.g.input("added_cond_kwargs.text_embeds", &[batch, pooled], Dtype::F32));
        let name = if pooled > 0 { "added_cond_kwargs.time_ids" } else { "added_time_ids" };
        let numbers = self.g.input(name, &[batch, ids], Dtype::F32);
        let numbers = self.g.reshape("add_time_proj.numbers", numbers, &[batch * ids]);
        let sizes = self.sinusoids("add_time_proj", numbers, time_channels);
        let sizes = self.g.reshape("add_time_proj.rows", sizes, &[batch, ids * time_channels]);
        let both = text.map_or(sizes, |text| self.g.concat("add_embedding.input", &[text, sizes], 1));
        self.two_layers("add_embedding", both, Activation::Silu)
    }

    /// Class labels as numbers `[B, width]`.
    fn labels(&mut self, width: usize) -> ValueId {
        self.g.input("class_labels", &[self.batch, width], Dtype::F32)
    }

    fn sinusoids(&mut self, path: &str, numbers: ValueId, channels: usize) -> ValueId {
        let op = Op::Sinusoid {
            channels,
            flip_sin_to_cos: self.settings.flip_sin_to_cos,
            frequency_shift: self.settings.freq_shift,
        };
        self.g.node(path, op, &[numbers])
    }

    fn two_layers(&mut self, path: &str, x: ValueId, activation: Activation) -> ValueId {
        let x = self.g.linear(&format!("{path}.linear_1"), x, self.settings.channels, true, Init::FanIn);
        let x = activate(self.g, &format!("{path}.act"), x, activation);
        self.g.linear(&format!("{path}.linear_2"), x, self.settings.channels, true, Init::FanIn)
    }
}
