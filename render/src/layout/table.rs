//! The numbered list of deploys below the plot.

use crate::{chart::DeployMark, stems::Stems};

/// The numbered list of deploys below the plot.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    /// Indices of the marks shown, in time order.
    pub shown: Vec<usize>,
    /// How many more there are.
    pub more: usize,
    pub columns: usize,
    pub rows: usize,
    /// Middle of the first row.
    pub top: f64,
    pub row_height: f64,
}

impl Table {
    /// Chooses what is listed in `n_rows` rows of a picture `ems` wide: the gravest first, then the latest.
    pub fn fill(&mut self, stems: &Stems<'_>, ems: f64, n_rows: usize) {
        let n_marks = stems.marks.len();
        let columns = ((ems / 30.0) as usize).clamp(1, 3);
        self.columns = columns.min(n_marks.div_ceil(n_rows.max(1)).max(1));
        self.rows = n_rows.min(n_marks.div_ceil(self.columns));
        let cells = self.rows * self.columns;
        let n_shown = if n_marks <= cells { n_marks } else { cells.saturating_sub(1) };
        self.more = n_marks - n_shown;
        let mut order: Vec<usize> = (0..n_marks).collect();
        order.sort_by_key(|index| (std::cmp::Reverse(gravity(stems.marks[*index])), std::cmp::Reverse(*index)));
        order.truncate(n_shown);
        order.sort_unstable();
        self.shown = order;
        if self.rows == 0 {
            self.more = 0;
        }
    }
}

/// Only what accuses puts a deploy ahead in the list; being cleared does not.
fn gravity(mark: &DeployMark) -> u8 {
    mark.verdict.gravity().max(1)
}
