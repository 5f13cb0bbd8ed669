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
    let Some((front, rest)) = pattern.split_once('*') else { return text == pattern };
    let (middle, back) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut text) = text.strip_prefix(front).and_then(|text| text.strip_suffix(back)) else { return false };
    // Each part at the first place where it fits leaves the most room for the others: no need to try further places.
    for part in middle.split('*') {
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    true
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
        for pattern in ["down.1.*", "*.a", "", "down.0.1", "down.0.1.r*r", "*0*0*", "d*1*0*"] {
            assert!(!slot.matches(pattern), "{pattern}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = "*a".repeat(2000) + "b";
        assert!(!Slot::new("a".repeat(3000)).matches(&pattern));
    }
}
