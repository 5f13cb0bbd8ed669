use std::fmt::Write as _;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use tnas_record::{Objective, ObjectiveValues, Source};

use crate::{
    CandidateRow, FrontRow, RunRecord, evaluation,
    plots::{DISTANCES, PARETO, Plot},
    tables::{comparison, contenders, few_steps, local_scores, sweep},
};

/// The whole report as one HTML file: plots, pictures and tables inside, nothing fetched.
pub fn page(record: &RunRecord, plots: &[Plot]) -> String {
    let mut html = String::new();
    let title = escape(&record.name);
    let _ = write!(html, "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>tnas: {title}</title>");
    let _ = write!(html, "<style>{CSS}</style><body><h1>{title}</h1>");
    headline(&mut html, record);
    let pareto: Vec<&Plot> = plots.iter().filter(|plot| plot.name.starts_with(PARETO)).collect();
    if !pareto.is_empty() {
        html.push_str("<h2>Search</h2>");
    }
    for ((y, x), plot) in record.objectives.pairs().zip(pareto) {
        html.push_str(&interactive_pareto(record, y, x));
        figure(&mut html, plot);
    }
    front_table(&mut html, record);
    local_scores(&mut html, record);
    winner(&mut html, record);
    clips(&mut html, record);
    few_steps(&mut html, record);
    let (distances, plots): (Vec<Plot>, Vec<Plot>) =
        plots.iter().cloned().partition(|plot| plot.name.starts_with(DISTANCES));
    evaluation::section(&mut html, record, &distances);
    sweep(&mut html, record);
    comparison(&mut html, record);
    contenders(&mut html, record);
    html.push_str("<h2>Latency, training, search</h2>");
    for plot in plots.iter().filter(|plot| !plot.name.starts_with(PARETO)) {
        figure(&mut html, plot);
    }
    previews(&mut html, record);
    figures(&mut html, record);
    html.push_str("</body></html>\n");
    html
}

/// The few figures that a reader came for.
fn headline(html: &mut String, record: &RunRecord) {
    let mut say = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = write!(html, "<div class=\"key\"><b>{}</b><span>{name}</span></div>", escape(&value));
        }
    };
    let number = |stage: &str, key: &str| record.figure(stage, key).and_then(Value::as_f64);
    say("candidates in the space", number("supernet", "cardinality").map(|x| format!("{x:.2e}")));
    say("candidates scored", number("search", "evaluated").map(|x| format!("{x:.0}")));
    say("on the front, all measured", number("front", "measured").map(|x| format!("{x:.0}")));
    let accuracy = record.figure("latency", "accuracy");
    let of = |key: &str| accuracy.and_then(|a| a.get(key)).and_then(Value::as_f64);
    say("predicted within 10 %, held out", of("within_10pct").map(|x| format!("{:.0} %", 100.0 * x)));
    say("Spearman, held out", of("spearman").map(|x| format!("{x:.3}")));
}

/// A Pareto plot again as inline SVG whose points say what they are under the pointer.
fn interactive_pareto(record: &RunRecord, y: &Objective, x: &Objective) -> String {
    const WIDTH: f64 = 900.0;
    const HEIGHT: f64 = 420.0;
    const EDGE: f64 = 40.0;
    let at = |values: &ObjectiveValues| Some((*values.get(&*x.name)?, *values.get(&*y.name)?));
    let candidates = || record.candidates.iter().filter_map(|row| at(&row.objectives));
    let ((x0, x1), (y0, y1)) = (bounds(candidates().map(|at| at.0)), bounds(candidates().map(|at| at.1)));
    let circle = |values: &ObjectiveValues, class: &str, radius: u32, title: &str| {
        let (x, y) = at(values)?;
        let x = EDGE + (x - x0) / (x1 - x0) * (WIDTH - 2.0 * EDGE);
        let y = HEIGHT - EDGE - (y - y0) / (y1 - y0) * (HEIGHT - 2.0 * EDGE);
        let title = escape(title);
        Some(format!(
            "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"><title>{title}</title></circle>"
        ))
    };
    let mut svg =
        format!("<svg class=\"hover\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Pareto plot\">");
    let candidate = |row: &CandidateRow| {
        let class = if row.feasible { "c" } else { "x" };
        let values = listed(&row.objectives);
        let title = format!("{}: {values}, generation {}\n{}", row.arch_id, row.generation, row.genotype);
        circle(&row.objectives, class, 4, &title)
    };
    let member = |row: &FrontRow| {
        let class = if row.winner { "w" } else { "f" };
        let measured = if row.measured.is_empty() { "nothing".into() } else { listed(&row.measured) };
        let values = listed(&row.objectives);
        let title = format!("{}: {values}, measured {measured}\n{}", row.arch_id, row.genotype);
        circle(&row.objectives, class, 7, &title)
    };
    svg.extend(record.candidates.iter().filter_map(candidate));
    svg.extend(record.front.iter().filter_map(member));
    svg.push_str("</svg><p class=\"note\">Point at a candidate to read it. Axes as in the plot below.</p>");
    svg
}

