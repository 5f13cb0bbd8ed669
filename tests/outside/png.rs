//! A PNG: an animation, a picture, and a grid of frames.

use std::fs;

use tnas_clips::{Film, FilmFormat, FilmSettings, Footage, Grid, SheetSettings, contact_sheet};

use super::{Parser, gif, in_folder, message, metadata};

pub const PARSER: Parser = Parser { name: "png", examples, read, room_bytes: 128 << 20 };

fn examples() -> Vec<Vec<u8>> {
    let settings = FilmSettings { upscale: 1, ..Default::default() };
    vec![FilmFormat::Apng.encode(&metadata::clip(), &settings).unwrap(), grid()]
}

/// Two frames of 4 by 4 pixels beside each other.
pub fn grid() -> Vec<u8> {
    let settings = SheetSettings { upscale: 1, gutter: 0, gutter_rgb: [0; 3] };
    contact_sheet(&[&metadata::clip()], &settings).unwrap()
}

fn read(bytes: &[u8]) -> Result<(), String> {
    let cut = in_folder(|root| {
        let path = root.join("grid.png");
        fs::write(&path, bytes).map_err(message)?;
        let grid = Grid { rows: 1, columns: 2, frames: None };
        Footage::of(&Film::read(&path, Some(grid)).map_err(message)?, [0; 3]).map_err(message)
    });
    if let Ok(footage) = cut {
        assert_eq!(footage.frames.len(), 2);
    }
    gif::read(bytes)
}
