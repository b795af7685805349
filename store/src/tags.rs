//! Tagged series: which have which tags, and what `seriesByTag` asks of them.

use std::{
    collections::BTreeMap,
    ops::{Bound, ControlFlow},
};

use regex::{Regex, RegexBuilder};

use crate::{error::StoreError, point::SeriesId};

/// Most expressions of one question.
const MAX_EXPRESSIONS: usize = 64;
/// Largest compiled regular expression, in bytes.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// The tags of a canonical name, `name` first.
pub fn tags_of(name: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut parts = name.split(';');
    let metric = parts.next().unwrap_or_default();
    std::iter::once(("name", metric)).chain(parts.filter_map(|part| part.split_once('=')))
}

/// One condition of `seriesByTag`: `tag=value`, `tag!=value`, `tag=~regex`, `tag!=~regex`. A tag that a series does not
/// have is empty.
#[derive(Debug, Clone)]
pub struct TagExpression {
    tag: String,
    value: Wanted,
    negated: bool,
}

#[derive(Debug, Clone)]
enum Wanted {
    Exactly(String),
    Like(Regex),
}

impl Wanted {
    fn fits(&self, value: &str) -> bool {
        match self {
            Self::Exactly(wanted) => wanted == value,
            Self::Like(regex) => regex.is_match(value),
        }
    }
}

impl TagExpression {
    /// Reads expressions. At least one must ask for a tag to be there: the rest alone would fit nearly everything.
    ///
    /// # Errors
    /// [`StoreError::Query`] with a sentence for the caller.
    pub fn parse_all(texts: &[String]) -> Result<Vec<Self>, StoreError> {
        if texts.len() > MAX_EXPRESSIONS {
            return Err(StoreError::Query(format!("at most {MAX_EXPRESSIONS} tag expressions are taken")));
        }
        let expressions: Vec<Self> = texts.iter().map(|text| Self::parse(text)).collect::<Result<_, _>>()?;
        match expressions.iter().any(|expression| !expression.takes("")) {
            true => Ok(expressions),
            false => Err(StoreError::Query("at least one tag expression must require its tag to be there".to_owned())),
        }
    }

    fn parse(text: &str) -> Result<Self, StoreError> {
        let wrong = || {
            let forms = "write tag=value, tag!=value, tag=~regex or tag!=~regex";
            StoreError::Query(format!("`{text}` is no tag expression: {forms}"))
        };
        let (tag, rest) = text.split_once('=').ok_or_else(wrong)?;
        let (tag, negated) = tag.strip_suffix('!').map_or((tag, false), |tag| (tag, true));
        if tag.trim().is_empty() {
            return Err(wrong());
        }
        let value = match rest.strip_prefix('~') {
            None => Wanted::Exactly(rest.to_owned()),
            // Anchored at the start, as in graphite-web.
            Some(pattern) => {
                let mut builder = RegexBuilder::new(&format!("^(?:{pattern})"));
                let regex = builder.size_limit(MAX_REGEX_BYTES).build();
                Wanted::Like(regex.map_err(|_| StoreError::Query(format!("`{pattern}` is no regular expression")))?)
            }
        };
        Ok(Self { tag: tag.trim().to_owned(), value, negated })
    }

    /// The tag that it speaks of.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Whether a series whose tag has this value fits; an absent tag is empty.
    pub fn takes(&self, value: &str) -> bool {
        self.value.fits(value) != self.negated
    }

    /// Whether a canonical name fits.
    pub fn fits(&self, name: &str) -> bool {
        self.takes(tags_of(name).find(|(tag, _)| *tag == self.tag).map_or("", |(_, value)| value))
    }
}

/// The numbers of the series that have a value, ascending.
type Postings = Vec<u32>;

/// Every tag, its values, and the series that have them. 4 bytes for each tag of a series, and the values once.
#[derive(Default)]
pub(crate) struct TagIndex {
    tags: BTreeMap<Box<str>, BTreeMap<Box<str>, Postings>>,
}

/// A set of series, a bit for each number.
#[derive(Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn insert_all(&mut self, postings: &[u32]) {
        let Some(last) = postings.last() else { return };
        let n_words = *last as usize / 64 + 1;
        if self.0.len() < n_words {
            self.0.resize(n_words, 0);
        }
        postings.iter().for_each(|id| self.0[*id as usize / 64] |= 1 << (id % 64));
    }

    fn contains(&self, id: u32) -> bool {
        self.0.get(id as usize / 64).is_some_and(|word| word >> (id % 64) & 1 == 1)
    }

    fn iter(&self) -> impl Iterator<Item = u32> {
        let of_word = |(index, word): (usize, &u64)| {
            let mut word = *word;
            std::iter::from_fn(move || {
                let bit = (word != 0).then(|| word.trailing_zeros())?;
                word &= word - 1;
                Some(index as u32 * 64 + bit)
            })
        };
        self.0.iter().enumerate().flat_map(of_word)
    }
}

