mod corruption;
mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tnas_clips::{Clip, ClipSet};
use tnas_models::EvaluatorNetwork;
use tnas_network::{Parameters, Value, execute, side_by_side};

pub(crate) use self::corruption::{Alike, OUT_OF_ORDER, disturbed, kind_of_corruption, out_of_order};
pub use self::words::label_value;
use self::words::telling_words;

use tnas_training::{AdamWSettings, SettingError, TrainError, frames_inner};

use crate::cell_means;

/// A video classifier trained on real clips: its accuracy and features evaluate generated ones.
pub struct Evaluator {
    network: EvaluatorNetwork,
    parameters: Parameters,
    labels: EvaluatorLabels,
}

/// Labels that an evaluator predicts, each with its values in order.
pub type EvaluatorLabels = Vec<(String, Vec<String>)>;

/// How an evaluator is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluatorSettings {
    /// Labels that it predicts, e.g. `action`; `word:left` is whether the caption holds that word.
    pub labels: Vec<String>,
    /// So many of the captions' words are predicted too: those that most nearly half of the clips have.
    #[serde(skip_serializing_if = "no_words")]
    pub words: usize,
    /// Optimiser steps.
    pub steps: u64,
    /// Clips a step.
    pub batch: usize,
    /// Width of its first stage.
    pub width: usize,
    /// Frames are learned with noise up to this deviation (values reach from −1 to 1) and half as much of brightness, each
    /// with its own, so that labels depend on what is shown, not on how clean it is.
    pub noise: f32,
    /// Fraction of clips of which a box is hidden, so that labels are predicted from all that shows them.
    pub hidden: f64,
    /// Training clips taken through the autoencoder, where a study has one.
    pub decoded_clips: usize,
    /// What makes the features see who or what is shown, where labels leave that open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub appearance: Option<AppearanceSettings>,
    /// Optimiser.
    pub optimizer: AdamWSettings,
}

fn no_words(count: &usize) -> bool {
    *count == 0
}

impl Default for EvaluatorSettings {
    fn default() -> Self {
        Self {
            labels: Vec::new(),
            words: 0,
            steps: 300,
            batch: 16,
            width: 16,
            noise: 0.3,
            hidden: 0.5,
            decoded_clips: 800,
            appearance: None,
            optimizer: AdamWSettings { learning_rate: 2e-3, ..AdamWSettings::default() },
        }
    }
}

/// What features are to see of appearance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AppearanceSettings {
    /// Labels that are learned too, e.g. `character`; they are not reported, for held-out clips may show other ones.
    pub labels: Vec<String>,
    /// Weight of predicting a clip's colours from its features; each label has weight 1.
    pub colours: f64,
    /// Cells along each side of a frame whose colours, averaged over frames, are predicted.
    pub cells: usize,
    /// Distinguish clips from blends of two with the same caption, which models of too few steps make of what captions leave open.
    pub blends: bool,
}

impl Default for AppearanceSettings {
    fn default() -> Self {
        Self { labels: Vec::new(), colours: 1.0, cells: 8, blends: true }
    }
}

impl EvaluatorSettings {
    /// An error where nothing could be trained.
    pub fn check(&self) -> Result<(), SettingError> {
        let wrong = |key: &str, reason: String| Err(SettingError::new(key, reason));
        let Some(appearance) = &self.appearance else { return Ok(()) };
        let AppearanceSettings { labels, colours, cells, blends } = appearance;
        if !(colours.is_finite() && *colours >= 0.0) {
            return wrong("appearance.colours", format!("= {colours} must be a weight of 0 or more"));
        }
        if labels.is_empty() && *colours == 0.0 && !blends {
            let reason = "names no label, gives colours no weight and has no blends; leave it out, or ask for one";
            return wrong("appearance", reason.into());
        }
        if *colours > 0.0 && !(1..=64).contains(cells) {
            return wrong("appearance.cells", format!("= {cells} must be of 1 to 64"));
        }
        match labels.iter().find(|label| self.labels.contains(label)) {
            Some(label) => wrong(
                "appearance.labels",
                format!("holds {label:?}, which is among the evaluator's labels already"),
            ),
            None => Ok(()),
        }
    }

