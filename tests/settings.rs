use std::process::{Command, Output};

use tnas_models::{Backbone, UNetConfig};
use tnas_space::{Genotype, SearchSpace, SpaceFile};

fn tnas(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tnas")).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap()
}

fn fails(args: &[&str], code: i32, expected: &[&str]) {
    let output = tnas(args);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    for part in expected {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

#[test]
fn an_unknown_setting_is_pointed_at() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.toml");
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/configs/studies/smoke.toml")).unwrap();
    std::fs::write(&path, text.replace("frames = 8", "frmaes = 8")).unwrap();
    let path = path.to_str().unwrap();
    let runs = folder.path().join("runs");
    fails(&["run", path, "--runs", runs.to_str().unwrap()], 2, &[path, ":8:", "frmaes", "frames"]);
    assert!(!runs.exists(), "nothing is made before the settings are understood");
}

#[test]
fn bad_overrides_and_devices_name_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().to_str().unwrap();
    let study = "configs/studies/smoke.toml";
    fails(&["run", study, "--runs", runs, "--set", "data.size=large"], 2, &["data.size"]);
    fails(&["run", study, "--runs", runs, "--device", "tpu"], 2, &["tpu", "cpu"]);
    fails(&["run", study, "--runs", runs, "--set", "search.population=7"], 1, &["search.population", "even"]);
    fails(
        &["run", study, "--runs", runs, "--set", "search.limit_sigmas=-1"],
        1,
        &["search.limit_sigmas", "0 or more"],
    );
    let recipe: [(&str, &[&str]); 14] = [
        ("finetune.training.accumulate=0", &["finetune.training.accumulate = 0", "no accumulation"]),
        ("finetune.training.devices=[\"cpu\", \"abacus\"]", &["finetune.training.devices", "abacus", "cuda:N"]),
        ("supernet.training.images=1.5", &["supernet.training.images = 1.5", "fraction"]),
        ("supernet.spatial={ lora = 0 }", &["supernet.spatial.lora = 0", "frozen"]),
        ("supernet.spatial={ slow = 0.0 }", &["supernet.spatial.slow = 0", "frozen"]),
        ("supernet.feature_distillation=-1", &["feature_distillation = -1"]),
        ("finetune.first_frame=30", &["finetune.first_frame = 30", "0 to 1"]),
        ("noise.shared=1.5", &["noise.shared = 1.5", "0 to 1"]),
        ("finetune.training.flow.shift=0", &["finetune.training.flow.shift = 0", "auto"]),
        (
            "finetune.training.flow.weighting={ min_snr = -5 }",
            &["training.flow.weighting.min_snr = -5", "5 is usual"],
        ),
        ("backbone.training.flow.caption_dropout=2", &["backbone.training.flow.caption_dropout = 2"]),
        ("backbone.training.images=0.5", &["backbone.training.images = 0.5", "single frames"]),
        ("distill.training.flow.shift=3", &["distill.training.flow", "student_steps"]),
        ("distill.training.stability.patience=2", &["distill.training.stability.patience = 2", "held-out"]),
    ];
    for (setting, expected) in recipe {
        fails(&["run", study, "--runs", runs, "--set", setting], 1, expected);
    }
    fails(
        &["run", study, "--runs", runs, "--set", "finetune.training.flow.shift=\"automatic\""],
        2,
        &["shift", "auto"],
    );
    fails(
        &["run", study, "--runs", runs, "--set", "search.start=\"best\""],
        2,
        &["search.start", "local", "random"],
    );
    let by_name: [(&str, &[&str]); 7] = [
        ("search.objectives=[\"loss\", \"latncy_ms\"]", &["unknown objective `latncy_ms`", "`latency_ms`"]),
        ("search.objectives=[\"loss\", \"energy\"]", &["unknown objective `energy`", "`process_memory_bytes`"]),
        ("search.objectives=[]", &["at least one"]),
        ("search.objectives=[\"macs\", \"macs\"]", &["`macs` twice"]),
        ("limits.paramters=1e6", &["unknown objective `paramters`", "`parameters`"]),
        ("search.reference_point={ los = 1.0, latency_ms = 60 }", &["unknown objective `los`", "`loss`"]),
        ("winner={ rule = \"under\", latency = 3 }", &["unknown objective `latency`", "`latency_ms`"]),
    ];
    for (setting, expected) in by_name {
        fails(&["run", study, "--runs", runs, "--set", setting], 2, expected);
    }
    let asked: [(&str, &[&str]); 3] = [
        ("search.reference_point={ loss = 1.0 }", &["search.reference_point", "loss, latency_ms"]),
        ("winner={ rule = \"under\", process_memory_bytes = 1e9 }", &["process_memory_bytes", "search.objectives"]),
        ("limits.latency_ms=-3", &["limits.latency_ms = -3", "above 0"]),
    ];
    for (setting, expected) in asked {
        fails(&["run", study, "--runs", runs, "--set", setting], 1, expected);
    }
    fails(&["run", "no-such-study.toml"], 2, &["no-such-study.toml"]);
}

#[test]
fn every_study_that_ships_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().to_str().unwrap();
    let studies = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/studies");
    for entry in std::fs::read_dir(studies).unwrap() {
        let path = entry.unwrap().path();
        let output = tnas(&["report", path.to_str().unwrap(), "--runs", runs, "--set", "data.path=\"clips\""]);
        assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn the_teachers_of_the_studies_that_ship_are_points_of_their_spaces() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut checked = 0;
    for entry in std::fs::read_dir(root.join("configs/studies")).unwrap() {
        let path = entry.unwrap().path();
        let study: toml::Table = toml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let Some(teacher) = study.get("supernet").and_then(|stage| stage.get("teacher")) else { continue };
        // A study of one's own image model names a folder that is not here; its geometry is.
        let named = study["backbone"]["path"].as_str().unwrap();
        let geometry = root.join("configs/backbones").join(std::path::Path::new(named).file_name().unwrap());
        let config = std::fs::read_to_string(geometry.join("unet/config.json")).unwrap();
        let backbone = Backbone::new(UNetConfig::from_json(&config).unwrap());
        let space = std::fs::read_to_string(root.join(study["space"].as_str().unwrap())).unwrap();
        let space = SearchSpace::new(&backbone.slots(), &toml::from_str::<SpaceFile>(&space).unwrap()).unwrap();
        let teacher: Genotype = teacher.as_str().unwrap().parse().unwrap();
        space.genome(&teacher).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        checked += 1;
    }
    assert!(checked >= 3, "{checked}");
}
