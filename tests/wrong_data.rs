//! Data that is wrong is an error that names it; a space whose slots must hold an operator works wholly.

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use tnas_clips::{Clip, FilmFormat, FilmSettings, ShapeClips, ShapeSettings};

/// A command on the smoke study: exit code, figures and what it said.
fn smoke(command: &[&str], runs: &Path, settings: &[String]) -> (Option<i32>, Value, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_tnas"))
        .args(command)
        .args(["configs/studies/smoke.toml", "--json", "--runs", runs.to_str().unwrap()])
        .args(settings.iter().flat_map(|setting| ["--set", setting.as_str()]))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let figures = serde_json::from_slice::<Value>(&output.stdout).map_or(Value::Null, |all| all["figures"].clone());
    (output.status.code(), figures, String::from_utf8_lossy(&output.stderr).into_owned())
}

fn strings<'a>(rows: &'a Value, key: &str) -> Vec<&'a str> {
    rows.as_array().unwrap().iter().map(|row| row[key].as_str().unwrap()).collect()
}

/// `down.1.0.r` must hold an operator, the dearer one first; at `mid.0.a` `none` is the last choice.
const WITHOUT_NONE: &str = r#"
[[rules]]
slots = ["down.1.0.r"]
choices = ["attn1d(heads=4)", "conv1d(k=3)"]

[[rules]]
slots = ["mid.0.a"]
choices = ["conv1d(k=3)", "attn1d(heads=2)", "none"]

[[rules]]
slots = ["up.0.1.r"]
choices = ["none", "attn1d(heads=2)", "attn3d(heads=4)"]
"#;

#[test]
fn a_space_without_none_at_a_slot_is_searched_tuned_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let (runs, space) = (folder.path().join("runs"), folder.path().join("space.toml"));
    fs::write(&space, WITHOUT_NONE).unwrap();
    let settings: Vec<String> = [
        &format!("space={:?}", space.to_str().unwrap()),
        "profile.runtimes=[\"burn\"]",
        "profile.architectures=8",
        "profile.held_out=4",
        "supernet.training.steps=4",
        "finetune.training.steps=2",
        "watch.previews=0",
        // One clip: a difference that has no error, and is not halved.
        "search.compared_clips=1",
        "compare.random=1",
        "compare.size_tolerance=0.9",
    ]
    .map(String::from)
    .into();
    let run = |command: &[&str]| {
        let (code, figures, text) = smoke(command, &runs, &settings);
        assert_eq!(code, Some(0), "{command:?}: {text}");
        figures
    };
    run(&["backbone", "take"]);
    run(&["supernet", "train"]);
    run(&["profile"]);
    run(&["latency", "fit"]);
    let searched = run(&["search"]);
    assert!(searched["search"]["evaluated"].as_u64().unwrap() >= 8, "{searched}");
    let read = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(runs.join("smoke").join(name)).unwrap()).unwrap()
    };
    // The baseline is the first choice where a slot has no `none`, and `none` wherever else it stands.
    let scores = read("search/local_scores.json");
    assert_eq!(scores["baseline"], "down.1.0.r=attn1d(ff=0,heads=4,pos=sin)");
    let scored = strings(&scores["rows"], "choice");
    let expected = ["conv1d(", "conv1d(", "attn1d(ff=0,heads=2", "attn1d(ff=0,heads=2", "attn3d("];
    assert_eq!(scored.len(), expected.len(), "{scored:?}");
    assert!(scored.iter().zip(expected).all(|(found, start)| found.starts_with(start)), "{scored:?}");
    // Every candidate, the knapsack's assemblies and the baseline among them, holds an operator there.
    let genotypes = read("search/candidates.json");
    let genotypes = strings(&genotypes["rows"], "genotype");
    assert!(genotypes.iter().all(|text| text.contains("down.1.0.r=")), "{genotypes:?}");
    assert!(genotypes.contains(&"down.1.0.r=attn1d(ff=0,heads=4,pos=sin)"), "{genotypes:?}");
    let tuned = run(&["finetune"]);
    assert_eq!(strings(&tuned["arms"], "arm"), ["winner", "none", "teacher"]);
    let compared = run(&["compare"]);
    let rows = compared["rows"].as_array().unwrap();
    let arms = ["winner", "none", "attention-everywhere", "hand-rule", "random-1"];
    assert_eq!(strings(&compared["rows"], "arm"), arms);
    let everywhere = rows[2]["genotype"].as_str().unwrap();
    assert_eq!(everywhere.matches("attn1d(").count(), 3, "{everywhere}");
    for row in rows {
        assert_eq!(row["clips"], 1);
        assert!(row["standard_error"].is_null(), "{row}");
        let loss = |row: &Value| row["held_out_loss"].as_f64().unwrap();
        let difference = row["winner_minus_this"].as_f64().unwrap();
        assert!((difference - (loss(&rows[0]) - loss(row))).abs() < 1e-9, "{row}");
    }
    // A genotype without anything at that slot is no point of this space.
    let teacher = [&settings[..], &["supernet.teacher=up.0.1.r=attn1d(heads=2)".into()]].concat();
    let (code, _, text) = smoke(&["supernet", "train"], &runs, &teacher);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("--set supernet.teacher=") && text.contains("down.1.0.r=none"), "{text}");
}

