use std::io;
use std::path::PathBuf;
use tnas_weights::WeightsError;

/// What went wrong with a run's files; each message completes "failed to …".
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// A file or folder could not be read.
    #[error("read {path}: {source}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// A file or folder could not be written.
    #[error("write {path}: {source}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// A file could not be replaced as a whole.
    #[error(transparent)]
    Replace(#[from] WeightsError),
    /// There is no such run.
    #[error("open the run {path}: there is no such folder")]
    NoRun {
        /// The folder asked for.
        path: PathBuf,
    },
    /// Another process writes to the run.
    #[error("write to the run {path}: {} writes to it already", holder_name(holder))]
    Locked {
        /// The run's folder.
        path: PathBuf,
        /// Process id of the writer, where it is known.
        holder: Option<u32>,
    },
    /// A name from outside cannot be part of a file's name, or a record cannot be read.
    #[error(transparent)]
    Record(#[from] tnas_record::RecordError),
    /// A stage claims a file that does not belong to the run.
    #[error("stamp the stage {stage}: its output {path} is not in the run {run}")]
    OutsideRun {
        /// The stage.
        stage: String,
        /// The output.
        path: PathBuf,
        /// The run's folder.
        run: PathBuf,
    },
    /// A folder is linked into itself, or is deeper than any that is meant.
    #[error("hash {path}: its folders are more than {limit} deep")]
    TooDeep {
        /// The folder.
        path: PathBuf,
        /// Levels allowed.
        limit: usize,
    },
    /// A pipe, socket or device stands where a file should.
    #[error("hash {path}: it is neither file nor folder")]
    NotAFile {
        /// What stands there.
        path: PathBuf,
    },
    /// A value has no JSON form.
    #[error("write {what} as JSON: {message}")]
    ToJson {
        /// What should be written.
        what: String,
        /// The serialiser's word.
        message: String,
    },
    /// A line of a record is not understood.
    #[error("read {path}, line {line}: {message}")]
    BadLine {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// The database could not be used.
    #[error("use the candidate store {path}: {source}")]
    Store {
        /// The database.
        path: PathBuf,
        /// SQLite's word.
        source: sqlx::Error,
    },
    /// The blocking face of the database could not be set up.
    #[error("start the runtime of the candidate store: {0}")]
    Runtime(io::Error),
    /// The database belongs to another program.
    #[error("open {path} as a candidate store: its application id is {found:#010x}, expected {expected:#010x}")]
    ForeignStore {
        /// The database.
        path: PathBuf,
        /// Its application id.
        found: i64,
        /// Ours.
        expected: i64,
    },
    /// The database was written by another version.
    #[error(
        "open the candidate store {path}: its format version is {found}, this program knows {expected}; `tnas search` begins a new \
         one, or go on with the version of tnas that began it"
    )]
    StoreVersion {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        expected: i64,
    },
    /// Two architectures have one identifier.
    #[error("save candidate {arch_id}: it stands for {stored:?} already, not for {offered:?}")]
    Collision {
        /// The identifier.
        arch_id: String,
        /// The genotype in the store.
        stored: String,
        /// The genotype that should be saved.
        offered: String,
    },
    /// A candidate claims another generation than the one that is saved.
    #[error("save candidate {arch_id} in generation {generation}: it says generation {found}")]
    WrongGeneration {
        /// The candidate.
        arch_id: String,
        /// The generation that is saved.
        generation: u32,
        /// What the candidate says.
        found: u32,
    },
    /// The search would go back in time.
    #[error("save generation {offered}: the store is at generation {stored} already")]
    OldGeneration {
        /// The generation that should be saved.
        offered: u32,
        /// The newest one.
        stored: u32,
    },
    /// A measurement is of no candidate.
    #[error("record a measurement of {arch_id}: there is no such candidate")]
    UnknownCandidate {
        /// The identifier.
        arch_id: String,
    },
    /// A measured value is not a number.
    #[error("record {kind} = {value} of {arch_id} on {device}: it is not finite")]
    NotFinite {
        /// The candidate.
        arch_id: String,
        /// Where it was measured.
        device: String,
        /// What was measured.
        kind: String,
        /// The value.
        value: f64,
    },
    /// A row of the database is not understood.
    #[error("read candidate {arch_id} of {path}: {message}")]
    BadRow {
        /// The database.
        path: PathBuf,
        /// The candidate.
        arch_id: String,
        /// What is wrong with it.
        message: String,
    },
}

fn holder_name(holder: &Option<u32>) -> String {
    match holder {
        Some(pid) => format!("process {pid}"),
        None => "another process".into(),
    }
}
