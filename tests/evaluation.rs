use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

const STUDY: &str = "configs/studies/smoke.toml";

fn tnas(runs: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tnas"));
    command.args(args).arg("--runs").arg(runs).args(["--set", "evaluator.steps=3"]);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap()
}

fn done(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn fails(output: &Output, expected: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{text}");
    for part in expected {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

/// Films of clips that the study was not trained on, as a folder.
fn films(folder: &Path, count: usize) {
    let settings = tnas_clips::ShapeSettings {
        frames: 8,
        size: 16,
        seed: 99,
        split: tnas_clips::Split::Test,
        ..Default::default()
    };
    let shapes = tnas_clips::ShapeClips::new(settings).unwrap();
    fs::create_dir_all(folder).unwrap();
    let mut lines = String::new();
    for index in 0..count {
        let clip = shapes.clip(index);
        let gif = tnas_clips::animated_gif(&clip, &Default::default()).unwrap();
        fs::write(folder.join(format!("{index}.gif")), gif).unwrap();
        let mut line = serde_json::json!({"file_name": format!("{index}.gif"), "text": clip.caption});
        for (label, value) in &clip.labels {
            line[label] = value.clone().into();
        }
        lines += &format!("{line}\n");
    }
    fs::write(folder.join("metadata.jsonl"), lines).unwrap();
}

#[test]
fn films_are_compared_with_real_clips_and_mistakes_name_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path();
    let films_folder = runs.join("films");
    films(&films_folder, 20);
    let of_films = films_folder.to_str().unwrap();
    let evaluate =
        |more: &[&str]| tnas(runs, &[&["evaluate", STUDY, "--folder", of_films, "--json"], more].concat());

    fails(&evaluate(&["--clips", "12"]), &["has no evaluator", "evaluator.safetensors", "evaluator train"]);
    let trained = done(&tnas(runs, &["evaluator", "train", STUDY, "--json"]));
    assert_eq!(trained["figures"]["controls"].as_array().unwrap().len(), 4);
    let published: Value =
        serde_json::from_slice(&fs::read(runs.join("smoke/evaluator/evaluator.json")).unwrap()).unwrap();
    let hashes = ["evaluator_sha256", "training_split_sha256"].map(|key| published[key].as_str().unwrap().len());
    assert_eq!(hashes, [64, 64]);

    let found = done(&evaluate(&["--clips", "12", "--resamples", "60"]))["figures"].clone();
    assert_eq!((&found["format_version"], &found["clips"]), (&3.into(), &12.into()));
    assert_eq!(found["evaluator"]["evaluator_sha256"], published["evaluator_sha256"]);
    let controls: Vec<&str> =
        found["controls"].as_array().unwrap().iter().map(|row| row["arm"].as_str().unwrap()).collect();
    let names = ["shuffled frames", "frozen", "noisy", "independent frames", "blended", "blurred"];
    assert_eq!(controls, names.map(|name| format!("real, {name}")));
    let arm = &found["arms"][0];
    for metric in ["kernel_mmd", "frechet", "accuracy/motion", "accuracy/colour", "warp_error_ratio"] {
        let [low, estimate, high] =
            ["low", "estimate", "high"].map(|key| arm["metrics"][metric][key].as_f64().unwrap());
        assert!(low <= estimate && estimate <= high, "{metric}: {low} {estimate} {high}");
    }
    assert_eq!(arm["memorisation"]["copies"], false);
    assert!(!found["fitness"].as_array().unwrap().is_empty());
    assert!(found["warnings"][0].as_str().unwrap().contains("64 features"));
    // Once more: the same bytes, whatever the threads.
    let file = runs.join("smoke/evaluation/evaluation.json");
    let before = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    done(&evaluate(&["--clips", "12", "--resamples", "60", "--threads", "1"]));
    assert!(before == fs::read(&file).unwrap(), "other figures with one thread");
    assert!(runs.join("smoke/evaluation/sheets/01-films-of-films.png").is_file());
    // Sets of unequal size are warned of.
    let unequal = done(&evaluate(&["--clips", "24"]))["figures"]["warnings"].to_string();
    assert!(unequal.contains("20 clips, the reference 24"), "{unequal}");
    let report = tnas(runs, &["report", STUDY]);
    assert!(report.status.success(), "{}", String::from_utf8_lossy(&report.stderr));
    let page = fs::read_to_string(runs.join("smoke/report/index.html")).unwrap();
    assert!(page.contains("<h2>Evaluation</h2>") && page.contains("real, frozen"));

    fails(&evaluate(&["--clips", "2"]), &["evaluate 2 clips", "--clips"]);
    fails(&evaluate(&["--clips", "150", "--reference", "train"]), &["there are 200", "--clips 100"]);
    fails(&evaluate(&["--steps", "0"]), &["--steps"]);
    fails(&tnas(runs, &["evaluate", STUDY]), &["search"]);
    let empty = runs.join("empty");
    fs::create_dir(&empty).unwrap();
    let empty = empty.to_str().unwrap();
    fails(&tnas(runs, &["evaluate", STUDY, "--folder", empty]), &[empty, "metadata.jsonl"]);
    fails(&tnas(runs, &["evaluate", STUDY, "--model", empty]), &[empty, "unet/config.json"]);
    fails(&tnas(runs, &["evaluate", STUDY, "--folder", "no-such-folder"]), &["no-such-folder"]);
    // Other clips, another shape, other weights.
    fails(&evaluate(&["--set", "data.train_clips=199"]), &["other clips", "evaluator train"]);
    fails(&evaluate(&["--set", "data.frames=6"]), &["8 frames", "6 frames", "evaluator train"]);
    let weights = runs.join("smoke/evaluator/evaluator.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    fails(&evaluate(&["--clips", "12"]), &["hash", "evaluator train"]);
}

#[test]
fn a_backbone_that_was_trained_on_other_captions_is_refused_as_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path();
    done(&tnas(runs, &["evaluator", "train", STUDY, "--json"]));
    let evaluated = |model: &str, more: &[&str]| {
        tnas(runs, &[&["evaluate", STUDY, "--model", model, "--clips", "4", "--json"], more].concat())
    };
    // The image model is a model too: frame by frame.
    let figures =
        done(&evaluated("configs/backbones/quickstart", &["--steps", "1", "--set", "samples.many_steps=2"]));
    let arms = figures["figures"]["arms"].as_array().unwrap();
    let names: Vec<&str> = arms.iter().map(|arm| arm["arm"].as_str().unwrap()).collect();
    assert_eq!(names, ["quickstart, 2 steps", "quickstart, 1 step, plain Euler"]);
    assert!(arms[1]["minus_first"]["kernel_mmd"]["estimate"].is_f64());
    // Latents are asked of it, and it has pixels.
    fails(&evaluated("configs/backbones/sprites", &[]), &["configs/backbones/sprites"]);
}
