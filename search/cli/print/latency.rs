//! Accuracy of the latency predictor.

use tnas_record::{Accuracy, TimedLatencyEvaluation};

use super::table::table;

/// Prints the table, the learning curve and the speed.
pub fn print(TimedLatencyEvaluation { evaluation, speed }: &TimedLatencyEvaluation) {
    println!("{}, {} time", evaluation.device, evaluation.clock);
    println!(
        "{} measurements to learn from, tested on {}; noise floor {}",
        evaluation.measurements,
        evaluation.tested_on,
        percent(evaluation.noise_floor)
    );
    let head = ["", "MAPE", "±5 %", "±10 %", "Spearman", "Kendall", "coverage"];
    let mut rows = table(&head.map(String::from));
    let mut row = |name: String, accuracy: &Option<Accuracy>| {
        rows.add_rows(accuracy.as_ref().map(|accuracy| line(name, accuracy)));
    };
    row("second by first measurement".into(), &evaluation.repeats);
    row("predictor".into(), &evaluation.predictor);
    row("MACs fit".into(), &evaluation.macs_fit);
    row("one-hot fit".into(), &evaluation.one_hot_fit);
    for point in &evaluation.learning_curve {
        row(format!("  from {}", point.measurements), &point.predictor);
    }
    row(format!("mean of {} other splits", evaluation.splits.count), &evaluation.splits.predictor);
    println!("{rows}");
    if evaluation.sources_offered > 0 && evaluation.sources.is_empty() {
        println!("no similar source");
    }
    for source in &evaluation.sources {
        println!("source {}: Spearman {:.3} with what was measured", source.device, source.agreement);
    }
    println!("fitting {} architectures takes {:.2} s", speed.rows, speed.fit_seconds);
    println!("one core predicts {:.0} candidates a second", speed.per_second);
}

fn line(name: String, accuracy: &Accuracy) -> Vec<String> {
    let number = |x: f64| format!("{x:.3}");
    vec![
        name,
        percent(Some(accuracy.mape)),
        percent(Some(accuracy.within_5pct)),
        percent(Some(accuracy.within_10pct)),
        number(accuracy.spearman),
        number(accuracy.kendall),
        percent(accuracy.coverage),
    ]
}

fn percent(fraction: Option<f64>) -> String {
    fraction.map_or("–".into(), |x| format!("{:.1} %", 100.0 * x))
}
