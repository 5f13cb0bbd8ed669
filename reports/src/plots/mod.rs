//! The plots, each once as SVG and once as PNG.

mod curves;
mod distances;
mod hypervolume;
mod latency;
mod pareto;
mod residuals;

use plotters::{chart::MeshStyle, coord::types::RangedCoordf64, prelude::*};

use crate::{
    ReportError, RunRecord,
    style::{self, FAINT, FONT, INK},
};

/// A drawn plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// File stem.
    pub name: String,
    /// What it shows, and how to read it.
    pub caption: String,
    /// Vector picture.
    pub svg: String,
    /// Raster picture.
    pub png: Vec<u8>,
}

/// Width and height in pixels.
const SIZE: (u32, u32) = (900, 560);

/// Stems of plots of two objectives.
pub(crate) const PARETO: &str = "pareto";

/// Stems of plots of `evaluate`.
pub(crate) const DISTANCES: &str = "distances-";

/// Stems of plots of the stage `samples`.
pub(crate) const SAMPLES: &str = "samples-";

/// Every plot that the record has data for.
pub fn all(record: &RunRecord) -> Result<Vec<Plot>, ReportError> {
    style::register();
    let mut plots = Vec::new();
    if !record.candidates().is_empty() {
        plots.extend(pareto::plots(record)?);
        plots.extend(hypervolume::plot(record)?);
    }
    plots.extend(latency::plot(record)?);
    plots.extend(residuals::plots(record)?);
    plots.extend(curves::plots(record)?);
    plots.extend(distances::plots(record)?);
    Ok(plots)
}

/// A drawing that works on either backend.
trait Draw {
    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, plotters::coord::Shift>) -> Result<(), String>
    where
        B::ErrorType: 'static;
}

/// Axes and grid, the same in every plot.
fn draw_mesh<B: DrawingBackend>(
    mesh: &mut MeshStyle<'_, '_, RangedCoordf64, RangedCoordf64, B>,
) -> Result<(), String>
where
    B::ErrorType: 'static,
{
    mesh.label_style((FONT, 14).into_font().color(&INK))
        .axis_desc_style((FONT, 15).into_font().color(&INK))
        .light_line_style(WHITE)
        .bold_line_style(FAINT.mix(0.35))
        .draw()
        .map_err(text)
}

/// Draws twice: as SVG text and as PNG bytes.
fn render(name: &str, caption: String, drawing: &impl Draw) -> Result<Plot, ReportError> {
    let fail = |message: String| ReportError::Draw { name: name.into(), message };
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        drawing.draw(&area).map_err(fail)?;
        area.present().map_err(|error| fail(error.to_string()))?;
    }
    let mut pixels = vec![0; (SIZE.0 * SIZE.1 * 3) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, SIZE).into_drawing_area();
        drawing.draw(&area).map_err(fail)?;
        area.present().map_err(|error| fail(error.to_string()))?;
    }
    let png = encode_png(&pixels).map_err(fail)?;
    Ok(Plot { name: name.into(), caption, svg, png })
}

fn encode_png(pixels: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, SIZE.0, SIZE.1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().map_err(|error| error.to_string())?;
    writer.write_image_data(pixels).map_err(|error| error.to_string())?;
    writer.finish().map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// Least and most of some numbers, widened by a twentieth so that no point lies on the frame.
fn span(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (low, high) = values
        .filter(|x| x.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
    if low > high {
        return 0.0..1.0;
    }
    let margin = (0.05 * (high - low)).max(1e-6 * high.abs()).max(1e-9);
    low - margin..high + margin
}

fn text<E: std::fmt::Display>(error: E) -> String {
    error.to_string()
}
