//! The report.

use serde_json::{Value, json};

use crate::{
    run::Run,
    settings::{DataKind, Study},
};

/// Draws what the other stages recorded. Always done: it is quick, and may show stages that ran since.
pub fn report(run: &Run, study: &Study) -> anyhow::Result<Value> {
    let attribution = match study.data.kind {
        DataKind::Shapes => Value::Null,
        DataKind::MovingMnist => json!("Real clips: digits of MNIST (LeCun, Cortes and Burges)."),
        DataKind::Videofolder => attribution(study),
    };
    let stage = run.stage("report")?;
    run.dir().finish(&stage, json!({"attribution": attribution}))?;
    let files = tnas_reports::report(run.root())?;
    let count = files.len();
    for (name, bytes) in files {
        run.write(&format!("report/{name}"), &bytes)?;
    }
    Ok(json!({"files": count, "page": run.path("report/index.html")}))
}

/// A videofolder's own note on who made its clips.
fn attribution(study: &Study) -> Value {
    let path = study.data.path.as_ref().map(|path| path.join("AUTHORS.txt"));
    let text = path.and_then(|path| std::fs::read_to_string(path).ok());
    text.map_or(Value::Null, |text| {
        json!(format!("Real clips: {}", text.lines().take(12).collect::<Vec<_>>().join(" ")))
    })
}