impl TagIndex {
    pub fn insert(&mut self, name: &str, id: SeriesId) {
        for (tag, value) in tags_of(name) {
            // Looked up first: the keys are allocated only where they are new.
            if !self.tags.contains_key(tag) {
                self.tags.insert(tag.into(), BTreeMap::new());
            }
            let values = self.tags.get_mut(tag).expect("the tag was just ensured");
            if !values.contains_key(value) {
                values.insert(value.into(), Postings::new());
            }
            let postings = values.get_mut(value).expect("the value was just ensured");
            // Numbers only rise, but for names that come back after damage.
            match postings.last() {
                Some(last) if *last >= id.0 => {
                    if let Err(index) = postings.binary_search(&id.0) {
                        postings.insert(index, id.0);
                    }
                }
                _ => postings.push(id.0),
            }
        }
    }

    /// Lets go of every series that is not known any more.
    pub fn retain(&mut self, is_known: impl Fn(SeriesId) -> bool) {
        for values in self.tags.values_mut() {
            values.retain(|_, postings| {
                postings.retain(|id| is_known(SeriesId(*id)));
                !postings.is_empty()
            });
        }
        self.tags.retain(|_, values| !values.is_empty());
    }

    /// The series that fit all expressions, by number; all series for none.
    pub fn select(&self, expressions: &[TagExpression]) -> Vec<SeriesId> {
        self.fitting(expressions).iter().map(SeriesId).collect()
    }

    fn fitting(&self, expressions: &[TagExpression]) -> Bits {
        // An expression that an absent tag fits takes series away, any other says which there may be at most.
        let (taking_away, asking): (Vec<_>, Vec<_>) = expressions.iter().partition(|expression| expression.takes(""));
        let mut fitting: Option<Bits> = None;
        for expression in asking {
            let mut found = Bits::default();
            self.each(expression, true, |postings| found.insert_all(postings));
            if let Some(before) = &fitting {
                found.0.truncate(before.0.len());
                found.0.iter_mut().zip(&before.0).for_each(|(word, before)| *word &= before);
            }
            fitting = Some(found);
        }
        let mut fitting = fitting.unwrap_or_else(|| {
            let mut all = Bits::default();
            self.tags.get("name").into_iter().flatten().for_each(|(_, postings)| all.insert_all(postings));
            all
        });
        for expression in taking_away {
            let mut found = Bits::default();
            self.each(expression, false, |postings| found.insert_all(postings));
            fitting.0.iter_mut().zip(&found.0).for_each(|(word, found)| *word &= !found);
        }
        fitting
    }

    /// Hands over the series of every value that the expression takes, or does not take.
    fn each(&self, expression: &TagExpression, takes: bool, mut each: impl FnMut(&[u32])) {
        let Some(values) = self.tags.get(&*expression.tag) else { return };
        match &expression.value {
            // One look-up: values may be as many as series.
            Wanted::Exactly(value) if expression.negated != takes => {
                values.get(&**value).into_iter().for_each(|postings| each(postings));
            }
            _ => {
                let fit = values.iter().filter(|(value, _)| expression.takes(value) == takes);
                fit.for_each(|(_, postings)| each(postings));
            }
        }
    }

    /// Tags that begin with a prefix and that a fitting series has, in order, at most `limit`.
    pub fn tags(&self, prefix: &str, expressions: &[TagExpression], limit: usize) -> Vec<String> {
        let fitting = (!expressions.is_empty()).then(|| self.fitting(expressions));
        let is_met = |postings: &Postings| match &fitting {
            None => true,
            Some(fitting) => postings.iter().any(|id| fitting.contains(*id)),
        };
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let within = self.tags.range::<str, _>(from).take_while(|(tag, _)| tag.starts_with(prefix));
        let met = within.filter(|(_, values)| values.values().any(is_met));
        met.take(limit).map(|(tag, _)| tag.to_string()).collect()
    }

