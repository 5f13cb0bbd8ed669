//! `latency eval`: what the predictor misses, and how it learns.

use plotters::{coord::Shift, prelude::*};
use serde_json::Value;

use super::{
    Draw, Plot,
    curves::{Curves, Series},
    draw_mesh, render, span, text,
};
use crate::{
    LatencyPoint, ReportError, RunRecord,
    style::{FAINT, FONT, FRONT, INK, WINNER},
};

const STAGE: &str = "latency-eval";

/// Residuals and the learning curve, where the stage ran.
pub fn plots(record: &RunRecord) -> Result<Vec<Plot>, ReportError> {
    let points = record.figure(STAGE, "points").cloned().unwrap_or_default();
    let points: Vec<LatencyPoint> = serde_json::from_value(points).unwrap_or_default();
    let mut plots = Vec::new();
    if !points.is_empty() {
        let floor = record.figure(STAGE, "noise_floor").and_then(Value::as_f64);
        plots.push(render("latency-residuals", caption(record, floor), &Residuals { points, floor })?);
    }
    plots.extend(curve(record)?);
    Ok(plots)
}

fn caption(record: &RunRecord, floor: Option<f64>) -> String {
    let of = |key: &str| record.figure(STAGE, key).map_or("–".into(), |value| value.to_string().replace('"', ""));
    let floor = floor.map_or("not known".into(), |floor| format!("{:.1} %", 100.0 * floor));
    format!(
        "Predicted less measured latency of {} architectures held out, learned from {}, on {}. Grey lines: no error, and ±10 %; \
         band: the noise floor ({floor}), by which one measurement differs from another. Red: a line through \
         multiply-accumulates alone.",
        of("tested_on"),
        of("measurements"),
        of("device")
    )
}

struct Residuals {
    points: Vec<LatencyPoint>,
    floor: Option<f64>,
}

impl Draw for Residuals {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), String>
    where
        B::ErrorType: 'static,
    {
        area.fill(&WHITE).map_err(text)?;
        let off = |point: &LatencyPoint, ms: f64| 100.0 * (ms - point.measured_ms) / point.measured_ms;
        let x = span(self.points.iter().map(|point| point.measured_ms));
        let most = self.points.iter().flat_map(|p| [off(p, p.predicted_ms), off(p, p.macs_fit_ms)]);
        let y = span(most.chain([-12.0, 12.0]));
        let mut chart = ChartBuilder::on(area)
            .margin(16)
            .x_label_area_size(46)
            .y_label_area_size(72)
            .build_cartesian_2d(x.clone(), y)
            .map_err(text)?;
        draw_mesh(chart.configure_mesh().x_desc("measured [ms]").y_desc("predicted − measured [%]"))?;
        if let Some(floor) = self.floor {
            let band = Rectangle::new([(x.start, -100.0 * floor), (x.end, 100.0 * floor)], FAINT.mix(0.3).filled());
            chart.draw_series([band]).map_err(text)?;
        }
        for level in [-10.0, 0.0, 10.0] {
            let ends = [(x.start, level), (x.end, level)];
            chart.draw_series(LineSeries::new(ends, FAINT.stroke_width(2))).map_err(text)?;
        }
        let by_line =
            self.points.iter().map(|p| Cross::new((p.measured_ms, off(p, p.macs_fit_ms)), 4, WINNER.mix(0.6)));
        chart.draw_series(by_line).map_err(text)?.label("MACs fit").legend(|at| Cross::new(at, 4, WINNER));
        let ours =
            self.points.iter().map(|p| Circle::new((p.measured_ms, off(p, p.predicted_ms)), 4, FRONT.filled()));
        chart.draw_series(ours).map_err(text)?.label("predictor").legend(|at| Circle::new(at, 4, FRONT.filled()));
        chart
            .configure_series_labels()
            .background_style(WHITE.mix(0.85))
            .border_style(FAINT)
            .label_font((FONT, 14).into_font().color(&INK))
            .draw()
            .map_err(text)
    }
}

/// Error on held-out architectures by the number of measurements.
fn curve(record: &RunRecord) -> Result<Option<Plot>, ReportError> {
    let rows = record.figure(STAGE, "learning_curve").and_then(Value::as_array).cloned().unwrap_or_default();
    let series = |name: &str, key: &str| {
        let point = |row: &Value| Some((row["measurements"].as_f64()?, 100.0 * row[key]["mape"].as_f64()?));
        Series { name: name.into(), points: rows.iter().filter_map(point).collect() }
    };
    let mut all = vec![
        series("predictor", "predictor"),
        series("MACs fit", "macs_fit"),
        series("one-hot fit", "one_hot_fit"),
    ];
    if all[0].points.len() < 2 {
        return Ok(None);
    }
    if let Some(mape) = record.figure(STAGE, "repeats").and_then(|repeats| repeats["mape"].as_f64()) {
        let ends = [all[0].points[0].0, all[0].points[all[0].points.len() - 1].0];
        let points = ends.map(|x| (x, 100.0 * mape)).to_vec();
        all.push(Series { name: "second by first measurement".into(), points });
    }
    let caption = "Mean relative error on held-out architectures by the number of measurements learned from, the most telling \
        first; flat line: of a second measurement told by the first."
        .to_string();
    let curves = Curves { x: "measurements", y: "mean relative error [%]".into(), series: all };
    render("latency-learning", caption, &curves).map(Some)
}
