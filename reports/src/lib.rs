//! A run directory as one HTML page, PNG and SVG.
