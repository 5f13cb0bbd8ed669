//! What `evaluate` found, as a section of its own.

use std::{collections::BTreeSet, fmt::Write as _};

use serde_json::Value;

use crate::{
    RunRecord,
    page::{escape, figure, picture},
    plots::Plot,
};

/// Headings of metrics that are not labels.
const METRICS: [(&str, &str); 6] = [
    ("kernel_mmd", "kernel MMD²"),
    ("frechet", "Fréchet"),
    ("frame_difference_ratio", "frame difference / real"),
    ("warp_error_ratio", "warp error / real"),
    ("diversity_ratio", "diversity / real"),
    ("diversity_within_captions_ratio", "diversity within captions / real"),
];

/// The table, the plots and a contact sheet for each set of clips.
pub(crate) fn section(html: &mut String, record: &RunRecord, plots: &[Plot]) {
    let found = &record.evaluation;
    if !found.is_object() {
        return;
    }
    head(html, found);
    table(html, found);
    few_steps(html, found);
    for plot in plots {
        figure(html, plot);
    }
    for (name, bytes) in &record.sheets {
        let _ = write!(html, "<details><summary>{}</summary>", escape(name));
        picture(html, "image/png", bytes, name);
        html.push_str("</details>");
    }
}

fn head(html: &mut String, found: &Value) {
    let evaluator = &found["evaluator"];
    let _ = write!(
        html,
        "<h2>Evaluation</h2><p>{} clips an arm, {} real clips as reference ({}), {} resamples. Distances are on the {} features \
         of this run's own evaluator, whitened by the training split, <code>{}</code>, trained on the training split <code>{}</code>; they are no FVD or KID, and \
         compare under this evaluator alone. Kernel MMD is the unbiased squared MMD under (x·y/d + 1)³ (Gretton et al. 2012, eq. 3; \
         Bińkowski et al. 2018); Fréchet is biased upwards by few clips, the floor as much. In brackets 95 % intervals: bootstrap \
         over clips and reference, for shares of clips Wilson's.</p>",
        found["clips"],
        found["reference"]["clips"],
        text(&found["reference"]["of"]),
        found["resamples"],
        evaluator["features"],
        short(&evaluator["evaluator_sha256"]),
        short(&evaluator["training_split_sha256"])
    );
    for warning in found["warnings"].as_array().into_iter().flatten() {
        let _ = write!(html, "<p class=\"note\"><b>Warning:</b> {}.</p>", text(warning));
    }
}

fn table(html: &mut String, found: &Value) {
    let list = |key: &str| found[key].as_array().into_iter().flatten();
    let single = [&found["floor"], &found["held_out"]].into_iter().filter(|row| row.is_object());
    let rows: Vec<&Value> = single.chain(list("arms")).chain(list("controls")).collect();
    let all: BTreeSet<&String> =
        rows.iter().filter_map(|row| row["metrics"].as_object()).flat_map(serde_json::Map::keys).collect();
    let labels = all.iter().filter_map(|metric| {
        let label = metric.strip_prefix("accuracy/").map(str::to_owned);
        let whole = (*metric == "accuracy_of_all_labels").then(|| "all labels".to_owned());
        Some((metric.as_str(), format!("{} told", label.or(whole)?)))
    });
    let known = METRICS.iter().filter(|(metric, _)| all.iter().any(|name| name == metric));
    let columns: Vec<(&str, String)> =
        known.map(|(metric, heading)| (*metric, (*heading).to_owned())).chain(labels).collect();
    let unfit: Vec<&str> =
        list("fitness").filter(|row| row["fit"] == false).filter_map(|row| row["metric"].as_str()).collect();
    html.push_str("<table><tr><th>clips");
    for (metric, heading) in &columns {
        let star = if unfit.contains(metric) { "*" } else { "" };
        let _ = write!(html, "<th>{}{star}", escape(heading));
    }
    html.push_str("<th>MMD² − first<th>nearest training clip / held-out</tr>");
    for row in rows {
        let _ = write!(html, "<tr><td>{}", text(&row["arm"]));
        for (metric, _) in &columns {
            let _ = write!(html, "<td>{}", interval(&row["metrics"][*metric]));
        }
        let memorised = &row["memorisation"];
        let copies = if memorised["copies"] == true { " <b>copies</b>" } else { "" };
        let _ = write!(
            html,
            "<td>{}<td>{}{copies}</tr>",
            interval(&row["minus_first"]["kernel_mmd"]),
            memorised["ratio"].as_f64().map_or("–".into(), digits)
        );
    }
    html.push_str("</table>");
    for row in list("fitness").filter(|row| row["fit"] == false) {
        let blind: Vec<&str> = row["blind_to"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let _ = write!(
            html,
            "<p class=\"note\">* {} is unfit to decide by itself: it is not worse for {}.</p>",
            text(&row["metric"]),
            escape(&blind.join(", "))
        );
    }
}

/// How much of what plain sampling loses in few steps is won back.
fn few_steps(html: &mut String, found: &Value) {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let rows = list(&found["few_steps"]);
    if rows.is_empty() {
        return;
    }
    html.push_str(
        "<table><tr><th>steps<th>MMD²: plain − many steps<th>few-step model<th>MMD²: plain − this<th>share closed</tr>",
    );
    for row in &rows {
        let gap = format!("<tr><td>{}<td>{}", row["steps"], interval(&row["gap"]));
        for student in list(&row["students"]) {
            let _ = write!(
                html,
                "{gap}<td>{}<td>{}<td>{}</tr>",
                text(&student["arm"]),
                interval(&student["won"]),
                interval(&student["closed"])
            );
        }
        if list(&row["students"]).is_empty() {
            let _ = write!(html, "{gap}<td>–<td>–<td>–</tr>");
        }
    }
    html.push_str("</table><p class=\"note\">A share is told where the gap exceeds 2 bootstrap errors.</p>");
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or("–"))
}

