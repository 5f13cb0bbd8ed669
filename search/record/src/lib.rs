//! What the stages of a run leave: one type for each JSON file and for the figures of each stage, with the names of a
//! run's files.
//!
//! Stages write these types, and reports, `--json` and other programs read them: nobody else spells a key. A file carries
//! its [`FormatVersion`]; reading one of another version is an error that names it.
//!
//! ```
//! use tnas_record::{Front, RunFiles, read};
//!
//! let files = RunFiles::new("runs/quickstart");
//! let front = read::<Front>(&files)?; // None: the stage has not run
//! assert!(front.is_none());
//! # Ok::<(), tnas_record::RecordError>(())
//! ```
//!
//! In Python, `pandas.json_normalize(json.load(open("front.json"))["rows"])` is the front as a table.

mod accuracy;
mod backbone;
mod broken_files;
mod candidates;
mod compare;
mod distill;
mod error;
mod evaluation;
mod evaluator;
mod export;
mod file;
mod finetune;
mod format_version;
mod front;
mod genotype;
mod held_out;
mod hypervolume;
mod latency;
mod latency_evaluation;
mod loading;
mod local_scores;
mod metrics;
mod number;
mod objective;
mod objective_name;
mod objective_set;
mod profile;
mod report;
/// Names of files and folders.
pub mod run_files;
mod sampler;
mod samples;
mod schemas;
mod search;
mod spread;
mod stamp;
mod summary;
mod supernet;
mod sweep;

pub use accuracy::Accuracy;
pub use backbone::BackboneSummary;
pub use broken_files::{BrokenFile, BrokenFiles};
pub use candidates::{SearchCandidate, SearchCandidates};
pub use compare::{Comparison, ContenderRow, MeasuredRange, Verdicts};
pub use distill::DistillSummary;
pub use error::RecordError;
pub use evaluation::{
    ArmDifference, ArmSettings, EvaluateSummary, EvaluatedArm, Evaluation, EvaluatorIdentity, FewSteps,
    Memorisation, MetricFitness, Metrics, Reference, StudentGain,
};
pub use evaluator::{ControlRow, EvaluatorLabels, EvaluatorSummary, PublishedEvaluator, PublishedNetwork};
pub use export::{ExportError, ExportProof, ExportSummary, RuntimeProof};
pub use file::{RunFile, Versioned, from_json, read, read_from, to_json};
pub use finetune::{FinetuneSummary, TrainedArm};
pub use format_version::FormatVersion;
pub use front::{Front, FrontRow, FrontSummary};
pub use genotype::ModelGenotype;
pub use held_out::Band;
pub use hypervolume::HypervolumeSummary;
pub use latency::{LatencyPoint, LatencySummary, MemoryModel, SimilarDevice};
pub use latency_evaluation::{
    LatencyEvaluation, LearningPoint, PredictorSpeed, SplitMeans, TimedLatencyEvaluation,
};
pub use loading::LoadingTimes;
pub use local_scores::{LocalScore, LocalScores};
pub use metrics::{LoggedNumber, MetricLine};
pub use objective::{Direction, OBJECTIVES, Objective, ObjectiveError, Scope, Source};
pub use objective_name::{ObjectiveName, ObjectiveNames, PerObjective};
pub use objective_set::{ObjectiveSet, ObjectiveValues};
pub use profile::{ProfileSummary, RemotePlan};
pub use report::{ReportSummary, WrittenReport};
pub use run_files::RunFiles;
pub use sampler::Sampler;
pub use samples::{
    EvaluatedLabels, FilmMetadata, GeneratedClip, GeneratedClips, RequestedClip, SamplesSummary, SheetCaptions,
};
pub use schemas::schemas;
pub use search::{SearchSummary, SlotSummary, StopReason};
pub use spread::Spread;
pub use stamp::{HashedPath, StageStamp};
pub use summary::Summary;
pub use supernet::SupernetSummary;
pub use sweep::{SweepRow, SweepSummary};
