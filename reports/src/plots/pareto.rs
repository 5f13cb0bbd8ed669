use plotters::{coord::Shift, prelude::*};

use super::{Draw, Plot, draw_mesh, render, span, text};
use crate::{
    FrontRow, ReportError, RunRecord,
    style::{FAINT, FONT, FRONT, INK, MEASURED, REFUSED, WINNER},
};

struct Pareto<'a>(&'a RunRecord);

/// Held-out loss over latency: all candidates, the front predicted and measured, limits and the winner.
pub fn plot(record: &RunRecord) -> Result<Plot, ReportError> {
    let device = record.figure("latency", "device").and_then(|d| d.as_str()).unwrap_or("this device");
    let caption = format!(
        "Every candidate: held-out loss through the supernet over latency on {device} (lower left is better). Blue: the \
         front at its predicted latency; green: the same architectures measured again; red: the winner."
    );
    render("pareto", caption, &Pareto(record))
}

impl Draw for Pareto<'_> {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), String>
    where
        B::ErrorType: 'static,
    {
        let record = self.0;
        area.fill(&WHITE).map_err(text)?;
        let measured = record.front.iter().filter_map(|row| row.measured_ms);
        let x = span(record.candidates.iter().map(|c| c.latency_ms).chain(measured));
        let y = span(record.candidates.iter().map(|c| c.loss));
        let mut chart = ChartBuilder::on(area)
            .margin(16)
            .x_label_area_size(46)
            .y_label_area_size(72)
            .build_cartesian_2d(x.clone(), y.clone())
            .map_err(text)?;
        draw_mesh(chart.configure_mesh().x_desc("latency [ms]").y_desc("held-out loss"))?;
        let dots = |feasible: bool, colour: RGBColor| {
            record
                .candidates
                .iter()
                .filter(move |c| c.feasible == feasible)
                .map(move |c| Circle::new((c.latency_ms, c.loss), 3, colour.mix(0.7).filled()))
        };
        chart.draw_series(dots(false, REFUSED)).map_err(text)?.label("beyond a limit").legend(dot(REFUSED));
        chart.draw_series(dots(true, FAINT)).map_err(text)?.label("candidates, predicted").legend(dot(FAINT));
        if let Some(limit) = record.figure("search", "limit_latency_ms").and_then(|limit| limit.as_f64()) {
            chart
                .draw_series(LineSeries::new([(limit, y.start), (limit, y.end)], WINNER.mix(0.5)))
                .map_err(text)?
                .label("latency limit")
                .legend(|(x, y)| PathElement::new([(x - 6, y), (x + 6, y)], WINNER.mix(0.5)));
        }
        let front: Vec<&FrontRow> = record.front.iter().collect();
        let line = front.iter().map(|row| (row.predicted_ms, row.loss));
        chart.draw_series(LineSeries::new(line.clone(), FRONT.stroke_width(2))).map_err(text)?;
        chart
            .draw_series(line.map(|at| Circle::new(at, 5, FRONT.filled())))
            .map_err(text)?
            .label("front, predicted")
            .legend(dot(FRONT));
        chart
            .draw_series(
                front
                    .iter()
                    .filter_map(|row| Some(Circle::new((row.measured_ms?, row.loss), 5, MEASURED.stroke_width(2)))),
            )
            .map_err(text)?
            .label("front, measured")
            .legend(dot(MEASURED));
        chart
            .draw_series(front.iter().filter(|row| row.winner).map(|row| {
                TriangleMarker::new((row.measured_ms.unwrap_or(row.predicted_ms), row.loss), 10, WINNER.filled())
            }))
            .map_err(text)?
            .label("winner")
            .legend(dot(WINNER));
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

fn dot<B: DrawingBackend>(colour: RGBColor) -> impl Fn((i32, i32)) -> DynElement<'static, B, (i32, i32)> {
    move |at| Circle::new(at, 5, colour.filled()).into_dyn()
}
