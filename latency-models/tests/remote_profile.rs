use std::fs;

use tnas_latency::{LatencyError, PlannedRun, Profile, RemoteProfile, Role, TableRow};

/// A folder with a table of three architectures, an anchor at both ends and a repeat, and filled facts.
fn planned() -> (tempfile::TempDir, RemoteProfile) {
    let folder = tempfile::tempdir().unwrap();
    let table = RemoteProfile::new(folder.path());
    let plain = PlannedRun { candidate: 0, anchor: false, repeat: false, held_out: false };
    let anchor = PlannedRun { anchor: true, ..plain };
    let runs = [
        ("a", anchor),
        ("b", plain),
        ("c", PlannedRun { held_out: true, ..plain }),
        ("b", PlannedRun { repeat: true, ..plain }),
        ("a", anchor),
    ];
    let row = |(order, (id, run)): (u32, &(&str, PlannedRun))| {
        TableRow::new(order, run, format!("{id}.onnx"), (*id).into(), format!("genotype of {id}, with commas"))
    };
    table.plan("iPhone 17", &(0..).zip(&runs).map(row).collect::<Vec<_>>()).unwrap();
    let facts = fs::read_to_string(table.facts()).unwrap();
    assert!(facts.contains("device_name = \"iPhone 17\""));
    let filled =
        facts.replace("cpu_model = \"\"", "cpu_model = \"A19\"").replace("runtime = \"\"", "runtime = \"coreml\"");
    fs::write(table.facts(), filled.replace("os = \"\"", "os = \"iOS 26\"")).unwrap();
    (folder, table)
}

/// Writes what was measured behind the lines' first five cells.
fn fill(table: &RemoteProfile, cells: &[&str]) {
    let text = fs::read_to_string(table.table()).unwrap();
    let mut lines = text.lines();
    let mut filled = vec![lines.next().unwrap().to_string()];
    filled.extend(lines.zip(cells).map(|(line, cell)| format!("{}{cell}", line.trim_end_matches(','))));
    fs::write(table.table(), filled.join("\n") + "\n").unwrap();
}

const SOUND: [&str; 5] = [",5.0,,,", ",2.0,1.9,2.2,300", ",3.5,,,", ",2.1,,,", ",5.2,,,"];

fn import(table: &RemoteProfile, folder: &tempfile::TempDir) -> Result<Profile, LatencyError> {
    table.import(&folder.path().join("profile/iphone-17.jsonl"), |_| Ok(()))
}

#[test]
fn what_was_filled_in_is_a_profile() {
    let (folder, table) = planned();
    fill(&table, &SOUND);
    let profile = import(&table, &folder).unwrap();
    assert_eq!(profile, Profile::read(&folder.path().join("profile/iphone-17.jsonl")).unwrap());
    assert_eq!(
        (profile.fingerprint.device_name.as_str(), profile.fingerprint.cpu_model.as_str()),
        ("iPhone 17", "A19")
    );
    let samples = profile.samples().unwrap();
    let measured: Vec<(&str, f64, bool)> =
        samples.iter().map(|s| (s.arch_id.as_str(), s.latency_ms, s.held_out)).collect();
    assert_eq!(measured, [("a", 5.1, false), ("b", 2.05, false), ("c", 3.5, true)]);
    assert_eq!(samples[1].peak_memory_bytes, Some(300 << 20));
    assert!((profile.noise_floor().unwrap() - 0.1 / 2.05).abs() < 1e-12);
    assert_eq!(profile.quality.unwrap().noise_floor, profile.noise_floor());
}

#[test]
fn want_of_memory_and_gaps_are_results_too() {
    let (folder, table) = planned();
    fill(&table, &[",5.0,,,", ",2.0,,,", ",OOM,,,", ",,,,", ",failed,,,"]);
    let profile = import(&table, &folder).unwrap();
    assert_eq!((profile.measurements.len(), profile.out_of_memory().len()), (4, 1));
    assert_eq!(profile.samples().unwrap().len(), 2);
}

