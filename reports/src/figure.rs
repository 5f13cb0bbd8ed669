//! Plots and pictures within the page.

use base64::{Engine, engine::general_purpose::STANDARD};
use maud::{Markup, PreEscaped, html};

use crate::{Picture, plots::Plot};

/// A picture that opens by its name.
pub(crate) fn folded(sheet: &Picture, open: bool) -> Markup {
    html! {
        details open[open] {
            summary { (sheet.name) }
            (picture("image/png", &sheet.bytes, &sheet.name))
        }
    }
}

/// A picture of this media type, its bytes within the page.
pub(crate) fn picture(kind: &str, bytes: &[u8], caption: &str) -> Markup {
    html! {
        figure {
            img src=(format!("data:{kind};base64,{}", STANDARD.encode(bytes))) alt=(caption);
            figcaption { (caption) }
        }
    }
}

/// A plot as inline SVG; the plotting library escapes its texts.
pub(crate) fn figure(plot: &Plot) -> Markup {
    let svg = plot.svg.find("<svg").map_or(plot.svg.as_str(), |start| &plot.svg[start..]);
    html! {
        figure.plot {
            (PreEscaped(svg))
            figcaption { (plot.caption) }
        }
    }
}
