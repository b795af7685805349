//! `GET /graph.png`, `/graph.svg` and `/graph.txt`: series with the deploys of the window drawn on them.

use std::str::FromStr;

use deployline_render::{
    AreaMode, Chart, DeployMark, Line, MarkVerdict, Shape, Terminal, Theme, Unit,
    graphite::parse::{Expression, ExpressionKind, parse},
};
use deployline_schemas::{
    Deploy, Incident, UnixMillis,
    incident::{IncidentState, MovedSignal},
    signal::{Services, SignalKind},
};
use jiff::tz::TimeZone;

use crate::{error::WebError, graphite::window::Window, library::Library, query::Query, series::Drawn};

/// Most `target` and `series` parameters of one request.
const MAX_TARGETS: usize = 32;
/// Most lines in one picture: past this nobody can tell them apart. The first by name are drawn.
const MAX_LINES: usize = 40;
/// Most deploys in one picture, the latest of the window; the renderer merges neighbours.
const MAX_DEPLOYS: usize = 1000;
/// Past this many, `deploys=auto` draws only those that can have moved the series that are shown.
const CROWDED: usize = 60;
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
    /// Whether a target that names nothing is refused, rather than told in the title.
    pub strict: bool,
    /// What Graphite's image parameters ask for.
    pub look: Look,
    /// The window that Graphite's parameters gave; then all targets are Graphite's. Otherwise it follows from the picture's.
    pub window: Option<Window>,
}

/// How a picture departs from what it would be by itself.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// Small words above the value axis.
    pub value_title: Option<String>,
    /// The lower end of the value axis.
    pub value_min: Option<f64>,
    /// The upper end of the value axis.
    pub value_max: Option<f64>,
    /// Width of lines that ask for none themselves.
    pub line_width: Option<f64>,
    /// How datapoints are joined, where a series does not say.
    pub shape: Option<Shape>,
    /// Whether lines run on over gaps.
    pub joins_gaps: bool,
    /// Whether gaps are drawn at zero.
    pub gaps_are_zeros: bool,
    /// How the series share the plot.
    pub area: AreaMode,
    /// Whether the series are named; by their number if not said.
    pub legend: Option<bool>,
    /// The series' colours in turn; the theme's where it ends.
    pub colors: Vec<(u8, u8, u8)>,
}

impl Look {
    /// Dresses the line of a place in the picture.
    fn apply(&self, place: usize, line: &mut Line) {
        if let Some(color) = self.colors.get(place) {
            line.style.color.get_or_insert(*color);
        }
        line.style.width = line.style.width.or(self.line_width);
        if let (Some(shape), Shape::Slope) = (self.shape, line.style.shape) {
            line.style.shape = shape;
        }
        if self.gaps_are_zeros {
            line.values.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = 0.0);
        }
        if self.joins_gaps {
            let kept = line.timestamps_s.iter().zip(&line.values).filter(|(_, value)| !value.is_nan());
            (line.timestamps_s, line.values) = kept.unzip();
            // No distance is a gap then.
            line.step_s = Some(MAX_WINDOW_S);
        }
    }
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
        let from = query.moment("from", now)?.unwrap_or(until.minus(std::time::Duration::from_secs(3600)));
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
            strict: query.is_set("strict"),
            look: Look::default(),
            window: None,
        })
    }
}

impl GraphQuery {
    /// The window that Graphite's targets are evaluated in.
    fn window(&self) -> Window {
        self.window.clone().unwrap_or_else(|| Window {
            from_s: self.from.as_secs(),
            until_s: self.until.as_secs(),
            now_s: self.until.as_secs(),
            time_zone: self.time_zone.clone(),
            x_files_factor: 0.0,
            template: Vec::new(),
        })
    }
}

/// The patterns of series that a target reads by name.
fn paths(target: &str) -> Vec<String> {
    fn collect(expression: &Expression, paths: &mut Vec<String>) {
        match &expression.kind {
            ExpressionKind::Path(path) if paths.len() < MAX_TARGETS => paths.push(path.clone()),
            ExpressionKind::Call { arguments, named, .. } => {
                arguments.iter().chain(named.iter().map(|(_, value)| value)).for_each(|part| collect(part, paths));
            }
            ExpressionKind::Template { body, .. } => collect(body, paths),
            _ => {}
        }
    }
    let mut paths = Vec::new();
    if let Ok(expression) = parse(target) {
        collect(&expression, &mut paths);
    }
    paths
}

/// Draws the picture. Blocks: reads the store and the catalog, and computes for tens of milliseconds.
///
/// # Errors
/// When store or catalog fail, or a Graphite target makes no sense. A name that matches nothing is no error: the deploys are still worth seeing, and
/// the title says so.
pub fn draw(library: &Library, query: &GraphQuery, format: Format) -> Result<Vec<u8>, WebError> {
    let chart = chart(library, query)?;
    Ok(match format {
        Format::Png => deployline_render::png(&chart),
        Format::Svg => deployline_render::svg(&chart).into_bytes(),
        Format::Text(terminal) => deployline_render::tty(&chart, terminal).into_bytes(),
    })
}