#[test]
fn bad_cells_are_named_with_the_way_out() {
    for (cell, said) in [
        (",NaN,,,", "latency_ms is NaN"),
        (",-2.0,,,", "latency_ms is -2, it must be above 0"),
        (",0,,,", "it must be above 0"),
        (",inf,,,", "latency_ms is inf"),
        (",fast,,,", "write milliseconds, `oom`, `failed`, or nothing"),
        (",\"2,5\",,,", "\"2,5\""),
        (",2.0,3.0,,", "out of order"),
        (",2.0,,1.0,", "out of order"),
        (",2.0,,,lots", "peak_memory_mib is \"lots\""),
        (",2.0,,,,7", "line 3"),
    ] {
        let (folder, table) = planned();
        fill(&table, &[SOUND[0], cell, SOUND[2], SOUND[3], SOUND[4]]);
        let error = import(&table, &folder).unwrap_err().to_string();
        assert!(error.contains("plan.csv, line 3") && error.contains(said), "{cell}: {error}");
    }
}

#[test]
fn tables_that_teach_nothing_are_refused() {
    let (folder, table) = planned();
    assert!(import(&table, &folder).unwrap_err().to_string().contains("0 lines of 5"));
    fill(&table, &[",5.0,,,", ",,,,", ",,,,", ",,,,", ",,,,"]);
    assert!(import(&table, &folder).unwrap_err().to_string().contains("1 lines of 5"));
    let (folder, table) = planned();
    fill(&table, &SOUND);
    let text = fs::read_to_string(table.table()).unwrap();
    let with = |changed: String| {
        fs::write(table.table(), changed).unwrap();
        import(&table, &folder).unwrap_err().to_string()
    };
    let doubled = with(format!("{text}{}\n", text.lines().nth(2).unwrap()));
    assert!(doubled.contains("line 7") && doubled.contains("order 1 is there twice"), "{doubled}");
    let same = with(text.replace("\n2,c.onnx,c,\"genotype of c", "\n2,b.onnx,b,\"genotype of b"));
    assert!(same.contains("line 4") && same.contains("b is there already"), "{same}");
    assert!(with(text.replace("latency_ms", "latency")).contains("latency"));
    assert!(with(String::new()).contains("empty"));
    assert!(with("\u{feff}\u{0}\u{1}".into()).contains("plan.csv"));
    assert!(with(text.replace(",train,", ",teach,")).contains("teach"));
    fs::write(table.table(), &text).unwrap();
    let foreign = table.import(&folder.path().join("p.jsonl"), |row| match row.role {
        Role::Test => Err("it is of another search space".into()),
        _ => Ok(()),
    });
    let error = foreign.unwrap_err().to_string();
    assert!(error.contains("line 4") && error.contains("another search space"), "{error}");
    assert!(!folder.path().join("p.jsonl").exists());
    fs::remove_file(table.table()).unwrap();
    assert!(import(&table, &folder).unwrap_err().to_string().contains("plan.csv"));
}

#[test]
fn the_device_must_be_told() {
    let (folder, table) = planned();
    fill(&table, &SOUND);
    let facts = fs::read_to_string(table.facts()).unwrap();
    for (from, to, said) in [
        ("\"A19\"", "\"\"", "cpu_model is empty"),
        ("threads = 1", "threads = 0", "threads = 0"),
        ("precision", "precison", "precison"),
    ] {
        fs::write(table.facts(), facts.replace(from, to)).unwrap();
        let error = import(&table, &folder).unwrap_err().to_string();
        assert!(error.contains("device.toml") && error.contains(said), "{error}");
    }
}

#[test]
fn a_table_with_measurements_is_not_planned_over() {
    let (_folder, table) = planned();
    table.plan("iPhone 17", &[]).unwrap();
    let (_folder, table) = planned();
    fill(&table, &SOUND);
    assert!(table.plan("iPhone 17", &[]).unwrap_err().to_string().contains("has measurements already"));
}
