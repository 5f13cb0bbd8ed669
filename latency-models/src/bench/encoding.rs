use std::collections::{BTreeMap, BTreeSet};

use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

use super::{
    BenchError,
    card::Cell,
    table::{Feature, Table},
};

/// Turns a row of a table into numbers in which latency is nearly linear.
///
/// Columns come in groups: the table of (slot, choice); what the structure says is there; amounts; products of two; counted
/// work. All but the one-hot ones are scaled to deviation 1 over the rows that are learned from, and all are centred there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Encoding {
    slots: Vec<Slot>,
    /// Choices of all slots in one list, where slots share them; each slot's own otherwise.
    pub(crate) choices: usize,
    /// Whether choice c means the same in every slot.
    pub(crate) shared: bool,
    live: Option<LiveEdges>,
    amounts: Vec<Amount>,
    terms: Vec<Vec<usize>>,
    pairs: bool,
    products: bool,
    columns: Vec<Column>,
    /// For each column before it is known to vary: where it went.
    kept: Vec<Option<u32>>,
}

/// A place where one of some choices stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slot {
    features: Vec<usize>,
    /// Values of its features, by choice; the last is "not there" where it has a depth.
    levels: Vec<Vec<f64>>,
    /// Feature that says how many are there, and how many must be for this one.
    depth: Option<(usize, f64)>,
}

/// Edges of a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LiveEdges {
    none: f64,
    /// Feature and nodes of each edge.
    edges: Vec<(usize, [usize; 2])>,
}

/// An amount, and how it is made to have mean 0 and deviation 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Amount {
    feature: usize,
    mean: f64,
    deviation: f64,
}

/// A number of a row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Column {
    pub(crate) group: Group,
    /// In the table: slot · choices + choice.
    pub(crate) cell: usize,
    mean: f64,
    scale: f64,
}

/// Kind of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Group {
    /// (slot, choice).
    Table,
    /// An amount, or counted work.
    Amount,
    /// (edge, operation) where the edge reaches the end, or lies on a way through.
    Live,
    /// Two slots' choices, two amounts, or a choice and an amount.
    Pair,
}

/// Categorical columns of a table.
const MOST_SLOTS: usize = 256;

/// More columns of pairs cost more than they teach.
const MOST_PAIRS: usize = 700;

impl Encoding {
    /// Looks at all features, and centres on `rows`.
    pub(crate) fn new(table: &Table, rows: &[usize]) -> Result<Self, BenchError> {
        let mut encoding = Self {
            slots: slots(table)?,
            choices: 0,
            shared: false,
            live: table.card.cell.as_ref().map(|cell| live_edges(table, cell)).transpose()?,
            amounts: amounts(table, rows),
            terms: terms(table)?,
            pairs: false,
            products: false,
            columns: Vec::new(),
            kept: Vec::new(),
        };
        if encoding.slots.len() > MOST_SLOTS || encoding.live.as_ref().is_some_and(|live| live.edges.len() > 64) {
            let message = format!("{} slots; {MOST_SLOTS} are the most, and 64 edges", encoding.slots.len());
            return Err(BenchError::Protocol(message));
        }
        encoding.share_choices();
        let levels: Vec<usize> = encoding.slots.iter().map(|slot| slot.levels.len()).collect();
        let all: usize = levels.iter().sum();
        let squares: usize = levels.iter().map(|n| n * n).sum();
        encoding.pairs = (all * all - squares) / 2 <= MOST_PAIRS;
        encoding.products = encoding.amounts.len() * (encoding.amounts.len() + all) <= 2 * MOST_PAIRS;
        encoding.settle(table, rows);
        if encoding.columns.is_empty() {
            return Err(BenchError::Protocol("no feature varies over the rows to learn from".into()));
        }
        Ok(encoding)
    }

    /// Numbers of a row.
    pub(crate) fn width(&self) -> usize {
        self.columns.len()
    }

