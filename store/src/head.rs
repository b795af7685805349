//! Datapoints in memory, by series: an open run as it came, and sealed chunks behind it.

use std::collections::BTreeSet;

use crate::{
    chunk::Chunk,
    point::{Columns, Point, SeriesId},
    run::Run,
};

/// Seconds in a day, the span that one block stays within.
pub(crate) const DAY_S: i64 = 86_400;

/// The newest datapoints of every series, in order of arrival.
///
/// A point costs 1 to 9 bytes in the open run and about 1 to 3 once sealed.
#[derive(Default)]
pub(crate) struct Head {
    series: Vec<Recent>,
    /// Every day that a datapoint lies in.
    days: BTreeSet<i64>,
    last_day: Option<i64>,
    n_points: u64,
    bytes: usize,
}

/// One series. Chunks may overlap in time; what came later stands later and wins.
#[derive(Default)]
struct Recent {
    #[expect(
        clippy::box_collection,
        reason = "a million series mostly have none, which then takes a word and not three"
    )]
    sealed: Option<Box<Vec<Chunk>>>,
    open: Run,
}

impl Recent {
    fn sealed(&self) -> &[Chunk] {
        self.sealed.as_ref().map_or(&[], |sealed| sealed)
    }
}

impl Head {
    pub fn insert(&mut self, point: Point) {
        let index = point.series.0 as usize;
        if index >= self.series.len() {
            self.series.resize_with(index + 1, Recent::default);
        }
        let day = point.timestamp_s.div_euclid(DAY_S);
        if self.last_day != Some(day) {
            self.days.insert(day);
            self.last_day = Some(day);
        }
        let recent = &mut self.series[index];
        self.n_points += 1;
        self.bytes -= recent.open.size();
        recent.open.push(point.timestamp_s, point.value);
        if recent.open.is_full()
            && let Some(chunk) = recent.open.seal()
        {
            self.bytes += chunk.size();
            recent.sealed.get_or_insert_default().push(chunk);
        }
        self.bytes += recent.open.size();
    }

    /// Adds the datapoints of one series in `[from_s, until_s)`, in order of arrival rather than of time.
    pub fn read(&self, series: SeriesId, from_s: i64, until_s: i64, columns: &mut Columns) {
        let Some(recent) = self.series.get(series.0 as usize) else { return };
        recent.sealed().iter().for_each(|chunk| chunk.read(from_s, until_s, columns));
        recent.open.each(|at, value| {
            if (from_s..until_s).contains(&at) {
                columns.push(at, value);
            }
        });
    }

    /// Whether the series has a datapoint here.
    pub fn holds(&self, series: SeriesId) -> bool {
        self.series.get(series.0 as usize).is_some_and(|recent| !(recent.sealed().is_empty() && recent.open.is_empty()))
    }

    /// The series that have datapoints here, in order of numbers.
    pub fn series(&self) -> impl Iterator<Item = SeriesId> {
        (0..self.series.len() as u32).map(SeriesId).filter(|series| self.holds(*series))
    }

    /// Every day, counted from the epoch, that a datapoint lies in.
    pub fn days(&self) -> &BTreeSet<i64> {
        &self.days
    }

    pub fn is_empty(&self) -> bool {
        self.n_points == 0
    }

    /// Datapoints taken in, rewrites of the same timestamp included.
    pub fn n_points(&self) -> u64 {
        self.n_points
    }

    /// Bytes that the datapoints and the table of series take, the allocator's own aside.
    pub fn bytes(&self) -> usize {
        self.bytes + self.series.len() * size_of::<Recent>()
    }
}

impl Head {
    /// The earliest and latest timestamp of one series, for tests and for blocks kept in memory.
    #[cfg(test)]
    fn span(&self, series: SeriesId) -> Option<(i64, i64)> {
        let mut columns = Columns::default();
        self.read(series, i64::MIN, i64::MAX, &mut columns);
        Some((*columns.timestamps.iter().min()?, *columns.timestamps.iter().max()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_last_stands_last_across_chunks() {
        let mut head = Head::default();
        let series = SeriesId(3);
        for pass in 0..3 {
            for i in 0..200 {
                head.insert(Point { series, timestamp_s: 10 * i, value: f64::from(pass * 1000) + i as f64 });
            }
        }
        let mut columns = Columns::default();
        head.read(series, 500, 520, &mut columns);
        columns.settle();
        assert_eq!(columns.iter().collect::<Vec<_>>(), [(500, 2050.0), (510, 2051.0)]);
        assert_eq!(head.span(series), Some((0, 1990)));
        assert_eq!(head.series().collect::<Vec<_>>(), [series]);
        assert!(!head.holds(SeriesId(0)));
    }
}
