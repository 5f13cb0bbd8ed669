use std::collections::BTreeMap;

use plotters::{coord::Shift, prelude::*};

use super::{Draw, Plot, draw_mesh, render, span, text};
use crate::{
    ReportError, RunRecord,
    style::{FAINT, FONT, INK, SERIES},
};

/// Lines over a common axis.
pub(super) struct Curves {
    pub x: &'static str,
    pub y: String,
    pub series: Vec<Series>,
}

/// One line.
pub(super) struct Series {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// Which stages share a plot, by the front part of their names.
const GROUPS: [(&str, &[&str]); 4] = [
    ("training-backbone", &["backbone"]),
    ("training-supernet", &["supernet"]),
    ("training-finetune", &["finetune"]),
    ("training-distill", &["distill"]),
];

/// Training losses, smoothed, one plot per kind of stage.
pub fn plots(record: &RunRecord) -> Result<Vec<Plot>, ReportError> {
    let mut plots = Vec::new();
    for (name, fronts) in GROUPS {
        let series = losses(record, fronts);
        if !series.is_empty() {
            let caption = format!("{name}: loss by step, smoothed over about 20 logged steps.");
            plots.push(render(name, caption, &Curves { x: "step", y: "loss".into(), series })?);
        }
    }
    Ok(plots)
}

fn losses(record: &RunRecord, fronts: &[&str]) -> Vec<Series> {
    let mut lines: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for row in record.metrics.iter().filter(|row| fronts.iter().any(|front| row.stage.starts_with(front))) {
        for (figure, value) in row.values.iter().filter(|(figure, _)| figure.starts_with("loss")) {
            let name = if figure == "loss" { row.stage.clone() } else { format!("{} {figure}", row.stage) };
            lines.entry(name).or_default().push((row.step as f64, value.0));
        }
    }
    lines.into_iter().map(|(name, points)| Series { name, points: smooth(&points) }).collect()
}

/// Exponential average with a window of about 20 points.
fn smooth(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut average = points.first().map_or(0.0, |point| point.1);
    points
        .iter()
        .map(|&(x, y)| {
            average += 0.05 * (y - average);
            (x, average)
        })
        .collect()
}

impl Draw for Curves {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), String>
    where
        B::ErrorType: 'static,
    {
        area.fill(&WHITE).map_err(text)?;
        let all = || self.series.iter().flat_map(|series| &series.points);
        let mut chart = ChartBuilder::on(area)
            .margin(16)
            .x_label_area_size(46)
            .y_label_area_size(72)
            .build_cartesian_2d(span(all().map(|p| p.0)), span(all().map(|p| p.1)))
            .map_err(text)?;
        draw_mesh(chart.configure_mesh().x_desc(self.x).y_desc(&self.y))?;
        for (index, series) in self.series.iter().enumerate() {
            let colour = SERIES[index % SERIES.len()];
            chart
                .draw_series(LineSeries::new(series.points.iter().copied(), colour.stroke_width(2)))
                .map_err(text)?
                .label(&series.name)
                .legend(move |(x, y)| PathElement::new([(x - 8, y), (x + 8, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.85))
            .border_style(FAINT)
            .label_font((FONT, 14).into_font().color(&INK))
            .draw()
            .map_err(text)
    }
}