    pub(crate) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Slots of the table.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Rows as numbers, `[rows, width]`.
    pub(crate) fn encode(&self, features: &[Feature], rows: &[usize]) -> DMatrix<f64> {
        let mut encoded = DMatrix::zeros(rows.len(), self.width());
        for (j, column) in self.columns.iter().enumerate() {
            encoded.column_mut(j).fill(-column.mean * column.scale);
        }
        let mut values = Vec::new();
        for (i, &row) in rows.iter().enumerate() {
            values.clear();
            values.extend(features.iter().map(|feature| feature.values[row]));
            self.each(&values, |column, value| {
                if let Some(j) = self.kept[column] {
                    encoded[(i, j as usize)] += value * self.columns[j as usize].scale;
                }
            });
        }
        encoded
    }

    /// Some of the numbers of rows of feature values, `[rows, columns]`.
    pub(crate) fn encode_some(&self, rows: &[Vec<f64>], columns: &[usize]) -> DMatrix<f64> {
        let mut place = vec![None; self.width()];
        columns.iter().enumerate().for_each(|(k, &j)| place[j] = Some(k));
        let start = |k: usize| {
            let column = &self.columns[columns[k]];
            -column.mean * column.scale
        };
        let mut encoded = DMatrix::from_fn(rows.len(), columns.len(), |_, k| start(k));
        for (i, row) in rows.iter().enumerate() {
            self.each(row, |column, value| {
                if let Some(j) = self.kept[column]
                    && let Some(k) = place[j as usize]
                {
                    encoded[(i, k)] += value * self.columns[j as usize].scale;
                }
            });
        }
        encoded
    }

    /// Numbers of a row before any was dropped.
    pub(crate) fn numbers(&self) -> usize {
        self.kept.len()
    }

    /// Weights over columns, with the centre folded into a constant, laid out for [`Self::dot`].
    pub(crate) fn folded(&self, weights: &[f64]) -> (f64, Vec<f64>) {
        let constant = -self.columns.iter().zip(weights).map(|(c, w)| c.mean * c.scale * w).sum::<f64>();
        let weight =
            |kept: &Option<u32>| kept.map_or(0.0, |j| weights[j as usize] * self.columns[j as usize].scale);
        (constant, self.kept.iter().map(weight).collect())
    }

    /// Sum of the folded weights over what is not 0 in a row of feature values.
    pub(crate) fn dot(&self, folded: &[f64], values: &[f64]) -> f64 {
        let mut sum = 0.0;
        self.each(values, |column, value| sum += folded[column] * value);
        sum
    }

    /// Calls with every column, before any is dropped, that is not 0 in a row.
    fn each(&self, values: &[f64], mut call: impl FnMut(usize, f64)) {
        let mut chosen = [0_u16; MOST_SLOTS];
        let slots = self.slots.len();
        for (slot, chosen) in self.slots.iter().zip(&mut chosen) {
            *chosen = slot.choice(values);
        }
        let mut start = 0;
        for &choice in &chosen[..slots] {
            call(start + usize::from(choice), 1.0);
            start += self.choices;
        }
        for amount in &self.amounts {
            call(start, amount.of(values));
            start += 1;
        }
        for term in &self.terms {
            call(start, term.iter().map(|&feature| values[feature]).product());
            start += 1;
        }
        if let Some(live) = &self.live {
            let (reaching, through) = live.of(values);
            for (slot, &choice) in chosen[..slots].iter().enumerate() {
                let at = start + slot * self.choices + usize::from(choice);
                if reaching >> slot & 1 == 1 {
                    call(at, 1.0);
                }
                if through >> slot & 1 == 1 {
                    call(at + slots * self.choices, 1.0);
                }
            }
            start += 2 * slots * self.choices;
        }
        if self.products {
            start = self.each_product(values, &chosen[..slots], start, &mut call);
        }
        if self.pairs {
            for (i, &a) in chosen[..slots].iter().enumerate() {
                for &b in &chosen[..i] {
                    call(start + usize::from(a) * self.choices + usize::from(b), 1.0);
                    start += self.choices * self.choices;
                }
            }
        }
    }

    fn each_product(
        &self,
        values: &[f64],
        chosen: &[u16],
        mut start: usize,
        call: &mut impl FnMut(usize, f64),
    ) -> usize {
        for (i, a) in self.amounts.iter().enumerate() {
            let a = a.of(values);
            for b in &self.amounts[..=i] {
                call(start, a * b.of(values));
                start += 1;
            }
            for &choice in chosen {
                call(start + usize::from(choice), a);
                start += self.choices;
            }
        }
        start
    }

