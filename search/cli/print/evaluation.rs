//! An evaluation on the terminal.

use serde_json::Value;

/// Columns after the name: heading and metric.
const COLUMNS: [(&str, &str); 6] = [
    ("kernel MMD", "kernel_mmd"),
    ("Fréchet", "frechet"),
    ("frame diff.", "frame_difference_ratio"),
    ("warp error", "warp_error_ratio"),
    ("diversity", "diversity_ratio"),
    ("in captions", "diversity_within_captions_ratio"),
];

/// Prints the table, the controls and what they show of the metrics.
pub fn print(found: &Value) {
    let words = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    println!(
        "evaluator {}, trained on split {}, {} features; distances to {} {}; 95 % intervals of {} resamples",
        short(&found["evaluator"]["evaluator_sha256"]),
        short(&found["evaluator"]["training_split_sha256"]),
        found["evaluator"]["features"],
        found["reference"]["clips"],
        words(&found["reference"]["of"]),
        found["resamples"]
    );
    println!(
        "kernel MMD: unbiased squared MMD, kernel (x·y/d + 1)³, of features whitened by training clips; ratios are to the reference"
    );
    for warning in found["warnings"].as_array().into_iter().flatten() {
        println!("warning: {}", words(warning));
    }
    let list = |key: &str| found[key].as_array().cloned().unwrap_or_default();
    let (arms, controls) = (list("arms"), list("controls"));
    let rows: Vec<&Value> = [&found["floor"], &found["held_out"]]
        .into_iter()
        .filter(|row| row.is_object())
        .chain(&arms)
        .chain(&controls)
        .collect();
    let unfit: Vec<&str> = found["fitness"].as_array().into_iter().flatten().filter_map(unfit).collect();
    let labels: Vec<String> = found["floor"]["metrics"]
        .as_object()
        .into_iter()
        .flat_map(|metrics| metrics.keys())
        .filter(|metric| metric.starts_with("accuracy"))
        .cloned()
        .collect();
    let columns: Vec<(String, String)> = COLUMNS
        .iter()
        .map(|(heading, metric)| ((*heading).to_owned(), (*metric).to_owned()))
        .chain(
            labels.iter().map(|metric| (metric.trim_start_matches("accuracy/").replace('_', " "), metric.clone())),
        )
        .filter(|(_, metric)| rows.iter().any(|row| row["metrics"][metric].is_object()))
        .collect();
    let mut table = vec![vec!["".to_owned(), "clips".to_owned()]];
    table[0].extend(
        columns.iter().map(|(heading, metric)| {
            format!("{heading}{}", if unfit.contains(&metric.as_str()) { "*" } else { "" })
        }),
    );
    table[0].push("near training".into());
    for row in &rows {
        let mut line = vec![words(&row["arm"]), row["clips"].to_string()];
        line.extend(columns.iter().map(|(_, metric)| interval(&row["metrics"][metric])));
        line.push(memorised(&row["memorisation"]));
        table.push(line);
    }
    print_aligned(&table);
    for row in found["fitness"].as_array().into_iter().flatten().filter(|row| row["fit"] == false) {
        let blind: Vec<&str> = row["blind_to"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        println!("* {} is unfit to decide by itself: not worse for {}", words(&row["metric"]), blind.join(", "));
    }
}

fn unfit(row: &Value) -> Option<&str> {
    row["metric"].as_str().filter(|_| row["fit"] == false)
}

fn short(hash: &Value) -> String {
    hash.as_str().unwrap_or("?").chars().take(12).collect()
}

fn interval(figure: &Value) -> String {
    match [&figure["estimate"], &figure["low"], &figure["high"]].map(Value::as_f64) {
        [Some(estimate), Some(low), Some(high)] => {
            format!("{} [{}, {}]", digits(estimate), digits(low), digits(high))
        }
        _ => "–".into(),
    }
}

/// Three digits that count.
fn digits(x: f64) -> String {
    let places = if x == 0.0 { 2 } else { (2 - x.abs().log10().floor() as i64).clamp(0, 5) as usize };
    format!("{x:.places$}")
}

/// Distance to the nearest training clip over that of held-out clips, and the share below their 1st percentile.
fn memorised(figure: &Value) -> String {
    let [ratio, below] = [&figure["ratio"], &figure["below_1st"]].map(Value::as_f64);
    let (Some(ratio), Some(below)) = (ratio, below) else { return "–".into() };
    let copies = if figure["copies"] == true { ", copies!" } else { "" };
    format!("{}, {:.0} %{copies}", digits(ratio), 100.0 * below)
}

fn print_aligned(table: &[Vec<String>]) {
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    for row in table {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let fill = " ".repeat(width(column) - cell.chars().count());
            if column == 0 { format!("{cell}{fill}") } else { format!("{fill}{cell}") }
        });
        println!("{}", cells.collect::<Vec<_>>().join("  "));
    }
}
