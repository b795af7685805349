//! The window and the circumstances that targets are evaluated in, and their evaluation.

use deployline_render::graphite::{Context, GraphiteError, Series, evaluate, time};
use jiff::tz::TimeZone;

use super::{refusal, source::StoreSource};
use crate::{error::WebError, library::Library, query::Query};

/// Most targets of one request.
pub const MAX_TARGETS: usize = 256;
/// How far back the window reaches if `from` is not given, in seconds: a day.
const DEFAULT_WINDOW_S: i64 = 86_400;

/// When, and how, targets are evaluated.
#[derive(Debug, Clone)]
pub struct Window {
    /// Start in Unix seconds, left out itself.
    pub from_s: i64,
    /// End in Unix seconds, after `from_s`.
    pub until_s: i64,
    /// What `now` means.
    pub now_s: i64,
    /// The zone of days and of written times.
    pub time_zone: TimeZone,
    /// The least share of values that makes a value of them.
    pub x_files_factor: f64,
    /// Values for `template(…)`.
    pub template: Vec<(String, String)>,
}

impl Window {
    /// Reads `from`, `until`, `now`, `tz`, `xFilesFactor` and `template[…]`. A window the wrong way round is turned.
    ///
    /// # Errors
    /// [`WebError::Refused`] that names the parameter; an empty window is refused.
    pub fn parse(query: &Query, now_s: i64) -> Result<Self, WebError> {
        let time_zone = match query.get("tz").map(str::trim) {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name).map_err(|_| {
                WebError::parameter("tz", format!("`{name}` is no time zone: write one like Europe/Berlin"))
            })?,
        };
        let moment = |name: &'static str, now_s: i64| match query.get(name) {
            None => Ok(None),
            Some(text) => time::moment_s(text, now_s, &time_zone).map(Some).ok_or_else(|| {
                let forms = "-6h, 16:30_20261123, monday, or Unix seconds";
                WebError::parameter(name, format!("`{text}` is not a time: write {forms}"))
            }),
        };
        let now_s = moment("now", now_s)?.unwrap_or(now_s);
        let until_s = moment("until", now_s)?.unwrap_or(now_s);
        let from_s = moment("from", now_s)?.unwrap_or(now_s - DEFAULT_WINDOW_S);
        if from_s == until_s {
            return Err(WebError::parameter("from", "the window is empty: `from` is the same as `until`"));
        }
        let x_files_factor = match query.get("xFilesFactor") {
            None => 0.0,
            Some(text) => {
                text.trim().parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| {
                    WebError::parameter("xFilesFactor", format!("`{text}` is not a number from 0 to 1"))
                })?
            }
        };
        let template = query.pairs().filter_map(|(name, value)| {
            Some((name.strip_prefix("template[")?.strip_suffix(']')?.to_owned(), value.to_owned()))
        });
        Ok(Self {
            from_s: from_s.min(until_s),
            until_s: from_s.max(until_s),
            now_s,
            x_files_factor,
            template: template.collect(),
            time_zone: time_zone.clone(),
        })
    }

    /// Evaluates targets one after the other, within the library's limits for all of them together. Blocks.
    ///
    /// # Errors
    /// A target that makes no sense or asks for too much, or a failed read.
    pub fn evaluate(&self, library: &Library, targets: &[String]) -> Result<Vec<Series>, WebError> {
        let source = StoreSource::new(library, library.limits);
        let mut context = Context::new(&source, self.from_s, self.until_s, self.now_s);
        context.time_zone = self.time_zone.clone();
        context.x_files_factor = self.x_files_factor;
        context.template.clone_from(&self.template);
        context.limits = library.limits;
        let mut all = Vec::new();
        for target in targets {
            let series = evaluate(&context, target).map_err(|error: GraphiteError| refusal(target, error))?;
            all.extend(series);
        }
        Ok(all)
    }
}

/// The targets of a request: `target` and `target[]`, in the order in which they stand.
///
/// # Errors
/// When there are too many.
pub fn targets(query: &Query) -> Result<Vec<String>, WebError> {
    let named = query.pairs().filter(|(name, _)| matches!(*name, "target" | "target[]"));
    let targets: Vec<String> = named.map(|(_, value)| value.trim().to_owned()).collect();
    match targets.len() > MAX_TARGETS {
        true => Err(WebError::parameter("target", format!("at most {MAX_TARGETS} targets are taken at once"))),
        false => Ok(targets),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(raw: &str) -> Result<(i64, i64), String> {
        let window = Window::parse(&Query::parse(raw).unwrap(), 1_000_000);
        window.map(|window| (window.from_s, window.until_s)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_window_has_graphites_defaults_and_is_turned_if_need_be() {
        assert_eq!(window(""), Ok((913_600, 1_000_000)));
        assert_eq!(window("from=-1h"), Ok((996_400, 1_000_000)));
        assert_eq!(window("from=now&until=-5min"), Ok((999_700, 1_000_000)));
        assert_eq!(window("from=-1h&now=500000&until=now"), Ok((496_400, 500_000)));
    }

    #[test]
    fn what_is_no_window_is_refused_by_name() {
        for (raw, expected) in [
            ("from=now", "the window is empty: `from` is the same as `until`"),
            ("from=soon", "`soon` is not a time: write -6h, 16:30_20261123, monday, or Unix seconds"),
            ("tz=Nowhere", "`Nowhere` is no time zone: write one like Europe/Berlin"),
            ("xFilesFactor=2", "`2` is not a number from 0 to 1"),
        ] {
            assert_eq!(window(raw).unwrap_err(), expected);
        }
    }

    #[test]
    fn both_spellings_of_target_keep_their_order() {
        let query = Query::parse("target[]=a&target=b&target%5B%5D=c&template[host]=x").unwrap();
        assert_eq!(targets(&query).unwrap(), ["a", "b", "c"]);
        let window = Window::parse(&query, 1_000_000).unwrap();
        assert_eq!(window.template, [("host".to_owned(), "x".to_owned())]);
    }
}
