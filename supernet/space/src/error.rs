use thiserror::Error;

/// Why a genotype or a search space cannot be used.
#[derive(Debug, Error)]
pub enum SpaceError {
    /// A choice or genotype text cannot be read.
    #[error("parse {text:?}: {message}")]
    Parse {
        /// What was written.
        text: String,
        /// What is wrong and what would do.
        message: String,
    },
    /// A genotype or rule names a slot that the backbone lacks.
    #[error("place {what} at slot {slot}{}: the backbone has {}", did_you_mean(slot, slots.iter().map(String::as_str)), slots.join(", "))]
    Slot {
        /// What was to be placed.
        what: String,
        /// The slot asked for.
        slot: String,
        /// The slots there are.
        slots: Vec<String>,
    },
    /// A rule of a search space cannot be used.
    #[error("use {key}: {error}")]
    Rule {
        /// Key of the wrong value in the space's file, e.g. `rules.0.choices.2`.
        key: String,
        /// What is wrong with it.
        error: Box<SpaceError>,
    },
    /// The graph is not well formed.
    #[error(transparent)]
    Graph(#[from] tnas_graph::GraphError),
}

/// The known name most likely meant by a misspelt one, if any is near: at most a third of its letters wrong (optimal string
/// alignment).
///
/// ```
/// assert_eq!(tnas_space::nearest("conv1x", ["conv3d", "conv1d"]), Some("conv1d"));
/// assert_eq!(tnas_space::nearest("kernel", ["k", "expand"]), None);
/// ```
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = written.chars().count() / 3;
    let distances = known.into_iter().map(|name| (strsim::osa_distance(written, name), name));
    distances.filter(|(distance, _)| *distance <= limit).min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// ", did you mean x?", where a known name is near.
pub(crate) fn did_you_mean<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(written, known).map_or_else(String::new, |near| format!(", did you mean {near}?"))
}
