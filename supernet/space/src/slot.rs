use std::fmt;

use serde::{Deserialize, Serialize};

/// A place in a backbone where temporal operators may be inserted, e.g. `down.0.1.r`: after the resnet (`r`) or the
/// attention (`a`) of a layer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot(String);

/// A slot with what flows through it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotInfo {
    /// The slot.
    pub slot: Slot,
    /// Channels there.
    pub channels: usize,
    /// How many times the image was halved there: 0 at full resolution.
    pub level: usize,
}

impl Slot {
    /// A slot of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a pattern with `*` for any run of characters covers it.
    pub fn matches(&self, pattern: &str) -> bool {
        matches(&self.0, pattern)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn matches(text: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => text == pattern,
        Some((front, rest)) => text.strip_prefix(front).is_some_and(|text| {
            (0..=text.len()).any(|skip| text.is_char_boundary(skip) && matches(&text[skip..], rest))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let slot = Slot::new("down.0.1.r");
        for pattern in ["down.0.1.r", "down.*", "*.r", "d*.0.*.r", "*"] {
            assert!(slot.matches(pattern), "{pattern}");
        }
        for pattern in ["down.1.*", "*.a", "", "down.0.1"] {
            assert!(!slot.matches(pattern), "{pattern}");
        }
    }
}
