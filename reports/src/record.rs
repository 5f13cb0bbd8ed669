use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use tnas_record::{
    Comparison, Evaluation, EvaluatorSummary, FinetuneSummary, Front, FrontRow, FrontSummary, HypervolumeSummary,
    LatencyEvaluation, LatencySummary, LocalScores, MetricLine, ObjectiveSet, RecordError, ReportSummary, RunFiles,
    SearchCandidate, SearchCandidates, SearchSummary, SheetCaptions, StageStamp, Summary, SupernetSummary,
    SweepSummary, from_json, read, read_from, run_files::EVALUATION_SHEETS,
};

use crate::ReportError;

/// The files and the stages' figures of a run. A stage that has not run leaves `None` or an empty list.
#[derive(Clone, Debug, Default)]
pub struct RunRecord {
    /// Name of the run's folder.
    pub name: String,
    /// Objectives of the search, in the study's order.
    pub objectives: ObjectiveSet,
    /// Figures of each stage that the report has a section for.
    pub figures: StageFigures,
    /// The stamp of each finished stage, by the name of its file.
    pub stamps: BTreeMap<String, StageStamp>,
    /// Candidates of the search that keep the limits.
    pub candidates: Option<SearchCandidates>,
    /// Effect of each choice at each slot.
    pub local_scores: Option<LocalScores>,
    /// The front.
    pub front: Option<Front>,
    /// The winner and its student compared with real clips by the stage `samples`.
    pub samples: Option<Evaluation>,
    /// Clips compared with real clips by `evaluate`.
    pub evaluation: Option<Evaluation>,
    /// Figures of the training steps.
    pub metrics: Vec<MetricLine>,
    /// Captions of the sampled clips, and the columns of their pictures.
    pub captions: Option<SheetCaptions>,
    /// Pictures of sampled clips.
    pub pictures: Vec<Picture>,
    /// Contact sheets of the sets of clips of `samples`.
    pub sample_sheets: Vec<Picture>,
    /// Contact sheets of the sets of clips of `evaluate`.
    pub sheets: Vec<Picture>,
    /// Clips sampled during training, by stage and step.
    pub previews: Vec<Preview>,
}

/// Figures of the stages.
#[derive(Clone, Debug, Default)]
pub struct StageFigures {
    /// The supernet.
    pub supernet: Option<SupernetSummary>,
    /// The latency predictor.
    pub latency: Option<LatencySummary>,
    /// Its accuracy by number of measurements.
    pub latency_evaluation: Option<LatencyEvaluation>,
    /// The search.
    pub search: Option<SearchSummary>,
    /// The measured front.
    pub front: Option<FrontSummary>,
    /// Hypervolume by generation.
    pub hypervolume: Option<HypervolumeSummary>,
    /// The trained winner.
    pub finetune: Option<FinetuneSummary>,
    /// The winner compared with hand-made and random architectures.
    pub compare: Option<Comparison>,
    /// The evaluator.
    pub evaluator: Option<EvaluatorSummary>,
    /// Students by the distribution of the times that they are trained at.
    pub sweep: Option<SweepSummary>,
    /// The report itself.
    pub report: Option<ReportSummary>,
}

/// A picture file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Picture {
    /// File name.
    pub name: String,
    /// PNG or GIF.
    pub bytes: Vec<u8>,
}

/// A sheet of clips sampled while a stage trained.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Preview {
    /// Stage.
    pub stage: String,
    /// Optimiser steps done.
    pub step: u64,
    /// PNG.
    pub bytes: Vec<u8>,
}

impl RunRecord {
    /// Reads the files of a run. A file of another format version is an error that names it.
    pub fn read(run: &Path) -> Result<Self, ReportError> {
        let files = RunFiles::new(run);
        let stamps = stamps(&files)?;
        let candidates = read::<SearchCandidates>(&files)?;
        let front = read::<Front>(&files)?;
        let of_search = candidates.as_ref().map(|file| &file.objectives);
        let objectives = of_search.or(front.as_ref().map(|file| &file.objectives)).cloned();
        Ok(Self {
            name: file_name(run),
            objectives: objectives.unwrap_or_default(),
            figures: StageFigures::read(&files, &stamps)?,
            stamps,
            candidates,
            local_scores: read(&files)?,
            front,
            samples: evaluation(&files.samples_evaluation(), "samples")?,
            evaluation: evaluation(&files.of::<Evaluation>(), "evaluate")?,
            metrics: metrics(&files.metrics())?,
            captions: read(&files)?,
            pictures: pictures(&files.samples())?,
            sample_sheets: pictures(&files.samples().join(EVALUATION_SHEETS))?,
            sheets: pictures(&files.evaluation().join(EVALUATION_SHEETS))?,
            previews: previews(&files.previews())?,
        })
    }

    /// Candidates that keep the limits.
    pub fn candidates(&self) -> &[SearchCandidate] {
        self.candidates.as_ref().map_or(&[], |file| &file.rows)
    }

    /// Members of the front.
    pub fn front(&self) -> &[FrontRow] {
        self.front.as_ref().map_or(&[], |file| &file.rows)
    }

    /// Name of the device that latencies are of.
    pub fn device(&self) -> &str {
        self.figures.latency.as_ref().map_or("this device", |latency| &latency.device)
    }
}

