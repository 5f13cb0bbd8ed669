//! Settings are read once and strictly; what is wrong is told with its place and the nearest valid name.

use serde::{Deserialize, Serialize};
use std::path::Path;
use tnas_study::{SettingsError, load, parse, to_toml_string};

#[derive(Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Study {
    seed: u64,
    frames: usize,
    #[serde(default)]
    search: Search,
}

#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct Search {
    population: usize,
    method: Method,
    device: Option<String>,
}

#[derive(Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Method {
    #[default]
    Evolution,
    Knapsack,
}

fn read(text: &str, overrides: &[&str]) -> Result<Study, SettingsError> {
    let overrides: Vec<String> = overrides.iter().map(|o| o.to_string()).collect();
    parse(text, Path::new("study.toml"), &overrides)
}

fn complaint(text: &str, overrides: &[&str]) -> String {
    read(text, overrides).map_or_else(|e| e.to_string(), |study| format!("accepted {study:?}"))
}

const GOOD: &str = "seed = 7\nframes = 8\n\n[search]\npopulation = 64\n";

#[test]
fn settings_print_and_parse() -> Result<(), SettingsError> {
    let study = read(GOOD, &[])?;
    let text = to_toml_string(&study)?;
    assert_eq!(read(&text, &[])?, study);
    Ok(())
}

#[test]
fn an_unknown_name_is_told_with_its_place_and_the_nearest() {
    for (text, expected) in [
        ("seed = 7\nfrmaes = 8\n", "read study.toml:2:1: unknown field `frmaes`, did you mean `frames`?"),
        (
            "seed = 7\nframes = 8\n[search]\n  popluation = 3\n",
            "read study.toml:4:3: unknown field `popluation`, did you mean `population`?",
        ),
        (
            "seed = 7\nframes = 8\n[search]\n# ä\nmethod = \"Knapsak\"\n",
            "read study.toml:5:10: unknown variant `Knapsak`, did you mean `knapsack`?",
        ),
        (
            "seed = 7\nframes = 8\nwhatever = 1\n",
            "read study.toml:3:1: unknown field `whatever`, expected one of `seed`, `frames`, `search`",
        ),
        ("seed = 7\nframes = \"ä\" x", "read study.toml:2:14: unexpected key or value, expected newline, `#`"),
    ] {
        assert_eq!(complaint(text, &[]), expected);
    }
    assert!(complaint("seed = 7\n", &[]).starts_with("read study.toml:1:1: missing field `frames`"));
    assert!(
        complaint("seed = 7\nframes = -8\n", &[]).starts_with("read study.toml:2:10: invalid value: integer `-8`")
    );
}

#[test]
fn overrides_come_after_the_file_and_in_order() -> Result<(), SettingsError> {
    let study = read(GOOD, &["frames=4", "search.device=cpu", "search.method=knapsack", "frames=5"])?;
    let search = Search { population: 64, method: Method::Knapsack, device: Some("cpu".into()) };
    assert_eq!(study, Study { seed: 7, frames: 5, search });
    Ok(())
}

#[test]
fn an_override_completes_or_corrects_a_file() -> Result<(), SettingsError> {
    assert_eq!(read("seed = 7\n", &["frames=4"])?.frames, 4);
    assert_eq!(read("seed = 7\nframes = -1\n", &["seed=1", "frames=4"])?.frames, 4);
    Ok(())
}

#[test]
fn the_blame_falls_on_the_file_or_on_the_override_that_broke_it() {
    for (text, overrides, expected) in [
        (GOOD, &["seed=1", "frmaes=4"][..], "apply --set frmaes=4: unknown field `frmaes`, did you mean `frames`?"),
        (GOOD, &["frmaes=4", "seed=1"], "apply --set frmaes=4: unknown field `frmaes`, did you mean `frames`?"),
        (
            GOOD,
            &["search.method=Evolutoin"],
            "apply --set search.method=Evolutoin: unknown variant `Evolutoin`, did you mean `evolution`?",
        ),
        (GOOD, &["seed.x=1"], "apply --set seed.x=1: `seed` is the integer 7, not a table"),
        (GOOD, &["seed"], "apply --set seed: expected key=value"),
        ("sed = 7\nframes = 8\n", &["frames=4"], "read study.toml:1:1: unknown field `sed`, did you mean `seed`?"),
        ("seed = [\n", &["frames=4"], "read study.toml:1:9: unclosed array, expected `]`"),
    ] {
        assert_eq!(complaint(text, overrides), expected);
    }
    assert!(
        complaint(GOOD, &["frames=many"]).starts_with("apply --set frames=many: invalid type: string \"many\"")
    );
}

#[test]
fn a_missing_file_is_named() {
    let found = load::<Study>("no/such/study.toml", &[]);
    assert!(found.is_err_and(|e| e.to_string().starts_with("read no/such/study.toml: No such file")));
}
