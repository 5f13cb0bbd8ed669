use plotters::{
    coord::{Shift, types::RangedCoordf64},
    prelude::*,
};
use tnas_record::{Direction, FrontRow, Objective, Source};

use super::{Draw, PARETO, Plot, draw_mesh, render, span, text};
use crate::{
    ReportError, RunRecord,
    style::{FAINT, FONT, FRONT, INK, MEASURED, REFUSED, WINNER},
};

/// Two objectives of all candidates.
struct Pareto<'a> {
    record: &'a RunRecord,
    x: &'a Objective,
    y: &'a Objective,
}

/// Each pair of objectives, the earlier one upwards: all candidates, the front predicted and measured, limits and the winner.
pub fn plots(record: &RunRecord) -> Result<Vec<Plot>, ReportError> {
    let of_pair = |(y, x): (&Objective, &Objective)| {
        let name = if record.objectives.count() == 2 { PARETO.into() } else { format!("{PARETO}-{y}-{x}") };
        render(&name, caption(record, x, y), &Pareto { record, x, y })
    };
    record.objectives.pairs().map(of_pair).collect()
}

fn caption(record: &RunRecord, x: &Objective, y: &Objective) -> String {
    let device = record.device();
    let described = |objective: &Objective| match objective.source {
        Source::Scored => format!("{} through the supernet", objective.label),
        Source::Predicted | Source::Measured => format!("{} on {device}", objective.label),
        Source::Counted => objective.label.to_string(),
    };
    let vertical = if y.direction == Direction::Minimise { "lower" } else { "upper" };
    let horizontal = if x.direction == Direction::Minimise { "left" } else { "right" };
    format!(
        "Every candidate: {} over {} ({vertical} {horizontal} is better). Blue: the front as predicted; green: the same \
         architectures as measured; red: the winner.",
        described(y),
        described(x)
    )
}

impl Pareto<'_> {
    /// Where a member of the front lies as the search saw it.
    fn predicted(&self, row: &FrontRow) -> Option<(f64, f64)> {
        let value = |objective: &Objective| row.objectives.get(&*objective.name).copied();
        Some((value(self.x)?, value(self.y)?))
    }

    /// The same with what was measured of it; none where nothing was.
    fn measured(&self, row: &FrontRow) -> Option<(f64, f64)> {
        let measured = |objective: &Objective| row.measured.get(&*objective.name).copied();
        let (x, y) = self.predicted(row)?;
        let found = (measured(self.x), measured(self.y));
        (found != (None, None)).then(|| (found.0.unwrap_or(x), found.1.unwrap_or(y)))
    }

    /// Where the candidates lie.
    fn candidates(&self, feasible: bool) -> impl Iterator<Item = (f64, f64)> {
        let value = |values: &tnas_record::ObjectiveValues, of: &Objective| values.get(&*of.name).copied();
        let rows = self.record.candidates().iter().filter(move |row| row.feasible == feasible);
        rows.filter_map(move |row| Some((value(&row.objectives, self.x)?, value(&row.objectives, self.y)?)))
    }

    fn limit(&self, objective: &Objective) -> Option<f64> {
        self.record.figures.search.as_ref()?.limits.get(&*objective.name).copied()
    }
}

impl Draw for Pareto<'_> {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), String>
    where
        B::ErrorType: 'static,
    {
        let front = self.record.front();
        area.fill(&WHITE).map_err(text)?;
        let all = || {
            self.candidates(true)
                .chain(self.candidates(false))
                .chain(front.iter().filter_map(|row| self.measured(row)))
        };
        let (x, y) = (span(all().map(|at| at.0)), span(all().map(|at| at.1)));
        let mut chart = ChartBuilder::on(area)
            .margin(16)
            .x_label_area_size(46)
            .y_label_area_size(72)
            .build_cartesian_2d(x.clone(), y.clone())
            .map_err(text)?;
        draw_mesh(chart.configure_mesh().x_desc(self.x.axis()).y_desc(self.y.axis()))?;
        for (feasible, colour, label) in
            [(false, REFUSED, "beyond a limit"), (true, FAINT, "candidates, predicted")]
        {
            let dots = self.candidates(feasible).map(|at| Circle::new(at, 3, colour.mix(0.7).filled()));
            chart.draw_series(dots).map_err(text)?.label(label).legend(dot(colour));
        }
        let across = |limit: f64| [(limit, y.start), (limit, y.end)];
        let along = |limit: f64| [(x.start, limit), (x.end, limit)];
        let limits = [(self.x, self.limit(self.x).map(across)), (self.y, self.limit(self.y).map(along))];
        for (objective, line) in limits.into_iter().filter_map(|(objective, line)| Some((objective, line?))) {
            chart
                .draw_series(LineSeries::new(line, WINNER.mix(0.5)))
                .map_err(text)?
                .label(format!("{} limit", objective.label))
                .legend(|(x, y)| PathElement::new([(x - 6, y), (x + 6, y)], WINNER.mix(0.5)));
        }
        self.draw_front(&mut chart)?;
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

type Chart<'a, B> = ChartContext<'a, B, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

impl Pareto<'_> {
    fn draw_front<'a, B: DrawingBackend + 'a>(&self, chart: &mut Chart<'a, B>) -> Result<(), String>
    where
        B::ErrorType: 'static,
    {
        let front = self.record.front();
        let predicted = || front.iter().filter_map(|row| self.predicted(row));
        // A front of more objectives is no curve between two of them.
        if self.record.objectives.count() == 2 {
            chart.draw_series(LineSeries::new(predicted(), FRONT.stroke_width(2))).map_err(text)?;
        }
        chart
            .draw_series(predicted().map(|at| Circle::new(at, 5, FRONT.filled())))
            .map_err(text)?
            .label("front, predicted")
            .legend(dot(FRONT));
        let measured = front.iter().filter_map(|row| self.measured(row));
        chart
            .draw_series(measured.map(|at| Circle::new(at, 5, MEASURED.stroke_width(2))))
            .map_err(text)?
            .label("front, measured")
            .legend(dot(MEASURED));
        let winner = front.iter().filter(|row| row.winner);
        let at = winner.filter_map(|row| self.measured(row).or_else(|| self.predicted(row)));
        chart
            .draw_series(at.map(|at| TriangleMarker::new(at, 10, WINNER.filled())))
            .map_err(text)?
            .label("winner")
            .legend(dot(WINNER));
        Ok(())
    }
}

fn dot<B: DrawingBackend>(colour: RGBColor) -> impl Fn((i32, i32)) -> DynElement<'static, B, (i32, i32)> {
    move |at| Circle::new(at, 5, colour.filled()).into_dyn()
}
