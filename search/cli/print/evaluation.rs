//! An evaluation on the terminal.

use tnas_record::{EvaluatedArm, Evaluation, Memorisation, Spread};

use super::table::table;

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
pub fn print(found: &Evaluation) {
    println!(
        "evaluator {}, trained on split {}, {} features; distances to {} {}; 95 % intervals of {} resamples",
        short(&found.evaluator.evaluator_sha256),
        short(&found.evaluator.training_split_sha256),
        found.evaluator.features,
        found.reference.clips,
        found.reference.of,
        found.resamples
    );
    println!(
        "kernel MMD: unbiased squared MMD, kernel (x·y/d + 1)³, of features whitened by training clips; ratios are to the reference"
    );
    for warning in &found.warnings {
        println!("warning: {warning}");
    }
    let columns = columns(found);
    let unfit = |metric: &str| found.unfit().any(|found| found.metric == metric);
    let mut head = vec![String::new(), "clips".into()];
    head.extend(
        columns.iter().map(|(heading, metric)| format!("{heading}{}", if unfit(metric) { "*" } else { "" })),
    );
    head.push("near training".into());
    let mut rows = table(&head);
    for arm in found.all_arms() {
        let mut row = vec![arm.arm.clone(), arm.clips.to_string()];
        row.extend(columns.iter().map(|(_, metric)| interval(arm.metrics.get(metric))));
        row.push(arm.memorisation.as_ref().map_or("–".into(), memorised));
        rows.add_row(row);
    }
    println!("{rows}");
    for metric in found.unfit() {
        println!("* {} is unfit to decide by itself: not worse for {}", metric.metric, metric.blind_to.join(", "));
    }
}

/// Heading and metric of each column that any set of clips has.
fn columns(found: &Evaluation) -> Vec<(String, String)> {
    let labels = found.floor.metrics.keys().filter(|metric| metric.starts_with("accuracy"));
    let labels = labels.map(|metric| (metric.trim_start_matches("accuracy/").replace('_', " "), metric.clone()));
    let known = COLUMNS.iter().map(|(heading, metric)| ((*heading).to_owned(), (*metric).to_owned()));
    let has = |arm: &EvaluatedArm, metric: &String| arm.metrics.contains_key(metric);
    known.chain(labels).filter(|(_, metric)| found.all_arms().any(|arm| has(arm, metric))).collect()
}

fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}

fn interval(figure: Option<&Spread>) -> String {
    figure.map_or("–".into(), |&Spread { estimate, low, high, .. }| {
        format!("{} [{}, {}]", digits(estimate), digits(low), digits(high))
    })
}

/// Three significant digits.
fn digits(x: f64) -> String {
    let places = if x == 0.0 { 2 } else { (2 - x.abs().log10().floor() as i64).clamp(0, 5) as usize };
    format!("{x:.places$}")
}

/// Distance to the nearest training clip over that of held-out clips, and the fraction below their 1st percentile.
fn memorised(found: &Memorisation) -> String {
    let copies = if found.copies { ", copies!" } else { "" };
    format!("{}, {:.0} %{copies}", digits(found.ratio), 100.0 * found.below_1st)
}