    /// Values of a tag that begin with a prefix and that a fitting series has, in order, at most `limit`, each with how many
    /// fitting series have it.
    pub fn values(&self, tag: &str, prefix: &str, expressions: &[TagExpression], limit: usize) -> Vec<(String, usize)> {
        let Some(values) = self.tags.get(tag) else { return Vec::new() };
        let fitting = (!expressions.is_empty()).then(|| self.fitting(expressions));
        let count = |postings: &Postings| match &fitting {
            None => postings.len(),
            Some(fitting) => postings.iter().filter(|id| fitting.contains(**id)).count(),
        };
        let mut found = Vec::new();
        let from = (Bound::Included(prefix), Bound::Unbounded);
        let within = values.range::<str, _>(from).take_while(|(value, _)| value.starts_with(prefix));
        let _ = within.map(|(value, postings)| (value, count(postings))).filter(|(_, n)| *n > 0).try_for_each(
            |(value, n_series)| {
                if found.len() == limit {
                    return ControlFlow::Break(());
                }
                found.push((value.to_string(), n_series));
                ControlFlow::Continue(())
            },
        );
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(expressions: &[&str]) -> Result<Vec<TagExpression>, StoreError> {
        let texts: Vec<String> = expressions.iter().map(|text| (*text).to_owned()).collect();
        TagExpression::parse_all(&texts)
    }

    #[track_caller]
    fn check(expressions: &[&str], name: &str, expected: Result<bool, &str>) {
        let fits = parse(expressions).map(|all| all.iter().all(|expression| expression.fits(name)));
        assert_eq!(fits.map_err(|error| error.to_string()), expected.map_err(str::to_owned), "{expressions:?}");
    }

    #[test]
    fn expressions_mean_what_graphites_mean() {
        let name = "cpu.idle;dc=eu;host=web1";
        check(&["name=cpu.idle", "host=web1"], name, Ok(true));
        check(&["host=~web"], name, Ok(true));
        check(&["host=~eb1"], name, Ok(false));
        check(&["host=~web1$", "dc!=us"], name, Ok(true));
        check(&["dc=eu", "rack="], name, Ok(true));
        check(&["dc=eu", "rack!="], name, Ok(false));
        check(&["dc=eu", "host!=~web[23]"], name, Ok(true));
    }

    #[test]
    fn what_would_fit_everything_or_nothing_is_refused() {
        check(&["dc!=us"], "", Err("at least one tag expression must require its tag to be there"));
        check(&["dc=~("], "", Err("`(` is no regular expression"));
        let forms = "write tag=value, tag!=value, tag=~regex or tag!=~regex";
        check(&["dc"], "", Err(&format!("`dc` is no tag expression: {forms}")));
        check(&["=x"], "", Err(&format!("`=x` is no tag expression: {forms}")));
    }

    fn index(names: &[&str]) -> TagIndex {
        let mut index = TagIndex::default();
        names.iter().enumerate().for_each(|(id, name)| index.insert(name, SeriesId(id as u32 * 50)));
        index
    }

    #[test]
    fn tags_and_values_are_completed_among_what_fits() {
        let names = ["cpu;dc=eu;host=web1", "cpu;dc=us;host=web2", "mem;dc=eu;rack=7", "mem;dc=us;host=db1"];
        let mut index = index(&names);
        let value = |index: &TagIndex, prefix: &str, expressions: &[&str], limit: usize| {
            let expressions = if expressions.is_empty() { Vec::new() } else { parse(expressions).unwrap() };
            let values = index.values("host", prefix, &expressions, limit);
            values.iter().map(|(value, n)| format!("{value}:{n}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(index.tags("", &[], 10), ["dc", "host", "name", "rack"]);
        assert_eq!(index.tags("", &parse(&["host=~."]).unwrap(), 2), ["dc", "host"]);
        assert_eq!(index.tags("r", &parse(&["host=~."]).unwrap(), 10), Vec::<String>::new());
        assert_eq!(value(&index, "", &[], 10), "db1:1 web1:1 web2:1");
        assert_eq!(value(&index, "web", &[], 1), "web1:1");
        assert_eq!(value(&index, "", &["dc=us"], 10), "db1:1 web2:1");
        index.retain(|id| id.0 != 100);
        assert_eq!(index.tags("", &[], 10), ["dc", "host", "name"]);
        assert_eq!(index.select(&[]).len(), 3);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn the_index_agrees_with_fitting_one_by_one(
            series in prop::collection::vec(("[ab]", prop::option::of("[xyz]{1,2}"), prop::option::of("[12]")), 0..40),
            asked in prop::collection::vec(("name|dc|no|rack", "=|!=|=~|!=~", "|[abxyz12]|x.|.|.*"), 1..4),
        ) {
            let tag = |tag: &str, value: &Option<String>| value.as_ref().map_or(String::new(), |value| format!(";{tag}={value}"));
            let names: Vec<String> =
                series.iter().map(|(name, dc, rack)| format!("{name}{}{}", tag("dc", dc), tag("rack", rack))).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let asked: Vec<String> = asked.into_iter().map(|(tag, operator, value)| format!("{tag}{operator}{value}")).collect();
            if let Ok(expressions) = TagExpression::parse_all(&asked) {
                let found: Vec<usize> = index(&names).select(&expressions).iter().map(|id| id.0 as usize / 50).collect();
                let fits = |name: &str| expressions.iter().all(|expression| expression.fits(name));
                let expected: Vec<usize> = (0..names.len()).filter(|at| fits(names[*at])).collect();
                prop_assert_eq!(found, expected, "{:?}", asked);
            }
        }
    }
}
