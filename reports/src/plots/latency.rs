use plotters::{coord::Shift, prelude::*};
use tnas_record::LatencyPoint;

use super::{Draw, Plot, draw_mesh, render, span, text};
use crate::{
    ReportError, RunRecord,
    style::{FAINT, FONT, FRONT, INK, WINNER},
};

struct Latency<'a>(&'a [LatencyPoint]);

/// Predicted over measured latency of architectures that the predictor has not seen.
pub fn plot(record: &RunRecord) -> Result<Option<Plot>, ReportError> {
    let points = record.figures.latency.as_ref().map_or(&[][..], |latency| &latency.held_out_points);
    if points.is_empty() {
        return Ok(None);
    }
    let caption =
        "Architectures held out from the fit: predicted over measured latency, with the predictor's 90 % \
        intervals. On the grey line the two are equal. Red: a line through multiply-accumulates alone."
            .to_string();
    render("latency", caption, &Latency(points)).map(Some)
}

impl Draw for Latency<'_> {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), String>
    where
        B::ErrorType: 'static,
    {
        let points = self.0;
        area.fill(&WHITE).map_err(text)?;
        let range = span(points.iter().flat_map(|p| [p.measured_ms, p.low_ms, p.high_ms, p.macs_fit_ms]));
        let mut chart = ChartBuilder::on(area)
            .margin(16)
            .x_label_area_size(46)
            .y_label_area_size(72)
            .build_cartesian_2d(range.clone(), range.clone())
            .map_err(text)?;
        draw_mesh(chart.configure_mesh().x_desc("measured [ms]").y_desc("predicted [ms]"))?;
        chart
            .draw_series(LineSeries::new(
                [(range.start, range.start), (range.end, range.end)],
                FAINT.stroke_width(2),
            ))
            .map_err(text)?;
        chart
            .draw_series(points.iter().map(|p| Cross::new((p.measured_ms, p.macs_fit_ms), 4, WINNER.mix(0.7))))
            .map_err(text)?
            .label("MACs fit")
            .legend(|at| Cross::new(at, 4, WINNER));
        chart
            .draw_series(
                points.iter().map(|p| {
                    PathElement::new([(p.measured_ms, p.low_ms), (p.measured_ms, p.high_ms)], FRONT.mix(0.4))
                }),
            )
            .map_err(text)?;
        chart
            .draw_series(points.iter().map(|p| Circle::new((p.measured_ms, p.predicted_ms), 4, FRONT.filled())))
            .map_err(text)?
            .label("predictor")
            .legend(|at| Circle::new(at, 4, FRONT.filled()));
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.85))
            .border_style(FAINT)
            .label_font((FONT, 14).into_font().color(&INK))
            .draw()
            .map_err(text)
    }
}