    /// Kinds of clips that are distinguished: as filmed, out of order, blended.
    pub(crate) fn kinds(&self) -> usize {
        2 + usize::from(self.blends())
    }

    fn blends(&self) -> bool {
        self.appearance.as_ref().is_some_and(|appearance| appearance.blends)
    }

    /// Labels that shape the features and are not reported.
    fn unseen(&self) -> &[String] {
        self.appearance.as_ref().map_or(&[], |appearance| &appearance.labels)
    }

    /// Those of a network's labels that are reported: the first.
    pub fn reported<'a>(&self, labels: &'a [(String, Vec<String>)]) -> &'a [(String, Vec<String>)] {
        &labels[..labels.len() - self.unseen().len()]
    }

    /// Cells along each side whose colours are predicted; none without.
    fn colour_cells(&self) -> usize {
        self.appearance
            .as_ref()
            .filter(|appearance| appearance.colours > 0.0)
            .map_or(0, |appearance| appearance.cells)
    }
}

/// Features and predicted labels of clips.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluatedClips {
    /// Features per clip.
    pub features: Vec<Vec<f64>>,
    /// Predicted value of each label, by clip.
    pub predicted: Vec<BTreeMap<String, String>>,
    /// Fraction of clips whose label is predicted correctly, by label; labels that no clip has are left out.
    pub accuracy: BTreeMap<String, f64>,
}

impl Evaluator {
    /// An untrained evaluator for the label values that occur in the clips: what it reports first, then what only its features see.
    pub fn network(
        clips: &ClipSet,
        settings: &EvaluatorSettings,
    ) -> Result<(EvaluatorNetwork, EvaluatorLabels), TrainError> {
        if clips.is_empty() {
            return Err(TrainError::Data("there are none to evaluate".into()));
        }
        let [frames, size, _] = clips.shape();
        let values = |label: &String| {
            let mut found = BTreeSet::new();
            for (clip, (caption, labels)) in clips.captions().zip(clips.labels()).enumerate() {
                let value = label_value(label, caption, labels);
                found.insert(value.ok_or_else(|| no_label(clips.name(clip), label, labels))?);
            }
            if found.len() < 2 {
                return Err(TrainError::Data(format!(
                    "label {label} has {} values, an evaluator needs 2",
                    found.len()
                )));
            }
            Ok((label.clone(), found.into_iter().map(|value| value.into_owned()).collect::<Vec<_>>()))
        };
        let known: Vec<&String> = settings.labels.iter().chain(settings.unseen()).collect();
        let words = telling_words(clips.captions(), settings.words, &known);
        let labels = settings.labels.iter().chain(&words).chain(settings.unseen());
        let labels: EvaluatorLabels = labels.map(values).collect::<Result<_, _>>()?;
        let colours = 3 * settings.colour_cells().pow(2);
        let classes = labels.iter().map(|(_, values)| values.len()).chain([settings.kinds()]).collect();
        let network = EvaluatorNetwork { size, frames, width: settings.width, classes, colours };
        Ok((network, labels))
    }

    /// An evaluator with trained weights; the labels are the first of the network's, those that it reports.
    pub fn new(network: EvaluatorNetwork, labels: EvaluatorLabels, parameters: Parameters) -> Self {
        Self { network, parameters, labels }
    }

    /// Length of its features.
    pub fn features(&self) -> usize {
        self.network.features()
    }

