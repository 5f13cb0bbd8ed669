//! Tables on the terminal.

use comfy_table::{CellAlignment, Table, presets::NOTHING};

/// A table without lines: the first column to the left, numbers to the right.
pub fn table(head: &[String]) -> Table {
    with_words(head, 1)
}

/// A table without lines whose first `words` columns are to the left, the others, of numbers, to the right.
pub fn with_words(head: &[String], words: usize) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(head);
    for (index, column) in table.column_iter_mut().enumerate() {
        let side = if index < words { CellAlignment::Left } else { CellAlignment::Right };
        column.set_cell_alignment(side);
        column.set_padding((0, 2));
    }
    table
}
