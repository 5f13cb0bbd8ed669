//! The latency predictor of the target device.

use std::path::{Path, PathBuf};

use anyhow::Context;
use rand::seq::SliceRandom;
use tnas_graph::Graph;
use tnas_latency::{
    Accuracy, ArchFeatures, CandidateModel, DeviceModel, FitSettings, MacsFit, MemoryPredictor, OneHotFit,
    Prediction, Profile, Related, SourceDevice, SpaceBlocks, TransferPredictor, most_telling,
};
use tnas_network::stream;
use tnas_record::{LatencyPoint, LatencySummary};
use tnas_space::{Genotype, SearchSpace};

use super::{
    Inputs, Stage,
    profile::{target_path, target_profile},
    up_to_date,
};
use crate::{measuring::Subjects, recorded, workbench::Workbench};

/// What was learned of the target device.
pub struct Predictor {
    model: DeviceModel,
    device: String,
}

/// Fits the latency predictor of the target device to its profile, and evaluates it on held-out architectures.
pub struct Latency;

impl Stage for Latency {
    type Output = LatencySummary;

    fn inputs(&self, bench: &Workbench) -> anyhow::Result<Inputs> {
        let settings = &bench.study.latency;
        let inputs = Inputs::new().file(target_path(bench)?);
        settings
            .sources
            .iter()
            .fold(inputs, Inputs::file)
            .setting("profile.held_out", &bench.study.profile.held_out)?
            .setting("latency.measurements", &settings.measurements)?
            .setting("seed", &bench.study.seed)
    }

    fn outputs(&self, bench: &Workbench) -> anyhow::Result<Vec<PathBuf>> {
        Ok(vec![Predictor::file(bench)?])
    }

    fn run(&self, bench: &Workbench) -> anyhow::Result<LatencySummary> {
        let (path, profile, settings) = (Predictor::file(bench)?, target_profile(bench)?, &bench.study.latency);
        let data = Data::read(bench, &profile)?;
        let sources = data.sources(&settings.sources)?;
        let (train, test) = data.split(bench, settings.measurements);
        let tried = Tried::new(&data, &sources, &train, &test)?;
        // What is used afterwards learns from every measurement that may be used.
        let all = if settings.measurements.is_some() { train.clone() } else { (0..data.samples()).collect() };
        let fitted = data.fit(&sources, &all)?;
        if !sources.is_empty() && fitted.sources.is_empty() {
            eprintln!("{:>16} no similar source: no other device agrees with what was measured", "latency");
        }
        let model = DeviceModel {
            format_version: DeviceModel::FORMAT_VERSION,
            fingerprint: profile.fingerprint.clone(),
            quantity: profile.quantity,
            accuracy: tried.accuracy,
            latency: fitted,
            memory: data.memory(&profile, &all)?,
        };
        model.save(&path)?;
        let accuracy = |found: &Option<Accuracy>| found.as_ref().map(recorded::accuracy);
        Ok(LatencySummary {
            device: profile.fingerprint.describe(),
            clock: recorded::clock(profile.quantity),
            trained_on: train.len(),
            accuracy: accuracy(&tried.accuracy),
            accuracy_of_macs_fit: accuracy(&tried.macs_fit),
            accuracy_of_one_hot_fit: accuracy(&tried.one_hot_fit),
            coverage_90: tried.accuracy.and_then(|accuracy| accuracy.coverage),
            noise_floor: profile.noise_floor(),
            memory: model.memory.as_ref().map(recorded::memory),
            sources: model.latency.sources.iter().map(recorded::similar_device).collect(),
            held_out_points: tried.points,
        })
    }
}

/// Learns the target device's latency, where that is not done.
pub fn latency(bench: &Workbench) -> anyhow::Result<LatencySummary> {
    up_to_date(bench, &Latency)
}

/// Measured architectures with what is known of them.
pub struct Data {
    subjects: Subjects,
    blocks: SpaceBlocks,
    features: Vec<ArchFeatures>,
    latency_ms: Vec<f64>,
    peak_memory_bytes: Vec<Option<u64>>,
    held_out: Vec<bool>,
    blocks_ms: Vec<Vec<f64>>,
}

/// Other devices on which architectures of the space were measured.
pub type Sources = Vec<SourceDevice>;

