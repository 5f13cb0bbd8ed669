use std::collections::BTreeMap;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ClipError;

/// Which words stand for a clip: all that is known, or less, so that many clips answer one caption.
///
/// Written as `full`, or as a template with labels in braces: `{action} {direction}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub enum CaptionPolicy {
    /// The clip's own text.
    #[default]
    Full,
    /// Words and `{label}`s.
    Template(String),
}

impl CaptionPolicy {
    /// The caption of a clip with this text and these labels.
    pub fn caption(&self, text: &str, labels: &BTreeMap<String, String>) -> Result<String, ClipError> {
        let Self::Template(template) = self else {
            return Ok(text.to_owned());
        };
        let mut caption = String::new();
        let mut rest = template.as_str();
        while let Some((before, (label, after))) = next_label(rest) {
            let value = labels.get(label).ok_or_else(|| ClipError::UnknownLabel {
                template: template.clone(),
                label: label.to_owned(),
                known: labels.keys().cloned().collect(),
            })?;
            caption.push_str(before);
            caption.push_str(value);
            rest = after;
        }
        caption.push_str(rest);
        Ok(caption)
    }
}

/// What stands before the next brace, the label in it, and what follows.
fn next_label(text: &str) -> Option<(&str, (&str, &str))> {
    let (before, rest) = text.split_once('{')?;
    Some((before, rest.split_once('}')?))
}

impl FromStr for CaptionPolicy {
    type Err = ClipError;

    fn from_str(text: &str) -> Result<Self, ClipError> {
        let refuse = |reason: &str| {
            Err(ClipError::Setting { name: "caption", value: format!("{text:?}"), reason: reason.to_owned() })
        };
        if text == "full" {
            return Ok(Self::Full);
        }
        let mut open = false;
        for brace in text.chars().filter(|c| matches!(c, '{' | '}')) {
            if (brace == '{') == open {
                return refuse("its braces do not pair");
            }
            open = !open;
        }
        match (open, text.contains('{')) {
            (true, _) => refuse("its braces do not pair"),
            (false, false) => refuse("say \"full\", or a template such as \"{action} {direction}\""),
            (false, true) => Ok(Self::Template(text.to_owned())),
        }
    }
}

impl TryFrom<String> for CaptionPolicy {
    type Error = ClipError;

    fn try_from(text: String) -> Result<Self, ClipError> {
        text.parse()
    }
}

impl From<CaptionPolicy> for String {
    fn from(policy: CaptionPolicy) -> Self {
        match policy {
            CaptionPolicy::Full => "full".to_owned(),
            CaptionPolicy::Template(template) => template,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> BTreeMap<String, String> {
        [("action", "walk"), ("direction", "left")].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
    }

    #[test]
    fn templates_are_filled_from_labels() {
        let policy: CaptionPolicy = "someone: {action} {direction}!".parse().expect("a template");
        assert_eq!(policy.caption("text", &labels()).expect("labels"), "someone: walk left!");
        assert_eq!(CaptionPolicy::Full.caption("text", &labels()).expect("text"), "text");
        assert_eq!(String::from(policy), "someone: {action} {direction}!");
    }

    #[test]
    fn what_cannot_be_filled_is_named() {
        let policy: CaptionPolicy = "{colour}".parse().expect("a template");
        let message = policy.caption("", &labels()).expect_err("no colour").to_string();
        assert_eq!(
            message,
            r#"fill the caption template "{colour}": no label "colour"; there are: action, direction"#
        );
        for wrong in ["ful", "{a", "a}{", "{{a}}", ""] {
            assert!(wrong.parse::<CaptionPolicy>().is_err(), "{wrong}");
        }
    }
}