fn chart(library: &Library, query: &GraphQuery) -> Result<Chart, WebError> {
    let window = (query.from, query.until);
    let mut drawn = Vec::new();
    if let (Some(signal), Some(service)) = (&query.signal, &query.service) {
        drawn.extend(library.signal(signal, service));
    }
    let mut unmatched = drawn.is_empty().then_some(query.signal.as_deref()).flatten().map(str::to_owned);
    let (calls, names): (Vec<String>, Vec<String>) =
        query.targets.iter().cloned().partition(|target| query.window.is_some() || target.contains(['(', '|']));
    for target in &names {
        let found = library.target(target, MAX_LINES);
        if found.is_empty() {
            unmatched.get_or_insert_with(|| target.clone());
        }
        drawn.extend(found);
    }
    drawn.truncate(MAX_LINES);
    let mut lines: Vec<Line> = drawn.iter().map(|drawn| library.line(drawn, window)).collect::<Result<_, _>>()?;
    let unit = if calls.is_empty() { unit(&drawn) } else { Unit::Plain };
    if !calls.is_empty() {
        let evaluated = query.window().evaluate(library, &calls)?;
        if evaluated.is_empty() {
            unmatched.get_or_insert_with(|| calls[0].clone());
        }
        lines.extend(evaluated.iter().take(MAX_LINES.saturating_sub(lines.len())).map(Line::from));
        // What the targets read says whose deploys matter and which incidents are shown.
        for name in calls.iter().flat_map(|target| paths(target)) {
            drawn.extend(library.target(&name, MAX_LINES));
        }
    }
    if let (true, Some(target)) = (query.strict, &unmatched) {
        return Err(WebError::NotFound { what: "series", id: target.clone() });
    }
    lines.iter_mut().enumerate().for_each(|(place, line)| query.look.apply(place, line));
    let incidents = library.incidents_between(query.from, query.until)?;
    let deploys = match query.marks {
        Marks::None => Vec::new(),
        _ => library.deploys_between(query.from, query.until, MAX_DEPLOYS)?,
    };
    let services: Vec<&str> = drawn.iter().filter_map(|drawn| drawn.service.as_deref()).collect();
    let deploys = chosen(deploys, &query.marks, &services, &library.services, &incidents);
    // A verdict is told where it can be seen: on the services that were hit, and the series that moved.
    let told: Vec<Incident> = incidents.iter().filter(|incident| concerns(incident, &drawn)).cloned().collect();
    // What is to come is no part of the picture, unless Graphite's parameters ask for it.
    let is_later = query.window.is_none() && query.until > library.now && query.from < library.now;
    let until = if is_later { library.now } else { query.until };
    let title = query.title.clone().unwrap_or_else(|| title(&lines));
    Ok(Chart {
        width: query.width,
        height: query.height,
        theme: query.theme,
        title: match unmatched {
            Some(target) => {
                format!("{title} (nothing is called `{}` yet)", deployline_notify::figures::clip(&target, 80))
            }
            None => title,
        },
        unit,
        value_title: query.look.value_title.clone().unwrap_or_default(),
        value_min: query.look.value_min,
        value_max: query.look.value_max,
        area: query.look.area,
        legend: query.look.legend,
        time_zone: query.time_zone.clone(),
        from: query.from,
        until,
        lines,
        deploys: deploys.iter().map(|deploy| DeployMark::new(deploy).with_verdict(verdict(deploy, &told))).collect(),
        onset: onset(&drawn, &incidents),
        ..Chart::default()
    })
}

/// The deploys to draw out of those in the window.
fn chosen(
    deploys: Vec<Deploy>,
    marks: &Marks,
    services: &[&str],
    map: &Services,
    incidents: &[Incident],
) -> Vec<Deploy> {
    let is_suspect = |deploy: &Deploy| verdict(deploy, incidents) != MarkVerdict::Unknown;
    let is_near = |deploy: &Deploy| {
        let calls = |service: &&str| map.get(*service).is_some_and(|s| s.depends_on.contains(&deploy.service));
        services.iter().any(|service| *service == deploy.service) || services.iter().any(calls)
    };
    match marks {
        Marks::None => Vec::new(),
        Marks::All => deploys,
        Marks::Service(service) => deploys.into_iter().filter(|deploy| deploy.service == *service).collect(),
        Marks::Auto if deploys.len() <= CROWDED || services.is_empty() => deploys,
        Marks::Auto => deploys.into_iter().filter(|deploy| is_near(deploy) || is_suspect(deploy)).collect(),
    }
}

