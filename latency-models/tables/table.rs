use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::{Path, PathBuf},
};

use super::{
    TableError,
    card::{Card, fits},
};

/// Architectures by rows, their features and measured latencies by columns; several files of one kind make one table.
#[derive(Clone, Debug)]
pub struct Table {
    /// What it was read from.
    pub path: PathBuf,
    /// What its columns mean.
    pub card: Card,
    /// Features.
    pub features: Vec<Feature>,
    /// Latencies.
    pub devices: BTreeMap<String, Device>,
    /// Architectures.
    pub rows: usize,
}

/// One number of each architecture.
#[derive(Clone, Debug)]
pub struct Feature {
    /// Column.
    pub name: String,
    /// Whether values are names.
    pub categorical: bool,
    /// One value a row; names have numbers.
    pub values: Vec<f64>,
}

/// Latencies of the rows of one file on one device.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its file's rows in the table.
    pub rows: Range<usize>,
    /// Milliseconds, one per row of the file.
    pub latency_ms: Vec<f64>,
}

/// Fewer rows cannot be split into some to learn from and some to predict.
const LEAST_ROWS: usize = 8;

impl Table {
    /// Reads a CSV file, or a folder of them with the same columns: each file is then measured on devices of its own.
    pub fn read(path: &Path) -> Result<Self, TableError> {
        let files = files(path)?;
        let mut parts = files.iter().map(|file| read_file(file));
        let mut table = match parts.next() {
            Some(first) => first?,
            None => return Err(whole(path, "holds no .csv file".into())),
        };
        if files.len() > 1 {
            table.devices = renamed(&table.devices, &files[0]);
        }
        for (part, file) in parts.zip(&files[1..]) {
            table.append(part?, file)?;
        }
        table.path = path.to_path_buf();
        Ok(table)
    }

    /// A device's name in the table, and its latencies.
    pub fn device(&self, name: &str) -> Result<(&str, &Device), TableError> {
        let found = self.devices.get_key_value(name).or_else(|| self.devices.get_key_value(stem_of(name)));
        found.map(|(name, device)| (name.as_str(), device)).ok_or_else(|| {
            let names: Vec<&str> = self.devices.keys().map(String::as_str).collect();
            TableError::Protocol(format!(
                "device {name} is not in {}; it has {}",
                self.path.display(),
                names.join(", ")
            ))
        })
    }

    fn append(&mut self, other: Self, file: &Path) -> Result<(), TableError> {
        let columns = |table: &Self| table.features.iter().map(|f| f.name.clone()).collect::<Vec<_>>();
        if columns(self) != columns(&other) {
            let message = format!("features {:?}, the first file has {:?}", columns(&other), columns(self));
            return Err(whole(file, message));
        }
        for (ours, theirs) in self.features.iter_mut().zip(other.features) {
            ours.values.extend(theirs.values);
        }
        for (name, mut device) in renamed(&other.devices, file) {
            device.rows = device.rows.start + self.rows..device.rows.end + self.rows;
            self.devices.insert(name, device);
        }
        self.rows += other.rows;
        Ok(())
    }
}

/// A device of a file that stands among others: `file`, or `file/column` where the file has several.
fn renamed(devices: &BTreeMap<String, Device>, file: &Path) -> BTreeMap<String, Device> {
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().to_string()).unwrap_or_default();
    let name = |column: &String| {
        if devices.len() == 1 { stem_of(&stem).to_string() } else { format!("{}/{column}", stem_of(&stem)) }
    };
    devices.iter().map(|(column, device)| (name(column), device.clone())).collect()
}

/// HAT calls its files `…_all.csv`.
fn stem_of(name: &str) -> &str {
    name.strip_suffix("_all").unwrap_or(name)
}

fn files(path: &Path) -> Result<Vec<PathBuf>, TableError> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let entries = std::fs::read_dir(path).map_err(|error| whole(path, error.to_string()))?;
    let is_csv = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "csv");
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_csv).collect();
    files.sort();
    Ok(files)
}

fn whole(path: &Path, message: String) -> TableError {
    TableError::Table { path: path.to_path_buf(), line: 0, message }
}

fn read_file(path: &Path) -> Result<Table, TableError> {
    let fail = |line: usize, message: String| TableError::Table { path: path.to_path_buf(), line, message };
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_path(path)
        .map_err(|error| fail(0, error.to_string()))?;
    let header = reader.headers().map_err(|error| fail(1, error.to_string()))?;
    let header: Vec<String> = header.iter().map(str::to_string).collect();
    if header.iter().all(String::is_empty) {
        return Err(fail(1, "the file is empty".into()));
    }
    if let Some(name) = repeated(&header) {
        return Err(fail(1, format!("column {name} stands there twice")));
    }
    let card = Card::of(path, &header)?;
    let columns = Columns::sort(&card, &header).map_err(|message| fail(1, message))?;
    let mut cells: Vec<Vec<f64>> = vec![Vec::new(); header.len()];
    let mut names: BTreeMap<usize, BTreeMap<String, f64>> = BTreeMap::new();
    let (mut seen, mut ids) = (BTreeMap::new(), BTreeMap::new());
    for (index, record) in reader.records().enumerate() {
        let line = index + 2;
        let record = record.map_err(|error| fail(line, error.to_string()))?;
        let text: Vec<&str> = record.iter().collect();
        if let Some(first) = seen.insert(text.join("\u{1f}"), line) {
            return Err(fail(line, format!("repeats line {first}; each measurement once")));
        }
        if let Some(column) = columns.id
            && let Some(first) = ids.insert(text[column].to_string(), line)
        {
            return Err(fail(line, format!("{} {} stands in line {first} too", header[column], text[column])));
        }
        for &column in columns.used() {
            let value = if columns.categorical.contains(&column) {
                name_or_number(text[column], names.entry(column).or_default())
            } else {
                number(text[column])
            };
            let value = value.map_err(|message| fail(line, format!("column {}: {message}", header[column])))?;
            if columns.devices.contains(&column) && value <= 0.0 {
                return Err(fail(line, format!("column {}: a latency of {value} ms", header[column])));
            }
            cells[column].push(value);
        }
    }
    let rows = seen.len();
    if rows < LEAST_ROWS {
        return Err(fail(0, format!("{rows} rows; at least {LEAST_ROWS} are needed")));
    }
    Ok(columns.into_table(path, card, &header, cells, rows))
}

