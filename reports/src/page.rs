use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;
use tnas_record::{FrontRow, Objective, Source};

use crate::{
    Picture, RunRecord,
    evaluation::section,
    figure::{figure, folded, picture},
    number::{fixed, percent, readable, unknown},
    pareto::pareto,
    plots::{DISTANCES, PARETO, Plot, SAMPLES},
    tables::{comparison, contenders, local_scores, sweep},
};

/// A part of the page.
pub struct Section {
    /// The stages and commands whose figures it draws.
    pub stages: &'static [&'static str],
    draw: fn(&RunRecord, &[Plot]) -> Markup,
}

/// The sections in the order of the page. One whose stages have not run draws nothing. The last one shows the figures of every
/// stage.
pub const SECTIONS: &[Section] = &[
    Section { stages: &["search"], draw: |record, plots| paretos(record, &named(plots, PARETO)) },
    Section { stages: &["front"], draw: |record, _| front_table(record) },
    Section { stages: &["search"], draw: |record, _| local_scores(record) },
    Section { stages: &["front"], draw: |record, _| winner(record) },
    Section { stages: &["samples"], draw: |record, _| clips(record) },
    Section {
        stages: &["samples"],
        draw: |record, plots| {
            section("Few-step sampling", record.samples.as_ref(), &named(plots, SAMPLES), &record.sample_sheets)
        },
    },
    Section {
        stages: &["evaluate"],
        draw: |record, plots| {
            section("Evaluation", record.evaluation.as_ref(), &named(plots, DISTANCES), &record.sheets)
        },
    },
    Section { stages: &["sweep"], draw: |record, _| sweep(record) },
    Section { stages: &["finetune"], draw: |record, _| comparison(record) },
    Section { stages: &["compare"], draw: |record, _| contenders(record) },
    Section {
        stages: &[
            "backbone",
            "supernet",
            "profile",
            "latency",
            "latency eval",
            "hypervolume",
            "distill",
            "evaluator",
        ],
        draw: curves,
    },
    Section { stages: &["supernet", "finetune", "distill"], draw: |record, _| previews(record) },
    // Of every stage, one that has no section of its own too.
    Section { stages: &[], draw: |record, _| all_figures(record) },
];

/// The whole report as one HTML file: plots, pictures and tables inside, nothing fetched.
pub fn page(record: &RunRecord, plots: &[Plot]) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { "tnas: " (record.name) }
                style { (PreEscaped(CSS)) }
            }
            body {
                h1 { (record.name) }
                (headline(record))
                @for section in SECTIONS { ((section.draw)(record, plots)) }
            }
        }
    };
    page.into_string() + "\n"
}

/// The plots of this stem.
fn named(plots: &[Plot], stem: &str) -> Vec<Plot> {
    plots.iter().filter(|plot| plot.name.starts_with(stem)).cloned().collect()
}

fn paretos(record: &RunRecord, plots: &[Plot]) -> Markup {
    html! {
        @if !plots.is_empty() { h2 { "Search" } }
        @for ((y, x), plot) in record.objectives.pairs().zip(plots) {
            (pareto(record, y, x))
            (figure(plot))
        }
    }
}

/// The plots that no other section draws.
fn curves(_: &RunRecord, plots: &[Plot]) -> Markup {
    let others =
        plots.iter().filter(|plot| ![PARETO, SAMPLES, DISTANCES].iter().any(|stem| plot.name.starts_with(stem)));
    html! {
        h2 { "Latency, training and search" }
        @for plot in others { (figure(plot)) }
    }
}

/// The main figures of the run.
fn headline(record: &RunRecord) -> Markup {
    let figures = &record.figures;
    let accuracy = figures.latency.as_ref().and_then(|latency| latency.accuracy);
    let entries = [
        (
            "architectures in the search space",
            figures.supernet.as_ref().map(|net| format!("{:.2e}", net.cardinality)),
        ),
        ("architectures evaluated", figures.search.as_ref().map(|search| search.evaluated.to_string())),
        ("members of the front measured", figures.front.as_ref().map(|front| front.measured.to_string())),
        ("held-out latencies predicted within 10 %", accuracy.map(|found| percent(found.within_10pct))),
        ("Spearman correlation of held-out latencies", accuracy.map(|found| fixed(found.spearman, 3))),
    ];
    html! {
        @for (name, value) in entries {
            @if let Some(value) = value { div.key { b { (value) } span { (name) } } }
        }
    }
}

