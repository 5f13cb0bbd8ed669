//! Tables on the terminal.

use comfy_table::{CellAlignment, Table, presets::NOTHING};

/// A table without lines: the first column to the left, numbers to the right.
pub fn table(head: &[String]) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(head);
    for (index, column) in table.column_iter_mut().enumerate() {
        let side = if index == 0 { CellAlignment::Left } else { CellAlignment::Right };
        column.set_cell_alignment(side);
        column.set_padding((0, 2));
    }
    table
}