impl Data {
    /// A profile's architectures, at the device's usual speed.
    pub fn read(bench: &Workbench, profile: &Profile) -> anyhow::Result<Self> {
        let subjects = Subjects::open(bench)?;
        let blocks = subjects.blocks()?;
        let mut data = Self {
            blocks_ms: blocks_ms(&subjects, &blocks, profile),
            subjects,
            blocks,
            features: Vec::new(),
            latency_ms: Vec::new(),
            peak_memory_bytes: Vec::new(),
            held_out: Vec::new(),
        };
        for sample in profile.samples()? {
            data.features.push(data.features_of(&sample.genotype)?);
            data.latency_ms.push(sample.latency_ms);
            data.peak_memory_bytes.push(sample.peak_memory_bytes);
            data.held_out.push(sample.held_out);
        }
        Ok(data)
    }

    fn features_of(&self, genotype: &str) -> anyhow::Result<ArchFeatures> {
        let genotype: Genotype = genotype.parse().context("failed to use the profile")?;
        let genome = self.subjects.space.genome(&genotype);
        let genome = genome.context("failed to use the profile: it is of another search space")?;
        Ok(ArchFeatures::new(&genotype.arch_id().to_string(), &genome, &self.subjects.graph(&genotype)?))
    }

    /// Architectures that ran.
    pub fn samples(&self) -> usize {
        self.features.len()
    }

    /// Those to learn from, the most telling first, and those to test on: as the plan drew them, or else by the study's seed.
    pub fn split(&self, bench: &Workbench, measurements: Option<usize>) -> (Vec<usize>, Vec<usize>) {
        let mut order: Vec<usize> = (0..self.samples()).collect();
        let (test, train): (Vec<usize>, Vec<usize>) = if self.held_out.contains(&true) {
            order.into_iter().partition(|&index| self.held_out[index])
        } else {
            let held_out = bench.study.profile.held_out.min(order.len() / 2);
            order.shuffle(&mut stream(bench.study.seed, "latency/split", 0));
            let train = order.split_off(held_out);
            (order, train)
        };
        let count = measurements.unwrap_or(train.len()).min(train.len());
        (self.telling(&train, count), test)
    }

    /// So many of some architectures, the most telling first.
    pub fn telling(&self, of: &[usize], count: usize) -> Vec<usize> {
        let choices: Vec<Vec<u16>> = of.iter().map(|&index| self.features[index].choices.clone()).collect();
        let work = |choices: &[u16]| self.blocks.features("", choices).map_or(0.0, |f| f.macs as f64);
        most_telling(&choices, work, count).into_iter().map(|position| of[position]).collect()
    }

    /// Other devices' measurements, from their profiles.
    pub fn sources(&self, paths: &[PathBuf]) -> anyhow::Result<Sources> {
        paths.iter().map(|path| self.source(path)).collect()
    }

    fn source(&self, path: &Path) -> anyhow::Result<SourceDevice> {
        let profile = Profile::read(path)?;
        let (mut features, mut latency_ms) = (Vec::new(), Vec::new());
        for sample in profile.samples()? {
            features.push(self.features_of(&sample.genotype)?);
            latency_ms.push(sample.latency_ms);
        }
        Ok(SourceDevice { device: profile.fingerprint.describe(), features, latency_ms })
    }

    /// Learns from some of the architectures.
    pub fn fit(&self, sources: &Sources, rows: &[usize]) -> anyhow::Result<TransferPredictor> {
        let (features, latency_ms) = self.pick(rows);
        let related = Related { blocks: Some(&self.blocks), blocks_ms: &self.blocks_ms, sources };
        Ok(TransferPredictor::fit(related, &features, &latency_ms, &FitSettings::default())?)
    }

    fn pick(&self, rows: &[usize]) -> (Vec<ArchFeatures>, Vec<f64>) {
        rows.iter().map(|&row| (self.features[row].clone(), self.latency_ms[row])).unzip()
    }

    /// The memory model, where peaks were measured.
    fn memory(&self, profile: &Profile, rows: &[usize]) -> anyhow::Result<Option<MemoryPredictor>> {
        let known = rows.iter().filter_map(|&row| Some((self.features[row].clone(), self.peak_memory_bytes[row]?)));
        let (features, peaks): (Vec<ArchFeatures>, Vec<u64>) = known.unzip();
        if features.len() < 2 {
            return Ok(None);
        }
        let failed = profile.out_of_memory().into_iter().map(|m| self.features_of(&m.genotype));
        let failed = failed.collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Some(MemoryPredictor::fit(&features, &peaks)?.with_failures(&failed)))
    }

    /// The space.
    pub fn space(&self) -> &SearchSpace {
        &self.subjects.space
    }

    /// Blocks of the space, for predictors of genomes.
    pub fn blocks(&self) -> &SpaceBlocks {
        &self.blocks
    }
}

