//! The report.

use tnas_record::{ReportSummary, Summary, WrittenReport};

use crate::{
    run::Run,
    settings::{DataKind, Study},
};

/// Draws what the other stages recorded. Always done: it is quick, and may show stages that ran since.
pub fn report(run: &Run, study: &Study) -> anyhow::Result<WrittenReport> {
    let attribution = match study.data.kind {
        DataKind::Shapes => None,
        DataKind::MovingMnist => Some("Real clips: digits of MNIST (LeCun, Cortes and Burges).".into()),
        DataKind::Videofolder => attribution(study),
    };
    let stage = run.stage(ReportSummary::STAGE)?;
    run.dir().finish(&stage, &ReportSummary { attribution })?;
    let files = tnas_reports::report(run.root())?;
    let count = files.len();
    for (name, bytes) in files {
        run.dir().write(run.files().report().join(name), &bytes)?;
    }
    Ok(WrittenReport { files: count, page: run.files().report_page() })
}

/// A videofolder's own note on who made its clips.
fn attribution(study: &Study) -> Option<String> {
    let path = study.data.path.as_ref()?.join("AUTHORS.txt");
    let text = std::fs::read_to_string(path).ok()?;
    Some(format!("Real clips: {}", text.lines().take(12).collect::<Vec<_>>().join(" ")))
}
