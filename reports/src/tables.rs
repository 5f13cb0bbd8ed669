//! The figures that a run is evaluated by, as tables of their own.

use std::{collections::BTreeSet, fmt::Write as _};

use serde_json::Value;

use tnas_record::Objective;

use crate::{
    LocalScore, RunRecord,
    page::{escape, readable},
};

/// The trained winner beside what it is compared with.
pub(crate) fn comparison(html: &mut String, record: &RunRecord) {
    let Some(arms) = arms(record, "finetune") else { return };
    let whole = |key: &str| record.figure("finetune", key).map_or("–".into(), Value::to_string);
    let _ = write!(
        html,
        "<h2>Trained and compared</h2><p>Held-out loss after {} steps each, from the supernet's weights, spatial weights at \
         {} of the learning rate in all; differences are paired over clips.</p><table><tr><th>architecture<th>held-out \
         loss<th>winner − this<th>standard error<th>clips</tr>",
        whole("steps"),
        whole("spatial_rate")
    );
    for arm in arms {
        let _ = write!(
            html,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{}</tr>",
            text(&arm["arm"]),
            number(&arm["held_out_loss"], 5),
            signed(&arm["winner_minus_this"]),
            number(&arm["standard_error"], 5),
            arm["clips"]
        );
    }
    html.push_str("</table>");
}

/// The winner beside what a researcher would have put in its place, by `compare`.
pub(crate) fn contenders(html: &mut String, record: &RunRecord) {
    let Some(rows) = record.figure("compare", "rows").and_then(Value::as_array) else { return };
    let figure = |key: &str| record.figure("compare", key).unwrap_or(&Value::Null);
    let tolerance = figure("size_tolerance").as_f64().unwrap_or(0.0);
    let measured = |objective: &&Objective| rows.iter().any(|row| row["measured"].get(&*objective.name).is_some());
    let measured: Vec<&Objective> = record.objectives.iter().filter(measured).collect();
    let heads: String =
        measured.iter().map(|objective| format!("<th>{}, measured", escape(&objective.axis()))).collect();
    let cell = |range: &Value| {
        let ends = interval(&serde_json::json!({"low": range["least"], "high": range["most"]}));
        format!("<td>{} {ends}", number(&range["median"], 2))
    };
    let names = |key: &str| {
        let names = figure("verdicts")[key].as_array().into_iter().flatten().filter_map(Value::as_str);
        let names: Vec<&str> = names.collect();
        if names.is_empty() { "none".to_string() } else { names.join(", ") }
    };
    let _ = write!(
        html,
        "<h2>Against hand-made and random architectures</h2><p>Every arm was taken out of the supernet and trained {} steps on \
         the same batches. Differences of held-out loss are paired over clips; measured values are medians, \
         arms alternating, least and most in brackets. The winner is dominated by: {}. It dominates: {}. (In one respect better beyond the error of \
         95 % or the measurements' range, in none worse; arms within {:.0} % of its parameters and the image model alone; of the \
         random ones the median, {}.)</p><table><tr><th>architecture<th>parameters<th>held-out loss<th>winner − \
         this<th>standard error{heads}<th>genotype</tr>",
        figure("steps"),
        escape(&names("dominated_by")),
        escape(&names("dominates")),
        100.0 * tolerance,
        text(figure("random_median")),
    );
    for row in rows {
        let measured: String = measured.iter().map(|objective| cell(&row["measured"][&*objective.name])).collect();
        let _ = write!(
            html,
            "<tr><td>{}<td>{} ({:+.1} %)<td>{}<td>{}<td>{}{measured}<td class=\"genotype\">{}</tr>",
            text(&row["arm"]),
            row["parameters"],
            100.0 * (row["size"].as_f64().unwrap_or(1.0) - 1.0),
            number(&row["held_out_loss"], 5),
            signed(&row["winner_minus_this"]),
            number(&row["standard_error"], 5),
            text(&row["genotype"]),
        );
    }
    html.push_str("</table>");
}

/// What each choice at each slot does alone, the most helpful first.
pub(crate) fn local_scores(html: &mut String, record: &RunRecord) {
    if record.local_scores.is_empty() {
        return;
    }
    let mut scores: Vec<_> = record.local_scores.iter().collect();
    let change = |score: &LocalScore, objective: &Objective| {
        score.changes.get(&*objective.name).map_or(f64::NAN, |change| objective.oriented(*change))
    };
    let first = record.objectives.first();
    scores.sort_by(|a, b| change(a, first).total_cmp(&change(b, first)));
    let heads: String =
        record.objectives.iter().map(|objective| format!("<th>{}", escape(&objective.axis()))).collect();
    let _ = write!(
        html,
        "<h2>Each choice alone</h2><p>One insertion at a time beside no temporal layers, through the supernet; changes of each \
         objective, with − without; those of the held-out loss are paired over clips.</p><details><summary>{} slots and \
         choices</summary><table><tr><th>slot<th>choice{heads}<th>standard error of the loss</tr>",
        scores.len()
    );
    for score in scores {
        let error = score.standard_error.map_or("–".into(), |error| format!("{error:.5}"));
        let cell = |objective: &Objective| {
            let change = score.changes.get(&*objective.name);
            change.map_or("<td>–".into(), |&change| {
                format!("<td>{}{}", if change < 0.0 { "" } else { "+" }, readable(change))
            })
        };
        let changes: String = record.objectives.iter().map(cell).collect();
        let (slot, choice) = (escape(&score.slot), escape(&score.choice));
        let _ = write!(html, "<tr><td>{slot}<td>{choice}{changes}<td>{error}</tr>");
    }
    html.push_str("</table></details>");
}

