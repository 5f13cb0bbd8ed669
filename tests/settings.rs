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
    fails(&["run", study, "--runs", runs, "--set", "search.population=7"], 2, &["search.population", "even"]);
    fails(
        &["run", study, "--runs", runs, "--set", "search.limit_sigmas=-1"],
        2,
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
        let set = format!("--set {setting}");
        fails(&["run", study, "--runs", runs, "--set", setting], 2, &[expected, &[&set]].concat());
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
        fails(&["run", study, "--runs", runs, "--set", setting], 2, expected);
    }
    fails(&["run", "no-such-study.toml"], 2, &["no-such-study.toml"]);
}

/// The smoke study with some lines changed, in a folder of its own.
fn changed(folder: &std::path::Path, changes: &[(&str, &str)]) -> String {
    let mut text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/configs/studies/smoke.toml")).unwrap();
    for (old, new) in changes {
        assert!(text.contains(old), "{old:?} is not in the smoke study");
        text = text.replacen(old, new, 1);
    }
    let path = folder.join("study.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_value_that_cannot_be_is_pointed_at_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    for (old, new, place, expected) in [
        ("name = \"smoke\"", "name = \"a/b\"", ":2:1: ", "name = \"a/b\" must be a plain folder name"),
        ("size = 16", "size = 4", ":9:1: ", "data.size = 4 must be at least 8"),
        ("kind = \"shapes\"", "kind = \"videofolder\"", ":6:2: ", "data.path is missing"),
        ("population = 8", "population = 7", ":30:1: ", "search.population = 7 must be even"),
        ("compared_clips = 16", "compared_clips = 0", ":35:1: ", "search.compared_clips = 0 must be at least 1"),
        ("held_out = 8", "samples = 3\nheld_out = 8", ":25:1: ", "profile.samples = 3 must be at least 2 more"),
        (
            "[samples]\n",
            "[limits]\nlatency_ms = -1.0\n\n[samples]\n",
            ":54:1: ",
            "limits.latency_ms = -1 must be above",
        ),
        ("steps = 12", "steps = 12\ndevices = [\"cpu\", \"abacus\"]", ":21:", "abacus"),
        (
            "[finetune.training]\n",
            "[finetune.training]\nflow.shift = 0.0\n",
            ":38:6: ",
            "finetune.training.flow.shift = 0 must be above 0",
        ),
        (
            "[distill.training]\n",
            "[distill.training]\nstability = { patience = 2 }\n",
            ":45:15: ",
            "distill.training.stability.patience = 2: this stage has no held-out loss",
        ),
        (
            "[finetune.training]\n",
            "[compare.arms]\nmine = \"down.1.0.r=conv1x(k=3)\"\n\n[finetune.training]\n",
            ":38:1: ",
            "did you mean conv1d?",
        ),
        (
            "[supernet]\n",
            "[supernet]\nteacher = \"mid.0.a=attn1d(haeds=2)\"\n",
            ":17:1: ",
            "has no parameter \"haeds\", did you mean heads?",
        ),
    ] {
        let study = changed(folder.path(), &[(old, new)]);
        let place = format!("{study}{place}");
        fails(&["run", &study, "--runs", runs.to_str().unwrap()], 2, &[&place, expected]);
    }
    assert!(!runs.exists(), "nothing is made before the settings are understood");
    // The override is pointed at where it is to blame.
    let study = changed(folder.path(), &[]);
    let set = "compare.arms.mine=down.1.0.r=conv1d(kk=3)";
    let expected = ["apply --set compare.arms.mine=down.1.0.r=conv1d(kk=3): ", "has no parameter \"kk\""];
    fails(&["run", &study, "--runs", runs.to_str().unwrap(), "--set", set], 2, &expected);
}

#[test]
fn a_search_space_is_pointed_at_in_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("space.toml");
    for (choices, slots, place, expected) in [
        (r#"["none", "conv1x(k=3)"]"#, r#"["down.*"]"#, ":3:20: ", "no operator \"conv1x\", did you mean conv1d?"),
        (r#"["none", "attn1d(haeds=3)"]"#, r#"["down.*"]"#, ":3:20: ", "did you mean heads?"),
        (r#"["none", "attn1d(pos=rotery)"]"#, r#"["down.*"]"#, ":3:20: ", "did you mean rotary?"),
        (r#"["none", "none"]"#, r#"["down.*"]"#, ":3:20: ", "listed twice"),
        (r#"[]"#, r#"["down.*"]"#, ":3:1: ", "at least one choice"),
        (r#"["none"]"#, r#"["down.*", "down.0.0.x"]"#, ":2:20: ", "did you mean down.0.0.r?"),
        (r#"["none"]"#, r#"["down.*"]"#, ":2:1: ", "unknown field `slot`, did you mean `slots`?"),
    ] {
        let key = if expected.contains("`slot`") { "slot" } else { "slots" };
        std::fs::write(&path, format!("[[rules]]\n{key} = {slots}\nchoices = {choices}\n")).unwrap();
        let path = path.to_str().unwrap();
        let place = format!("{path}{place}");
        let show = ["space", "show", path, "--backbone", "configs/backbones/quickstart"];
        fails(&show, 2, &[&place, expected]);
    }
}

#[test]
fn old_names_work_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    let study = changed(folder.path(), &[("[evaluator]", "[judge]"), ("evaluated = 8", "judged = 9")]);
    let report = |extra: &[&str]| {
        let output = tnas(&[&["report", &study, "--runs", runs.to_str().unwrap()], extra].concat());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}");
        text
    };
    let text = report(&["--set", "watch.looks=2", "--set", "judge.steps=11"]);
    for expected in [
        format!("warning: {study}:48:2: `judge` is now `evaluator`; the old name works for one more version"),
        format!("warning: {study}:55:1: `samples.judged` is now `samples.evaluated`;"),
        "warning: --set watch.looks=2: `watch.looks` is now `watch.previews`;".into(),
        "warning: --set judge.steps=11: `judge.steps` is now `evaluator.steps`;".into(),
    ] {
        assert_eq!(text.matches(&expected).count(), 1, "{expected:?} in: {text}");
    }
    let resolved: toml::Table =
        toml::from_str(&std::fs::read_to_string(runs.join("smoke/study.toml")).unwrap()).unwrap();
    let number = |table: &str, key: &str| resolved[table][key].as_integer();
    assert_eq!(number("samples", "evaluated"), Some(9));
    assert_eq!(number("watch", "previews"), Some(2));
    assert_eq!(number("evaluator", "steps"), Some(11));
    assert_eq!(number("evaluator", "batch"), Some(8));
    // What the run wrote down has the new names, and no warning.
    let again = runs.join("smoke/study.toml");
    let output = tnas(&["report", again.to_str().unwrap(), "--runs", runs.to_str().unwrap()]);
    assert!(output.status.success() && !String::from_utf8_lossy(&output.stderr).contains("warning"));
    // Both names at once contradict each other.
    let study = changed(folder.path(), &[("evaluated = 8", "evaluated = 8\njudged = 9")]);
    let place = format!("{study}:56:1: ");
    let runs = runs.to_str().unwrap();
    fails(
        &["report", &study, "--runs", runs],
        2,
        &[&place, "`samples.judged` is the old name of `samples.evaluated`"],
    );
    // The command has a new name too.
    let output = tnas(&["judge", "train", "no-such-study.toml"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.starts_with("warning: the command `judge` is now `evaluator`"), "{text}");
    assert_eq!(text.matches("No such file").count(), 1, "{text}");
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
