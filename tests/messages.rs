//! Help and errors, word for word.

use crate::smoke::{STUDY, tnas};

/// Every command.
const COMMANDS: [&str; 29] = [
    "",
    "run",
    "backbone",
    "backbone train",
    "backbone take",
    "backbone check",
    "backbone import",
    "scheduler check",
    "supernet train",
    "space show",
    "model new",
    "model step",
    "profile",
    "profile plan",
    "profile import",
    "latency",
    "latency fit",
    "latency bench",
    "latency eval",
    "search",
    "finetune",
    "compare",
    "distill",
    "generate",
    "evaluator",
    "evaluator train",
    "evaluate",
    "export",
    "report",
];

/// Snapshots of one kind lie in one folder.
fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path("snapshots");
    settings.set_omit_expression(true);
    settings
}

#[test]
fn help_of_every_command() {
    let _bound = settings().bind_to_scope();
    for command in COMMANDS {
        let words: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let output = tnas(&words);
        assert!(output.status.success(), "{command}");
        let name = if command.is_empty() { "help".into() } else { format!("help-{}", command.replace(' ', "-")) };
        insta::assert_snapshot!(name, String::from_utf8(output.stdout).unwrap());
    }
}

#[test]
fn errors_and_their_exit_codes() {
    let _bound = settings().bind_to_scope();
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().to_str().unwrap();
    let study = |name: &str, from: &str, to: &str| {
        let path = folder.path().join(format!("{name}.toml"));
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/configs/studies/smoke.toml"));
        let text = text.unwrap();
        assert!(text.contains(from));
        std::fs::write(&path, text.replace(from, to)).unwrap();
        path.to_str().unwrap().to_string()
    };
    let misspelt = study("misspelt", "frames = 8", "frmaes = 8");
    let mistyped = study("mistyped", "frames = 8", "frames = \"many\"");
    let set = |setting: &'static str| vec!["run", STUDY, "--runs", runs, "--set", setting];
    let cases: [(&str, Vec<&str>); 13] = [
        ("no-command", vec![]),
        ("unknown-command", vec!["serach", STUDY]),
        ("no-study", vec!["run", "no-such-study.toml"]),
        ("misspelt-setting", vec!["run", &misspelt, "--runs", runs]),
        ("mistyped-setting", vec!["run", &mistyped, "--runs", runs]),
        ("odd-population", set("search.population=7")),
        ("unknown-runtime", set("profile.runtimes=[\"onxruntime\"]")),
        ("device-of-a-runtime", set("profile.runtimes=[\"onnxruntime@gpu\"]")),
        ("library-of-no-runtime", set("profile.libraries.burn=\"here\"")),
        ("unknown-device", vec!["run", STUDY, "--runs", runs, "--device", "tpu"]),
        ("no-winner", vec!["finetune", STUDY, "--runs", runs]),
        ("no-backbone", vec!["space", "show", "configs/spaces/smoke.toml", "--backbone", "no-such-folder"]),
        ("no-caption", vec!["generate", STUDY, "--runs", runs]),
    ];
    for (name, arguments) in cases {
        let output = tnas(&arguments);
        let text = String::from_utf8(output.stderr).unwrap().replace(runs, "RUNS");
        let code = output.status.code().unwrap();
        assert_ne!(code, 0, "{name}: {text}");
        insta::assert_snapshot!(format!("error-{name}"), format!("{text}exit code {code}"));
    }
}