/// A deploy's part in the incidents of the window: its gravest.
fn verdict(deploy: &Deploy, incidents: &[Incident]) -> MarkVerdict {
    let mut gravest = MarkVerdict::Unknown;
    for incident in incidents {
        let Some(leading) = incident.leading_suspect() else { continue };
        if leading.deploy_id.as_deref() != Some(deploy.id.as_str()) {
            continue;
        }
        match incident.state {
            IncidentState::Confirmed | IncidentState::Persisting | IncidentState::Recovered => {
                return MarkVerdict::Guilty(leading.probability);
            }
            IncidentState::Suspected => gravest = MarkVerdict::Suspect(leading.probability),
            IncidentState::Expected | IncidentState::Wrong => {}
        }
    }
    gravest
}

/// Whether an incident has to do with what is drawn. Of a picture without series it is not known, so it has.
fn concerns(incident: &Incident, drawn: &[Drawn]) -> bool {
    let is_hit = |drawn: &Drawn| {
        let by = |moved: &MovedSignal| {
            moved.series == drawn.series || drawn.service.as_deref() == Some(moved.service.as_str())
        };
        incident.signals.iter().any(by)
    };
    drawn.is_empty() || drawn.iter().any(is_hit)
}

/// The onset of the first incident that moved one of the series shown.
fn onset(drawn: &[Drawn], incidents: &[Incident]) -> Option<(UnixMillis, UnixMillis)> {
    let told =
        incidents.iter().filter(|incident| !matches!(incident.state, IncidentState::Wrong | IncidentState::Expected));
    let mut moved = told.flat_map(|incident| &incident.signals);
    let moved = moved.find(|moved| drawn.iter().any(|drawn| drawn.series == moved.series))?;
    Some((moved.onset.earliest, moved.onset.latest))
}

fn title(lines: &[Line]) -> String {
    match lines {
        [] => "Deploys".to_owned(),
        [one] => deployline_notify::figures::clip(&one.label, 200),
        many => format!("{} series", many.len()),
    }
}

/// The unit that all lines share; plain where they differ.
fn unit(drawn: &[Drawn]) -> Unit {
    let of = |drawn: &Drawn| match drawn.kind {
        Some(SignalKind::Ratio) if drawn.per.is_some() => Unit::Ratio,
        // StatsD's timers are milliseconds by definition, its counters counts per flush interval.
        _ if drawn.series.contains(".timers.") && !drawn.series.ends_with(".count") => Unit::Milliseconds,
        _ if drawn.series.ends_with(".count") || drawn.series.starts_with("stats_counts.") => Unit::Count,
        _ => Unit::Plain,
    };
    let first = drawn.first().map_or(Unit::Plain, of);
    if drawn.iter().all(|drawn| of(drawn) == first) { first } else { Unit::Plain }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

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
        ] {
            assert_eq!(parsed(raw).unwrap_err(), expected);
        }
    }

    #[test]
    fn a_target_names_what_it_reads() {
        let target = r#"alias(divideSeries(a.*.errors, sumSeries(a.*.{x,y})), "a.b")"#;
        assert_eq!(paths(target), ["a.*.errors", "a.*.{x,y}"]);
        assert_eq!(paths("sumSeries("), Vec::<String>::new());
    }

    #[test]
    fn a_crowded_window_keeps_what_can_matter() {
        let [guilty, innocent]: [Deploy; 2] = fixtures::deploys().try_into().unwrap();
        let deploys = |n: usize| [vec![guilty.clone()], vec![innocent.clone(); n]].concat();
        let incidents = [fixtures::incident()];
        let count = |n, marks: &Marks, services: &[&str]| {
            chosen(deploys(n), marks, services, &Services::default(), &incidents).len()
        };
        assert_eq!(count(3, &Marks::Auto, &["payments"]), 4);
        assert_eq!(count(100, &Marks::Auto, &["payments"]), 1);
        assert_eq!(count(100, &Marks::Auto, &["search"]), 101);
        assert_eq!(count(100, &Marks::All, &["payments"]), 101);
        assert_eq!(count(100, &Marks::None, &[]), 0);
    }

    #[test]
    fn a_verdict_is_told_where_it_can_be_seen() {
        let incident = fixtures::incident();
        let moved = &incident.signals[0];
        let of = |series: &str, service: Option<&str>| {
            [Drawn { service: service.map(str::to_owned), ..Drawn::plain(series, &[]) }]
        };
        assert!(concerns(&incident, &of(&moved.series, None)));
        assert!(concerns(&incident, &of("x", Some(&moved.service))));
        assert!(!concerns(&incident, &of("x", Some("elsewhere"))));
        assert!(concerns(&incident, &[]));
    }

    #[test]
    fn only_the_leading_suspect_is_marked_guilty() {
        let [guilty, innocent]: [Deploy; 2] = fixtures::deploys().try_into().unwrap();
        let incidents = [fixtures::incident()];
        assert_eq!(verdict(&guilty, &incidents), MarkVerdict::Guilty(0.93));
        assert_eq!(verdict(&innocent, &incidents), MarkVerdict::Unknown);
    }
}
