use std::collections::BTreeMap;

use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

use super::{
    layout::{Column, Group, Layout, Work},
    live_edges::LiveEdges,
    slot::Slot,
};

/// Turns a row of feature values into numbers in which latency is nearly linear.
///
/// Columns come in groups: the table of (slot, choice); counted work; what the structure says is there; amounts; products of
/// two. Amounts are scaled to deviation 1 and counted work to mean 1 over the rows that are learned from; all are centred there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Encoding {
    slots: Vec<Slot>,
    /// Choices of all slots in one list, where slots share them; each slot's own otherwise.
    pub(crate) choices: usize,
    /// Whether choice c means the same in every slot.
    pub(crate) shared: bool,
    live: Option<LiveEdges>,
    work: Work,
    amounts: Vec<Amount>,
    terms: Vec<Vec<usize>>,
    pairs: bool,
    products: bool,
    /// Whether (slot, choice) that no row has keep their column.
    keep_table: bool,
    columns: Vec<Column>,
    /// For each column before it is known to vary: where it went.
    kept: Vec<Option<u32>>,
}

/// An amount, and how it is made to have mean 0 and deviation 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Amount {
    feature: usize,
    mean: f64,
    deviation: f64,
}

/// Categorical columns of a table.
const MOST_SLOTS: usize = 256;

/// More columns of pairs cost more than they teach.
const MOST_PAIRS: usize = 700;

