//! A run directory as one HTML page, PNG and SVG.
//!
//! Nothing is computed here that a stage did not record: [`RunRecord::read`] reads the files, [`plots`] draws them, and
//! [`page`] puts figures, pictures and tables into one file that opens offline.

mod error;
mod evaluation;
mod figure;
mod number;
mod page;
mod pareto;
pub mod plots;
mod record;
#[cfg(test)]
mod sample;
mod style;
mod tables;

pub use error::ReportError;
pub use page::{SECTIONS, Section, page};
pub use record::{Picture, Preview, RunRecord, StageFigures};

use std::path::Path;

/// A file of the report: name under `report/` and contents.
pub type ReportFile = (String, Vec<u8>);

/// Draws everything that a run recorded: `index.html` first, then PNG and SVG of each plot.
pub fn report(run: &Path) -> Result<Vec<ReportFile>, ReportError> {
    let record = RunRecord::read(run)?;
    let plots = plots::all(&record)?;
    let mut files = vec![("index.html".to_string(), page(&record, &plots).into_bytes())];
    for plot in plots {
        files.push((format!("{}.svg", plot.name), plot.svg.into_bytes()));
        files.push((format!("{}.png", plot.name), plot.png));
    }
    Ok(files)
}