/// Milliseconds of every slot's choices alone; empty where a block was not measured.
fn blocks_ms(subjects: &Subjects, blocks: &SpaceBlocks, profile: &Profile) -> Vec<Vec<f64>> {
    let measured = profile.blocks_ms();
    let mut known = Vec::new();
    for (slot, row) in subjects.space.slots().iter().zip(blocks.blocks()) {
        for (choice, block) in slot.choices.iter().zip(row) {
            let genotype = Genotype::new([(slot.info.slot.clone(), choice.clone())]).to_string();
            if let Some(ms) = measured.get(&genotype) {
                known.push((block, *ms));
            }
        }
    }
    let ms = |block: &tnas_latency::BlockFeatures| match block.is_empty() {
        true => Some(0.0),
        false => known.iter().find(|(other, _)| *other == block).map(|(_, ms)| *ms),
    };
    let rows = blocks.blocks().iter().map(|row| row.iter().map(ms).collect::<Option<Vec<f64>>>());
    rows.collect::<Option<Vec<_>>>().filter(|_| !known.is_empty()).unwrap_or_default()
}

/// A fit tried on architectures that it has not seen, compared with the baselines.
pub struct Tried {
    /// Ours.
    pub accuracy: Option<Accuracy>,
    /// A line through multiply-accumulates.
    pub macs_fit: Option<Accuracy>,
    /// A table of (slot, choice).
    pub one_hot_fit: Option<Accuracy>,
    /// Each tested architecture.
    pub points: Vec<LatencyPoint>,
}

impl Tried {
    /// Learns from some rows, tests on others.
    pub fn new(data: &Data, sources: &Sources, train: &[usize], test: &[usize]) -> anyhow::Result<Self> {
        let ((train_x, train_y), (test_x, test_y)) = (data.pick(train), data.pick(test));
        let fitted = data.fit(sources, train)?;
        let (line, table) = (MacsFit::fit(&train_x, &train_y)?, OneHotFit::fit(&train_x, &train_y)?);
        let predictions: Vec<Prediction> = test_x.iter().map(|x| fitted.predict(x)).collect();
        let by_line: Vec<f64> = test_x.iter().map(|x| line.predict_ms(x)).collect();
        let by_table: Vec<f64> = test_x.iter().map(|x| table.predict_ms(x)).collect();
        let some = |accuracy: Accuracy| (!test_y.is_empty()).then_some(accuracy);
        let point = |((p, y), line): ((&Prediction, &f64), &f64)| {
            let Prediction { mean_ms: predicted_ms, low_ms, high_ms, .. } = *p;
            LatencyPoint { measured_ms: *y, predicted_ms, low_ms, high_ms, macs_fit_ms: *line }
        };
        Ok(Self {
            accuracy: some(Accuracy::of_predictions(&test_y, &predictions)),
            macs_fit: some(Accuracy::new(&test_y, &by_line)),
            one_hot_fit: some(Accuracy::new(&test_y, &by_table)),
            points: predictions.iter().zip(&test_y).zip(&by_line).map(point).collect(),
        })
    }
}

impl Predictor {
    /// Where the target device's predictor is kept.
    pub fn file(bench: &Workbench) -> anyhow::Result<PathBuf> {
        let profile = target_path(bench)?;
        let name = profile.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        bench.run.latency(&name)
    }

    /// Reads it.
    pub fn read(bench: &Workbench) -> anyhow::Result<Self> {
        let model = DeviceModel::read(&Self::file(bench)?)?;
        let device = model.fingerprint.describe();
        Ok(Self { model, device })
    }

    /// The device, for people.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Expected milliseconds of a graph.
    pub fn latency_ms(&self, genome: &[u16], graph: &Graph) -> f64 {
        self.model.latency.mean_ms(&ArchFeatures::new("", genome, graph))
    }

    /// What it predicts of a space's genomes, without their graphs.
    pub fn candidates(&self, blocks: SpaceBlocks) -> CandidateModel {
        CandidateModel::new(&self.model, blocks)
    }

    /// What was seen not to fit the device.
    pub fn too_much_bytes(&self) -> Option<u64> {
        self.model.memory.as_ref()?.too_much_bytes
    }
}
