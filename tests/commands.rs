//! Every command of the program, as a user runs it, on the smoke study.

use std::{fs, path::Path};

use serde_json::Value;
use tnas_export::RUNTIMES;
use tnas_graph::RuntimeOptions;
use tnas_stages::STAGES;

use crate::smoke::{STUDY, copied, smoke, succeeds, tnas};

/// Arguments of a command on the smoke study in a folder of runs.
fn on<'a>(runs: &'a Path, command: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [command, &[STUDY, "--runs", runs.to_str().unwrap()], more].concat()
}

/// Files in a folder whose names end so.
fn films(folder: &Path, extension: &str) -> usize {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|found| found == extension)).count()
}

fn figures(stdout: &str) -> Value {
    let line = stdout.lines().last().unwrap_or_default();
    serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {stdout}"))["figures"].take()
}

#[test]
fn a_run_leaves_what_every_stage_promises() {
    let run = smoke();
    for stage in STAGES {
        assert!(!run.printed["figures"][stage.name].is_null(), "{}: {}", stage.name, run.printed);
    }
    let front = run.json("front.json");
    let rows = front["rows"].as_array().unwrap();
    let winners = rows.iter().filter(|row| row["winner"] == true).count();
    assert!(!rows.is_empty() && winners == 1, "{front}");
    assert!(fs::metadata(run.file("report/index.html")).unwrap().len() > 1000);
    assert!(run.file("samples/during/finetune-winner/000006.png").is_file());
    assert!(run.file("tensorboard/finetune-winner").exists());
    assert!(run.log.contains("finetune") && run.log.contains("export"), "{}", run.log);
}

#[test]
fn sections_of_the_report_are_of_stages_and_commands_and_the_last_is_of_all() {
    let run = smoke();
    let sections = tnas_reports::SECTIONS;
    for name in sections.iter().flat_map(|section| section.stages) {
        let known = STAGES.iter().any(|stage| stage.name == *name);
        assert!(known || ["compare", "evaluate", "latency eval", "sweep"].contains(name), "{name} is no stage");
    }
    let page = fs::read_to_string(run.file("report/index.html")).unwrap();
    let all = page.split("<h2>All figures</h2>").nth(1).unwrap();
    // The report is drawn before its own figures are recorded.
    for stage in STAGES.iter().filter(|stage| !["profile", "report"].contains(&stage.name)) {
        assert!(all.contains(&format!("<b>{}</b>", stage.name)), "{} is not on the page", stage.name);
    }
    assert!(all.contains("<b>profile-burn</b>"));
}

#[test]
fn exported_files_are_verified_by_every_runtime_that_is_found() {
    let run = smoke();
    let folder = fs::read_dir(run.file("export")).unwrap().next().unwrap().unwrap().file_name();
    let verified = run.json(&format!("export/{}/verify.json", folder.to_string_lossy()))["denoiser"].take();
    let mut found = Vec::new();
    for kind in RUNTIMES {
        match (kind.version)(&RuntimeOptions::cpu(1)) {
            Ok(version) => found.push(format!("{} {version}", kind.name)),
            Err(error) => {
                tnas_testing::skip(&format!("{} is not found: {error}", kind.name));
                assert!(run.log.contains(&format!("is not verified by {}", kind.name)), "{}", run.log);
            }
        }
    }
    let entries: Vec<&Value> = verified["runtimes"].as_array().into_iter().flatten().collect();
    let names: Vec<&str> = entries.iter().filter_map(|entry| entry["runtime"].as_str()).collect();
    assert_eq!(names, found, "{verified}");
    for entry in entries {
        let (error, tolerance) = (&entry["error"]["max_abs_error"], &entry["error"]["tolerance"]);
        assert!(error.as_f64().unwrap() <= tolerance.as_f64().unwrap(), "{verified}");
    }
    assert_eq!(verified["proved"], !found.is_empty(), "{verified}");
}

#[test]
fn a_run_repeated_by_its_own_study_file_is_up_to_date() {
    let runs = copied();
    let file = |name: &str| fs::read(runs.path().join("smoke").join(name)).unwrap();
    let before = ["study.toml", "front.json", "search/candidates.json"].map(file);
    let study = runs.path().join("smoke/study.toml");
    let (_, log) = succeeds(&["run", study.to_str().unwrap(), "--runs", runs.path().to_str().unwrap()]);
    assert!(!log.contains("runs again"), "{log}");
    assert!(log.matches("up to date").count() >= STAGES.len() - 1, "{log}");
    assert!(before == ["study.toml", "front.json", "search/candidates.json"].map(file));
}

