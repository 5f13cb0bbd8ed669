use crate::StudyError;
use sqlx::{Connection, Row, SqliteConnection};
use std::path::Path;

/// "tnas" in ASCII, so that `file` and we recognise the database.
const APPLICATION_ID: i64 = 0x746e_6173;
/// Since version 2 a candidate's objectives go by name.
const FORMAT_VERSION: i64 = 2;

const CREATE: [&str; 5] = [
    "CREATE TABLE candidates (
        arch_id TEXT PRIMARY KEY,
        genotype TEXT NOT NULL,
        generation INTEGER NOT NULL,
        order_in_generation INTEGER NOT NULL,
        objectives TEXT NOT NULL,
        metrics TEXT NOT NULL,
        state TEXT NOT NULL,
        measured_by TEXT NOT NULL
    ) STRICT, WITHOUT ROWID",
    "CREATE TABLE checkpoints (
        generation INTEGER PRIMARY KEY,
        evolution_state TEXT NOT NULL
    ) STRICT",
    "CREATE TABLE measurements (
        id INTEGER PRIMARY KEY,
        arch_id TEXT NOT NULL REFERENCES candidates (arch_id),
        device TEXT NOT NULL,
        kind TEXT NOT NULL,
        value REAL NOT NULL,
        details TEXT NOT NULL
    ) STRICT",
    // The two numbers below are APPLICATION_ID and FORMAT_VERSION: a pragma takes no parameters.
    "PRAGMA application_id = 1953390963",
    "PRAGMA user_version = 2",
];

/// What went wrong inside: SQLite's word still needs the path.
pub(crate) enum Fault {
    Sql(sqlx::Error),
    Study(StudyError),
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<StudyError> for Fault {
    fn from(error: StudyError) -> Self {
        Self::Study(error)
    }
}

/// Makes the tables of an empty database.
pub(crate) async fn create_if_empty(connection: &mut SqliteConnection) -> Result<(), Fault> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let empty = integer(&mut transaction, "SELECT count(*) FROM sqlite_schema").await? == 0;
    if empty && integer(&mut transaction, "PRAGMA application_id").await? == 0 {
        for statement in CREATE {
            sqlx::query(statement).execute(&mut *transaction).await?;
        }
    }
    transaction.commit().await?;
    Ok(())
}

/// Refuses a database of another program or version.
pub(crate) async fn check(connection: &mut SqliteConnection, path: &Path) -> Result<(), Fault> {
    let found = integer(connection, "PRAGMA application_id").await?;
    if found != APPLICATION_ID {
        return Err(StudyError::ForeignStore { path: path.into(), found, expected: APPLICATION_ID }.into());
    }
    let found = integer(connection, "PRAGMA user_version").await?;
    if found != FORMAT_VERSION {
        return Err(StudyError::StoreVersion { path: path.into(), found, expected: FORMAT_VERSION }.into());
    }
    Ok(())
}

async fn integer(connection: &mut SqliteConnection, query: &'static str) -> Result<i64, sqlx::Error> {
    sqlx::query(query).fetch_one(connection).await?.try_get(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statements_state_the_constants() {
        assert!(CREATE.contains(&format!("PRAGMA application_id = {APPLICATION_ID}").as_str()));
        assert!(CREATE.contains(&format!("PRAGMA user_version = {FORMAT_VERSION}").as_str()));
    }
}
