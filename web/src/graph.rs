//! `GET /graph.png`, `/graph.svg` and `/graph.txt`: series with the deploys of the window drawn on them.

mod chart;
mod compare;
mod incident;
mod look;
mod marks;

use std::{str::FromStr, time::Duration};

use deployline_correlate::Settings;
use deployline_render::{Terminal, Theme};
use deployline_schemas::UnixMillis;
use jiff::tz::TimeZone;

use crate::{
    error::WebError,
    graphite::{picture, window::Window},
    library::Library,
    query::Query,
};

pub use compare::Compare;
pub use look::{Look, Pen};

/// Most `target` and `series` parameters of one request.
const MAX_TARGETS: usize = 32;
/// Longest window, in seconds: a year and a month.
const MAX_WINDOW_S: i64 = 400 * 86_400;

/// Which file is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `/graph.png`
    Png,
    /// `/graph.svg`
    Svg,
    /// `/graph.txt`, for a terminal.
    Text(Terminal),
}

impl Format {
    /// The text that fits a terminal of `columns` by `rows` characters, in colour with `color`.
    ///
    /// # Errors
    /// [`WebError::Refused`] for a size that is no number; one out of bounds is held within them.
    pub fn text(query: &Query) -> Result<Self, WebError> {
        Ok(Self::Text(Terminal {
            columns: query.count("columns", 100, (40, 500))?,
            rows: query.count("rows", 16, (5, 200))?,
            lines: query.get("lines").map(|_| query.count("lines", 24, (12, 500))).transpose()?,
            color: query.is_set("color"),
        }))
    }
}

/// Which deploys are drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marks {
    /// All, unless the window is crowded: then those of the services shown, of what they call, and all suspects.
    Auto,
    /// All.
    All,
    /// None.
    None,
    /// One service's.
    Service(String),
}

impl FromStr for Marks {
    type Err = WebError;

    fn from_str(text: &str) -> Result<Self, WebError> {
        match text {
            "auto" => Ok(Self::Auto),
            "all" => Ok(Self::All),
            "none" => Ok(Self::None),
            _ => match text.strip_prefix("service:").filter(|service| !service.is_empty()) {
                Some(service) => Ok(Self::Service(service.to_owned())),
                None => Err(WebError::parameter("deploys", format!("`{text}` is not auto, all, none or service:NAME"))),
            },
        }
    }
}

/// A picture, as asked for.
#[derive(Debug, Clone)]
pub struct GraphQuery {
    /// Names and globs of series, and Graphite's targets.
    pub targets: Vec<String>,
    /// A signal's name.
    pub signal: Option<String>,
    /// The service whose signal is meant.
    pub service: Option<String>,
    /// Start of the window.
    pub from: UnixMillis,
    /// End of the window.
    pub until: UnixMillis,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Light or dark.
    pub theme: Theme,
    /// The zone of the time axis.
    pub time_zone: TimeZone,
    /// One line above the picture.
    pub title: Option<String>,
    /// Which deploys are drawn.
    pub marks: Marks,
    /// The deploy that it is about.
    pub deploy: Option<String>,
    /// Whether the window follows from that deploy, because none was asked for.
    pub is_around: bool,
    /// At which other time the series are shown as well.
    pub compare: Option<Compare>,
    /// Whether a target that names nothing is refused, rather than told in the title.
    pub strict: bool,
    /// What Graphite's image parameters ask for.
    pub look: Look,
    /// The window that Graphite's parameters gave; then all targets are Graphite's. Otherwise it follows from the picture's.
    pub window: Option<Window>,
}