#[test]
fn every_stage_is_a_command_that_finds_its_work_done() {
    let runs = copied();
    let commands = STAGES.iter().map(|stage| stage.command).filter(|command| *command != "report");
    for command in commands.map(|command| if command == "backbone" { "backbone take" } else { command }) {
        let command: Vec<&str> = command.split(' ').collect();
        let (stdout, log) = succeeds(&on(runs.path(), &command, &["--json"]));
        assert!(log.contains("up to date") && !log.contains("runs again"), "{command:?}: {log}");
        assert!(!figures(&stdout).is_null(), "{command:?}: {stdout}");
    }
    succeeds(&on(runs.path(), &["report"], &[]));
}

#[test]
fn a_backbone_is_trained_on_single_frames() {
    let runs = tempfile::tempdir().unwrap();
    let more = ["--set", "backbone.training.steps=2", "--set", "backbone.training.batch=2", "--json"];
    let (stdout, _) = succeeds(&on(runs.path(), &["backbone", "train"], &more));
    assert!(!figures(&stdout).is_null(), "{stdout}");
    assert!(runs.path().join("smoke/backbone/unet").is_dir());
}

#[test]
fn the_winner_is_compared_with_other_architectures() {
    let runs = copied();
    let settings = ["--set", "compare.random=1", "--set", "compare.size_tolerance=0.5", "--json"];
    let (stdout, _) = succeeds(&on(runs.path(), &["compare"], &settings));
    let text = figures(&stdout).to_string();
    for arm in ["winner", "none", "attention-everywhere", "hand-rule", "random-"] {
        assert!(text.contains(arm), "{arm}: {text}");
    }
    succeeds(&on(runs.path(), &["report"], &[]));
    let report = fs::read_to_string(runs.path().join("smoke/report/index.html")).unwrap();
    assert!(report.contains("attention-everywhere"));
}

#[test]
fn students_of_another_method_and_of_a_sweep() {
    let runs = copied();
    let (stdout, _) = succeeds(&on(runs.path(), &["distill"], &["--steps", "1", "--method", "dmd2", "--json"]));
    assert!(!figures(&stdout).is_null(), "{stdout}");
    let sweep = ["--sweep-mean=-1,0", "--sweep-clips", "8", "--json"];
    let (stdout, _) = succeeds(&on(runs.path(), &["distill"], &sweep));
    assert!(figures(&stdout).to_string().len() > 20, "{stdout}");
}

