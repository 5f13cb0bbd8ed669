//! The evaluator on real and corrupted clips.

use serde_json::Value;

/// Says on the terminal how well the evaluator tells held-out clips, and whether it sees that others are corrupted.
pub fn print(figures: &Value, json: bool) {
    let share = |value: &Value| format!("{:.0} %", 100.0 * value.as_f64().unwrap_or(f64::NAN));
    for row in figures["controls"].as_array().into_iter().flatten().filter(|_| !json) {
        let told: Vec<String> = row["accuracy"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(label, value)| format!("{label} {}", share(value)))
            .collect();
        println!(
            "{:<10} Fréchet {:>8.3}  {}",
            row["clips"].as_str().unwrap_or("?"),
            row["frechet"].as_f64().unwrap_or(f64::NAN),
            told.join(", ")
        );
    }
    if figures["controls_worse_than_floor"] == false {
        eprintln!(
            "warning: a corrupted clip is not further from real ones than real ones are: this evaluator is not fit to evaluate"
        );
    }
}
