//! Settings are read once and strictly; what is wrong is reported with its place and the nearest valid name.

use serde::{Deserialize, Serialize};
use std::path::Path;
use tnas_study::{SettingsError, SettingsSource, load, parse, parse_source, to_toml_string};

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

const RENAMED: &[(&str, &str)] = &[
    ("find", "search"),
    ("clips.frames", "frames"),
    ("search.size", "search.population"),
    ("search.training.method", "search.method"),
];

fn read_renamed(text: &str, overrides: &[&str]) -> Result<(Study, SettingsSource), SettingsError> {
    let overrides: Vec<String> = overrides.iter().map(|o| o.to_string()).collect();
    parse_source(text, Path::new("study.toml"), &overrides, RENAMED)
}

#[test]
fn a_later_error_points_at_the_key_the_override_or_the_table_that_lacks_it() -> Result<(), SettingsError> {
    let overrides = ["search.device=cpu", "extra.table.key=1"].map(str::to_owned);
    let text = "seed = 7\nlist = [1, { a = 2 }]\n\n[search]\n  population = 64\n\"odd name\" = 1\n[[rules]]\nx = [1,\n 2]\n";
    let (_, source): (toml::Table, _) = parse_source(text, Path::new("study.toml"), &overrides, &[])?;
    for (key, expected) in [
        ("seed", "read study.toml:1:1: wrong"),
        ("search.population", "read study.toml:5:3: wrong"),
        ("search.\"odd name\"", "read study.toml:6:1: wrong"),
        ("search", "read study.toml:4:2: wrong"),
        ("search.missing", "read study.toml:4:2: wrong"),
        ("search.missing.deeper", "read study.toml:4:2: wrong"),
        ("missing", "read study.toml:1:1: wrong"),
        ("not a key", "read study.toml:1:1: wrong"),
        ("list.1.a", "read study.toml:2:14: wrong"),
        ("list.7", "read study.toml:2:1: wrong"),
        ("rules.0.x.1", "read study.toml:9:2: wrong"),
        ("search.device", "apply --set search.device=cpu: wrong"),
        ("extra.table.key", "apply --set extra.table.key=1: wrong"),
        ("extra.table.other", "apply --set extra.table.key=1: wrong"),
    ] {
        assert_eq!(source.error(key, "wrong").to_string(), expected, "{key}");
    }
    Ok(())
}

#[test]
fn old_names_move_to_the_new_ones_with_a_warning_each() -> Result<(), SettingsError> {
    let text = "seed = 7\nclips.frames = 8\n\n[find]\nsize = 64\n";
    let (study, source) = read_renamed(text, &["find.device=gpu", "search.training.method=knapsack", "seed=3"])?;
    let search = Search { population: 64, method: Method::Knapsack, device: Some("gpu".into()) };
    assert_eq!(study, Study { seed: 3, frames: 8, search });
    let words = "the old name works for one more version";
    let expected = [
        ("study.toml:4:2", "find", "search"),
        ("study.toml:2:7", "clips.frames", "frames"),
        ("study.toml:5:1", "search.size", "search.population"),
        ("--set find.device=gpu", "find.device", "search.device"),
        ("--set search.training.method=knapsack", "search.training.method", "search.method"),
    ]
    .map(|(place, old, new)| format!("{place}: `{old}` is now `{new}`; {words}"));
    assert_eq!(source.warnings(), expected);
    // Errors about the new key point at the old one, which is what stands in the file.
    assert_eq!(source.error("frames", "wrong").to_string(), "read study.toml:2:7: wrong");
    assert_eq!(source.error("search.device", "wrong").to_string(), "apply --set find.device=gpu: wrong");
    Ok(())
}

#[test]
fn a_table_of_an_override_may_hold_old_names() -> Result<(), SettingsError> {
    let (study, source) = read_renamed(GOOD, &["search={ size = 3, training = { method = \"knapsack\" } }"])?;
    assert_eq!((study.search.population, study.search.method), (3, Method::Knapsack));
    assert_eq!(source.warnings().len(), 2);
    Ok(())
}

#[test]
fn an_old_name_beside_its_new_one_is_an_error() -> Result<(), SettingsError> {
    let complaint = |text: &str| read_renamed(text, &[]).map_or_else(|e| e.to_string(), |_| "accepted".into());
    let text = "seed = 7\nframes = 8\n[search]\npopulation = 64\nsize = 3\n";
    let expected = "read study.toml:5:1: `search.size` is the old name of `search.population`, which is set too; leave \
                    `search.size` out";
    assert_eq!(complaint(text), expected);
    // Tables of both names are one table, as long as no key comes twice.
    let both = "seed = 7\nframes = 8\n[search]\npopulation = 64\n[find]\ndevice = \"cpu\"\n";
    let (study, _) = read_renamed(both, &[])?;
    assert_eq!((study.search.population, study.search.device.as_deref()), (64, Some("cpu")));
    assert!(
        complaint(&format!("{both}population = 1\n")).starts_with("read study.toml:5:2: `find` is the old name")
    );
    // An override under either name wins over the file.
    let (study, _) = read_renamed("seed = 7\nclips.frames = 8\n", &["clips.frames=4"])?;
    assert_eq!(study.frames, 4);
    Ok(())
}
