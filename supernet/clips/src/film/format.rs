use std::path::Path;

/// The formats that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    Gif,
    Png,
    Webp,
    Mp4,
}

impl Container {
    /// What the bytes are. A name that claims something else is an error: who named the file meant other bytes.
    pub fn of(path: &Path, bytes: &[u8]) -> Result<Self, String> {
        if bytes.is_empty() {
            return Err("it is empty".to_owned());
        }
        let Some(found) = Self::of_bytes(bytes) else {
            let start: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            return Err(format!("it is neither GIF, PNG, WebP nor MP4: it begins with {}", start.join(" ")));
        };
        match Self::of_name(path) {
            Some(claimed) if claimed != found => {
                Err(format!("its name says {}, its bytes are a {}; rename it", claimed.name(), found.name()))
            }
            _ => Ok(found),
        }
    }

    /// What a name claims, if anything.
    pub fn of_name(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "gif" => Some(Self::Gif),
            "png" | "apng" => Some(Self::Png),
            "webp" => Some(Self::Webp),
            "mp4" | "m4v" | "mov" => Some(Self::Mp4),
            _ => None,
        }
    }

    fn of_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::Webp),
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => Some(Self::Mp4),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gif => "GIF",
            Self::Png => "PNG",
            Self::Webp => "WebP",
            Self::Mp4 => "MP4",
        }
    }
}

/// Viewers show what asks for less than two hundredths of a second for a tenth.
pub(crate) fn shown_us(delay_ms: u32) -> u32 {
    if delay_ms <= 10 { 100_000 } else { delay_ms.saturating_mul(1000) }
}
