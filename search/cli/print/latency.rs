//! Accuracy of the latency predictor.

use serde_json::Value;

/// Prints the table, the learning curve and the speed.
pub fn print(figures: &Value) {
    let percent = |value: &Value| value.as_f64().map_or("–".into(), |x| format!("{:.1} %", 100.0 * x));
    let number = |value: &Value| value.as_f64().map_or("–".into(), |x| format!("{x:.3}"));
    println!("{}, {} time", figures["device"].as_str().unwrap_or("?"), figures["clock"].as_str().unwrap_or("?"));
    println!(
        "{} measurements to learn from, tested on {}; noise floor {}",
        figures["measurements"],
        figures["tested_on"],
        percent(&figures["noise_floor"])
    );
    println!(
        "{:<26}{:>9}{:>9}{:>9}{:>10}{:>9}{:>10}",
        "", "MAPE", "±5 %", "±10 %", "Spearman", "Kendall", "coverage"
    );
    let row = |name: &str, accuracy: &Value| {
        if accuracy.is_object() {
            println!(
                "{name:<26}{:>9}{:>9}{:>9}{:>10}{:>9}{:>10}",
                percent(&accuracy["mape"]),
                percent(&accuracy["within_5pct"]),
                percent(&accuracy["within_10pct"]),
                number(&accuracy["spearman"]),
                number(&accuracy["kendall"]),
                percent(&accuracy["coverage"])
            );
        }
    };
    row("second by first measurement", &figures["repeats"]);
    row("predictor", &figures["predictor"]);
    row("MACs fit", &figures["macs_fit"]);
    row("one-hot fit", &figures["one_hot_fit"]);
    for point in figures["learning_curve"].as_array().into_iter().flatten() {
        row(&format!("  from {}", point["measurements"]), &point["predictor"]);
    }
    row(&format!("mean of {} other splits", figures["splits"]["count"]), &figures["splits"]["predictor"]);
    match &figures["sources"] {
        Value::String(text) => println!("{text}"),
        sources => {
            for source in sources.as_array().into_iter().flatten() {
                let device = source["device"].as_str().unwrap_or("?");
                println!("source {device}: Spearman {} with what was measured", number(&source["agreement"]));
            }
        }
    }
    let speed = &figures["speed"];
    println!("fitting {} architectures takes {:.2} s", speed["rows"], speed["fit_seconds"].as_f64().unwrap_or(0.0));
    println!("one core predicts {:.0} candidates a second", speed["per_second"].as_f64().unwrap_or(0.0));
}