    /// Its weights.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Features and accuracy; the labels are what the clips should show.
    pub fn evaluate(&self, clips: &[Clip]) -> Result<EvaluatedClips, TrainError> {
        const BATCH: usize = 32;
        let device = self.parameters.device();
        let outputs = side_by_side(device, clips.chunks(BATCH).collect(), |chunk: &[Clip]| {
            let graph = self.network.graph(chunk.len())?;
            let input = batch_of(chunk, &self.network, device);
            let outputs = execute(&graph, &self.parameters, vec![input], device)?;
            Ok::<_, TrainError>((outputs[0].to_vec(), outputs[1].to_vec()))
        })?;
        let (mut features, mut predicted) = (Vec::new(), Vec::new());
        let classes: usize = self.network.classes.iter().sum();
        for (found, logits) in outputs {
            let rows = found.chunks(4 * self.network.width);
            features.extend(rows.map(|row| row.iter().map(|&x| f64::from(x)).collect()));
            predicted.extend(logits.chunks(classes).map(|row| self.prediction(row)));
        }
        let accuracy =
            self.labels.iter().filter_map(|(label, _)| Some((label.clone(), accuracy(label, clips, &predicted)?)));
        let accuracy = accuracy.collect();
        Ok(EvaluatedClips { features, predicted, accuracy })
    }

    /// The likeliest value of each label.
    fn prediction(&self, logits: &[f32]) -> BTreeMap<String, String> {
        let mut start = 0;
        let mut likeliest = |(label, values): &(String, Vec<String>)| {
            let logits = &logits[start..start + values.len()];
            start += values.len();
            let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]))?;
            Some((label.clone(), values[best].clone()))
        };
        self.labels.iter().filter_map(&mut likeliest).collect()
    }
}

/// Fraction of the clips with this label for which it was predicted correctly; none where no clip has it.
fn accuracy(label: &str, clips: &[Clip], predicted: &[BTreeMap<String, String>]) -> Option<f64> {
    let pairs = clips.iter().zip(predicted).filter_map(|(clip, predicted)| {
        Some((label_value(label, &clip.caption, &clip.labels)?, predicted.get(label)?))
    });
    let (right, all) = pairs.fold((0usize, 0usize), |(right, all), (truth, predicted)| {
        (right + usize::from(truth == predicted.as_str()), all + 1)
    });
    (all > 0).then(|| right as f64 / all as f64)
}

/// Index of a clip's value of a label among those that the evaluator distinguishes.
pub(crate) fn class_of(clip: &Clip, label: &str, values: &[String]) -> Result<i64, TrainError> {
    let name = || format!("the clip with caption {:?}", clip.caption);
    let value = label_value(label, &clip.caption, &clip.labels);
    let value = value.ok_or_else(|| no_label(name(), label, &clip.labels))?;
    let class = values.iter().position(|known| *known == value).ok_or_else(|| TrainError::UnknownLabelValue {
        clip: name(),
        label: label.into(),
        value: value.into_owned(),
        known: values.to_vec(),
    })?;
    Ok(class as i64)
}

fn no_label(clip: String, label: &str, labels: &BTreeMap<String, String>) -> TrainError {
    TrainError::NoLabel { clip, label: label.into(), known: labels.keys().cloned().collect() }
}

pub(crate) fn read(clips: &ClipSet, clip: usize) -> Result<Arc<Clip>, TrainError> {
    clips.clip(clip).map_err(|source| TrainError::Load { clip, source: source.into() })
}

/// A clip's colours in cells, as numbers around 0: what features that depend on appearance predict.
pub(crate) struct ColourTargets {
    cells: usize,
    means: Vec<f64>,
    /// Sum of the numbers' variances.
    variance: f64,
    weight: f64,
}

/// Clips that means and variances of colours are taken over.
const COLOUR_CLIPS: usize = 1000;

