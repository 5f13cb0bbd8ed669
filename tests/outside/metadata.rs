//! The metadata.jsonl of a folder of clips: a GIF and a PNG that is a grid, with a GIF beside the folder.

use std::fs;

use tnas_clips::{Clip, FilmSettings, FolderSettings, VideoFolder, animated_gif};

use super::{Parser, in_folder, message, png};

pub const PARSER: Parser = Parser { name: "metadata", examples, read, room_bytes: 1 << 20 };

fn examples() -> Vec<Vec<u8>> {
    [
        r#"{"file_name": "a.gif", "text": "a red square", "action": "walk", "n": 3, "good": true, "box": [1, 2]}"#,
        "{\"file_name\": \"./a.gif\", \"text\": \"\"}\n\n{\"file_name\": \"a.gif\", \"text\": \"b\", \"other\": null}\n",
        r#"{"file_name": "../secret.gif", "text": "x"}"#,
        r#"{"file_name": "/etc/passwd", "text": "x"}"#,
        r#"{"file_name": "missing.gif", "text": "x"}"#,
        r#"{"file_name": "grid.png", "text": "x", "rows": 1, "columns": 2, "frames": 2, "fps": 8}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// Two frames of 4 by 4 pixels.
pub fn clip() -> Clip {
    let pixels = (0..2 * 3 * 16).map(|i| if i < 48 { -1.0 } else { 1.0 }).collect();
    Clip::new(2, 4, 4, pixels).unwrap()
}

/// The same as a GIF.
pub fn gif() -> Vec<u8> {
    animated_gif(&clip(), &FilmSettings { upscale: 1, ..Default::default() }).unwrap()
}

fn read(bytes: &[u8]) -> Result<(), String> {
    read_as("metadata.jsonl", bytes)
}

/// Opens a folder whose metadata stands in a file of this name.
pub fn read_as(name: &str, bytes: &[u8]) -> Result<(), String> {
    in_folder(|root| {
        let folder = root.join(format!("clips of {name}"));
        if !folder.exists() {
            fs::create_dir_all(&folder).map_err(message)?;
            fs::write(folder.join("a.gif"), gif()).map_err(message)?;
            fs::write(folder.join("grid.png"), png::grid()).map_err(message)?;
            fs::write(root.join("secret.gif"), gif()).map_err(message)?;
        }
        fs::write(folder.join(name), bytes).map_err(message)?;
        let settings = FolderSettings { broken_fraction: 1.0, fps: Some(8.0), ..Default::default() };
        let clips = VideoFolder::open_with(&folder, settings).map_err(message)?;
        let first = clips.clip(0, 2, 4).map_err(message)?;
        assert_eq!(first.shape(), [2, 4, 4]);
        Ok(())
    })
}