    /// Columns before any is dropped.
    fn groups(&self) -> Vec<Group> {
        let (slots, n, amounts) = (self.slots.len(), self.choices, self.amounts.len());
        let mut groups = vec![Group::Table; slots * n];
        groups.extend(vec![Group::Amount; amounts + self.terms.len()]);
        groups.extend(vec![Group::Live; if self.live.is_some() { 2 * slots * n } else { 0 }]);
        let products = if self.products { amounts * (amounts + 1) / 2 + amounts * slots * n } else { 0 };
        let pairs = if self.pairs { slots * (slots - slots.min(1)) / 2 * n * n } else { 0 };
        groups.extend(vec![Group::Pair; products + pairs]);
        groups
    }

    /// One list of choices where slots have much in common; where they have not, choice 3 of one is not choice 3 of another.
    fn share_choices(&mut self) {
        let mut counts: BTreeMap<Vec<u64>, usize> = BTreeMap::new();
        let key = |level: &Vec<f64>| level.iter().map(|v| v.to_bits()).collect::<Vec<u64>>();
        for level in self.slots.iter().flat_map(|slot| &slot.levels) {
            *counts.entry(key(level)).or_default() += 1;
        }
        let all: usize = counts.values().sum();
        let widest = self.slots.iter().map(|slot| slot.levels.len()).max().unwrap_or(0);
        // On average a choice stands in half of the slots at least.
        self.shared = self.slots.len() > 1 && 2 * all >= counts.len() * self.slots.len();
        self.choices = widest;
        if self.shared {
            let mut list: Vec<Vec<f64>> = self.slots.iter().flat_map(|slot| slot.levels.clone()).collect();
            list.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
            list.dedup();
            self.choices = list.len();
            self.slots.iter_mut().for_each(|slot| slot.levels.clone_from(&list));
        }
    }

    /// Drops columns that do not vary over the rows to learn from, and centres the others.
    fn settle(&mut self, table: &Table, rows: &[usize]) {
        let groups = self.groups();
        let (mut sums, mut squares) = (vec![0.0; groups.len()], vec![0.0; groups.len()]);
        let mut values = Vec::new();
        for &row in rows {
            values.clear();
            values.extend(table.features.iter().map(|feature| feature.values[row]));
            self.each(&values, |column, value| {
                sums[column] += value;
                squares[column] += value * value;
            });
        }
        let n = rows.len().max(1) as f64;
        for (cell, group) in groups.into_iter().enumerate() {
            let mean = sums[cell] / n;
            let deviation = (squares[cell] / n - mean * mean).max(0.0).sqrt();
            let varies = deviation > 1e-9 * (1.0 + mean.abs());
            self.kept.push(varies.then_some(self.columns.len() as u32));
            if varies {
                let scale = if group == Group::Amount { 1.0 / deviation } else { 1.0 };
                self.columns.push(Column { group, cell, mean, scale });
            }
        }
    }
}

impl Slot {
    /// Index of what stands there; 0 for what was never seen.
    fn choice(&self, values: &[f64]) -> u16 {
        let there = self.depth.is_none_or(|(feature, least)| values[feature] >= least);
        let is = |level: &Vec<f64>| match there {
            true => level.iter().zip(&self.features).all(|(l, &f)| *l == values[f]),
            false => level.iter().all(|l| *l == NOT_THERE),
        };
        self.levels.iter().position(is).unwrap_or(0) as u16
    }
}

/// Value of a feature whose slot is not there.
const NOT_THERE: f64 = -1e12;

impl Amount {
    fn of(&self, values: &[f64]) -> f64 {
        (values[self.feature] - self.mean) / self.deviation
    }
}