impl ColourTargets {
    pub fn new(clips: &ClipSet, settings: &EvaluatorSettings) -> Result<Self, TrainError> {
        let cells = settings.colour_cells();
        let weight = settings.appearance.as_ref().map_or(0.0, |appearance| appearance.colours);
        let count = 3 * cells * cells;
        let (mut means, mut squares) = (vec![0.0; count], vec![0.0; count]);
        let seen = if cells > 0 { clips.len().min(COLOUR_CLIPS) } else { 0 };
        for index in 0..seen {
            for (index, x) in colours(&*read(clips, index)?, cells).into_iter().enumerate() {
                means[index] += x / seen as f64;
                squares[index] += x * x / seen as f64;
            }
        }
        let variance = squares.iter().zip(&means).map(|(square, mean)| square - mean * mean).sum::<f64>();
        Ok(Self { cells, means, variance: variance.max(1e-6), weight })
    }

    /// `[B, 3·cells²]`
    pub fn of(&self, clips: &[Arc<Clip>]) -> Vec<f32> {
        if self.cells == 0 {
            return Vec::new();
        }
        let centred = |clip: &Arc<Clip>| -> Vec<f32> {
            let colours = colours(clip, self.cells);
            colours.iter().zip(&self.means).map(|(x, mean)| ((x - mean) / self.variance.sqrt()) as f32).collect()
        };
        clips.iter().flat_map(centred).collect()
    }

    /// Fraction of the colours' variance that is not predicted, times its weight, `[1]`.
    pub fn loss(&self, predicted: Value, shown: &[f32], device: &burn::tensor::Device) -> Tensor<1> {
        let shape = predicted.shape();
        let miss = predicted.rows() - Value::constant(shown.to_vec(), &shape, device).rows();
        (miss.clone() * miss).sum().mul_scalar(self.weight / shape[0] as f64)
    }
}

/// Mean colour over frames of each cell, `[3, cells, cells]`.
fn colours(clip: &Clip, cells: usize) -> Vec<f64> {
    let means = cell_means(clip, cells, cells);
    let length = 3 * cells * cells;
    (0..length).map(|i| means.iter().skip(i).step_by(length).sum::<f64>() / clip.frames as f64).collect()
}

/// `[B, 3, F, H, W]`
pub(crate) fn batch_of(clips: &[Clip], network: &EvaluatorNetwork, device: &burn::tensor::Device) -> Value {
    let data = clips.iter().flat_map(frames_inner).collect();
    Value::constant(data, &[clips.len(), 3, network.frames, network.size, network.size], device)
}

#[cfg(test)]
mod tests {
    use super::{corruption::tests::clip, *};

    #[test]
    fn colours_are_cells_over_all_frames() {
        let mut clip = clip();
        for (i, x) in clip.pixels.iter_mut().enumerate() {
            // The lower half of blue, in the second frame alone.
            *x = if i >= 5 * 256 + 128 { 1.0 } else { 0.0 };
        }
        let expected = [vec![0.0; 8], vec![0.0, 0.0, 0.5, 0.5]].concat();
        assert_eq!(colours(&clip, 2), expected);
        let appearance = Some(AppearanceSettings { cells: 2, ..AppearanceSettings::default() });
        let settings = EvaluatorSettings { appearance, ..EvaluatorSettings::default() };
        let other = Clip { pixels: vec![0.0; 1536], ..clip.clone() };
        let targets =
            ColourTargets::new(&ClipSet::of(vec![clip.clone(), other.clone()]).unwrap(), &settings).unwrap();
        // Two numbers of variance 1/16 each: the clips lie at ± 1/4 of them.
        assert!((targets.variance - 0.125).abs() < 1e-9);
        let of = targets.of(&[clip.into(), other.into()]);
        let ends = [vec![0.0; 10], vec![0.5f32.sqrt(); 2], vec![0.0; 10], vec![-(0.5f32.sqrt()); 2]].concat();
        assert!(of.iter().zip(&ends).all(|(a, b)| (a - b).abs() < 1e-6), "{of:?}");
        // Telling nothing misses all of the variance: a loss of 1.
        let device = tnas_network::open_device("cpu").unwrap();
        let predicted = Value::from_f32(vec![0.0; 24], &[2, 12], &device);
        let loss = targets.loss(predicted, &of, &device).into_scalar::<f32>();
        assert!((loss - 1.0).abs() < 1e-6, "{loss}");
    }

