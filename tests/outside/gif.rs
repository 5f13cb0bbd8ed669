//! A GIF.

use tnas_clips::Footage;

use super::{Parser, message, metadata};

pub const PARSER: Parser = Parser { name: "gif", examples, read, room_bytes: 128 << 20 };

fn examples() -> Vec<Vec<u8>> {
    vec![metadata::gif()]
}

/// Plays a film of any format, which its bytes tell.
pub fn read(bytes: &[u8]) -> Result<(), String> {
    let film = Footage::decode(bytes, [255; 3]).map_err(message)?;
    assert!(film.frames.iter().all(|frame| frame.len() == film.height * film.width));
    Ok(())
}