impl LiveEdges {
    /// Bits of the edges from which the end is reached, and of those that also lie on a way from the start.
    fn of(&self, values: &[f64]) -> (u64, u64) {
        let passes = |feature: usize| values[feature] != self.none;
        let last = self.edges.iter().map(|(_, [_, to])| *to).max().unwrap_or(0);
        let (mut reached, mut reaching) = (1_u64, 1_u64 << last);
        // As often as there are nodes: no order of the edges is asked for.
        for _ in 0..=last {
            for (_, [from, to]) in self.edges.iter().filter(|edge| passes(edge.0)) {
                reached |= (reached >> from & 1) << to;
                reaching |= (reaching >> to & 1) << from;
            }
        }
        let (mut to_end, mut through) = (0, 0);
        for (index, &(feature, [from, to])) in self.edges.iter().enumerate() {
            let live = u64::from(passes(feature)) & (reaching >> to & 1);
            to_end |= live << index;
            through |= (live & (reached >> from & 1)) << index;
        }
        (to_end, through)
    }
}

fn position(table: &Table, name: &str) -> Result<usize, BenchError> {
    table.features.iter().position(|feature| feature.name == name).ok_or_else(|| BenchError::Card {
        path: table.path.clone(),
        message: format!("{name} is no feature of the table"),
    })
}

fn slots(table: &Table) -> Result<Vec<Slot>, BenchError> {
    let names = if table.card.slots.is_empty() {
        let categorical = table.features.iter().filter(|feature| feature.categorical);
        categorical.map(|feature| vec![feature.name.clone()]).collect()
    } else {
        table.card.slots.clone()
    };
    let mut slots = Vec::new();
    for slot in &names {
        let features = slot.iter().map(|name| position(table, name)).collect::<Result<Vec<usize>, _>>()?;
        let mut depth = None;
        for gate in &table.card.gate {
            if let Some(index) = gate.slots.iter().position(|name| Some(name) == slot.first()) {
                depth = Some((position(table, &gate.depth)?, index as f64 + 1.0));
            }
        }
        let mut slot = Slot { features, levels: Vec::new(), depth };
        slot.levels = levels(table, &slot);
        slots.push(slot);
    }
    Ok(slots)
}

/// What stands in a slot in some row.
fn levels(table: &Table, slot: &Slot) -> Vec<Vec<f64>> {
    let mut seen: BTreeSet<Vec<u64>> = BTreeSet::new();
    for row in 0..table.rows {
        let there = slot.depth.is_none_or(|(feature, least)| table.features[feature].values[row] >= least);
        let value = |&feature: &usize| if there { table.features[feature].values[row] } else { NOT_THERE };
        seen.insert(slot.features.iter().map(|feature| value(feature).to_bits()).collect());
    }
    let mut levels: Vec<Vec<f64>> =
        seen.iter().map(|bits| bits.iter().map(|&b| f64::from_bits(b)).collect()).collect();
    levels.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    levels
}

fn live_edges(table: &Table, cell: &Cell) -> Result<LiveEdges, BenchError> {
    // In the order of the slots.
    let mut edges = Vec::new();
    for (name, nodes) in &cell.edges {
        edges.push((position(table, name)?, *nodes));
    }
    edges.sort_unstable();
    Ok(LiveEdges { none: cell.none as f64, edges })
}

fn amounts(table: &Table, rows: &[usize]) -> Vec<Amount> {
    let mut amounts = Vec::new();
    // What a depth says is said by the slots that are there.
    let is_depth = |name: &String| table.card.gate.iter().any(|gate| gate.depth == *name);
    let amount = |(_, column): &(usize, &Feature)| !column.categorical && !is_depth(&column.name);
    for (feature, column) in table.features.iter().enumerate().filter(amount) {
        let n = rows.len().max(1) as f64;
        let mean = rows.iter().map(|&row| column.values[row]).sum::<f64>() / n;
        let variance = rows.iter().map(|&row| (column.values[row] - mean).powi(2)).sum::<f64>() / n;
        if variance > 1e-18 * (1.0 + mean * mean) {
            amounts.push(Amount { feature, mean, deviation: variance.sqrt() });
        }
    }
    amounts
}

fn terms(table: &Table) -> Result<Vec<Vec<usize>>, BenchError> {
    let term = |names: &Vec<String>| names.iter().map(|name| position(table, name)).collect();
    table.card.terms.iter().map(term).collect()
}
