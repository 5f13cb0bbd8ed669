use std::{collections::BTreeMap, process::Command};

use serde_json::Value;

/// Package and the packages of this workspace that it may depend on.
const ALLOWED: &[(&str, &[&str])] = &[
    ("tnas-graph", &[]),
    ("tnas-schedulers", &[]),
    ("tnas-weights", &[]),
    ("tnas-evolution", &[]),
    ("tnas-record", &[]),
    ("tnas-clips", &[]),
    ("tnas-reports", &["tnas-record"]),
    ("tnas-testing", &[]),
    ("tnas-space", &["tnas-graph"]),
    ("tnas-models", &["tnas-graph", "tnas-schedulers", "tnas-space"]),
    ("tnas-latency", &["tnas-graph"]),
    ("tnas-export", &["tnas-graph"]),
    ("tnas-study", &["tnas-record", "tnas-weights"]),
    ("tnas-network", &["tnas-graph", "tnas-weights"]),
    (
        "tnas-pipeline",
        &[
            "tnas-clips",
            "tnas-graph",
            "tnas-models",
            "tnas-network",
            "tnas-record",
            "tnas-schedulers",
            "tnas-space",
            "tnas-study",
            "tnas-training",
            "tnas-weights",
        ],
    ),
    ("tnas-evaluation", &["tnas-clips", "tnas-graph", "tnas-models", "tnas-network", "tnas-training"]),
    (
        "tnas-training",
        &[
            "tnas-clips",
            "tnas-graph",
            "tnas-schedulers",
            "tnas-space",
            "tnas-models",
            "tnas-weights",
            "tnas-network",
        ],
    ),
];

/// Packages that may use Burn.
const BURNS: &[&str] = &["tnas-network", "tnas-training", "tnas-evaluation"];

fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let normal = |package: &Value| -> Vec<String> {
        let list = package["dependencies"].as_array().unwrap().iter();
        list.filter(|d| d["kind"].is_null()).map(|d| d["name"].as_str().unwrap().to_string()).collect()
    };
    let packages = json["packages"].as_array().unwrap().iter();
    packages.map(|package| (package["name"].as_str().unwrap().to_string(), normal(package))).collect()
}

#[test]
fn dependencies_point_the_way_that_is_drawn() {
    let found = dependencies();
    for (package, allowed) in ALLOWED {
        let ours = found[*package].iter().filter(|name| name.starts_with("tnas-"));
        for name in ours {
            assert!(allowed.contains(&name.as_str()), "{package} depends on {name}");
        }
    }
    // The program and its stages may use every crate below them.
    assert_eq!(found.len(), ALLOWED.len() + 2, "a crate is missing in this list");
}

#[test]
fn the_pure_crates_do_not_know_burn() {
    for (package, names) in dependencies() {
        let burns = names.iter().any(|name| name == "burn" || name.starts_with("burn-"));
        assert!(!burns || BURNS.contains(&package.as_str()), "{package} depends on Burn");
    }
}