impl Encoding {
    /// Looks at all features, and centres on `rows`.
    pub(crate) fn new(layout: Layout, rows: &[Vec<f64>]) -> Result<Self, String> {
        let Layout { slots, share_choices, live, work, amounts, terms, keep_table } = layout;
        let amounts = amounts.into_iter().filter_map(|feature| Amount::new(feature, rows)).collect();
        let (pairs, products, columns, kept) = (false, false, Vec::new(), Vec::new());
        let mut encoding = Self {
            slots,
            choices: 0,
            shared: false,
            live,
            work,
            amounts,
            terms,
            pairs,
            products,
            keep_table,
            columns,
            kept,
        };
        if encoding.slots.len() > MOST_SLOTS || encoding.live.as_ref().is_some_and(|live| live.edges.len() > 64) {
            return Err(format!("{} slots; {MOST_SLOTS} are the most, and 64 edges", encoding.slots.len()));
        }
        encoding.settle_choices(share_choices);
        let levels: Vec<usize> = encoding.slots.iter().map(|slot| slot.levels.len()).collect();
        let all: usize = levels.iter().sum();
        let squares: usize = levels.iter().map(|n| n * n).sum();
        encoding.pairs = !keep_table && (all * all - squares) / 2 <= MOST_PAIRS;
        encoding.products = encoding.amounts.len() * (encoding.amounts.len() + all) <= 2 * MOST_PAIRS;
        encoding.settle(rows);
        if encoding.columns.is_empty() {
            return Err("no feature varies over the rows to learn from".into());
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

    /// Features of a row that it reads.
    pub(crate) fn features(&self) -> usize {
        let of_slots = self.slots.iter().flat_map(|slot| slot.features.iter().copied());
        let of_work = match &self.work {
            Work::Features(features) => features.clone(),
            _ => Vec::new(),
        };
        of_slots.chain(of_work).chain(self.amounts.iter().map(|a| a.feature)).max().map_or(0, |last| last + 1)
    }

    /// Whether what was read from a file can be used: every column is there and every number is one.
    pub(crate) fn is_sound(&self) -> bool {
        let numbers = |column: &Column| column.mean.is_finite() && column.scale.is_finite();
        let kept: Vec<u32> = self.kept.iter().copied().flatten().collect();
        self.kept.len() == self.groups().len()
            && kept.iter().copied().eq(0..self.columns.len() as u32)
            && self.columns.iter().all(numbers)
            && self.slots.iter().all(|slot| !slot.levels.is_empty() && slot.levels.len() <= self.choices)
            && self.columns.iter().all(|c| c.group != Group::Table || c.cell < self.slots.len() * self.choices)
    }

    /// Choices of each slot.
    pub(crate) fn choices_by_slot(&self) -> Vec<usize> {
        self.slots.iter().map(|slot| slot.levels.len()).collect()
    }

    /// Whether every (slot, choice) has its column, so that a row's slots are one-hot.
    pub(crate) fn keeps_table(&self) -> bool {
        self.keep_table
    }

    /// Slots of the table.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Rows as numbers, `[rows, width]`.
    pub(crate) fn encode(&self, rows: &[Vec<f64>]) -> DMatrix<f64> {
        let mut encoded = DMatrix::zeros(rows.len(), self.width());
        for (j, column) in self.columns.iter().enumerate() {
            encoded.column_mut(j).fill(-column.mean * column.scale);
        }
        for (i, row) in rows.iter().enumerate() {
            self.each(row, |column, value| {
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
        let mut folded: Vec<f64> = self.kept.iter().map(weight).collect();
        if let Work::Slots(slots) = &self.work {
            // A sum over slots goes into the table.
            let first = self.slots.len() * self.choices;
            for (slot, choices) in slots.iter().enumerate() {
                for (choice, kinds) in choices.iter().enumerate() {
                    let work: f64 = kinds.iter().enumerate().map(|(kind, work)| folded[first + kind] * work).sum();
                    folded[slot * self.choices + choice] += work;
                }
            }
            folded[first..first + self.work.kinds()].fill(0.0);
        }
        (constant, folded)
    }

    /// Sum of the folded weights over what is not 0 in a row of feature values.
    pub(crate) fn dot(&self, folded: &[f64], values: &[f64]) -> f64 {
        let mut sum = 0.0;
        self.each_folded(values, |column, value| sum += folded[column] * value);
        sum
    }

    /// Calls with every column, before any is dropped, that is not 0 in a row.
    fn each(&self, values: &[f64], call: impl FnMut(usize, f64)) {
        self.each_of(values, false, call);
    }

    /// The same where work that is a sum over slots is part of the table.
    fn each_folded(&self, values: &[f64], call: impl FnMut(usize, f64)) {
        self.each_of(values, true, call);
    }

    fn each_of(&self, values: &[f64], folded: bool, mut call: impl FnMut(usize, f64)) {
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
        start = match &self.work {
            Work::Slots(_) if folded => start + self.work.kinds(),
            _ => self.each_work(values, &chosen[..slots], start, &mut call),
        };
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

    fn each_work(&self, values: &[f64], chosen: &[u16], start: usize, call: &mut impl FnMut(usize, f64)) -> usize {
        match &self.work {
            Work::Unknown => {}
            Work::Features(features) => {
                features.iter().enumerate().for_each(|(kind, &feature)| call(start + kind, values[feature]));
            }
            Work::Slots(slots) => {
                for (choices, &choice) in slots.iter().zip(chosen) {
                    let kinds = choices[usize::from(choice)].iter().enumerate();
                    kinds.for_each(|(kind, work)| call(start + kind, *work));
                }
            }
        }
        start + self.work.kinds()
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
        groups.extend(vec![Group::Work; self.work.kinds()]);
        groups.extend(vec![Group::Amount; amounts + self.terms.len()]);
        groups.extend(vec![Group::Live; if self.live.is_some() { 2 * slots * n } else { 0 }]);
        let products = if self.products { amounts * (amounts + 1) / 2 + amounts * slots * n } else { 0 };
        let pairs = if self.pairs { slots * (slots - slots.min(1)) / 2 * n * n } else { 0 };
        groups.extend(vec![Group::Pair; products + pairs]);
        groups
    }

    /// One list of choices where slots have much in common; where they have not, choice 3 of one is not choice 3 of another.
    fn settle_choices(&mut self, may_share: bool) {
        let mut counts: BTreeMap<Vec<u64>, usize> = BTreeMap::new();
        let key = |level: &Vec<f64>| level.iter().map(|v| v.to_bits()).collect::<Vec<u64>>();
        for level in self.slots.iter().flat_map(|slot| &slot.levels) {
            *counts.entry(key(level)).or_default() += 1;
        }
        let all: usize = counts.values().sum();
        let widest = self.slots.iter().map(|slot| slot.levels.len()).max().unwrap_or(0);
        // On average a choice stands in half of the slots at least.
        self.shared = may_share && self.slots.len() > 1 && 2 * all >= counts.len() * self.slots.len();
        self.choices = widest;
        if self.shared {
            let mut list: Vec<Vec<f64>> = self.slots.iter().flat_map(|slot| slot.levels.clone()).collect();
            list.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
            list.dedup();
            self.choices = list.len();
            for (index, slot) in self.slots.iter_mut().enumerate() {
                self.work.reorder(index, &slot.levels, &list);
                slot.levels.clone_from(&list);
            }
        }
    }

    /// Drops columns that do not vary over the rows to learn from, and centres the others.
    fn settle(&mut self, rows: &[Vec<f64>]) {
        let groups = self.groups();
        let (mut sums, mut squares) = (vec![0.0; groups.len()], vec![0.0; groups.len()]);
        for row in rows {
            // Counted work is a sum over slots: a row's whole number is seen before it is squared.
            let mut work = vec![0.0; self.work.kinds()];
            let first = self.slots.len() * self.choices;
            self.each(row, |column, value| match column.checked_sub(first).and_then(|kind| work.get_mut(kind)) {
                Some(sum) => *sum += value,
                None => {
                    sums[column] += value;
                    squares[column] += value * value;
                }
            });
            for (kind, work) in work.into_iter().enumerate() {
                sums[first + kind] += work;
                squares[first + kind] += work * work;
            }
        }
        let n = rows.len().max(1) as f64;
        for (cell, group) in groups.into_iter().enumerate() {
            let mean = sums[cell] / n;
            let deviation = (squares[cell] / n - mean * mean).max(0.0).sqrt();
            let least = if group == Group::Work { 1e-9 * mean.abs() } else { 1e-9 * (1.0 + mean.abs()) };
            let varies = deviation > least || self.keep_table && group == Group::Table;
            self.kept.push(varies.then_some(self.columns.len() as u32));
            if varies {
                let scale = match group {
                    Group::Amount => 1.0 / deviation,
                    Group::Work => 1.0 / mean,
                    _ => 1.0,
                };
                self.columns.push(Column { group, cell, mean, scale });
            }
        }
    }
}

impl Amount {
    /// None where the feature does not vary.
    fn new(feature: usize, rows: &[Vec<f64>]) -> Option<Self> {
        let n = rows.len().max(1) as f64;
        let mean = rows.iter().map(|row| row[feature]).sum::<f64>() / n;
        let variance = rows.iter().map(|row| (row[feature] - mean).powi(2)).sum::<f64>() / n;
        (variance > 1e-18 * (1.0 + mean * mean)).then(|| Self { feature, mean, deviation: variance.sqrt() })
    }

    fn of(&self, values: &[f64]) -> f64 {
        (values[self.feature] - self.mean) / self.deviation
    }
}
