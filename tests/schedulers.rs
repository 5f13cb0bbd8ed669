//! Schedulers as a user meets them: proved against recorded trajectories, refused by name.

use std::{path::Path, process::Command};

fn check(folder: &Path, more: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tnas"));
    let output = command.args(["scheduler", "check"]).arg(folder).args(more).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn trajectories_made_by_diffusers_are_repeated_and_differences_reported() {
    let Some(shared) = tnas_testing::shared("fixtures/diffusers/schedulers") else { return };
    let (code, text) = check(&shared, &[]);
    println!("{text}");
    assert!(code == Some(0) && text.contains("euler_svd: max abs error"), "{text}");
    let (code, text) = check(&shared, &["--json"]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(code == Some(0) && json["trajectories"].as_array().unwrap().len() == 9, "{text}");
    // Another option, another trajectory.
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(shared.join("io.safetensors"), copy.path().join("io.safetensors")).unwrap();
    let config = std::fs::read_to_string(shared.join("config.json")).unwrap();
    let write = |config: &str| std::fs::write(copy.path().join("config.json"), config).unwrap();
    write(&config.replace("\"beta_end\": 0.02", "\"beta_end\": 0.03"));
    let (code, text) = check(copy.path(), &[]);
    assert!(code == Some(3) && text.contains("ddpm differs") && text.contains("first at step"), "{code:?} {text}");
    write(&config.replace("\"timestep_type\": \"continuous\"", "\"timestep_type\": \"sometimes\""));
    let (code, text) = check(copy.path(), &[]);
    assert!(code == Some(3) && text.contains("timestep_type = \"sometimes\""), "{code:?} {text}");
}
