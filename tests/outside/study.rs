//! The TOML of a study.

use std::path::Path;

use super::{Parser, message, shipped, text};
use tnas_stages::settings::{RENAMED, Study};

pub const PARSER: Parser = Parser { name: "study", examples, read, room_bytes: 0 };

fn examples() -> Vec<Vec<u8>> {
    ["quickstart", "smoke", "sprites"].map(|name| shipped(&format!("configs/studies/{name}.toml"))).to_vec()
}

fn read(bytes: &[u8]) -> Result<(), String> {
    let path = Path::new("study.toml");
    let overrides = ["data.path=clips".into()];
    let (study, source): (Study, _) =
        tnas_study::parse_source(text(bytes)?, path, &overrides, RENAMED).map_err(message)?;
    study.validate(&source).map_err(message)?;
    // The run writes its settings down and reads them again.
    let resolved = tnas_study::to_toml_string(&study).map_err(message)?;
    let again: Study = tnas_study::parse(&resolved, path, &[]).map_err(message)?;
    assert_eq!(tnas_study::to_toml_string(&again).map_err(message)?, resolved);
    Ok(())
}