#[test]
fn a_winner_trained_with_first_frames_goes_on_from_a_picture() {
    let runs = copied();
    let out = runs.path().join("given");
    let picture = runs.path().join("smoke/samples/sheet-real.png");
    let generate = ["--caption", "a red square moves left", "--steps", "2", "--format", "apng"];
    let given = ["--image", picture.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let refused = tnas(&on(runs.path(), &["generate"], &[&generate[..], &given].concat()));
    assert!(!refused.status.success(), "a model that was not trained with first frames refuses one");
    succeeds(&on(runs.path(), &["finetune"], &["--set", "finetune.first_frame=0.5"]));
    succeeds(&on(runs.path(), &["generate"], &[&generate[..], &given].concat()));
    assert_eq!(films(&out, "png"), 1);
}

#[test]
fn clips_are_generated_from_captions() {
    let run = smoke();
    let out = tempfile::tempdir().unwrap();
    let captions = out.path().join("captions.txt");
    fs::write(&captions, "a red square moves left\n\na blue circle moves right\n").unwrap();
    let runs = copied();
    for (format, more) in [("gif", &["--steps", "2"][..]), ("webp", &["--student", "--steps", "4"])] {
        let folder = out.path().join(format);
        let arguments = ["--captions-file", captions.to_str().unwrap(), "--format", format, "--out"];
        let arguments = [&arguments[..], &[folder.to_str().unwrap()], more].concat();
        succeeds(&on(runs.path(), &["generate"], &arguments));
        assert_eq!(films(&folder, format), 2, "{format}");
    }
    assert!(run.file("samples/sheet-real.png").is_file());
}

#[test]
fn models_are_compared_with_real_clips() {
    let runs = copied();
    let arguments = ["--clips", "8", "--steps", "2,1", "--seeds", "1", "--json"];
    let (stdout, _) = succeeds(&on(runs.path(), &["evaluate"], &arguments));
    assert!(!figures(&stdout).is_null(), "{stdout}");
    assert!(runs.path().join("smoke/evaluation/evaluation.json").is_file());
}

#[test]
fn the_latency_predictor_is_evaluated() {
    let runs = copied();
    let (stdout, _) = succeeds(&on(runs.path(), &["latency", "eval"], &["--splits", "2", "--json"]));
    assert!(!figures(&stdout).is_null(), "{stdout}");
}

#[test]
fn the_latency_predictor_is_fitted_without_the_clips() {
    let runs = copied();
    let gone = ["--set", "data.kind=\"videofolder\"", "--set", "data.path=\"no-such-clips\""];
    let (_, text) = succeeds(&on(runs.path(), &["latency", "fit"], &[&gone[..], &["--set", "seed=8"]].concat()));
    assert!(text.contains("latency runs again: seed was 7, is 8"), "{text}");
    let trained = tnas(&on(runs.path(), &["supernet", "train"], &gone));
    let text = String::from_utf8_lossy(&trained.stderr).into_owned();
    assert!(!trained.status.success() && text.contains("no-such-clips"), "{text}");
}

#[test]
fn measurements_of_another_device_are_planned_and_imported() {
    let runs = copied();
    let device = ["--device", "Pixel 9"];
    succeeds(&on(runs.path(), &["profile", "plan"], &[&device[..], &["--samples", "6"]].concat()));
    let folder = runs.path().join("smoke/measure/pixel-9");
    let models = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    assert!(models.filter(|path| path.extension().is_some_and(|end| end == "onnx")).count() >= 6);
    let empty = tnas(&on(runs.path(), &["profile", "import"], &device));
    assert!(!empty.status.success(), "an empty table is refused");
}

#[test]
fn a_space_is_shown_and_a_model_of_it_written_and_run() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model");
    let backbone = ["--backbone", "configs/backbones/quickstart"];
    let sizes = ["--frames", "4", "--size", "16", "--tokens", "8"];
    let (stdout, _) =
        succeeds(&[&["space", "show", "configs/spaces/smoke.toml", "--json"][..], &backbone, &sizes].concat());
    assert!(serde_json::from_str::<Value>(&stdout).is_ok(), "{stdout}");
    let genotype = ["--genotype", "mid.0.a=attn1d(heads=2)", "--out", out.to_str().unwrap()];
    succeeds(&[&["model", "new"][..], &backbone, &sizes, &genotype].concat());
    let (stdout, _) = succeeds(&[&["model", "step", out.to_str().unwrap(), "--json"][..], &sizes].concat());
    assert!(serde_json::from_str::<Value>(&stdout).is_ok(), "{stdout}");
}

#[test]
fn other_noise_than_the_models_is_refused() {
    let runs = copied();
    let out = runs.path().join("refused");
    let more = ["--set", "noise.shared=0.5", "--caption", "a red square moves left", "--steps", "1", "--out"];
    let output = tnas(&on(runs.path(), &["generate"], &[&more[..], &[out.to_str().unwrap()]].concat()));
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("noise.shared = 0.5; set noise.shared = 0,"), "{text}");
    assert!(!out.exists());
}

#[test]
fn a_missing_library_is_an_error_where_it_is_asked_for_and_left_out_elsewhere() {
    let runs = copied();
    let missing = ["--set", "profile.libraries.openvino=\"/no/such/library\""];
    let both = ["--set", "profile.runtimes=[\"burn\", \"openvino\"]"];
    let refused = tnas(&on(runs.path(), &["profile"], &[&missing[..], &both].concat()));
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && text.contains("/no/such/library"),
        "a library that is named must be there: {text}"
    );
    let target =
        ["--set", "profile.target=\"openvino\"", "--set", "profile.libraries.openvino=\"/no/such/library\""];
    let refused = tnas(&on(runs.path(), &["profile"], &[&target[..], &both].concat()));
    assert!(!refused.status.success());
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tnas"));
    command.args(on(runs.path(), &["profile"], &both)).env("OPENVINO_LIB_PATH", "/no/such/library");
    let left_out = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let text = String::from_utf8_lossy(&left_out.stderr).into_owned();
    assert!(left_out.status.success() && text.contains("openvino is left out"), "{text}");
}