fn front_table(record: &RunRecord) -> Markup {
    if record.front().is_empty() {
        return html! {};
    }
    html! {
        h2 { "Front" }
        p {
            "Predictions and measurements are of " (record.device()) ". Measured times are corrected for changes of the machine's \
             speed since it was profiled, by a reference architecture that is measured repeatedly."
        }
        table {
            tr {
                th { "architecture" }
                @for objective in record.objectives.iter() {
                    @if predicted(objective) {
                        th { (objective.axis()) ", predicted" } th { "measured" } th { "error" }
                    } @else {
                        th { (objective.axis()) }
                    }
                }
                th { "parameters" } th { "MACs" } th { "genotype" }
            }
            @for row in record.front() {
                tr.winner[row.winner] {
                    td { (row.arch_id) }
                    @for objective in record.objectives.iter() { (value_cells(row, objective)) }
                    td { (row.parameters) }
                    td { (row.macs) }
                    td.genotype { (row.genotype) }
                }
            }
        }
    }
}

/// Whether values of the objective are measured on the front.
fn predicted(objective: &Objective) -> bool {
    matches!(objective.source, Source::Predicted | Source::Measured)
}

/// Value of an objective; of a predicted one also its measurement and its error.
fn value_cells(row: &FrontRow, objective: &Objective) -> Markup {
    let value = row.objectives.get(&*objective.name).copied();
    let measured = row.measured.get(&*objective.name).copied();
    let error = value.zip(measured).map(|(value, measured)| 100.0 * (value - measured) / measured);
    html! {
        td { (value.map_or_else(unknown, readable)) }
        @if predicted(objective) {
            td { (measured.map_or_else(unknown, readable)) }
            td { (error.map_or_else(unknown, |error| format!("{error:+.1} %"))) }
        }
    }
}

/// The winner slot by slot, as data flows.
fn winner(record: &RunRecord) -> Markup {
    let Some(row) = record.front().iter().find(|row| row.winner) else { return html! {} };
    let slots = record.figures.search.as_ref().map_or(&[][..], |search| &search.slots);
    let chosen: BTreeMap<&str, &str> = row.genotype.split(';').filter_map(|part| part.split_once('=')).collect();
    let choice = |slot: &str| chosen.get(slot).copied().unwrap_or("none");
    html! {
        h2 { "Winner " (row.arch_id) }
        div.slots {
            @for slot in slots {
                div.slot.none[choice(&slot.slot) == "none"] style=(format!("margin-top:{}px", slot.level * 46)) {
                    b { (slot.slot) }
                    @for operator in choice(&slot.slot).split('+') { span { (operator) } }
                }
            }
        }
        p.note { "Slots from left to right as data flows; lower boxes are at lower resolution." }
    }
}

fn clips(record: &RunRecord) -> Markup {
    if record.pictures.is_empty() {
        return html! {};
    }
    let (gifs, sheets): (Vec<&Picture>, Vec<&Picture>) =
        record.pictures.iter().partition(|picture| picture.name.ends_with(".gif"));
    let (captions, columns) =
        record.captions.as_ref().map_or((&[][..], &[][..]), |found| (&found.captions, &found.columns));
    let attribution = record.figures.report.as_ref().and_then(|report| report.attribution.as_ref());
    html! {
        h2 { "Clips" }
        p { "Columns of each picture, from left to right: " (columns.join(" | ")) "." }
        div.clips {
            @for (place, gif) in gifs.into_iter().enumerate() {
                (picture("image/gif", &gif.bytes, captions.get(place).unwrap_or(&gif.name)))
            }
        }
        @for sheet in sheets { (folded(sheet, sheet.name == "sheet.png")) }
        @if let Some(attribution) = attribution { p.note { (attribution) } }
    }
}

