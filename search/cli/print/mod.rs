//! Figures of a stage as text for a terminal.

pub mod check;
pub mod evaluation;
pub mod evaluator;
pub mod gaps;
pub mod latency;
pub mod table;

use serde::Serialize;
use tnas_record::EvaluatorSummary;
use tnas_stages::workbench::Workbench;

/// One JSON object on stdout: a command's figures behind its name.
#[derive(Serialize)]
struct Printed<'a, T> {
    format_version: u32,
    command: &'a str,
    #[serde(flatten)]
    figures: T,
}

/// Prints a command's figures as one JSON object.
pub fn json(command: &str, figures: &impl Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(&Printed { format_version: 1, command, figures })?);
    Ok(())
}

/// Prints the figures of a stage that a user reads on the terminal.
pub fn stage(name: &str, bench: &Workbench, json: bool) -> anyhow::Result<()> {
    if name == "evaluator" {
        bench.run.figures::<EvaluatorSummary>().iter().for_each(|figures| evaluator::print(figures, json));
    }
    if name == "samples" && !json {
        let found = tnas_record::read_from::<tnas_record::Evaluation>(&bench.run.files().samples_evaluation())?;
        if let Some(found) = &found {
            evaluation::print(found);
            gaps::print(&found.few_steps);
        }
    }
    Ok(())
}