/// Values with their names, for people.
fn listed(values: &ObjectiveValues) -> String {
    let listed: Vec<String> = values.iter().map(|(name, value)| format!("{name} {}", readable(*value))).collect();
    listed.join(", ")
}

/// A number with the digits that people compare.
pub(crate) fn readable(value: f64) -> String {
    match value.abs() {
        size if size < 1.0 => format!("{value:.5}"),
        size if size < 1e5 => format!("{value:.3}"),
        _ => format!("{value:.0}"),
    }
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| (l.min(x), h.max(x)));
    if high > low { (low, high) } else { (low - 0.5, low + 0.5) }
}

fn front_table(html: &mut String, record: &RunRecord) {
    if record.front.is_empty() {
        return;
    }
    let device = record.figure("latency", "device").and_then(Value::as_str).unwrap_or("this device");
    let _ = write!(
        html,
        "<h2>Front</h2><p>Predictions and measurements are of {}. Measured times are those at the speed that the machine had while it was \
         profiled, by an architecture measured again and again.</p><table><tr><th>architecture",
        escape(device)
    );
    let predicted = |objective: &Objective| matches!(objective.source, Source::Predicted | Source::Measured);
    for objective in record.objectives.iter() {
        let axis = escape(&objective.axis());
        html.push_str(&match predicted(objective) {
            true => format!("<th>{axis}, predicted<th>measured<th>error"),
            false => format!("<th>{axis}"),
        });
    }
    html.push_str("<th>parameters<th>MACs<th>genotype</tr>");
    for row in &record.front {
        let class = if row.winner { " class=\"winner\"" } else { "" };
        let _ = write!(html, "<tr{class}><td>{}", row.arch_id);
        for objective in record.objectives.iter() {
            let value = row.objectives.get(&*objective.name);
            let measured = row.measured.get(&*objective.name);
            let error = value.zip(measured).map(|(value, measured)| 100.0 * (value - measured) / measured);
            let number = |value: Option<&f64>| value.map_or("–".into(), |value| readable(*value));
            let _ = write!(html, "<td>{}", number(value));
            if predicted(objective) {
                let error = error.map_or("–".into(), |error| format!("{error:+.1} %"));
                let _ = write!(html, "<td>{}<td>{error}", number(measured));
            }
        }
        let genotype = escape(&row.genotype);
        let _ = write!(html, "<td>{}<td>{}<td class=\"genotype\">{genotype}</tr>", row.parameters, row.macs);
    }
    html.push_str("</table>");
}

/// The winner slot by slot, as data flows.
fn winner(html: &mut String, record: &RunRecord) {
    let Some(row) = record.front.iter().find(|row| row.winner) else { return };
    let _ = write!(html, "<h2>Winner {}</h2><div class=\"slots\">", row.arch_id);
    let slots = record.figure("search", "slots").and_then(Value::as_array);
    let chosen: std::collections::BTreeMap<&str, &str> =
        row.genotype.split(';').filter_map(|part| part.split_once('=')).collect();
    for slot in slots.into_iter().flatten() {
        let name = slot["slot"].as_str().unwrap_or_default();
        let level = slot["level"].as_u64().unwrap_or(0);
        let choice = chosen.get(name).copied().unwrap_or("none");
        let class = if choice == "none" { "slot none" } else { "slot" };
        let _ = write!(
            html,
            "<div class=\"{class}\" style=\"margin-top:{}px\"><b>{}</b>{}</div>",
            level * 46,
            escape(name),
            choice.split('+').map(|part| format!("<span>{}</span>", escape(part))).collect::<String>()
        );
    }
    html.push_str("</div><p class=\"note\">Left to right as data flows; lower boxes work at lower resolution.</p>");
}