#[test]
fn a_clip_without_a_label_is_named_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let (runs, films) = (folder.path().join("runs"), folder.path().join("films"));
    let clips = ShapeClips::new(ShapeSettings { frames: 8, size: 16, ..Default::default() }).unwrap();
    for split in ["train", "val"] {
        fs::create_dir_all(films.join(split)).unwrap();
        let mut lines = String::new();
        for index in 0..3 {
            let clip: Clip = clips.clip(index);
            let film = FilmFormat::Apng.encode(&clip, &FilmSettings { upscale: 1, delay_ms: 100 }).unwrap();
            fs::write(films.join(split).join(format!("{index}.png")), film).unwrap();
            let label = if index == 1 { "motoin" } else { "motion" };
            lines += &format!(
                "{{\"file_name\": \"{index}.png\", \"text\": {:?}, {label:?}: \"{index}\"}}\n",
                clip.caption
            );
        }
        fs::write(films.join(split).join("metadata.jsonl"), lines).unwrap();
    }
    let settings = [
        "data.kind=videofolder".to_owned(),
        format!("data.path={:?}", films.to_str().unwrap()),
        "evaluator.labels=[\"motion\"]".to_owned(),
    ];
    let (code, _, text) = smoke(&["evaluator", "train"], &runs, &settings);
    assert_eq!(code, Some(3), "{text}");
    let file = films.join("train/1.png");
    for expected in [file.to_str().unwrap(), "no label \"motion\"", "did you mean motoin?"] {
        assert!(text.contains(expected), "{expected:?} is missing in: {text}");
    }
    assert!(!runs.join("smoke/evaluator").exists(), "nothing is trained on it");
}

#[test]
fn a_cause_is_printed_once() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no-such-file");
    let path = missing.to_str().unwrap();
    let study = "configs/studies/smoke.toml";
    let runs = folder.path().join("runs");
    let runs = runs.to_str().unwrap();
    let space = format!("space={path:?}");
    let films = format!("data.path={path:?}");
    let backbone = format!("backbone.path={path:?}");
    for args in [
        &["run", path][..],
        &["space", "show", path, "--backbone", "configs/backbones/quickstart"],
        &["space", "show", "configs/spaces/smoke.toml", "--backbone", path],
        &["model", "step", path],
        &["backbone", "check", path],
        &["scheduler", "check", path],
        &["run", study, "--runs", runs, "--set", &space],
        &["run", study, "--runs", runs, "--set", "data.kind=videofolder", "--set", &films],
        &["backbone", "take", study, "--runs", runs, "--set", &backbone],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tnas"));
        let output = command.args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{args:?}: {text}");
        let error =
            text.lines().find(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("{args:?}: {text}"));
        assert!(error.contains(path), "{args:?}: {error}");
        assert!(error.matches("No such file").count() <= 1, "{args:?}: {error}");
        assert!(error.matches("os error").count() <= 1, "{args:?}: {error}");
    }
}
