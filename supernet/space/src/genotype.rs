use std::{collections::BTreeMap, fmt, str::FromStr};

use sha2::{Digest, Sha256};

use crate::{Choice, Slot, SpaceError};

/// One choice per slot; slots that hold `none` are not listed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Genotype(BTreeMap<Slot, Choice>);

/// The first 64 bits of the SHA-256 of a genotype's canonical text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArchId(pub u64);

impl Genotype {
    /// `none` everywhere: the image model, frame by frame.
    pub fn none() -> Self {
        Self::default()
    }

    /// From pairs; later ones replace earlier ones.
    pub fn new(pairs: impl IntoIterator<Item = (Slot, Choice)>) -> Self {
        Self(pairs.into_iter().filter(|(_, choice)| !choice.is_none()).collect())
    }

    /// The choice at a slot.
    pub fn choice(&self, slot: &Slot) -> Choice {
        self.0.get(slot).cloned().unwrap_or_default()
    }

    /// Slots where something is inserted, with it.
    pub fn insertions(&self) -> impl Iterator<Item = (&Slot, &Choice)> {
        self.0.iter()
    }

    /// Identity of the architecture, without weights.
    pub fn arch_id(&self) -> ArchId {
        let digest = Sha256::digest(self.to_string().as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        ArchId(u64::from_be_bytes(first))
    }
}

impl FromStr for Genotype {
    type Err = SpaceError;

    fn from_str(text: &str) -> Result<Self, SpaceError> {
        if text.trim() == "none" {
            return Ok(Self::none());
        }
        let mut slots = BTreeMap::new();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let fail = |message: &str| SpaceError::Parse { text: part.into(), message: message.into() };
            let (slot, choice) = part.split_once('=').ok_or_else(|| fail("expected slot=choice"))?;
            let slot = Slot::new(slot.trim());
            if slots.insert(slot, choice.parse::<Choice>()?).is_some() {
                return Err(fail("the slot is given twice"));
            }
        }
        Ok(Self::new(slots))
    }
}

impl fmt::Display for Genotype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (index, (slot, choice)) in self.0.iter().enumerate() {
            write!(f, "{}{slot}={choice}", if index > 0 { ";" } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for ArchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_is_sorted() {
        let genotype: Genotype = "up.0.0.r=attn1d(heads=2); down.0.0.r=conv1d(k=3);mid.0.r=none".parse().unwrap();
        let text = genotype.to_string();
        assert!(text.starts_with("down.0.0.r=conv1d("), "{text}");
        assert!(!text.contains("mid"), "{text}");
        assert_eq!(text.parse::<Genotype>().unwrap(), genotype);
        assert_eq!(genotype.arch_id(), text.parse::<Genotype>().unwrap().arch_id());
    }

    #[test]
    fn the_identity_is_pinned() {
        // Stored in run directories: a change of the canonical text breaks them and must raise the format version.
        let genotype: Genotype = "mid.0.r=conv1d(k=3)".parse().unwrap();
        assert_eq!(genotype.to_string(), "mid.0.r=conv1d(depthwise=false,expand=1,k=3)");
        assert_eq!(genotype.arch_id().to_string(), "fd661b16be62483a");
    }
}
