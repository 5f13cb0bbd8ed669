use plotters::{coord::Shift, prelude::*};
use tnas_record::{EvaluatedArm, Evaluation, Spread};

use super::{DISTANCES, Draw, Plot, SAMPLES, draw_mesh, render, span, text};
use crate::{
    ReportError, RunRecord,
    style::{FONT, FRONT, INK, MEASURED, WINNER},
};

/// A distance of each set of clips to real ones.
struct Distances {
    name: &'static str,
    rows: Vec<Row>,
    /// The real-against-real floor.
    floor: [f64; 2],
}

struct Row {
    name: String,
    colour: RGBColor,
    estimate: f64,
    low: f64,
    high: f64,
}

/// Pixels of a row's name at most.
const NAME_WIDTH: u32 = 250;

/// Both distances of each evaluation with their intervals: of real clips, of each arm, and of the controls.
pub fn plots(record: &RunRecord) -> Result<Vec<Plot>, ReportError> {
    let mut plots = Vec::new();
    for (front, evaluation) in [(SAMPLES, &record.samples), (DISTANCES, &record.evaluation)] {
        for (metric, name) in [
            ("kernel_mmd", "kernel MMD² to real clips (cube root)"),
            ("frechet", "Fréchet distance to real clips (cube root)"),
        ] {
            let Some(drawing) = evaluation.as_ref().and_then(|found| Distances::new(found, metric, name)) else {
                continue;
            };
            let stem = format!("{front}{}", metric.replace('_', "-"));
            let caption = format!(
                "{stem}: each set of clips with its 95 % bootstrap interval; lower is better. The band is the \
                 distance of real clips to other real clips. The axis is of cube roots, so that small and large distances are \
                 visible in one plot."
            );
            plots.push(render(&stem, caption, &drawing)?);
        }
    }
    Ok(plots)
}

impl Distances {
    fn new(found: &Evaluation, metric: &str, name: &'static str) -> Option<Self> {
        let row = |arm: &EvaluatedArm, colour: RGBColor| -> Option<Row> {
            let Spread { estimate, low, high, .. } = arm.metrics.get(metric)?;
            let [estimate, low, high] = [estimate, low, high].map(|number| number.cbrt());
            let known = [estimate, low, high].iter().all(|number| number.is_finite());
            known.then(|| Row { name: arm.arm.clone(), colour, estimate, low, high })
        };
        let floor = row(&found.floor, MEASURED)?;
        let band = [floor.low, floor.high];
        let mut rows = vec![floor];
        rows.extend(found.before_autoencoder.iter().filter_map(|arm| row(arm, MEASURED)));
        rows.extend(found.held_out.iter().filter_map(|arm| row(arm, MEASURED)));
        rows.extend(found.arms.iter().filter_map(|arm| row(arm, FRONT)));
        rows.extend(found.controls.iter().filter_map(|arm| row(arm, WINNER)));
        Some(Self { name, rows, floor: band })
    }
}

impl Draw for Distances {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Result<(), String>
    where
        B::ErrorType: 'static,
    {
        area.fill(&WHITE).map_err(text)?;
        let ends = self.rows.iter().flat_map(|row| [row.low, row.high]);
        let x = span(ends.chain([0.0]));
        let count = self.rows.len() as f64;
        let mut chart = ChartBuilder::on(area)
            .margin(16)
            .x_label_area_size(46)
            .y_label_area_size(NAME_WIDTH)
            .build_cartesian_2d(x.clone(), 0.0..count)
            .map_err(text)?;
        draw_mesh(chart.configure_mesh().x_desc(self.name).disable_y_mesh().y_labels(0))?;
        let band = [(self.floor[0], 0.0), (self.floor[1], count)];
        chart.draw_series([Rectangle::new(band, MEASURED.mix(0.15).filled())]).map_err(text)?;
        for (index, row) in self.rows.iter().enumerate() {
            let y = count - index as f64 - 0.5;
            let line = [(row.low, y), (row.high, y)];
            chart.draw_series(LineSeries::new(line, row.colour.stroke_width(3))).map_err(text)?;
            chart.draw_series([Circle::new((row.estimate, y), 5, row.colour.filled())]).map_err(text)?;
            let (_, place) = chart.plotting_area().map_coordinate(&(x.start, y));
            let style = (FONT, 13).into_font().color(&INK);
            area.draw_text(&row.name, &style, (12, place - 7)).map_err(text)?;
        }
        Ok(())
    }
}
