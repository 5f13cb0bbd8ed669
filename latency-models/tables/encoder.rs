use std::collections::BTreeSet;

use super::{
    TableError,
    card::Cell,
    table::{Feature, Table},
};
use crate::core::{Encoding, Layout, LiveEdges, NOT_THERE, Slot, Work};

/// The encoder of a table's rows, centred on some of them.
pub(crate) fn encoding(table: &Table, rows: &[Vec<f64>]) -> Result<Encoding, TableError> {
    let slots = slots(table)?;
    let work = match &table.card.network {
        Some(network) => Work::Slots(network.work(&slots).map_err(|message| card(table, message))?),
        None => Work::Unknown,
    };
    let layout = Layout {
        slots,
        share_choices: true,
        live: table.card.cell.as_ref().map(|cell| live_edges(table, cell)).transpose()?,
        work,
        amounts: amounts(table),
        terms: terms(table)?,
        keep_table: false,
    };
    Encoding::new(layout, rows).map_err(TableError::Protocol)
}

fn card(table: &Table, message: String) -> TableError {
    TableError::Card { path: table.path.clone(), message }
}

fn position(table: &Table, name: &str) -> Result<usize, TableError> {
    table.features.iter().position(|feature| feature.name == name).ok_or_else(|| TableError::Card {
        path: table.path.clone(),
        message: format!("{name} is no feature of the table"),
    })
}

fn slots(table: &Table) -> Result<Vec<Slot>, TableError> {
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

fn live_edges(table: &Table, cell: &Cell) -> Result<LiveEdges, TableError> {
    // In the order of the slots.
    let mut edges = Vec::new();
    for (name, nodes) in &cell.edges {
        edges.push((position(table, name)?, *nodes));
    }
    edges.sort_unstable();
    Ok(LiveEdges { none: cell.none as f64, edges })
}

fn amounts(table: &Table) -> Vec<usize> {
    // What a depth says is said by the slots that are there.
    let is_depth = |name: &String| table.card.gate.iter().any(|gate| gate.depth == *name);
    let amount = |(_, column): &(usize, &Feature)| !column.categorical && !is_depth(&column.name);
    table.features.iter().enumerate().filter(amount).map(|(feature, _)| feature).collect()
}

fn terms(table: &Table) -> Result<Vec<Vec<usize>>, TableError> {
    let term = |names: &Vec<String>| names.iter().map(|name| position(table, name)).collect();
    table.card.terms.iter().map(term).collect()
}
