use thiserror::Error;

/// Why a config, a genotype or a search space cannot be used.
#[derive(Debug, Error)]
pub enum SpaceError {
    /// A config asks for something that is not there.
    #[error("use {config}: {option} = {value} is not supported{hint}")]
    Unsupported {
        /// Kind of config.
        config: &'static str,
        /// Option's name.
        option: String,
        /// Its value.
        value: String,
        /// What is supported, with a leading separator, or nothing.
        hint: String,
    },
    /// A config is not what it should be.
    #[error("read {config}: {message}")]
    Config {
        /// Kind of config.
        config: &'static str,
        /// What is wrong.
        message: String,
    },
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
