//! `/tags`: tagged series, found by expressions and completed letter by letter.
//!
//! The store has no index of tags: an answer looks at every name, at about 20 million a second.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use deployline_store::{SeriesId, Store};
use regex::{Regex, RegexBuilder};
use warp::{Reply, http::HeaderMap, reply::Response};

use super::scripted;
use crate::{app::App, error::WebError, library::blocking, query::Query};

/// Most series numbers that are looked at. Numbers are never given twice, so a store that has forgotten more names than
/// this is not seen whole.
const MAX_SCANNED: u32 = 1 << 25;
/// Entries of a completion if no `limit` is given, and at most.
const LIMITS: (usize, usize) = (100, 10_000);
/// Most expressions of one request.
const MAX_EXPRESSIONS: usize = 64;
/// Largest compiled regular expression, in bytes.
const MAX_REGEX_BYTES: usize = 1 << 20;

/// Every series of the store, by number.
pub fn names(store: &Store) -> Vec<(SeriesId, Arc<str>)> {
    let n_series = store.stats().n_series;
    let mut names = Vec::with_capacity(n_series);
    for number in 0..MAX_SCANNED {
        if names.len() >= n_series {
            break;
        }
        let series = SeriesId(number);
        names.extend(store.name(series).map(|name| (series, name)));
    }
    names
}

/// The tagged series that fit all of the expressions, by number.
pub fn tagged(store: &Store, expressions: &[Expression]) -> Vec<(SeriesId, Arc<str>)> {
    let mut names = names(store);
    names.retain(|(_, name)| name.contains(';') && expressions.iter().all(|expression| expression.fits(name)));
    names
}

/// The tags of a name, `name` first.
fn tags_of(name: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut parts = name.split(';');
    let metric = parts.next().unwrap_or_default();
    std::iter::once(("name", metric)).chain(parts.filter_map(|part| part.split_once('=')))
}

/// One condition of `seriesByTag`: `tag=value`, `tag!=value`, `tag=~regex`, `tag!=~regex`. A tag that a series does not
/// have is empty.
#[derive(Debug, Clone)]
pub struct Expression {
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

impl Expression {
    /// Reads expressions. At least one must ask for a tag to be there: the rest alone would fit nearly everything.
    ///
    /// # Errors
    /// A sentence for the caller.
    pub fn parse_all(texts: &[String]) -> Result<Vec<Self>, String> {
        if texts.len() > MAX_EXPRESSIONS {
            return Err(format!("at most {MAX_EXPRESSIONS} tag expressions are taken"));
        }
        let expressions: Vec<Self> = texts.iter().map(|text| Self::parse(text)).collect::<Result<_, _>>()?;
        match expressions.iter().any(|expression| !expression.takes("")) {
            true => Ok(expressions),
            false => Err("at least one tag expression must require its tag to be there".to_owned()),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no tag expression: write tag=value, tag!=value, tag=~regex or tag!=~regex");
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
                Wanted::Like(regex.map_err(|_| format!("`{pattern}` is no regular expression"))?)
            }
        };
        Ok(Self { tag: tag.trim().to_owned(), value, negated })
    }

    fn takes(&self, value: &str) -> bool {
        self.value.fits(value) != self.negated
    }

    fn fits(&self, name: &str) -> bool {
        self.takes(tags_of(name).find(|(tag, _)| *tag == self.tag).map_or("", |(_, value)| value))
    }
}

/// The expressions of a request, `expr` and `expr[]`; none fit everything.
fn expressions(query: &Query) -> Result<Vec<Expression>, WebError> {
    let texts = query.pairs().filter(|(name, _)| matches!(*name, "expr" | "expr[]"));
    let texts: Vec<String> = texts.map(|(_, value)| value.trim().to_owned()).collect();
    if texts.is_empty() {
        return Ok(Vec::new());
    }
    Expression::parse_all(&texts).map_err(|message| WebError::parameter("expr", message))
}

fn filter(query: &Query) -> Result<Option<Regex>, WebError> {
    let Some(pattern) = query.get("filter") else { return Ok(None) };
    let regex = RegexBuilder::new(&format!("^(?:{pattern})")).size_limit(MAX_REGEX_BYTES).build();
    regex.map(Some).map_err(|_| WebError::parameter("filter", format!("`{pattern}` is no regular expression")))
}

/// `GET /tags`: every tag in use.
///
/// # Errors
/// A `filter` that is no regular expression, a `limit` that is no number.
pub async fn list(app: App, query: Query) -> Result<Response, WebError> {
    let filter = filter(&query)?;
    let limit = query.count("limit", usize::MAX, (1, usize::MAX))?;
    let tags = blocking(&app, move |library| {
        let names = tagged(library.store(), &[]);
        let tags: BTreeSet<&str> = names.iter().flat_map(|(_, name)| tags_of(name)).map(|(tag, _)| tag).collect();
        let taken = tags.into_iter().filter(|tag| filter.as_ref().is_none_or(|regex| regex.is_match(tag)));
        Ok(taken.take(limit).map(|tag| serde_json::json!({ "tag": tag })).collect::<Vec<_>>())
    });
    Ok(warp::reply::json(&tags.await?).into_response())
}