/// Clips sampled while the networks trained.
fn previews(record: &RunRecord) -> Markup {
    if record.previews.is_empty() {
        return html! {};
    }
    html! {
        h2 { "Samples during training" }
        p {
            "Every sheet has the same captions and the same noise; a row is a clip. Those of the supernet are sampled from its \
             teacher."
        }
        @for stage in record.previews.chunk_by(|a, b| a.stage == b.stage) {
            h3 { (stage[0].stage) }
            @for preview in stage { (picture("image/png", &preview.bytes, &format!("step {}", preview.step))) }
        }
    }
}

/// Every figure that every stage recorded.
fn all_figures(record: &RunRecord) -> Markup {
    html! {
        h2 { "All figures" }
        table {
            @for (stage, stamp) in &record.stamps {
                @for (place, (name, value)) in flattened("", &stamp.summary).into_iter().enumerate() {
                    tr {
                        td { b { @if place == 0 { (stage) } } }
                        td { (name) }
                        td.genotype { (value) }
                    }
                }
            }
        }
    }
}

/// Names and values of a stage's figures, nested names joined by dots. Long lists are in the plots: their lengths stand for
/// them.
fn flattened(front: &str, value: &Value) -> Vec<(String, String)> {
    let join = |key: &str| if front.is_empty() { key.to_string() } else { format!("{front}.{key}") };
    match value {
        Value::Object(map) => map.iter().flat_map(|(key, value)| flattened(&join(key), value)).collect(),
        Value::Array(list) if list.len() > 12 => vec![(front.into(), format!("{} values", list.len()))],
        Value::Array(list) => {
            list.iter().enumerate().flat_map(|(place, value)| flattened(&join(&place.to_string()), value)).collect()
        }
        Value::String(text) => vec![(front.into(), text.clone())],
        other => vec![(front.into(), other.to_string())],
    }
}

const CSS: &str = "body{font:15px/1.5 system-ui,sans-serif;color:#262a33;max-width:1100px;margin:2em auto;padding:0 1em}\
h1{margin-bottom:.2em}h2{margin-top:2em;border-bottom:1px solid #dde2ea}\
.key{display:inline-block;margin:0 2em 1em 0}.key b{display:block;font-size:1.6em}.key span,.note,figcaption{color:#667085}\
table{border-collapse:collapse;font-size:13px;width:100%}td,th{text-align:left;padding:3px 8px;border-bottom:1px solid #eef1f5;vertical-align:top}\
.genotype{font-family:ui-monospace,monospace;font-size:12px;word-break:break-word}tr.winner{background:#fdeeea}\
figure{margin:1em 0;display:inline-block}figure.plot svg{max-width:100%;height:auto}figcaption{font-size:13px;max-width:900px}\
svg.hover{width:100%;border:1px solid #dde2ea;background:#fbfcfe}circle.c{fill:#b0b8c6}circle.x{fill:#e2beb8}circle.f{fill:#206bc4}\
circle.w{fill:#d64028}circle:hover{stroke:#262a33;stroke-width:2}\
.slots{display:flex;gap:6px;align-items:flex-start;overflow-x:auto;padding:4px}.slot{border:1px solid #206bc4;border-radius:6px;padding:4px 6px;\
font-size:11px;min-width:64px;background:#eef5fd}.slot.none{border-color:#dde2ea;background:#fff;color:#98a2b3}.slot b,.slot span{display:block}\
.clips{display:flex;flex-wrap:wrap;gap:12px}.clips img{image-rendering:pixelated;min-width:220px}.clips figcaption{max-width:260px}\
details img{image-rendering:pixelated;max-width:100%}";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::searched;

    #[test]
    fn the_page_of_a_small_run() {
        let page = page(&searched(), &[]);
        assert!(page.contains("<h1>small &amp; &lt;quick&gt;</h1>"));
        // One tag a line; styles have no content to check.
        let html = page.replace(CSS, "").replace("><", ">\n<");
        insta::assert_snapshot!(html);
    }
}
