use burn::tensor::Device;
use tnas_graph::{Graph, HostTensor};
use tnas_models::TextEncoder;
use tnas_network::{Parameters, Value, WeightSource, execute};

use crate::{CaptionTokens, TextFeatures, TrainError};

/// A text encoder with the captions that it encodes.
#[derive(Clone, Debug)]
pub struct TrainedText {
    /// The encoder.
    pub encoder: TextEncoder,
    /// Every distinct caption as ids.
    pub captions: CaptionTokens,
}

impl TrainedText {
    /// Encodes the captions of these indices: context `[B, L, X]` and pooled `[B, X]`.
    pub(crate) fn encode(
        &self,
        graph: &Graph,
        weights: &dyn WeightSource,
        indices: &[usize],
        device: &Device,
    ) -> Result<(Value, Value), TrainError> {
        let captions = &self.captions;
        let shape = [indices.len(), captions.length];
        let ids = HostTensor::i64(&shape, indices.iter().flat_map(|&i| captions.ids[i].iter().copied()).collect());
        let ids = Value::from_host(&ids, &device.clone().inner()).constant_for(device);
        let pooling = indices.iter().flat_map(|&i| captions.pooling(i)).collect();
        let mut outputs = execute(graph, weights, vec![ids, Value::constant(pooling, &shape, device)], device)?;
        let pooled = outputs.pop();
        match (outputs.pop(), pooled) {
            (Some(context), Some(pooled)) => Ok((context, pooled)),
            _ => Err(TrainError::Data("the text encoder has two outputs".into())),
        }
    }

    /// Features of every caption, for stages in which the text encoder is frozen.
    pub fn features(&self, weights: &Parameters) -> Result<TextFeatures, TrainError> {
        const BATCH: usize = 64;
        let (width, length) = (self.encoder.config.hidden_size, self.captions.length);
        let mut features = TextFeatures { tokens: length, width, ..TextFeatures::default() };
        let all: Vec<usize> = (0..self.captions.ids.len()).collect();
        for chunk in all.chunks(BATCH) {
            let graph = self.encoder.graph(chunk.len(), length)?;
            let (context, pooled) = self.encode(&graph, weights, chunk, weights.device())?;
            features.context.extend(context.to_vec().chunks(length * width).map(<[f32]>::to_vec));
            features.pooled.extend(pooled.to_vec().chunks(width).map(<[f32]>::to_vec));
        }
        Ok(features)
    }
}

/// Features of every caption of a frozen text encoder.
pub fn text_features(
    encoder: &TextEncoder,
    weights: &Parameters,
    captions: &CaptionTokens,
) -> Result<TextFeatures, TrainError> {
    TrainedText { encoder: encoder.clone(), captions: captions.clone() }.features(weights)
}
