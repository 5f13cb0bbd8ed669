//! The Pareto plot of the page, with a description of each architecture.

use maud::{Markup, html};
use tnas_record::{FrontRow, Objective, ObjectiveValues, SearchCandidate};

use crate::{RunRecord, number::readable};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 420.0;
const EDGE: f64 = 40.0;

/// Scales of two objectives.
struct Axes<'a> {
    x: &'a Objective,
    y: &'a Objective,
    /// Least and most of each.
    bounds: [(f64, f64); 2],
}

/// Two objectives of all candidates and of the front, as inline SVG: each point has its figures as its title.
pub(crate) fn pareto(record: &RunRecord, y: &Objective, x: &Objective) -> Markup {
    let axes = Axes::new(record, x, y);
    html! {
        svg.hover viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label="Pareto plot" {
            @for row in record.candidates() {
                (axes.circle(&row.objectives, if row.feasible { "c" } else { "x" }, 4, &candidate(row)))
            }
            @for row in record.front() {
                (axes.circle(&row.objectives, if row.winner { "w" } else { "f" }, 7, &member(row)))
            }
        }
        p.note { "Point at an architecture to read its figures. The axes are those of the plot below." }
    }
}

fn candidate(row: &SearchCandidate) -> String {
    format!("{}: {}, generation {}\n{}", row.arch_id, listed(&row.objectives), row.generation, row.genotype)
}

fn member(row: &FrontRow) -> String {
    let measured = if row.measured.is_empty() { "nothing".into() } else { listed(&row.measured) };
    format!("{}: {}, measured {measured}\n{}", row.arch_id, listed(&row.objectives), row.genotype)
}

/// Values with their names.
fn listed(values: &ObjectiveValues) -> String {
    let listed: Vec<String> = values.iter().map(|(name, value)| format!("{name} {}", readable(*value))).collect();
    listed.join(", ")
}

impl<'a> Axes<'a> {
    fn new(record: &RunRecord, x: &'a Objective, y: &'a Objective) -> Self {
        let bounds = [x, y].map(|objective| {
            let values = record.candidates().iter().filter_map(|row| row.objectives.get(&*objective.name));
            let least_most = |(low, high): (f64, f64), &value: &f64| (low.min(value), high.max(value));
            let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), least_most);
            if high > low { (low, high) } else { (low - 0.5, low + 0.5) }
        });
        Self { x, y, bounds }
    }

    fn circle(&self, values: &ObjectiveValues, class: &str, radius: u32, title: &str) -> Markup {
        let value = |objective: &Objective| values.get(&*objective.name).copied();
        let Some((x, y)) = value(self.x).zip(value(self.y)) else { return html! {} };
        let [x, y] =
            [(x, self.bounds[0]), (y, self.bounds[1])].map(|(value, (low, high))| (value - low) / (high - low));
        let x = format!("{:.1}", EDGE + x * (WIDTH - 2.0 * EDGE));
        let y = format!("{:.1}", HEIGHT - EDGE - y * (HEIGHT - 2.0 * EDGE));
        html! { circle class=(class) cx=(x) cy=(y) r=(radius) { title { (title) } } }
    }
}
