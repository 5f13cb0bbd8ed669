use std::sync::OnceLock;

use plotters::style::{FontStyle, RGBColor, register_font};

/// Ink.
pub const INK: RGBColor = RGBColor(38, 42, 51);
/// All candidates.
pub const FAINT: RGBColor = RGBColor(176, 184, 198);
/// Candidates beyond a limit.
pub const REFUSED: RGBColor = RGBColor(226, 190, 184);
/// The front, predicted.
pub const FRONT: RGBColor = RGBColor(32, 107, 196);
/// The front, measured.
pub const MEASURED: RGBColor = RGBColor(9, 146, 104);
/// The winner, and limits.
pub const WINNER: RGBColor = RGBColor(214, 64, 40);

/// Series of curves.
pub const SERIES: [RGBColor; 6] = [
    FRONT,
    RGBColor(214, 64, 40),
    MEASURED,
    RGBColor(190, 120, 20),
    RGBColor(124, 66, 168),
    RGBColor(20, 140, 150),
];

/// Name under which plots find their font.
pub const FONT: &str = "sans-serif";

/// Makes the built-in font known, once: a machine without fonts draws the same plots.
pub fn register() {
    static DONE: OnceLock<()> = OnceLock::new();
    DONE.get_or_init(|| {
        let _ = register_font(FONT, FontStyle::Normal, dejavu::sans::regular());
    });
}
