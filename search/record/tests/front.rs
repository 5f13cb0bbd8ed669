//! Records read what they wrote.

use std::{error::Error, fs, process::Command};

use tnas_record::{Front, FrontRow, Versioned, from_json, to_json};

type Result = std::result::Result<(), Box<dyn Error>>;

fn front() -> Front {
    let row = |id: &str, loss: f64, measured: Option<f64>| FrontRow {
        arch_id: id.into(),
        genotype: "mid.0.r=conv1d(k=3)".into(),
        objectives: [("loss".into(), loss), ("latency_ms".into(), 30.0 - loss)].into(),
        measured: measured.map(|ms| ("latency_ms".into(), ms)).into_iter().collect(),
        parameters: 1000,
        macs: 20_000,
        peak_activation_bytes: 4096,
        winner: measured.is_some(),
    };
    Front { rows: vec![row("a", 0.5, Some(29.0)), row("b", 0.4, None)], ..Front::default() }
}

#[test]
fn a_front_comes_back_and_another_version_is_refused() -> Result {
    let bytes = to_json(&front())?;
    assert_eq!(from_json::<Front>(&bytes)?, front());
    let older = String::from_utf8(bytes)?.replacen(&format!("{}", Front::FORMAT_VERSION), "1", 1);
    let message = from_json::<Front>(older.as_bytes()).err().unwrap_or_default();
    assert!(message.contains("format version is 1"), "{message}");
    Ok(())
}

/// One line of pandas makes a table of the front; skipped where pandas is missing.
#[test]
fn pandas_reads_a_front_in_one_line() -> Result {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("front.json");
    fs::write(&path, to_json(&front())?)?;
    let python = std::env::var("TNAS_PYTHON").unwrap_or_else(|_| "python3".into());
    let there = Command::new(&python).args(["-c", "import pandas"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: {python} has no pandas; TNAS_PYTHON names another");
        return Ok(());
    }
    let code = "import json, pandas, sys; f = pandas.json_normalize(json.load(open(sys.argv[1]))['rows']); \
        print(f['objectives.loss'].tolist(), f['measured.latency_ms'].tolist()[0], f['winner'].sum())";
    let output = Command::new(&python).args(["-c", code]).arg(&path).output()?;
    assert_eq!(String::from_utf8(output.stdout)?.trim(), "[0.5, 0.4] 29.0 1");
    Ok(())
}
