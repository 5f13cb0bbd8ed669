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
    #[error("place {what} at slot {slot}: the backbone has {slots}")]
    Slot {
        /// What was to be placed.
        what: String,
        /// The slot asked for.
        slot: String,
        /// The slots there are.
        slots: String,
    },
    /// The graph is not well formed.
    #[error(transparent)]
    Graph(#[from] tnas_graph::GraphError),
}

/// The known name nearest to what was written, for messages.
pub(crate) fn nearest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known.min_by_key(|name| distance(written, name))
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let replace = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