fn clips(html: &mut String, record: &RunRecord) {
    if record.pictures.is_empty() {
        return;
    }
    let _ =
        write!(html, "<h2>Clips</h2><p>Each picture, left to right: {}.</p>", escape(&record.columns.join(" | ")));
    html.push_str("<div class=\"clips\">");
    let gifs: Vec<_> = record.pictures.iter().filter(|(name, _)| name.ends_with(".gif")).collect();
    for (index, (name, bytes)) in gifs.iter().enumerate() {
        let caption = record.captions.get(index).map_or(name.as_str(), String::as_str);
        picture(html, "image/gif", bytes, caption);
    }
    html.push_str("</div>");
    for (name, bytes) in record.pictures.iter().filter(|(name, _)| name.ends_with(".png")) {
        let open = if name == "sheet.png" { " open" } else { "" };
        let _ = write!(html, "<details{open}><summary>{}</summary>", escape(name));
        picture(html, "image/png", bytes, name);
        html.push_str("</details>");
    }
    if let Some(note) = record.figure("report", "attribution").and_then(Value::as_str) {
        let _ = write!(html, "<p class=\"note\">{}</p>", escape(note));
    }
}

/// What the networks made while they trained.
fn previews(html: &mut String, record: &RunRecord) {
    if record.previews.is_empty() {
        return;
    }
    html.push_str(
        "<h2>Samples over time</h2><p>The same captions and noise at each preview: a row is a clip. The supernet's are those of \
         its teacher.</p>",
    );
    let mut stage = "";
    for (name, step, bytes) in &record.previews {
        if stage != name {
            let _ = write!(html, "<h3>{}</h3>", escape(name));
            stage = name;
        }
        picture(html, "image/png", bytes, &format!("step {step}"));
    }
}

pub(crate) fn picture(html: &mut String, kind: &str, bytes: &[u8], caption: &str) {
    let data = STANDARD.encode(bytes);
    let caption = escape(caption);
    let _ = write!(
        html,
        "<figure><img src=\"data:{kind};base64,{data}\" alt=\"{caption}\"><figcaption>{caption}</figcaption></figure>"
    );
}

pub(crate) fn figure(html: &mut String, plot: &Plot) {
    let svg =
        plot.svg.split_once("<svg").map_or(plot.svg.as_str(), |_| &plot.svg[plot.svg.find("<svg").unwrap_or(0)..]);
    let _ = write!(html, "<figure class=\"plot\">{svg}<figcaption>{}</figcaption></figure>", escape(&plot.caption));
}

/// Every figure that every stage recorded.
fn figures(html: &mut String, record: &RunRecord) {
    html.push_str("<h2>All figures</h2><table>");
    for (stage, summary) in &record.stages {
        let mut rows = Vec::new();
        flatten("", summary, &mut rows);
        for (index, (name, value)) in rows.iter().enumerate() {
            let first = if index == 0 { escape(stage) } else { String::new() };
            let _ = write!(
                html,
                "<tr><td><b>{first}</b><td>{}<td class=\"genotype\">{}</tr>",
                escape(name),
                escape(value)
            );
        }
    }
    html.push_str("</table>");
}

fn flatten(front: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    let join = |key: &str| if front.is_empty() { key.to_string() } else { format!("{front}.{key}") };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| flatten(&join(key), value, rows)),
        // Long lists are in the plots.
        Value::Array(list) if list.len() > 12 => rows.push((front.into(), format!("{} values", list.len()))),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, value)| flatten(&join(&i.to_string()), value, rows))
        }
        Value::String(text) => rows.push((front.into(), text.clone())),
        other => rows.push((front.into(), other.to_string())),
    }
}

pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
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