fn repeated(header: &[String]) -> Option<&String> {
    let mut seen = BTreeSet::new();
    header.iter().find(|name| !seen.insert(name.as_str()))
}

fn number(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        _ => Err(format!("'{text}' is no number")),
    }
}

/// A number, or a name, numbered in the order in which they came.
fn name_or_number(text: &str, names: &mut BTreeMap<String, f64>) -> Result<f64, String> {
    if text.is_empty() {
        return Err("an empty cell".into());
    }
    if let Ok(value) = number(text) {
        return Ok(value);
    }
    // Behind every number that stands there.
    let next = 1e9 + names.len() as f64;
    Ok(*names.entry(text.to_string()).or_insert(next))
}

/// Which column is what.
struct Columns {
    id: Option<usize>,
    categorical: BTreeSet<usize>,
    numeric: BTreeSet<usize>,
    devices: BTreeSet<usize>,
    all: Vec<usize>,
}

impl Columns {
    fn sort(card: &Card, header: &[String]) -> Result<Self, String> {
        let find = |patterns: &[String]| -> Result<BTreeSet<usize>, String> {
            let mut found = BTreeSet::new();
            for pattern in patterns {
                let before = found.len();
                found.extend((0..header.len()).filter(|&i| fits(pattern, &header[i])));
                if found.len() == before {
                    return Err(format!("there is no column {pattern}, which its description names"));
                }
            }
            Ok(found)
        };
        let (categorical, numeric) = (find(&card.categorical)?, find(&card.numeric)?);
        let ignored = find(&card.ignore)?;
        let id = card.id.as_ref().and_then(|id| header.iter().position(|name| name == id));
        let summed = find(&card.sums.values().flatten().cloned().collect::<Vec<_>>())?;
        let taken =
            |i: &usize| categorical.contains(i) || numeric.contains(i) || ignored.contains(i) || id == Some(*i);
        let mut devices = find(&card.devices)?;
        if devices.is_empty() && card.sums.is_empty() {
            devices = (0..header.len()).filter(|i| !taken(i)).collect();
        }
        devices.extend(summed);
        if let Some(&both) = devices.iter().find(|i| taken(i)) {
            return Err(format!("column {} is a device and something else", header[both]));
        }
        if let Some(&both) = categorical.intersection(&numeric).next() {
            return Err(format!("column {} is categorical and numeric", header[both]));
        }
        if devices.is_empty() || categorical.len() + numeric.len() == 0 {
            return Err("there is no device, or no feature".into());
        }
        let all = categorical.iter().chain(&numeric).chain(&devices).copied().collect();
        Ok(Self { id, categorical, numeric, devices, all })
    }

    fn used(&self) -> &[usize] {
        &self.all
    }

    fn into_table(self, path: &Path, card: Card, header: &[String], cells: Vec<Vec<f64>>, rows: usize) -> Table {
        let feature = |i: &usize| Feature {
            name: header[*i].clone(),
            categorical: self.categorical.contains(i),
            values: cells[*i].clone(),
        };
        let features = (0..header.len()).filter(|i| self.categorical.contains(i) || self.numeric.contains(i));
        let features = features.map(|i| feature(&i)).collect();
        let in_sums: BTreeSet<&String> = card.sums.values().flatten().collect();
        let mut devices = BTreeMap::new();
        for &i in self.devices.iter().filter(|&&i| !in_sums.contains(&header[i])) {
            devices.insert(header[i].clone(), Device { rows: 0..rows, latency_ms: cells[i].clone() });
        }
        for (name, columns) in &card.sums {
            let parts = (0..header.len()).filter(|&i| columns.iter().any(|column| fits(column, &header[i])));
            let mut latency_ms = vec![0.0; rows];
            for part in parts {
                latency_ms.iter_mut().zip(&cells[part]).for_each(|(sum, ms)| *sum += ms);
            }
            // One device in a file: the file's name says which.
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().to_string()).unwrap_or_default();
            let name =
                if card.sums.len() == 1 && devices.is_empty() { stem_of(&stem).into() } else { name.clone() };
            devices.insert(name, Device { rows: 0..rows, latency_ms });
        }
        Table { path: path.to_path_buf(), card, features, devices, rows }
    }
}
