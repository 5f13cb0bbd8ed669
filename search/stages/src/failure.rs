//! Errors for people.

/// An error and its causes as one line, from the outermost on, each cause once: one whose text is already there is left out,
/// since many libraries both repeat a cause in their message and give it as the source.
pub fn chain(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if line.is_empty() {
            line = text;
        } else if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context;
    use tnas_clips::ClipError;
    use tnas_study::{SettingsError, StudyError};
    use tnas_training::TrainError;

    use super::*;

    fn system() -> io::Error {
        io::Error::new(io::ErrorKind::NotFound, "No such file or directory (os error 2)")
    }

    #[test]
    fn a_cause_is_printed_once_whether_or_not_the_message_repeats_it() {
        let path = || std::path::PathBuf::from("x.png");
        let picture = || ClipError::Read { path: path(), source: system() };
        for error in [
            anyhow::Error::from(system()),
            anyhow::Error::from(system()).context("failed to read x.png"),
            anyhow::Error::from(picture()),
            anyhow::Error::from(picture()).context("failed to open the data"),
            anyhow::Error::from(SettingsError::Read { path: path(), source: system() }),
            anyhow::Error::from(StudyError::Write { path: path(), source: system() })
                .context("failed to end the stage"),
            anyhow::Error::from(TrainError::Load { clip: 3, source: Box::new(picture()) }),
            anyhow::Error::from(TrainError::Loading {
                stage: "supernet".into(),
                step: 7,
                source: Box::new(picture()),
            }),
        ] {
            let line = chain(&error);
            assert_eq!(line.matches("No such file").count(), 1, "{line}");
            assert!(line.starts_with(&error.to_string()), "{line}");
        }
        let line = chain(&anyhow::Error::from(picture()).context("failed to open the data"));
        assert_eq!(line, "failed to open the data: read x.png: No such file or directory (os error 2)");
    }

    #[test]
    fn causes_of_a_real_file_are_kept_in_order() {
        let read = std::fs::read("no/such/file").context("failed to read it").context("failed to start");
        let line = chain(&read.expect_err("no file"));
        assert!(line.starts_with("failed to start: failed to read it: No such file"), "{line}");
        let json: Result<serde_json::Value, _> = serde_json::from_str("{");
        let line = chain(&json.context("failed to read the profile").expect_err("no JSON"));
        assert!(line.starts_with("failed to read the profile: EOF while parsing"), "{line}");
    }
}
