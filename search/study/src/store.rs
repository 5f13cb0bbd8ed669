use crate::candidate::{objectives_from_json, objectives_to_json};
use crate::schema::{self, Fault};
use crate::{CandidateRecord, CandidateState, MeasurementRecord, StudyError, canonical_json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// How long a reader waits for the writer's transaction, or the other way round.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);

/// Every candidate of a search and the state to go on from, in one SQLite file.
///
/// Invariant: the store is at a generation or it is not; a kill or a power cut between two leaves the former. A rollback
/// journal, not a write-ahead log: between transactions the one file is all there is to copy.
#[derive(Debug)]
pub struct CandidateStore {
    path: PathBuf,
    connection: SqliteConnection,
    runtime: Runtime,
}

impl CandidateStore {
    /// Opens a store, which is created where there is none.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StudyError> {
        let mut store = Self::connect(path.into(), |options| {
            // EXTRA is FULL that also brings the journal's end to the disk: what is saved stays saved.
            let options = options.create_if_missing(true).foreign_keys(true);
            options.journal_mode(SqliteJournalMode::Delete).synchronous(SqliteSynchronous::Extra)
        })?;
        store.run(async |connection, path| {
            schema::create_if_empty(connection).await?;
            schema::check(connection, path).await
        })?;
        Ok(store)
    }

    /// Opens a store that exists, without the means to change it.
    pub fn open_read_only(path: impl Into<PathBuf>) -> Result<Self, StudyError> {
        let mut store = Self::connect(path.into(), |options| options.read_only(true))?;
        store.run(async |connection, path| schema::check(connection, path).await)?;
        Ok(store)
    }

    fn connect(
        path: PathBuf,
        configure: impl FnOnce(SqliteConnectOptions) -> SqliteConnectOptions,
    ) -> Result<Self, StudyError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(StudyError::Runtime)?;
        let options = configure(SqliteConnectOptions::new().filename(&path).busy_timeout(BUSY_TIMEOUT));
        match runtime.block_on(options.connect()) {
            Ok(connection) => Ok(Self { path, connection, runtime }),
            Err(source) => Err(StudyError::Store { path, source }),
        }
    }

    /// Saves a generation and the state to go on from after it, in one transaction.
    ///
    /// A candidate that is there already keeps its first generation and place, and takes the new values. The newest
    /// generation may be saved again, an older one may not.
    pub fn save_generation(
        &mut self,
        generation: u32,
        candidates: &[CandidateRecord],
        evolution_state: &str,
    ) -> Result<(), StudyError> {
        self.run(async |connection, _| {
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
            save_state(&mut transaction, generation, evolution_state).await?;
            for candidate in candidates {
                if candidate.generation != generation {
                    let (arch_id, found) = (candidate.arch_id.clone(), candidate.generation);
                    return Err(StudyError::WrongGeneration { arch_id, generation, found }.into());
                }
                save_candidate(&mut transaction, candidate).await?;
            }
            transaction.commit().await?;
            Ok(())
        })
    }

    /// The newest generation and the state to go on from after it.
    pub fn load_state(&mut self) -> Result<Option<(u32, String)>, StudyError> {
        self.run(async |connection, _| newest_state(connection).await)
    }

    /// All candidates in the order of the search.
    pub fn candidates(&mut self) -> Result<Vec<CandidateRecord>, StudyError> {
        self.run(async |connection, path| {
            let query = "SELECT * FROM candidates ORDER BY generation, order_in_generation, arch_id";
            let rows = sqlx::query(query).fetch_all(connection).await?;
            rows.iter().map(|row| candidate(row, path)).collect()
        })
    }

    /// The candidate of this identifier.
    pub fn candidate(&mut self, arch_id: &str) -> Result<Option<CandidateRecord>, StudyError> {
        self.run(async |connection, path| {
            let query = sqlx::query("SELECT * FROM candidates WHERE arch_id = ?").bind(arch_id.to_owned());
            let row = query.fetch_optional(connection).await?;
            row.map(|row| candidate(&row, path)).transpose()
        })
    }

    /// Adds a measured value of a candidate; earlier ones stay.
    pub fn record_measurement(&mut self, measurement: &MeasurementRecord) -> Result<(), StudyError> {
        let MeasurementRecord { arch_id, device, kind, value, details } = measurement.clone();
        if !value.is_finite() {
            return Err(StudyError::NotFinite { arch_id, device, kind, value });
        }
        let details = canonical_json(&details)?;
        self.run(async |connection, _| {
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
            if genotype(&mut transaction, &arch_id).await?.is_none() {
                return Err(StudyError::UnknownCandidate { arch_id }.into());
            }
            let query = "INSERT INTO measurements (arch_id, device, kind, value, details) VALUES (?, ?, ?, ?, ?)";
            let query = sqlx::query(query).bind(arch_id).bind(device).bind(kind).bind(value).bind(details);
            query.execute(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(())
        })
    }

    /// All measured values in the order they were recorded.
    pub fn measurements(&mut self) -> Result<Vec<MeasurementRecord>, StudyError> {
        self.run(async |connection, path| {
            let rows = sqlx::query("SELECT * FROM measurements ORDER BY id").fetch_all(connection).await?;
            rows.iter().map(|row| measurement(row, path)).collect()
        })
    }

    /// The history as canonical JSON lines: the same for the same seed and recorded measurements.
    pub fn history_lines(&mut self) -> Result<Vec<String>, StudyError> {
        self.candidates()?.iter().map(CandidateRecord::history_line).collect()
    }

    fn run<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut SqliteConnection, &Path) -> Result<T, Fault>,
    ) -> Result<T, StudyError> {
        self.runtime.block_on(work(&mut self.connection, &self.path)).map_err(|fault| match fault {
            Fault::Sql(source) => StudyError::Store { path: self.path.clone(), source },
            Fault::Study(error) => error,
        })
    }
}

