//! A WebP: an animation without loss, and a picture with loss.

use tnas_clips::{FilmFormat, FilmSettings};

use super::{Parser, gif, metadata};

pub const PARSER: Parser = Parser { name: "webp", examples, read: gif::read, room_bytes: 128 << 20 };

/// A grey picture of 8 by 8 pixels, coded as a key frame of VP8.
const LOSSY: &[u8] = b"RIFF,\x00\x00\x00WEBPVP8  \x00\x00\x00p\x01\x00\x9d\x01*\x08\x00\x08\x00\x01@&%\x94\x02t\x01\xa0\x00\x00\xf1:\xbf\xbe\xa7A\xf1_\x00\x00\x00";

fn examples() -> Vec<Vec<u8>> {
    let settings = FilmSettings { upscale: 1, ..Default::default() };
    vec![FilmFormat::Webp.encode(&metadata::clip(), &settings).unwrap(), LOSSY.to_vec()]
}
