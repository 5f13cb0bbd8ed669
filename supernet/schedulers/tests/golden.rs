//! Trajectories recorded in Python are repeated.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

use tnas_schedulers::{Trajectory, read_object};
use tnas_weights::SafeTensors;

/// Runs every trajectory of a folder; returns the names of those that differ.
fn differing(folder: &Path) -> Vec<String> {
    let cases = read_object(&std::fs::read_to_string(folder.join("config.json")).unwrap()).unwrap();
    let io = SafeTensors::open(folder.join("io.safetensors")).unwrap();
    let mut differing = Vec::new();
    for (name, config) in &cases {
        let tensor = |rest: &str| {
            let name = format!("{name}.{rest}");
            Some((io.info(&name).ok()?.shape.clone(), io.f32(&name).ok()?.into_owned()))
        };
        match (Trajectory { config: config.as_object().unwrap(), tensor: &tensor }).run() {
            Ok(errors) => {
                println!(
                    "{name}: {:.2e} of {:.2e} {:?}",
                    errors.largest.error, errors.largest.allowed, errors.first_step
                );
                if !errors.passes() {
                    println!("  {:?}", errors.others);
                    differing.push(name.clone());
                }
            }
            Err(error) => {
                println!("{name}: failed to {error}");
                differing.push(name.clone());
            }
        }
    }
    println!("{} of {} differ", differing.len(), cases.len());
    differing
}

#[test]
fn recorded_trajectories_are_repeated() {
    let shared = tnas_testing::shared("fixtures/diffusers/schedulers");
    // More of them, made as the documentation of `Trajectory` says.
    let more = std::env::var_os("TNAS_SCHEDULER_GOLDENS").map(PathBuf::from);
    for folder in shared.into_iter().chain(more) {
        assert_eq!(differing(&folder), Vec::<String>::new(), "{}", folder.display());
    }
}
