//! The TOML of a search space over a small backbone.

use std::path::Path;

use tnas_models::{Backbone, UNetConfig};
use tnas_space::{SearchSpace, SpaceFile};

use super::{Parser, message, shipped, text, unet};

pub const PARSER: Parser = Parser { name: "space", examples, read, room_bytes: 0 };

fn examples() -> Vec<Vec<u8>> {
    let names = ["full", "quickstart", "smoke", "snapgen-v", "sprites"];
    let small =
        "[[rules]]\nslots = [\"down.0.*\", \"*.a\"]\nchoices = [\"none\", \"conv1d(k=3)+attn1d(heads=2)\"]\n";
    let shipped = names.into_iter().map(|name| shipped(&format!("configs/spaces/{name}.toml")));
    shipped.chain([small.into()]).collect()
}

fn read(bytes: &[u8]) -> Result<(), String> {
    let file: SpaceFile = tnas_study::parse(text(bytes)?, Path::new("space.toml"), &[]).map_err(message)?;
    let backbone = Backbone::new(UNetConfig::from_json(unet::SMALL).map_err(message)?);
    let space = SearchSpace::new(&backbone.slots(), &file).map_err(message)?;
    assert!(space.cardinality() >= 1.0);
    for genome in space.covering().iter().take(4) {
        assert_eq!(space.genome(&space.genotype(genome)).map_err(message)?, *genome);
    }
    Ok(())
}
