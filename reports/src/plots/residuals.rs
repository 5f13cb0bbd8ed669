//! `latency eval`: residuals of the predictor, and its learning curve.

use plotters::{coord::Shift, prelude::*};
use tnas_record::{Accuracy, LatencyEvaluation, LatencyPoint, LearningPoint};

use super::{
    Draw, Plot,
    curves::{Curves, Series},
    draw_mesh, render, span, text,
};
use crate::{
    ReportError, RunRecord,
    style::{FAINT, FONT, FRONT, INK, WINNER},
};

/// Residuals and the learning curve, where the stage ran.
pub fn plots(record: &RunRecord) -> Result<Vec<Plot>, ReportError> {
    let Some(found) = &record.figures.latency_evaluation else { return Ok(Vec::new()) };
    let mut plots = Vec::new();
    if !found.points.is_empty() {
        let residuals = Residuals { points: &found.points, floor: found.noise_floor };
        plots.push(render("latency-residuals", caption(found), &residuals)?);
    }
    plots.extend(curve(found)?);
    Ok(plots)
}

fn caption(found: &LatencyEvaluation) -> String {
    let floor = found.noise_floor.map_or("not known".into(), |floor| format!("{:.1} %", 100.0 * floor));
    format!(
        "Predicted minus measured latency of {} held-out architectures, predictor fitted on {}, on {}. Grey lines: no error, and \
         ±10 %; band: the noise floor ({floor}), the median difference of architectures measured twice. Red: a line through \
         multiply-accumulates alone.",
        found.tested_on, found.measurements, found.device
    )
}

struct Residuals<'a> {
    points: &'a [LatencyPoint],
    floor: Option<f64>,
}

impl Draw for Residuals<'_> {
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
fn curve(found: &LatencyEvaluation) -> Result<Option<Plot>, ReportError> {
    let rows = &found.learning_curve;
    let series = |name: &str, accuracy: fn(&LearningPoint) -> Option<Accuracy>| {
        let point = |row: &LearningPoint| Some((row.measurements as f64, 100.0 * accuracy(row)?.mape));
        let points = rows.iter().filter_map(point).filter(|(_, error)| error.is_finite());
        Series { name: name.into(), points: points.collect() }
    };
    let mut all = vec![
        series("predictor", |row| row.predictor),
        series("MACs fit", |row| row.macs_fit),
        series("one-hot fit", |row| row.one_hot_fit),
    ];
    let [(first, _), .., (last, _)] = all[0].points[..] else { return Ok(None) };
    if let Some(repeats) = found.repeats.filter(|repeats| repeats.mape.is_finite()) {
        let points = [first, last].map(|x| (x, 100.0 * repeats.mape)).to_vec();
        all.push(Series { name: "second by first measurement".into(), points });
    }
    let caption = "Mean relative error on held-out architectures by the number of measurements that the predictor is fitted on, \
        the most informative first. Flat line: error of predicting a second measurement by the first."
        .to_string();
    let curves = Curves { x: "measurements", y: "mean relative error [%]".into(), series: all };
    render("latency-learning", caption, &curves).map(Some)
}
