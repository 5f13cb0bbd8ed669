//! The evaluator on real and corrupted clips.

use tnas_record::EvaluatorSummary;

/// Prints the accuracy on held-out clips, and warns where corrupted clips pass for real ones.
pub fn print(figures: &EvaluatorSummary, json: bool) {
    for row in figures.controls.iter().filter(|_| !json) {
        let accuracy: Vec<String> =
            row.accuracy.iter().map(|(label, fraction)| format!("{label} {:.0} %", 100.0 * fraction)).collect();
        println!("{:<10} Fréchet {:>8.3}  {}", row.clips, row.frechet, accuracy.join(", "));
    }
    if !figures.controls_worse_than_floor {
        eprintln!(
            "warning: a corrupted clip is not further from real ones than real ones are: this evaluator is not fit to evaluate"
        );
    }
}