async fn newest_state(connection: &mut SqliteConnection) -> Result<Option<(u32, String)>, Fault> {
    let query = "SELECT generation, evolution_state FROM checkpoints ORDER BY generation DESC LIMIT 1";
    let row = sqlx::query(query).fetch_optional(connection).await?;
    row.map(|row| Ok((row.try_get("generation")?, row.try_get("evolution_state")?))).transpose()
}

async fn save_state(connection: &mut SqliteConnection, generation: u32, state: &str) -> Result<(), Fault> {
    if let Some((stored, _)) = newest_state(connection).await?
        && stored > generation
    {
        return Err(StudyError::OldGeneration { offered: generation, stored }.into());
    }
    sqlx::query("DELETE FROM checkpoints").execute(&mut *connection).await?;
    let query = sqlx::query("INSERT INTO checkpoints (generation, evolution_state) VALUES (?, ?)");
    query.bind(generation).bind(state.to_owned()).execute(connection).await?;
    Ok(())
}

async fn save_candidate(connection: &mut SqliteConnection, candidate: &CandidateRecord) -> Result<(), Fault> {
    let candidate = candidate.clone();
    match genotype(connection, &candidate.arch_id).await? {
        Some(stored) if stored != candidate.genotype => {
            let (arch_id, offered) = (candidate.arch_id, candidate.genotype);
            return Err(StudyError::Collision { arch_id, stored, offered }.into());
        }
        _ => {}
    }
    let query = sqlx::query(
        "INSERT INTO candidates VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (arch_id) DO UPDATE SET objectives = excluded.objectives, metrics = excluded.metrics,
         state = excluded.state, measured_by = excluded.measured_by",
    );
    let query = query.bind(candidate.arch_id).bind(candidate.genotype);
    let query = query.bind(candidate.generation).bind(candidate.order_in_generation);
    let query = query.bind(canonical_json(&objectives_to_json(&candidate.objectives))?);
    let query = query.bind(canonical_json(&candidate.metrics)?);
    query.bind(candidate.state.as_str()).bind(candidate.measured_by).execute(connection).await?;
    Ok(())
}

async fn genotype(connection: &mut SqliteConnection, arch_id: &str) -> Result<Option<String>, sqlx::Error> {
    let query = sqlx::query("SELECT genotype FROM candidates WHERE arch_id = ?").bind(arch_id.to_owned());
    query.fetch_optional(connection).await?.map(|row| row.try_get(0)).transpose()
}

fn candidate(row: &SqliteRow, path: &Path) -> Result<CandidateRecord, Fault> {
    let arch_id: String = row.try_get("arch_id")?;
    let [objectives, metrics, state]: [String; 3] =
        [row.try_get("objectives")?, row.try_get("metrics")?, row.try_get("state")?];
    let bad = |message| StudyError::BadRow { path: path.into(), arch_id: arch_id.clone(), message };
    Ok(CandidateRecord {
        genotype: row.try_get("genotype")?,
        generation: row.try_get("generation")?,
        order_in_generation: row.try_get("order_in_generation")?,
        objectives: objectives_from_json(&objectives).ok_or_else(|| bad(format!("objectives {objectives}")))?,
        metrics: serde_json::from_str(&metrics).map_err(|e| bad(format!("metrics: {e}")))?,
        state: CandidateState::from_name(&state).ok_or_else(|| bad(format!("state {state:?}")))?,
        measured_by: row.try_get("measured_by")?,
        arch_id,
    })
}

fn measurement(row: &SqliteRow, path: &Path) -> Result<MeasurementRecord, Fault> {
    let arch_id: String = row.try_get("arch_id")?;
    let details: String = row.try_get("details")?;
    let bad =
        |e| StudyError::BadRow { path: path.into(), arch_id: arch_id.clone(), message: format!("details: {e}") };
    Ok(MeasurementRecord {
        device: row.try_get("device")?,
        kind: row.try_get("kind")?,
        value: row.try_get("value")?,
        details: serde_json::from_str(&details).map_err(bad)?,
        arch_id,
    })
}
