use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{TableError, network::Network};

/// What the columns of a table mean: a small TOML beside the file, or one that is known for a published set.
///
/// A column's name may hold `#`, which stands for any digit.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Card {
    /// 1.
    pub format_version: u32,
    /// A table with these columns is of this kind, where nothing stands beside it.
    pub recognise: Vec<String>,
    /// Column that names a row; each value once.
    pub id: Option<String>,
    /// Columns with latencies in milliseconds; where empty, all that are nothing else.
    pub devices: Vec<String>,
    /// Devices whose latency is a sum of columns.
    pub sums: BTreeMap<String, Vec<String>>,
    /// Columns whose values are names, even where they are numbers.
    pub categorical: Vec<String>,
    /// Columns whose values are amounts.
    pub numeric: Vec<String>,
    /// Columns that say nothing.
    pub ignore: Vec<String>,
    /// Rows are in the order in which they were measured, so that a device's drift can be followed along them.
    pub in_order: bool,
    /// Counted work: products of numeric columns to which time is proportional.
    pub terms: Vec<Vec<String>>,
    /// Categorical columns that are one choice together; where empty, each is one of its own.
    pub slots: Vec<Vec<String>>,
    /// Depths.
    pub gate: Vec<Gate>,
    /// A cell whose edges are the slots.
    pub cell: Option<Cell>,
    /// What stands in the slots, so that the work of each choice can be counted.
    pub network: Option<Network>,
    /// Who learns from whom: `published` is what runs when nothing is asked for.
    pub protocols: BTreeMap<String, ProtocolCard>,
    /// Figures of others.
    pub published: Vec<PublishedFigure>,
}

/// Slots that are there only as far as a depth reaches.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// Numeric column: how many of the slots are there.
    pub depth: String,
    /// First columns of the slots, in order.
    pub slots: Vec<String>,
}

/// A directed acyclic graph with an operation on each edge, from node 0 to the last.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// The operation that passes nothing on; an `op_codes.none` in a meta.json beside the table goes before it.
    pub none: i64,
    /// Column of each edge, with the nodes that it connects.
    pub edges: BTreeMap<String, [usize; 2]>,
}

/// A way to run a table.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProtocolCard {
    /// Devices that are known; empty where each target is learned alone.
    pub sources: Vec<String>,
    /// Devices to predict; all that are no sources where empty.
    pub targets: Vec<String>,
    /// Rows of a target that are measured; all training rows where not given.
    pub measurements: Option<usize>,
    /// Rows to learn from.
    pub train_rows: Option<String>,
    /// Rows to predict.
    pub test_rows: Option<String>,
}

/// What others report on a table.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedFigure {
    /// Whose, and from how much.
    pub what: String,
    /// Name of the figure, as in our own.
    pub metric: String,
    /// Whether the fastest and slowest are dropped.
    #[serde(default)]
    pub trimmed: bool,
    /// On average.
    pub mean: Option<f64>,
    /// Per device.
    #[serde(default)]
    pub devices: BTreeMap<String, f64>,
}

/// Sets that are published under these columns.
const KNOWN: &[(&str, &str)] = &[
    ("nas_bench_201", include_str!("cards/nas_bench_201.toml")),
    ("fbnet", include_str!("cards/fbnet.toml")),
    ("ofa", include_str!("cards/ofa.toml")),
    ("hat", include_str!("cards/hat.toml")),
];

impl Card {
    /// The card of a table: `name.toml` beside `name.csv`, else the known set that has its columns.
    pub fn of(table: &Path, header: &[String]) -> Result<Self, TableError> {
        let beside = table.with_extension("toml");
        if beside.exists() {
            let fail = |message: String| TableError::Card { path: beside.clone(), message };
            let text = std::fs::read_to_string(&beside).map_err(|error| fail(error.to_string()))?;
            return Self::parse(&text).map_err(fail);
        }
        for (name, text) in KNOWN {
            let path = PathBuf::from(format!("{name} (built in)"));
            let card = Self::parse(text).map_err(|message| TableError::Card { path, message })?;
            if card.recognise.iter().all(|column| header.contains(column)) {
                return card.with_op_codes(table);
            }
        }
        let message = format!(
            "not there, and the columns ({}) are of no known set; write one with categorical = [..], numeric = [..] and \
             devices = [..]",
            shortened(header)
        );
        Err(TableError::Card { path: beside, message })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let card: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        if card.format_version != 1 {
            return Err(format!("format_version = {}; 1 is known", card.format_version));
        }
        Ok(card)
    }

    /// Published tables may number their operations otherwise.
    fn with_op_codes(mut self, table: &Path) -> Result<Self, TableError> {
        let path = table.with_file_name("meta.json");
        let Some(cell) = &mut self.cell else { return Ok(self) };
        let Ok(text) = std::fs::read_to_string(&path) else { return Ok(self) };
        let meta: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| TableError::Card { path, message: error.to_string() })?;
        cell.none = meta["op_codes"]["none"].as_i64().unwrap_or(cell.none);
        Ok(self)
    }
}

/// Whether a column's name fits a pattern in which `#` is any digit.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    pattern.len() == name.len()
        && pattern.chars().zip(name.chars()).all(|(p, c)| p == c || (p == '#' && c.is_ascii_digit()))
}

fn shortened(header: &[String]) -> String {
    const SHOWN: usize = 8;
    let more = if header.len() > SHOWN { ", …" } else { "" };
    format!("{}{more}", header[..header.len().min(SHOWN)].join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_cards_are_sound() {
        for (name, text) in KNOWN {
            let card = Card::parse(text).unwrap();
            assert!(card.protocols.contains_key("published") && !card.recognise.is_empty(), "{name}");
        }
    }

    #[test]
    fn digits_fit() {
        assert!(fits("b##", "b07") && fits("r", "r"));
        assert!(!fits("b##", "b7") && !fits("b##", "bxx") && !fits("e##", "b07"));
    }
}
