//! The store's own units: a series' number, one datapoint under it, and datapoints in columns.

/// Names a series inside one store. Stands for the same name for as long as the store's directory lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(pub u32);

/// One datapoint of an interned series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Whose it is, from [`crate::Store::intern`].
    pub series: SeriesId,
    /// Unix seconds, the end of the interval that the value speaks of.
    pub timestamp_s: i64,
    /// Any number but NaN: a gap is the absence of a datapoint.
    pub value: f64,
}

/// What became of one batch of datapoints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Appended {
    /// Durable and readable.
    pub n_appended: usize,
    /// Not taken: NaN, or stamped before the longest retention or more than a day ahead of the clock.
    pub n_refused: usize,
}

/// Datapoints of one series in columns: `values[i]` belongs to `timestamps[i]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Columns {
    /// Unix seconds, strictly ascending.
    pub timestamps: Vec<i64>,
    /// Never NaN.
    pub values: Vec<f64>,
}

impl Columns {
    /// How many datapoints there are.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// The datapoints in order of time.
    pub fn iter(&self) -> impl Iterator<Item = (i64, f64)> + '_ {
        self.timestamps.iter().copied().zip(self.values.iter().copied())
    }

    pub(crate) fn push(&mut self, timestamp_s: i64, value: f64) {
        self.timestamps.push(timestamp_s);
        self.values.push(value);
    }

    /// Adds the part of `other` that lies in `[from_s, until_s)`; `other` ascends in time.
    pub(crate) fn extend_within(&mut self, other: &Columns, from_s: i64, until_s: i64) {
        let start = other.timestamps.partition_point(|at| *at < from_s);
        let end = other.timestamps.partition_point(|at| *at < until_s).max(start);
        self.timestamps.extend_from_slice(&other.timestamps[start..end]);
        self.values.extend_from_slice(&other.values[start..end]);
    }

    /// Sorts by time; of equal timestamps the one added last stays.
    pub(crate) fn settle(&mut self) {
        if self.timestamps.is_sorted_by(|earlier, later| earlier < later) {
            return;
        }
        let mut pairs: Vec<(i64, f64)> = self.iter().collect();
        // Stable, so that the order of arrival survives among equals.
        pairs.sort_by_key(|(at, _)| *at);
        self.timestamps.clear();
        self.values.clear();
        for (at, value) in pairs {
            match self.timestamps.last() {
                Some(last) if *last == at => *self.values.last_mut().expect("columns are of one length") = value,
                _ => self.push(at, value),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_equal_timestamps_stays() {
        let mut columns = Columns { timestamps: vec![20, 10, 20, 15], values: vec![1.0, 2.0, 3.0, 4.0] };
        columns.settle();
        assert_eq!(columns.iter().collect::<Vec<_>>(), [(10, 2.0), (15, 4.0), (20, 3.0)]);
    }
}