impl StageFigures {
    fn read(files: &RunFiles, stamps: &BTreeMap<String, StageStamp>) -> Result<Self, ReportError> {
        Ok(Self {
            supernet: figures(files, stamps)?,
            latency: figures(files, stamps)?,
            latency_evaluation: figures(files, stamps)?,
            search: figures(files, stamps)?,
            front: figures(files, stamps)?,
            hypervolume: figures(files, stamps)?,
            finetune: figures(files, stamps)?,
            compare: figures(files, stamps)?,
            evaluator: figures(files, stamps)?,
            sweep: figures(files, stamps)?,
            report: figures(files, stamps)?,
        })
    }
}

/// An evaluation that a command wrote, or `None` where it has not run.
fn evaluation(path: &Path, command: &str) -> Result<Option<Evaluation>, ReportError> {
    read_from(path).map_err(|error| match error {
        RecordError::Read { path, message } => {
            let message =
                format!("{message}; run `tnas {command}` again with this version of tnas, or delete the file");
            RecordError::Read { path, message }.into()
        }
        other => other.into(),
    })
}

/// Figures of a stage, or `None` where it has not run.
fn figures<T: Summary>(files: &RunFiles, stamps: &BTreeMap<String, StageStamp>) -> Result<Option<T>, ReportError> {
    let Some(stamp) = stamps.get(T::STAGE) else { return Ok(None) };
    let path = files.stamp(T::STAGE)?;
    let message = |error| format!("{error}; run the stage `{}` again with this version of tnas", T::STAGE);
    Ok(Some(stamp.figures().map_err(|error| RecordError::Read { path, message: message(error) })?))
}

fn stamps(files: &RunFiles) -> Result<BTreeMap<String, StageStamp>, ReportError> {
    let mut stamps = BTreeMap::new();
    for path in files_of(&files.stamps(), "json")? {
        let stage = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        stamps.extend(read_from::<StageStamp>(&path)?.map(|stamp| (stage, stamp)));
    }
    Ok(stamps)
}

/// Lines of `metrics.jsonl`. A last line without its line break is still being written, and left out.
fn metrics(path: &Path) -> Result<Vec<MetricLine>, ReportError> {
    let fail = |message: String| RecordError::Read { path: path.into(), message };
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|error| fail(error.to_string()))?,
    };
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let line = |(place, line): (usize, &str)| {
        from_json(line.as_bytes()).map_err(|error| fail(format!("line {}: {error}", place + 1)).into())
    };
    whole.lines().enumerate().map(line).collect()
}

/// PNG and GIF files of a folder, by name.
fn pictures(folder: &Path) -> Result<Vec<Picture>, ReportError> {
    let paths = [files_of(folder, "png")?, files_of(folder, "gif")?].concat();
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).map_err(|error| unreadable(&path, &error))?;
        Ok(Picture { name: file_name(&path), bytes })
    };
    paths.into_iter().map(read).collect()
}

/// Sheets `<stage>/<step>.png`, by stage and step.
fn previews(folder: &Path) -> Result<Vec<Preview>, ReportError> {
    let mut previews = Vec::new();
    for path in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        for Picture { name, bytes } in pictures(&path)? {
            if let Some(step) = name.strip_suffix(".png").and_then(|step| step.parse().ok()) {
                previews.push(Preview { stage: file_name(&path), step, bytes });
            }
        }
    }
    previews.sort();
    Ok(previews)
}

fn files_of(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, ReportError> {
    let mut paths = entries(folder)?;
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    Ok(paths)
}

/// Sorted contents of a folder; none where there is no such folder.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, ReportError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(|error| unreadable(folder, &error))?,
    };
    let paths: Result<Vec<PathBuf>, std::io::Error> = entries.map(|entry| Ok(entry?.path())).collect();
    let mut paths = paths.map_err(|error| unreadable(folder, &error))?;
    paths.sort();
    Ok(paths)
}

fn unreadable(path: &Path, error: &std::io::Error) -> RecordError {
    RecordError::Read { path: path.into(), message: error.to_string() }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tnas_record::RunFile;

    use super::*;

    #[test]
    fn a_run_without_files_has_no_figures() {
        let run = tempfile::tempdir().expect("folder");
        let record = RunRecord::read(run.path()).expect("reads");
        assert!(record.front.is_none() && record.figures.search.is_none() && record.metrics.is_empty());
        assert!(record.candidates().is_empty() && record.front().is_empty());
    }

    #[test]
    fn a_file_of_an_older_format_is_an_error_that_names_it() {
        let older = [
            (Front::PATH, r#"{"format_version": 1, "rows": []}"#),
            ("metrics.jsonl", "{\"stage\": \"supernet\", \"step\": 1, \"values\": {}}\n"),
            ("stages/search.json", r#"{"stage": "search", "summary": {}}"#),
            (
                "stages/search.json",
                r#"{"format_version": 1, "stage": "search", "stage_version": 1, "key": "", "settings": {},
                    "inputs": [], "outputs": [], "summary": {"evaluated": 3}}"#,
            ),
        ];
        for (name, text) in older {
            let run = tempfile::tempdir().expect("folder");
            let path = run.path().join(name);
            fs::create_dir_all(path.parent().expect("folder")).expect("folder");
            fs::write(&path, text).expect("file");
            let message = RunRecord::read(run.path()).expect_err("older").to_string();
            assert!(message.starts_with(&format!("read {}: ", path.display())), "{message}");
        }
    }

    #[test]
    fn a_line_that_is_being_written_is_left_out() {
        let run = tempfile::tempdir().expect("folder");
        let line = r#"{"format_version": 1, "stage": "supernet", "step": 1, "values": {"loss": 0.5}}"#;
        fs::write(run.path().join("metrics.jsonl"), format!("{line}\n{{\"format_ver")).expect("file");
        assert_eq!(RunRecord::read(run.path()).expect("reads").metrics.len(), 1);
    }
}