impl GraphQuery {
    /// Reads the query. Without a window it is the last hour; a size outside the renderer's limits is held within them.
    ///
    /// # Errors
    /// [`WebError::Refused`] that names the parameter.
    pub fn parse(query: &Query, now: UnixMillis) -> Result<Self, WebError> {
        let targets: Vec<String> =
            query.all("target").chain(query.all("series")).map(|text| text.trim().to_owned()).collect();
        if targets.len() > MAX_TARGETS {
            return Err(WebError::parameter("target", format!("at most {MAX_TARGETS} targets are drawn at once")));
        }
        let signal = query.text("signal");
        let service = query.text("service");
        if signal.is_some() && service.is_none() {
            return Err(WebError::parameter("service", "a signal needs the service whose it is"));
        }
        let until = query.moment("until", now)?.unwrap_or(now);
        let from = query.moment("from", now)?.unwrap_or(until.minus(Duration::from_secs(3600)));
        let window_s = until.as_secs() - from.as_secs();
        if window_s <= 0 {
            return Err(WebError::parameter("from", "the window is empty: `from` must lie before `until`"));
        }
        if window_s > MAX_WINDOW_S {
            return Err(WebError::parameter("from", "the window is longer than 400 days"));
        }
        let (smallest, largest) = deployline_render::chart::SIZE_LIMITS;
        let size =
            |name, default| query.count(name, default, (smallest as usize, largest as usize)).map(|size| size as u32);
        let theme = match query.get("theme") {
            None | Some("light") => Theme::Light,
            Some("dark") => Theme::Dark,
            Some(other) => return Err(WebError::parameter("theme", format!("`{other}` is not light or dark"))),
        };
        let time_zone = match query.get("tz") {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name).map_err(|_| {
                WebError::parameter("tz", format!("`{name}` is no time zone: write one like Europe/Berlin"))
            })?,
        };
        let deploy = query.text("deploy");
        let compare = query.get("compare").map(str::parse).transpose()?;
        if compare == Some(Compare::Before) && deploy.is_none() {
            return Err(WebError::parameter("deploy", "before and after need the deploy that lies between them"));
        }
        Ok(Self {
            targets,
            signal,
            service,
            from,
            until,
            width: size("width", 800)?,
            height: size("height", 400)?,
            theme,
            time_zone,
            title: query.text("title").map(|title| deployline_notify::figures::clip(&title, 200)),
            marks: query.get("deploys").map_or(Ok(Marks::Auto), str::parse)?,
            is_around: deploy.is_some() && query.get("from").is_none() && query.get("until").is_none(),
            deploy,
            compare,
            strict: query.is_set("strict"),
            look: picture::look(query)?,
            window: None,
        })
    }
}

/// Draws the picture. Blocks: reads the store and the catalog, and computes for tens of milliseconds.
///
/// # Errors
/// When store or catalog fail, or a Graphite target makes no sense. A name that matches nothing is no error: the deploys are still worth seeing, and
/// the title says so.
pub fn draw(library: &Library, settings: &Settings, query: &GraphQuery, format: Format) -> Result<Vec<u8>, WebError> {
    let chart = chart::chart(library, settings, query)?;
    Ok(match format {
        Format::Png => deployline_render::png(&chart),
        Format::Svg => deployline_render::svg(&chart).into_bytes(),
        Format::Text(terminal) => deployline_render::tty(&chart, terminal).into_bytes(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(raw: &str) -> Result<GraphQuery, String> {
        let now = "2026-11-23T14:30:00Z".parse().unwrap();
        GraphQuery::parse(&Query::parse(raw).unwrap(), now).map_err(|error| error.to_string())
    }

    #[test]
    fn a_picture_has_defaults_and_bounds() {
        let query = parsed("target=a.b&series=c.*&width=99999&height=1").unwrap();
        assert_eq!(query.targets, ["a.b", "c.*"]);
        assert_eq!((query.until.0 - query.from.0, query.width, query.height), (3_600_000, 4096, 80));
        assert_eq!(
            parsed("target=a&from=-30min&until=-10min&deploys=service:web").unwrap().marks,
            Marks::Service("web".to_owned())
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (raw, expected) in [
            ("signal=error+ratio", "a signal needs the service whose it is"),
            ("from=now&until=-1h", "the window is empty: `from` must lie before `until`"),
            ("from=-3y", "the window is longer than 400 days"),
            ("theme=pink", "`pink` is not light or dark"),
            ("tz=Nowhere/Land", "`Nowhere/Land` is no time zone: write one like Europe/Berlin"),
            ("deploys=some", "`some` is not auto, all, none or service:NAME"),
            ("width=wide", "`wide` is not a whole number"),
            ("compare=never", "`never` is not yesterday, last_week or before"),
            ("compare=before", "before and after need the deploy that lies between them"),
        ] {
            assert_eq!(parsed(raw).unwrap_err(), expected);
        }
    }
}