/// Sampling in many and in few steps, by the evaluator.
pub(crate) fn few_steps(html: &mut String, record: &RunRecord) {
    let Some(arms) = arms(record, "samples") else { return };
    let labels: BTreeSet<&String> =
        arms.iter().filter_map(|arm| arm["accuracy"].as_object()).flat_map(serde_json::Map::keys).collect();
    let names: String = labels.iter().map(|label| format!("<th>{} told", escape(label))).collect();
    let clips = record.figure("samples", "clips").map_or("–".into(), Value::to_string);
    let _ = write!(
        html,
        "<h2>Few steps</h2><p>{clips} clips an arm, same captions and noise. Fréchet distance on the evaluator's features to \
         held-out real clips (not FVD: the evaluator is this run's own classifier); in brackets the 95 % bootstrap interval, \
         which small samples bias upwards; the difference to plain Euler at the same steps is paired over clips.</p>\
         <table><tr><th>sampling<th>Fréchet distance<th>student − plain{names}<th>mean frame difference</tr>"
    );
    for arm in arms {
        let accuracy = |label: &&String| {
            let share = arm["accuracy"][label.as_str()].as_f64();
            share.map_or("<td>–".into(), |share| format!("<td>{:.0} %", 100.0 * share))
        };
        let _ = write!(
            html,
            "<tr><td>{}<td>{} {}<td>{} {}{}<td>{}</tr>",
            text(&arm["arm"]),
            number(&arm["frechet"]["estimate"], 2),
            interval(&arm["frechet"]),
            signed(&arm["frechet_minus_plain"]["estimate"]),
            interval(&arm["frechet_minus_plain"]),
            labels.iter().map(accuracy).collect::<String>(),
            number(&arm["mean_frame_difference"], 4),
        );
    }
    html.push_str("</table>");
    controls(html, record);
}

/// Students by the times at which they were looked at.
pub(crate) fn sweep(html: &mut String, record: &RunRecord) {
    let Some(rows) = record.figure("sweep", "rows").and_then(Value::as_array) else { return };
    let _ = write!(
        html,
        "<h2>Sweep of the noise</h2><p>Students of {} steps ({}), one for each distribution of the times at which discriminator or scores \
         look: logit-normal with this mean and deviation.</p><table><tr><th>mean<th>deviation<th>kernel MMD<th>Fréchet \
         distance</tr>",
        record.figure("sweep", "student_steps").unwrap_or(&Value::Null),
        text(record.figure("sweep", "method").unwrap_or(&Value::Null)),
    );
    for row in rows {
        let figure = |key: &str| format!("{} {}", number(&row[key]["estimate"], 4), interval(&row[key]));
        let (mean, deviation) = (&row["mean"], &row["deviation"]);
        let (mmd, frechet) = (figure("kernel_mmd"), figure("frechet"));
        let _ = write!(html, "<tr><td>{mean}<td>{deviation}<td>{mmd}<td>{frechet}</tr>");
    }
    html.push_str("</table>");
}

/// What the evaluator says of real clips that were corrupted.
fn controls(html: &mut String, record: &RunRecord) {
    let Some(rows) = record.figure("evaluator", "controls").and_then(Value::as_array) else { return };
    let distances: Vec<String> = rows
        .iter()
        .map(|row| format!("{} {}", row["clips"].as_str().unwrap_or("?"), number(&row["frechet"], 2)))
        .collect();
    let floor = record.figure("evaluator", "floor").map_or("–".into(), |floor| number(floor, 2));
    let _ = write!(
        html,
        "<p class=\"note\">The evaluator on real clips and on corrupted ones: {}; real against real {floor}.</p>",
        escape(&distances.join(", "))
    );
}

fn arms<'a>(record: &'a RunRecord, stage: &str) -> Option<&'a Vec<Value>> {
    record.figure(stage, "arms").and_then(Value::as_array)
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or("–"))
}

fn number(value: &Value, digits: usize) -> String {
    value.as_f64().map_or("–".into(), |x| format!("{x:.digits$}"))
}

fn signed(value: &Value) -> String {
    value.as_f64().map_or("–".into(), |x| format!("{x:+.4}"))
}

fn interval(value: &Value) -> String {
    match (value["low"].as_f64(), value["high"].as_f64()) {
        (Some(low), Some(high)) => format!("[{low:.2}, {high:.2}]"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
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
        let mut html = String::new();
        local_scores(&mut html, &record);
        assert!(html.is_empty());
        record.local_scores = vec![score("in", 0.01, None), score("mid.0.r", -0.02, Some(0.001))];
        local_scores(&mut html, &record);
        let row = "<tr><td>mid.0.r<td>conv1d(k=3)<td>-0.02000<td>+0.50000<td>0.00100</tr>";
        assert!(html.find(row) < html.find("<tr><td>in<td>conv1d(k=3)<td>+0.01000<td>+0.50000<td>–"), "{html}");
        assert!(html.contains(row));
    }
}