fn short(hash: &Value) -> String {
    hash.as_str().unwrap_or("–").chars().take(12).collect()
}

fn interval(figure: &Value) -> String {
    match ["estimate", "low", "high"].map(|key| figure[key].as_f64()) {
        [Some(estimate), Some(low), Some(high)] => {
            format!("{} <small>[{}, {}]</small>", digits(estimate), digits(low), digits(high))
        }
        _ => "–".into(),
    }
}

/// Three digits that count.
fn digits(x: f64) -> String {
    let places = if x == 0.0 { 2 } else { (2.0 - x.abs().log10().floor()).clamp(0.0, 5.0) as usize };
    format!("{x:.places$}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_evaluation_is_told_with_what_is_unfit_and_what_is_copied() {
        let spread = |x: f64| json!({"estimate": x, "standard_error": 0.1, "low": x - 0.2, "high": x + 0.2});
        let row = |name: &str, x: f64, copies: bool| {
            json!({"arm": name, "clips": 64, "minus_first": {"kernel_mmd": spread(0.0)},
                "memorisation": {"ratio": 0.5, "copies": copies, "below_1st": 0.9},
                "metrics": {"kernel_mmd": spread(x), "frechet": spread(x), "accuracy/action": spread(0.9)}})
        };
        let evaluation = json!({
            "format_version": 1, "clips": 64, "reference": {"clips": 64, "of": "held-out clips"}, "resamples": 100,
            "evaluator": {"evaluator_sha256": "abc", "training_split_sha256": "def", "features": 64},
            "warnings": ["few <clips>"], "floor": row("real", 0.0, false), "held_out": null,
            "arms": [row("4 steps", 1.5, true)], "controls": [row("real, frozen", 9.0, false)],
            "few_steps": [{"steps": 4, "gap": spread(2.0), "beyond_2_errors": true,
                "students": [{"arm": "student", "won": spread(1.6), "closed": spread(0.8)}]}],
            "fitness": [{"metric": "accuracy/action", "fit": false, "blind_to": ["real, frozen"]}],
        });
        let record = RunRecord { evaluation, ..RunRecord::default() };
        let plots = crate::plots::all(&record).unwrap();
        let names: Vec<&str> = plots.iter().map(|plot| plot.name.as_str()).collect();
        assert_eq!(names, ["distances-kernel-mmd", "distances-frechet"]);
        assert!(plots.iter().all(|plot| plot.svg.contains("real, frozen") && plot.png.starts_with(b"\x89PNG")));
        let mut html = String::new();
        section(&mut html, &record, &plots);
        for part in [
            "1.50 <small>[1.30, 1.70]</small>",
            "action told*",
            "not worse for real, frozen",
            "<b>copies</b>",
            "few &lt;clips&gt;",
            "<td>student<td>1.60 <small>[1.40, 1.80]</small><td>0.80",
        ] {
            assert!(html.contains(part), "{part:?} is missing in {html}");
        }
        section(&mut html, &RunRecord::default(), &[]);
    }
}