/// `GET /tags/{tag}`: its values, with how many series have each; `null` for a tag that no series has.
///
/// # Errors
/// A `filter` that is no regular expression, a `limit` that is no number.
pub async fn values(app: App, tag: String, query: Query) -> Result<Response, WebError> {
    let filter = filter(&query)?;
    let limit = query.count("limit", usize::MAX, (1, usize::MAX))?;
    let answer = blocking(&app, move |library| {
        let names = tagged(library.store(), &[]);
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, value) in names.iter().flat_map(|(_, name)| tags_of(name)).filter(|(known, _)| *known == tag) {
            *counts.entry(value).or_default() += 1;
        }
        if counts.is_empty() {
            return Ok(serde_json::Value::Null);
        }
        let taken = counts.iter().filter(|(value, _)| filter.as_ref().is_none_or(|regex| regex.is_match(value)));
        let values: Vec<_> =
            taken.take(limit).map(|(value, count)| serde_json::json!({ "value": value, "count": count })).collect();
        Ok(serde_json::json!({ "tag": tag, "values": values }))
    });
    Ok(warp::reply::json(&answer.await?).into_response())
}

/// `GET /tags/findSeries`: the names that fit.
///
/// # Errors
/// No expression, or one that makes no sense.
pub async fn find_series(app: App, query: Query) -> Result<Response, WebError> {
    let expressions = expressions(&query)?;
    if expressions.is_empty() {
        return Err(WebError::parameter("expr", "`expr` is missing"));
    }
    let names = blocking(&app, move |library| {
        let mut names: Vec<String> =
            tagged(library.store(), &expressions).iter().map(|(_, name)| name.to_string()).collect();
        names.sort_unstable();
        Ok(names)
    });
    Ok(warp::reply::json(&names.await?).into_response())
}

/// `/tags/autoComplete/tags`: the tags, with a prefix, of the series that fit; those already asked for are left out.
///
/// # Errors
/// An expression that makes no sense.
pub async fn complete_tags(app: App, headers: HeaderMap, query: Query) -> Result<Response, WebError> {
    let prefix = query.text("tagPrefix").unwrap_or_default();
    complete(app, headers, query, move |expressions, tag, _| {
        let is_asked = expressions.iter().any(|expression| expression.tag == tag);
        (tag.starts_with(&prefix) && !is_asked).then_some(Part::Tag)
    })
    .await
}

/// `/tags/autoComplete/values`: the values of `tag`, with a prefix, in the series that fit.
///
/// # Errors
/// No `tag`, or an expression that makes no sense.
pub async fn complete_values(app: App, headers: HeaderMap, query: Query) -> Result<Response, WebError> {
    let wanted = query.text("tag").ok_or_else(|| WebError::parameter("tag", "`tag` is missing"))?;
    let prefix = query.text("valuePrefix").unwrap_or_default();
    complete(app, headers, query, move |_, tag, value| {
        (tag == wanted && value.starts_with(&prefix)).then_some(Part::Value)
    })
    .await
}

/// Which half of a tag is offered.
enum Part {
    Tag,
    Value,
}

async fn complete(
    app: App,
    headers: HeaderMap,
    query: Query,
    choose: impl Fn(&[Expression], &str, &str) -> Option<Part> + Send + 'static,
) -> Result<Response, WebError> {
    let expressions = expressions(&query)?;
    let limit = query.count("limit", LIMITS.0, (1, LIMITS.1))?;
    let offered = blocking(&app, move |library| {
        let names = tagged(library.store(), &expressions);
        let pairs = names.iter().flat_map(|(_, name)| tags_of(name));
        let chosen = pairs.filter_map(|(tag, value)| match choose(&expressions, tag, value)? {
            Part::Tag => Some(tag),
            Part::Value => Some(value),
        });
        let offered: BTreeSet<&str> = chosen.collect();
        let offered: Vec<&str> = offered.into_iter().take(limit).collect();
        serde_json::to_vec(&offered).map_err(|error| WebError::internal("write an answer", error))
    });
    scripted(&query, &headers, offered.await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expressions: &[&str], name: &str, expected: Result<bool, &str>) {
        let texts: Vec<String> = expressions.iter().map(|text| (*text).to_owned()).collect();
        let fits = Expression::parse_all(&texts).map(|all| all.iter().all(|expression| expression.fits(name)));
        assert_eq!(fits, expected.map_err(str::to_owned), "{expressions:?}");
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
}
