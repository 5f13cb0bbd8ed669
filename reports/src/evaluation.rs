//! The sections of `samples` and `evaluate`.

use std::collections::BTreeSet;

use maud::{Markup, html};
use tnas_record::{EvaluatedArm, Evaluation, FewSteps, Metrics, Spread};

use crate::{
    Picture,
    figure::{figure, folded},
    number::{significant, unknown},
    plots::Plot,
};

/// Headings of metrics that are not of labels.
const METRICS: [(&str, &str); 6] = [
    ("kernel_mmd", "kernel MMD²"),
    ("frechet", "Fréchet distance"),
    ("frame_difference_ratio", "frame difference / real"),
    ("warp_error_ratio", "warp error / real"),
    ("diversity_ratio", "diversity / real"),
    ("diversity_within_captions_ratio", "diversity within captions / real"),
];

/// A metric with its heading.
struct Column<'a> {
    metric: &'a str,
    heading: String,
}

/// An evaluation under its heading: the table, the plots and a contact sheet of each set of clips.
pub(crate) fn section(heading: &str, found: Option<&Evaluation>, plots: &[Plot], sheets: &[Picture]) -> Markup {
    let Some(found) = found else { return html! {} };
    html! {
        h2 { (heading) }
        (introduction(found))
        (table(found))
        (few_steps(&found.few_steps))
        @for plot in plots { (figure(plot)) }
        @for sheet in sheets { (folded(sheet, false)) }
    }
}

fn introduction(found: &Evaluation) -> Markup {
    let short = |hash: &str| hash.chars().take(12).collect::<String>();
    html! {
        p {
            (found.clips) " clips of each kind are compared with " (found.reference.clips) " real clips ("
            (found.reference.of) "). Distances are on the " (found.evaluator.features) " features of this run's own evaluator, \
             whitened by its training split: evaluator " code { (short(&found.evaluator.evaluator_sha256)) }
            ", training split " code { (short(&found.evaluator.training_split_sha256)) }
            ". They are neither FVD nor KID, and compare under this evaluator only. Kernel MMD² is the unbiased squared MMD under \
             the kernel (x·y/d + 1)³ (Gretton et al. 2012, eq. 3; Bińkowski et al. 2018). The Fréchet distance is biased upwards \
             by few clips, for real clips as well. In brackets are 95 % intervals: bootstrap over clips and reference with "
            (found.resamples) " resamples, Wilson's for fractions of clips."
        }
        @for warning in &found.warnings { p.note { b { "Warning: " } (warning) "." } }
    }
}

fn table(found: &Evaluation) -> Markup {
    let columns = columns(found);
    let unfit: BTreeSet<&str> = found.unfit().map(|row| row.metric.as_str()).collect();
    html! {
        table {
            tr {
                th { "clips" }
                @for Column { metric, heading } in &columns { th { (heading) @if unfit.contains(metric) { "*" } } }
                th { "MMD² − that of the first model" }
                th { "distance to the nearest training clip / that of held-out clips" }
            }
            @for arm in found.all_arms() { (row(arm, &columns)) }
        }
        @for row in found.unfit() {
            p.note {
                "* " (row.metric) " does not suffice for a decision: it does not find these corrupted clips worse than real \
                 ones: " (row.blind_to.join(", ")) "."
            }
        }
    }
}

fn columns(found: &Evaluation) -> Vec<Column<'_>> {
    let metrics: BTreeSet<&str> = found.all_arms().flat_map(|arm| arm.metrics.keys().map(String::as_str)).collect();
    let known = METRICS.iter().filter(|(metric, _)| metrics.contains(metric));
    let known = known.map(|&(metric, heading)| Column { metric, heading: heading.into() });
    let predicted = |metric| {
        let heading = format!("{} predicted as requested", label(metric)?);
        Some(Column { metric, heading })
    };
    known.chain(metrics.iter().copied().filter_map(predicted)).collect()
}

/// Label whose accuracy a metric is.
fn label(metric: &str) -> Option<&str> {
    match metric.strip_prefix("accuracy/") {
        Some(label) => Some(label),
        None => (metric == "accuracy_of_all_labels").then_some("all labels"),
    }
}

fn row(arm: &EvaluatedArm, columns: &[Column<'_>]) -> Markup {
    let of = |metrics: &Metrics, metric: &str| metrics.get(metric).copied();
    html! {
        tr {
            td { (arm.arm) }
            @for column in columns { td { (interval(of(&arm.metrics, column.metric))) } }
            td { (interval(arm.minus_first.as_ref().and_then(|metrics| of(metrics, "kernel_mmd")))) }
            td {
                @match &arm.memorisation {
                    Some(found) => { (significant(found.ratio)) @if found.copies { " " b { "copies" } } }
                    None => { (unknown()) }
                }
            }
        }
    }
}

/// Loss of plain sampling in few steps, and the fraction of it that students recover.
fn few_steps(rows: &[FewSteps]) -> Markup {
    if rows.is_empty() {
        return html! {};
    }
    html! {
        table {
            tr {
                th { "steps" } th { "MMD²: plain Euler − many steps" } th { "few-step model" }
                th { "MMD²: plain Euler − few-step model" } th { "fraction of the gap closed" }
            }
            @for row in rows {
                @for student in &row.students {
                    tr {
                        td { (row.steps) } td { (interval(Some(row.gap))) } td { (student.arm) }
                        td { (interval(Some(student.won))) } td { (interval(student.closed)) }
                    }
                }
                @if row.students.is_empty() {
                    tr {
                        td { (row.steps) } td { (interval(Some(row.gap))) }
                        td { (unknown()) } td { (unknown()) } td { (unknown()) }
                    }
                }
            }
        }
        p.note { "The fraction is reported where the gap exceeds two bootstrap standard errors." }
    }
}

fn interval(spread: Option<Spread>) -> Markup {
    html! {
        @match spread {
            Some(Spread { estimate, low, high, .. }) => {
                (significant(estimate)) " " small { "[" (significant(low)) ", " (significant(high)) "]" }
            }
            None => { (unknown()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::evaluated;

    #[test]
    fn unfit_metrics_and_copied_clips_are_marked() {
        let record = evaluated();
        let plots = crate::plots::all(&record).unwrap();
        let names: Vec<&str> = plots.iter().map(|plot| plot.name.as_str()).collect();
        assert_eq!(names, ["distances-kernel-mmd", "distances-frechet"]);
        assert!(plots.iter().all(|plot| plot.svg.contains("real, frozen") && plot.png.starts_with(b"\x89PNG")));
        let html = section("Evaluation", record.evaluation.as_ref(), &plots, &[]).into_string();
        for part in [
            "1.50 <small>[1.30, 1.70]</small>",
            "action predicted as requested*",
            "worse than real ones: real, frozen.",
            "<b>copies</b>",
            "few &lt;clips&gt;",
            "<td>student</td><td>1.60 <small>[1.40, 1.80]</small></td><td>0.800",
        ] {
            assert!(html.contains(part), "{part:?} is missing in {html}");
        }
        assert_eq!(section("Evaluation", None, &[], &[]).into_string(), "");
    }
}
