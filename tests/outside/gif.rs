//! A GIF.

use tnas_clips::decode_gif;

use super::{Parser, metadata, told};

pub const PARSER: Parser = Parser { name: "gif", examples, read, room_bytes: 512 << 20 };

fn examples() -> Vec<Vec<u8>> {
    vec![metadata::gif()]
}

fn read(bytes: &[u8]) -> Result<(), String> {
    let clip = decode_gif(bytes, [255; 3]).map_err(told)?;
    assert!(clip.frames.iter().all(|frame| frame.len() == clip.height * clip.width));
    Ok(())
}