    #[test]
    fn words_of_captions_are_labels_between_those_told_and_those_seen() {
        let clips = ["a red dog", "a red cat", "a blue dog", "a blue cat"].into_iter().zip(["x", "y", "z", "x"]);
        let clips = clips.map(|(caption, who)| {
            let labels = [("who".to_string(), who.to_string()), ("n".to_string(), (who == "x").to_string())].into();
            Clip { caption: caption.into(), labels, ..clip() }
        });
        let clips = ClipSet::of(clips.collect()).unwrap();
        let appearance = Some(AppearanceSettings { labels: vec!["who".into()], ..AppearanceSettings::default() });
        let labels = vec!["n".into(), "word:dog".into()];
        let settings = EvaluatorSettings { labels, words: 3, appearance, ..EvaluatorSettings::default() };
        let (network, labels) = Evaluator::network(&clips, &settings).unwrap();
        let names: Vec<&str> = labels.iter().map(|(name, _)| name.as_str()).collect();
        // "cat" parts the clips as "dog" does, "red" as "blue".
        assert_eq!(names, ["n", "word:dog", "word:blue", "who"]);
        assert_eq!(labels[1].1, ["no", "yes"]);
        assert_eq!(network.classes, [2, 2, 2, 3, 3]);
        let none = EvaluatorSettings { labels: vec!["word:bird".into()], ..EvaluatorSettings::default() };
        let message = Evaluator::network(&clips, &none).unwrap_err().to_string();
        assert!(message.contains("word:bird has 1 values"), "{message}");
    }

    #[test]
    fn a_clip_without_its_label_is_an_error_that_names_it() {
        let labelled = |action: Option<&str>| {
            let labels = action.map(|action| ("action".to_string(), action.to_string()));
            Clip { labels: labels.into_iter().collect(), ..clip() }
        };
        let settings =
            |label: &str| EvaluatorSettings { labels: vec![label.into()], ..EvaluatorSettings::default() };
        let network = |clips: &[Clip], label: &str| {
            Evaluator::network(&ClipSet::of(clips.to_vec()).unwrap(), &settings(label))
        };
        let (run, walk, none) = (labelled(Some("run")), labelled(Some("walk")), labelled(None));
        assert!(network(&[run.clone(), walk.clone()], "action").is_ok());
        let message = network(&[run.clone(), walk.clone(), none.clone()], "action").unwrap_err().to_string();
        assert!(message.contains("clip 2") && message.contains("no label \"action\""), "{message}");
        let message = network(&[run.clone(), walk.clone()], "acton").unwrap_err().to_string();
        assert!(message.contains("did you mean action?"), "{message}");
        // Values that were not there when the classes were made are no class either.
        let known = ["run".to_string(), "walk".to_string()];
        assert_eq!(class_of(&walk, "action", &known).unwrap(), 1);
        let message = class_of(&labelled(Some("jump")), "action", &known).unwrap_err().to_string();
        assert!(message.contains("\"jump\"") && message.contains("run, walk"), "{message}");
        assert!(matches!(class_of(&none, "action", &known), Err(TrainError::NoLabel { .. })));
    }

    #[test]
    fn appearance_that_asks_for_nothing_is_refused() {
        let check = |appearance| {
            EvaluatorSettings { labels: vec!["action".into()], appearance, ..EvaluatorSettings::default() }.check()
        };
        let fine = AppearanceSettings::default();
        assert!(check(None).is_ok() && check(Some(fine.clone())).is_ok());
        for wrong in [
            AppearanceSettings { colours: -1.0, ..fine.clone() },
            AppearanceSettings { colours: 0.0, blends: false, ..fine.clone() },
            AppearanceSettings { cells: 0, ..fine.clone() },
            AppearanceSettings { labels: vec!["action".into()], ..fine.clone() },
        ] {
            assert!(check(Some(wrong)).unwrap_err().key.starts_with("appearance"));
        }
    }
}
