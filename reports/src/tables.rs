//! Figures of the stages as tables.

use maud::{Markup, html};
use tnas_record::{LocalScore, MeasuredRange, Objective};

use crate::{
    RunRecord,
    number::{ends, fixed, percent, readable, signed, spread, unknown},
};

/// The trained winner compared with the image model alone and with the teacher.
pub(crate) fn comparison(record: &RunRecord) -> Markup {
    let Some(found) = &record.figures.finetune else { return html! {} };
    html! {
        h2 { "Trained winner" }
        p {
            "Held-out loss after " (found.steps) " optimiser steps of each architecture, from the supernet's weights. The image \
             weights train at " (found.spatial_rate) " of the learning rate of the temporal weights. Differences are paired \
             over clips; below 0 the winner is better."
        }
        table {
            tr { th { "architecture" } th { "held-out loss" } th { "winner − this" } th { "standard error" } th { "clips" } }
            @for arm in &found.arms {
                tr {
                    td { (arm.arm) }
                    td { (fixed(arm.held_out_loss, 5)) }
                    td { (signed(arm.winner_minus_this)) }
                    td { (error(arm.standard_error)) }
                    td { (arm.clips) }
                }
            }
        }
    }
}

/// The winner compared with hand-made and random architectures.
pub(crate) fn contenders(record: &RunRecord) -> Markup {
    let Some(found) = &record.figures.compare else { return html! {} };
    let measured =
        |objective: &&Objective| found.rows.iter().any(|row| row.measured.contains_key(&*objective.name));
    let measured: Vec<&Objective> = record.objectives.iter().filter(measured).collect();
    let names = |names: &[String]| if names.is_empty() { "none".into() } else { names.join(", ") };
    let range = |range: Option<&MeasuredRange>| {
        range.map_or_else(unknown, |range| format!("{} {}", fixed(range.median, 2), ends(range.least, range.most)))
    };
    html! {
        h2 { "Winner compared with hand-made and random architectures" }
        p {
            "Every architecture was extracted from the supernet and trained for " (found.steps) " optimiser steps on the same \
             batches. Differences of the held-out loss are paired over clips. Measured values are medians, with the least and \
             the most in brackets; architectures alternate while they are measured. The winner is dominated by: "
            (names(&found.verdicts.dominated_by)) ". It dominates: " (names(&found.verdicts.dominates))
            ". One architecture dominates another if it is better in one objective by more than the 95 % error or the range of \
             the measurements, and worse in none. Compared are architectures within "
            (percent(found.size_tolerance)) " of the winner's parameters, the image model alone, and of the random \
             architectures the one with the median loss (" (found.random_median.as_deref().unwrap_or("none")) ")."
        }
        table {
            tr {
                th { "architecture" } th { "parameters" } th { "held-out loss" } th { "winner − this" } th { "standard error" }
                @for objective in &measured { th { (objective.axis()) ", measured" } }
                th { "genotype" }
            }
            @for row in &found.rows {
                tr {
                    td { (row.arm) }
                    td { (row.parameters) " (" (format!("{:+.1}", 100.0 * (row.size - 1.0))) " %)" }
                    td { (fixed(row.held_out_loss, 5)) }
                    td { (signed(row.winner_minus_this)) }
                    td { (error(row.standard_error)) }
                    @for objective in &measured { td { (range(row.measured.get(&*objective.name))) } }
                    td.genotype { (row.genotype) }
                }
            }
        }
    }
}

/// The effect of each choice at each slot alone, the most helpful first.
pub(crate) fn local_scores(record: &RunRecord) -> Markup {
    let Some(found) = record.local_scores.as_ref().filter(|found| !found.rows.is_empty()) else { return html! {} };
    let first = found.objectives.first();
    let helps =
        |score: &LocalScore| score.changes.get(&*first.name).map_or(f64::NAN, |&change| first.oriented(change));
    let mut scores: Vec<&LocalScore> = found.rows.iter().collect();
    scores.sort_by(|a, b| helps(a).total_cmp(&helps(b)));
    let change = |change: Option<&f64>| {
        change
            .map_or_else(unknown, |&change| format!("{}{}", if change < 0.0 { "" } else { "+" }, readable(change)))
    };
    html! {
        h2 { "Each choice alone" }
        p {
            "The supernet with one choice at one slot, compared with the baseline of every slot. A change is the value with the \
             choice minus the value without it; changes of the held-out loss are paired over clips."
        }
        details {
            summary { (scores.len()) " slots and choices" }
            table {
                tr {
                    th { "slot" } th { "choice" }
                    @for objective in found.objectives.iter() { th { (objective.axis()) } }
                    th { "standard error of the loss" }
                }
                @for score in scores {
                    tr {
                        td { (score.slot) }
                        td { (score.choice) }
                        @for objective in found.objectives.iter() { td { (change(score.changes.get(&*objective.name))) } }
                        td { (error(score.standard_error)) }
                    }
                }
            }
        }
    }
}

/// Students by the distribution of the times that they are trained at.
pub(crate) fn sweep(record: &RunRecord) -> Markup {
    let Some(found) = &record.figures.sweep else { return html! {} };
    html! {
        h2 { "Distributions of timesteps for distillation" }
        p {
            "Students of " (found.student_steps) " denoising steps, method " (found.method) ": one student for each \
             logit-normal distribution of the timesteps at which the discriminator or the score networks are evaluated, \
             with this mean and standard deviation."
        }
        table {
            tr { th { "mean" } th { "standard deviation" } th { "kernel MMD²" } th { "Fréchet distance" } }
            @for row in &found.rows {
                tr {
                    td { (row.mean) }
                    td { (row.deviation) }
                    td { (spread(row.kernel_mmd, 4)) }
                    td { (spread(row.frechet, 4)) }
                }
            }
        }
    }
}

fn error(error: Option<f64>) -> String {
    error.map_or_else(unknown, |error| fixed(error, 5))
}

#[cfg(test)]
mod tests {
    use tnas_record::LocalScores;

    use super::*;

    #[test]
    fn the_most_helpful_choice_is_first() {
        let score = |slot: &str, loss_change, standard_error| LocalScore {
            slot: slot.into(),
            choice: "conv1d(k=3)".into(),
            standard_error,
            changes: [("loss".into(), loss_change), ("latency_ms".into(), 0.5)].into(),
        };
        let mut record = RunRecord::default();
        assert_eq!(local_scores(&record).into_string(), "");
        let rows = vec![score("in", 0.01, None), score("mid.0.r", -0.02, Some(0.001))];
        record.local_scores = Some(LocalScores { rows, ..LocalScores::default() });
        let html = local_scores(&record).into_string();
        let row = |cells: [&str; 5]| format!("<tr><td>{}</td></tr>", cells.join("</td><td>"));
        let best = row(["mid.0.r", "conv1d(k=3)", "-0.02000", "+0.50000", "0.00100"]);
        let worst = row(["in", "conv1d(k=3)", "+0.01000", "+0.50000", "–"]);
        assert!(html.find(&best) < html.find(&worst) && html.contains(&best), "{html}");
    }
}
