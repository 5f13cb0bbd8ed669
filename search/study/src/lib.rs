//! The run directory and the durable record of a study.
//!
//! A run is a folder that one process at a time writes to. Every stage of it leaves a stamp, and is skipped while the
//! contents that it depends on are the same; every generation of the search is one transaction.
//!
//! ```
//! use tnas_study::{RunDir, Stage};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let run = RunDir::create(folder.path().join("runs/first"))?;
//! let _lock = run.lock()?;
//! run.write(run.files().study(), b"seed = 7\n")?;
//!
//! let search = || Ok::<_, tnas_study::StudyError>(
//!     Stage::new("search").setting("population", &64)?.input(run.files().study()).output(run.files().path("front.json")),
//! );
//! let stage = search()?;
//! assert!(!run.is_current(&stage)?);
//! run.write(run.files().path("front.json"), b"[]")?;
//! run.finish(&stage, &serde_json::json!({ "front": 0 }))?;
//!
//! assert!(run.is_current(&search()?)?);
//! run.write(run.files().study(), b"seed = 8\n")?;
//! assert!(!run.is_current(&search()?)?);
//! # Ok(())
//! # }
//! ```

mod candidate;
mod canonical;
mod error;
mod float;
mod hash;
mod metrics;
mod nearest;
mod overrides;
mod places;
mod renamed;
mod run_dir;
mod run_lock;
mod schema;
mod settings;
mod settings_error;
mod settings_source;
mod stage;
mod stamp;
mod store;
mod tensorboard;

pub use candidate::{CandidateRecord, CandidateState, MeasurementRecord};
pub use canonical::canonical_json;
pub use error::StudyError;
pub use hash::{hash_bytes, hash_path};
pub use metrics::{MetricRecord, MetricsLog};
pub use nearest::nearest;
pub use run_dir::RunDir;
pub use run_lock::RunLock;
pub use settings::{load, load_source, parse, parse_source, to_toml_string};
pub use settings_error::SettingsError;
pub use settings_source::SettingsSource;
pub use stage::Stage;
pub use stamp::StaleReason;
pub use store::CandidateStore;
pub use tensorboard::EventLog;
pub use tnas_record::{HashedPath, StageStamp};
