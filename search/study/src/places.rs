//! Where a piece of settings was written.

use std::path::{Path, PathBuf};

use crate::SettingsError;

/// A file's text followed by the texts of the overrides, so that one offset says which of them, and where.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    path: PathBuf,
    text: String,
    /// First offset and text of each override.
    overrides: Vec<(usize, String)>,
}

impl Places {
    pub(crate) fn new(path: &Path, text: &str, overrides: &[String]) -> Self {
        let mut end = text.len();
        let mut placed = Vec::new();
        for one in overrides {
            placed.push((end + 1, one.clone()));
            end += 1 + one.len();
        }
        Self { path: path.into(), text: text.into(), overrides: placed }
    }

    /// First offset and text of each override.
    pub(crate) fn overrides(&self) -> impl Iterator<Item = (usize, &str)> {
        self.overrides.iter().map(|(offset, text)| (*offset, text.as_str()))
    }

    /// An error at an offset.
    pub(crate) fn error(&self, offset: usize, message: String) -> SettingsError {
        match self.override_at(offset) {
            Some(text) => SettingsError::Override { text: text.into(), message },
            None => {
                let (line, column) = self.line_and_column(offset);
                SettingsError::At { path: self.path.clone(), line, column, message }
            }
        }
    }

    /// An offset for people: `study.toml:3:1`, or `--set key=value`.
    pub(crate) fn describe(&self, offset: usize) -> String {
        match self.override_at(offset) {
            Some(text) => format!("--set {text}"),
            None => {
                let (line, column) = self.line_and_column(offset);
                format!("{}:{line}:{column}", self.path.display())
            }
        }
    }

    fn override_at(&self, offset: usize) -> Option<&str> {
        self.overrides.iter().rev().find(|(start, _)| *start <= offset).map(|(_, text)| text.as_str())
    }

    /// Both counted from 1; columns in characters.
    fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let before = &self.text[..self.text.floor_char_boundary(offset)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}
