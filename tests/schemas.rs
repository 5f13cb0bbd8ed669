//! The committed JSON Schemas are those of the types, and what a run leaves is valid under them.

use std::{fs, path::Path};

use serde_json::Value;

use crate::smoke::{smoke, succeeds};

/// Folder of the committed schemas.
fn committed() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/schemas")
}

/// A committed schema, ready to check files with.
struct Schema {
    schemas: boon::Schemas,
    index: boon::SchemaIndex,
}

impl Schema {
    fn new(name: &str) -> Self {
        let mut schemas = boon::Schemas::new();
        let path = committed().join(name);
        let index = boon::Compiler::new().compile(path.to_str().unwrap(), &mut schemas).unwrap();
        Self { schemas, index }
    }

    fn accepts(&self, value: &Value, what: &str) {
        let found = self.schemas.validate(value, self.index);
        assert!(found.is_ok(), "{what}: {}", found.unwrap_err());
    }

    fn refuses(&self, value: &Value, what: &str) {
        assert!(self.schemas.validate(value, self.index).is_err(), "{what}");
    }
}

/// `UPDATE_SCHEMAS=1 cargo test schemas` writes them anew.
#[test]
fn committed_schemas_are_those_that_the_command_writes() {
    let folder = tempfile::tempdir().unwrap();
    succeeds(&["schemas", "--out", folder.path().to_str().unwrap()]);
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        entries.collect::<std::collections::BTreeSet<_>>()
    };
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        for name in names(folder.path()) {
            fs::copy(folder.path().join(&name), committed().join(&name)).unwrap();
        }
    }
    assert_eq!(names(folder.path()), names(&committed()));
    for name in names(folder.path()) {
        let [written, committed] = [folder.path(), &committed()].map(|at| fs::read(at.join(&name)).unwrap());
        assert!(written == committed, "{name:?} is not the schema of its type: run with UPDATE_SCHEMAS=1");
    }
}

#[test]
fn what_a_run_leaves_is_valid() {
    let run = smoke();
    Schema::new("front.schema.json").accepts(&run.json("front.json"), "front.json");
    let evaluation = "samples/evaluation.json";
    Schema::new("evaluation.schema.json").accepts(&run.json(evaluation), evaluation);
    let study: Value = toml::from_str(&fs::read_to_string(run.file("study.toml")).unwrap()).unwrap();
    Schema::new("study.schema.json").accepts(&study, "study.toml");
    let line_schema = Schema::new("profile.schema.json");
    let profiles = fs::read_dir(run.file("profile")).unwrap().map(|entry| entry.unwrap().path());
    for path in profiles.filter(|path| path.extension().is_some_and(|found| found == "jsonl")) {
        for line in fs::read_to_string(&path).unwrap().lines() {
            line_schema.accepts(&serde_json::from_str(line).unwrap(), &path.display().to_string());
        }
    }
}

#[test]
fn every_study_of_the_repository_is_valid_and_a_misspelt_one_is_not() {
    let studies = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/studies");
    let schema = Schema::new("study.schema.json");
    for entry in fs::read_dir(studies).unwrap() {
        let path = entry.unwrap().path();
        let mut study: Value = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        schema.accepts(&study, &path.display().to_string());
        study["search"]["populatoin"] = 3.into();
        schema.refuses(&study, &path.display().to_string());
    }
}
