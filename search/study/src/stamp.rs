use crate::canonical_json;
use serde_json::Value;
use std::fmt;
use std::path::PathBuf;

/// Why a stage must run; each completes "the stage runs again: …".
#[derive(Clone, Debug, PartialEq)]
pub enum StaleReason {
    /// There is no stamp.
    NotFinished,
    /// The stamp is broken or of another version.
    Unreadable(String),
    /// The stage does something else now.
    Version {
        /// Version that finished.
        finished: u32,
        /// Version of this program.
        now: u32,
    },
    /// A setting is another one.
    Setting {
        /// Dotted path of the setting.
        name: String,
        /// Its JSON then; empty where there was none.
        finished: String,
        /// Its JSON now; empty where there is none.
        now: String,
    },
    /// An input is not there.
    InputMissing(PathBuf),
    /// An input's contents are others.
    InputChanged(PathBuf),
    /// There were more inputs.
    FewerInputs {
        /// Inputs then.
        finished: usize,
        /// Inputs now.
        now: usize,
    },
    /// An output is gone, or was not written by the stage that finished.
    OutputMissing(PathBuf),
    /// An output's contents are not what the stage wrote.
    OutputChanged(PathBuf),
}

impl StaleReason {
    /// The first setting in which two trees differ.
    pub(crate) fn setting(finished: &Value, now: &Value) -> Option<Self> {
        let text = |value: Option<&Value>| value.map(|v| canonical_json(v).unwrap_or_default()).unwrap_or_default();
        let mut names = Vec::new();
        let (mut finished, mut now) = (Some(finished), Some(now));
        if text(finished) == text(now) {
            return None;
        }
        while let (Some(Value::Object(before)), Some(Value::Object(after))) = (finished, now) {
            let mut keys: Vec<_> = before.keys().chain(after.keys()).collect();
            keys.sort_unstable();
            let Some(key) = keys.into_iter().find(|key| text(before.get(*key)) != text(after.get(*key))) else {
                break;
            };
            names.push(key.as_str());
            (finished, now) = (before.get(key), after.get(key));
        }
        Some(Self::Setting { name: names.join("."), finished: text(finished), now: text(now) })
    }
}

impl fmt::Display for StaleReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFinished => write!(f, "it has not finished yet"),
            Self::Unreadable(message) => write!(f, "its stamp is not readable: {message}"),
            Self::Version { finished, now } => write!(f, "it is version {now} now and was version {finished}"),
            Self::Setting { name, .. } if name.ends_with(".sha256") => {
                write!(f, "the contents of {} have changed", name.trim_end_matches(".sha256"))
            }
            Self::Setting { name, finished, now } if finished.is_empty() => write!(f, "{name} = {now} is new"),
            Self::Setting { name, finished, now } if now.is_empty() => write!(f, "{name} = {finished} is gone"),
            Self::Setting { name, finished, now } => write!(f, "{name} was {finished}, is {now}"),
            Self::InputMissing(path) => write!(f, "its input {} is missing", path.display()),
            Self::InputChanged(path) => write!(f, "its input {} has changed", path.display()),
            Self::FewerInputs { finished, now } => write!(f, "it had {finished} inputs and has {now}"),
            Self::OutputMissing(path) => write!(f, "its output {} is missing", path.display()),
            Self::OutputChanged(path) => write!(f, "its output {} has changed", path.display()),
        }
    }
}
