//! AnimateDiff's motion modules in the slots of an image model.

use crate::{ModelError, backbone::Options};
use tnas_space::{Choice, Genotype, Slot};

/// The option that motion modules' heads come from.
pub(super) const HEADS: &str = "motion_num_attention_heads";

/// Motion modules collected for a genotype.
pub(super) struct Modules<'a> {
    options: &'a Options,
    length: usize,
    pairs: Vec<(Slot, Choice)>,
}

impl<'a> Modules<'a> {
    /// None yet; they know places of so many frames.
    pub fn new(options: &'a Options, length: usize) -> Self {
        Self { options, length, pairs: Vec::new() }
    }

    /// One of so many heads and blocks at a slot of so many channels.
    pub fn add(&mut self, slot: String, channels: usize, heads: usize, blocks: usize) -> Result<(), ModelError> {
        if heads == 0 || heads > channels {
            return Err(self.options.wrong(format!("{HEADS} = {heads} for {channels} channels")));
        }
        let choice = format!("animatediff(heads={heads},layers={blocks},length={})", self.length);
        self.pairs.push((Slot::new(slot), choice.parse()?));
        Ok(())
    }

    /// The modules in their slots.
    pub fn genotype(self) -> Genotype {
        Genotype::new(self.pairs)
    }
}
