use std::ops::Range;

use super::{
    TableError,
    table::{Device, Table},
};

/// What was asked for; what was not, the table's card says.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// A protocol of the card.
    pub protocol: Option<String>,
    /// Devices that are known.
    pub sources: Option<Vec<String>>,
    /// Devices to predict.
    pub targets: Option<Vec<String>>,
    /// Rows of a target that are measured.
    pub measurements: Option<usize>,
    /// Rows to learn from, e.g. `0..4000`.
    pub train_rows: Option<String>,
    /// Rows to predict.
    pub test_rows: Option<String>,
    /// Repetitions.
    pub seeds: usize,
    /// Fraction of the fastest and of the slowest test rows that trimmed figures leave out.
    pub trim: f64,
}

/// Who learns from whom, over which rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Protocol {
    /// Devices that are known; none where each target is learned alone.
    pub sources: Vec<String>,
    /// Devices to predict.
    pub targets: Vec<String>,
    /// Rows of a target that are measured; all training rows where `None`.
    pub measurements: Option<usize>,
    /// Rows to learn from, of each file.
    pub train: Rows,
    /// Rows to predict.
    pub test: Rows,
    /// Repetitions.
    pub seeds: usize,
    /// Fraction of the fastest and of the slowest test rows that trimmed figures leave out.
    pub trim: f64,
}

/// Fewest measurements that teach anything.
const LEAST_MEASUREMENTS: usize = 5;

impl Protocol {
    /// What was asked for: with no devices and no count, the card's protocol; without sources, each target alone.
    pub fn new(table: &Table, asked: &Asked) -> Result<Self, TableError> {
        let own = asked.sources.is_some() || asked.targets.is_some() || asked.measurements.is_some();
        let name = asked.protocol.as_deref().unwrap_or("published");
        let card = table.card.protocols.get(name);
        if let (Some(name), None) = (&asked.protocol, card) {
            let names: Vec<&str> = table.card.protocols.keys().map(String::as_str).collect();
            return Err(TableError::Protocol(format!("no protocol {name}; there are {}", names.join(", "))));
        }
        let card = card.cloned().unwrap_or_default();
        let take_card = !own || asked.protocol.is_some();
        // A published protocol is run as far as its devices are in the table.
        let present =
            |names: &[String]| names.iter().filter(|name| table.devices.contains_key(*name)).cloned().collect();
        let names = |asked: &Option<Vec<String>>, card: &[String]| -> Result<Vec<String>, TableError> {
            match asked {
                Some(names) => names.iter().map(|name| Ok(table.device(name)?.0.to_string())).collect(),
                None if take_card => Ok(present(card)),
                None => Ok(Vec::new()),
            }
        };
        let sources = names(&asked.sources, &card.sources)?;
        let mut targets = names(&asked.targets, &card.targets)?;
        if targets.is_empty() {
            targets = table.devices.keys().filter(|name| !sources.contains(name)).cloned().collect();
        }
        let rows = |asked: &Option<String>, card: &Option<String>, usual: &str| {
            Rows::parse(asked.as_ref().or(card.as_ref()).map_or(usual, String::as_str))
        };
        let protocol = Self {
            sources,
            targets,
            measurements: asked.measurements.or(card.measurements.filter(|_| take_card)),
            train: rows(&asked.train_rows, &card.train_rows, "0..80%")?,
            test: rows(&asked.test_rows, &card.test_rows, "80%..")?,
            seeds: asked.seeds,
            trim: asked.trim,
        };
        protocol.check(table)?;
        Ok(protocol)
    }

    fn check(&self, table: &Table) -> Result<(), TableError> {
        let fail = |message: String| Err(TableError::Protocol(message));
        if self.targets.is_empty() {
            return fail("no target is left; every device is a source".into());
        }
        if let Some(both) = self.targets.iter().find(|name| self.sources.contains(name)) {
            return fail(format!("{both} is a source and a target"));
        }
        for names in [&self.sources, &self.targets] {
            if let Some(twice) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
                return fail(format!("device {} is named twice", twice.1));
            }
        }
        if self.seeds == 0 || !(0.0..0.5).contains(&self.trim) {
            return fail(format!(
                "seeds = {} must be above 0, trim = {} from 0 to below 0.5",
                self.seeds, self.trim
            ));
        }
        for name in self.sources.iter().chain(&self.targets) {
            let (_, device) = table.device(name)?;
            let (train, test) = (self.train.of(device)?, self.test.of(device)?);
            if let Some(row) = test.iter().find(|row| train.contains(row)) {
                let row = row - device.rows.start;
                return fail(format!(
                    "row {row} is to be learned from and to be predicted; let the ranges not overlap"
                ));
            }
            let least = LEAST_MEASUREMENTS.max(self.measurements.unwrap_or(0));
            if train.len() < least {
                return fail(format!("{} training rows of {name}; {least} are needed", train.len()));
            }
        }
        match self.measurements {
            Some(count) if count < LEAST_MEASUREMENTS => {
                fail(format!("{count} measurements; at least {LEAST_MEASUREMENTS} teach anything"))
            }
            _ => Ok(()),
        }
    }
}

/// Ranges of a file's rows, from 0: `0..4000`, `80%..`, `0..10,20..30`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    text: String,
    ranges: Vec<(Edge, Edge)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Edge {
    Row(usize),
    /// Hundredths of the rows.
    Share(usize),
    End,
}

impl Rows {
    pub(crate) fn parse(text: &str) -> Result<Self, TableError> {
        let fail =
            || TableError::Protocol(format!("rows '{text}' are no range; write 0..4000, 80%.. or 0..10,20..30"));
        let edge = |text: &str, open: Edge| match text.trim() {
            "" => Some(open),
            share if share.ends_with('%') => share.trim_end_matches('%').parse().ok().map(Edge::Share),
            row => row.parse().ok().map(Edge::Row),
        };
        let range = |part: &str| {
            let (from, to) = part.split_once("..")?;
            Some((edge(from, Edge::Row(0))?, edge(to, Edge::End)?))
        };
        let ranges: Option<Vec<(Edge, Edge)>> = text.split(',').map(range).collect();
        Ok(Self { text: text.into(), ranges: ranges.ok_or_else(fail)? })
    }

    /// Rows of the table, ascending.
    pub(crate) fn of(&self, device: &Device) -> Result<Vec<usize>, TableError> {
        self.within(device.rows.clone())
    }

    /// Rows of a file that stands at some place, ascending.
    pub(crate) fn within(&self, file: Range<usize>) -> Result<Vec<usize>, TableError> {
        let count = file.len();
        let at = |edge: Edge| match edge {
            Edge::Row(row) => row,
            Edge::Share(share) => count * share / 100,
            Edge::End => count,
        };
        let mut rows: Vec<usize> = Vec::new();
        for &(from, to) in &self.ranges {
            let range: Range<usize> = at(from)..at(to);
            if range.is_empty() || range.end > count {
                let message = format!("rows '{}' of a table with rows 0..{count}", self.text);
                return Err(TableError::Protocol(message));
            }
            rows.extend(range.map(|row| row + file.start));
        }
        rows.sort_unstable();
        rows.dedup();
        Ok(rows)
    }
}

impl std::fmt::Display for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, rows: Range<usize>) -> Option<Vec<usize>> {
        let latency_ms = vec![1.0; rows.len()];
        Rows::parse(text).ok()?.of(&Device { rows, latency_ms }).ok()
    }

    #[test]
    fn ranges_count_from_the_start_of_a_file() {
        assert_eq!(of("0..3", 0..10), Some(vec![0, 1, 2]));
        assert_eq!(of("80%..", 100..110), Some(vec![108, 109]));
        assert_eq!(of("4..6, 0..2", 10..20), Some(vec![10, 11, 14, 15]));
    }

    #[test]
    fn what_is_no_range_or_not_there_is_refused() {
        for text in ["", "3", "5..4", "0..11", "a..b", "-1..3", "0...3"] {
            assert_eq!(of(text, 0..10), None, "{text}");
        }
    }
}
