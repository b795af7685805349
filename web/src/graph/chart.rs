//! From what is asked to a chart: series, deploys, and what incidents say of them.

use deployline_correlate::Settings;
use deployline_notify::figures;
use deployline_render::{
    Chart, Compared, DeployMark, Line, Scale, Unit,
    graphite::parse::{Expression, ExpressionKind, parse},
};
use deployline_schemas::{Deploy, Incident, UnixMillis, signal::SignalKind};

use super::{
    Compare, GraphQuery, MAX_TARGETS, Marks, compare,
    incident::{concerns, expected, level, moved, verdict},
    marks::chosen,
};
use crate::{error::WebError, graphite::window::Window, library::Library, series::Drawn};

/// Most lines in one picture: past this nobody can tell them apart. The first by name are drawn.
const MAX_LINES: usize = 40;
/// Most deploys in one picture, the latest of the window, where nobody says which: to read more takes longer than to draw them.
const MAX_UNASKED: usize = 1000;
/// Most deploys of those that are asked for by a word; the renderer merges neighbours.
const MAX_DEPLOYS: usize = 10_000;

/// The series of a picture.
struct Read {
    lines: Vec<Line>,
    /// What the lines show; more than there are lines where targets combine series.
    drawn: Vec<Drawn>,
    unit: Unit,
    /// The first target that names nothing.
    unmatched: Option<String>,
}

/// The chart of a query.
///
/// # Errors
/// As [`super::draw`].
pub fn chart(library: &Library, settings: &Settings, query: &GraphQuery) -> Result<Chart, WebError> {
    let about = query.deploy.as_deref().map(|id| library.deploy(id)).transpose()?;
    let mut query = query.clone();
    if let (Some(deploy), true) = (&about, query.is_around) {
        (query.from, query.until) = compare::around(deploy, query.compare);
    } else if let (Some(deploy), Some(Compare::Before)) = (&about, query.compare) {
        query.from = query.from.max(deploy.exposed_at());
    }
    let (from, until) = seen(&query, library.now)?;
    let Read { lines, drawn, unit, unmatched } = read(library, &query, (from, query.until))?;
    if let (true, Some(target)) = (query.strict, &unmatched) {
        return Err(WebError::NotFound { what: "series", id: target.clone() });
    }
    let incidents = library.incidents_between(from, query.until)?;
    let (most, more) = match query.marks {
        Marks::None => (0, ""),
        Marks::Auto => (MAX_UNASKED, "; deploys=all draws more"),
        Marks::All | Marks::Service(_) => (MAX_DEPLOYS, ""),
    };
    let mut deploys = if most > 0 { library.deploys_between(from, query.until, most + 1)? } else { Vec::new() };
    let is_capped = deploys.len() > most;
    deploys.truncate(most);
    let services: Vec<&str> = drawn.iter().filter_map(|drawn| drawn.service.as_deref()).collect();
    let deploys = chosen(deploys, &query.marks, &services, &library.services, &incidents);
    // A verdict is told where it can be seen: on the services that were hit, and the series that moved.
    let told: Vec<Incident> = incidents.iter().filter(|incident| concerns(incident, &drawn)).cloned().collect();
    let mark = |deploy: &Deploy| DeployMark::new(deploy).with_verdict(verdict(deploy, &told));
    let title = query.title.clone().unwrap_or_else(|| title(&lines));
    let title = match unmatched {
        Some(target) => format!("{title} (nothing is called `{}` yet)", figures::clip(&target, 80)),
        None => title,
    };
    let mut chart = Chart {
        width: query.width,
        height: query.height,
        theme: query.theme,
        title,
        left: Scale { unit, ..Scale::default() },
        time_zone: query.time_zone.clone(),
        from,
        until,
        lines,
        deploys: deploys.iter().map(mark).collect(),
        ..Chart::default()
    };
    if is_capped {
        chart.caption = format!("only the latest {most} deploys of this window were looked at{more}");
    }
    let is_plain = query.window.is_none() && chart.lines.len() == drawn.len();
    if let Some(found) = moved(&drawn, &incidents) {
        chart.onset = Some((found.1.onset.earliest, found.1.onset.latest));
        chart.expected = if is_plain { expected(&drawn, found, (from, until)) } else { None };
    }
    if let Some(deploy) = about.as_ref().filter(|_| query.compare == Some(Compare::Before)) {
        before_and_after(library, settings, deploy, &drawn, is_plain, &mut chart)?;
    }
    if let Some(other) = query.compare.and_then(|compare| compare.other((from, until), about.as_ref())) {
        let lines = read(library, &GraphQuery { marks: Marks::None, ..query.clone() }, other.window)?.lines;
        chart.compared = Some(Compared { label: other.label, lines: twins(&chart.lines, lines, other.shift_s) });
    }
    query.look.apply(&mut chart);
    Ok(chart)
}

/// The part of the window that is drawn: what is to come is no part of the picture, unless Graphite's parameters ask for it.
fn seen(query: &GraphQuery, now: UnixMillis) -> Result<(UnixMillis, UnixMillis), WebError> {
    let is_later = query.window.is_none() && query.until > now && query.from < now;
    let until = if is_later { now } else { query.until };
    match query.from < until {
        true => Ok((query.from, until)),
        false => Err(WebError::parameter("until", "the window ends before the deploy could show")),
    }
}

/// The lines of the other time in the order of the picture's; by name, since one may lack there.
fn twins(lines: &[Line], others: Vec<Line>, shift_s: i64) -> Vec<Line> {
    let mut others: Vec<Option<Line>> = others.into_iter().map(Some).collect();
    let mut twin = |(place, line): (usize, &Line)| {
        // Targets may give two lines one name; then their places tell them apart.
        let is_same = |other: &Option<Line>| other.as_ref().is_some_and(|other| other.label == line.label);
        let found = if others.get(place).is_some_and(is_same) { Some(place) } else { others.iter().position(is_same) };
        compare::moved(found.and_then(|place| others[place].take()).unwrap_or_default(), shift_s)
    };
    lines.iter().enumerate().map(&mut twin).collect()
}

/// The effect of a deploy on the only line, as a caption, and the level before it.
fn before_and_after(
    library: &Library,
    settings: &Settings,
    deploy: &Deploy,
    drawn: &[Drawn],
    is_plain: bool,
    chart: &mut Chart,
) -> Result<(), WebError> {
    let ([only], true) = (drawn, is_plain) else { return Ok(()) };
    let Some(impact) = compare::effect(library, settings, deploy, only)? else { return Ok(()) };
    chart.caption = compare::caption(&impact, deploy);
    chart.expected = impact.effect.map(|effect| level("level before", effect.before, chart.from, chart.until));
    Ok(())
}

/// Reads the series that are asked for in a window.
fn read(library: &Library, query: &GraphQuery, window: (UnixMillis, UnixMillis)) -> Result<Read, WebError> {
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
        let mut evaluated = evaluated(query, window).evaluate(library, &calls)?;
        if evaluated.is_empty() {
            unmatched.get_or_insert_with(|| calls[0].clone());
        }
        if let Some(distance) = query.look.least_distance {
            let n_points = (f64::from(query.width) / distance).max(1.0) as usize;
            evaluated.iter_mut().for_each(|one| one.limit_points(n_points, window.1.as_secs() - window.0.as_secs()));
        }
        lines.extend(evaluated.iter().take(MAX_LINES.saturating_sub(lines.len())).map(Line::from));
        // What the targets read says whose deploys matter and which incidents are shown.
        for name in calls.iter().flat_map(|target| paths(target)) {
            drawn.extend(library.target(&name, MAX_LINES));
        }
    }
    Ok(Read { lines, drawn, unit, unmatched })
}

/// The window that Graphite's targets are evaluated in.
fn evaluated(query: &GraphQuery, (from, until): (UnixMillis, UnixMillis)) -> Window {
    let (from_s, until_s) = (from.as_secs(), until.as_secs());
    match &query.window {
        Some(window) => Window { from_s, until_s, ..window.clone() },
        None => Window {
            from_s,
            until_s,
            now_s: until_s,
            time_zone: query.time_zone.clone(),
            x_files_factor: 0.0,
            template: Vec::new(),
        },
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

    #[test]
    fn a_target_names_what_it_reads() {
        let target = r#"alias(divideSeries(a.*.errors, sumSeries(a.*.{x,y})), "a.b")"#;
        assert_eq!(paths(target), ["a.*.errors", "a.*.{x,y}"]);
        assert_eq!(paths("sumSeries("), Vec::<String>::new());
    }

    #[test]
    fn each_line_has_its_own_past() {
        let line = |label: &str, value: f64| Line {
            label: label.to_owned(),
            timestamps_s: vec![100],
            values: vec![value],
            ..Line::default()
        };
        let now = [line("a", 1.0), line("b", 2.0), line("b", 3.0)];
        let before = vec![line("b", 20.0), line("c", 0.0), line("b", 30.0)];
        let twins = twins(&now, before, 7);
        let values: Vec<&[f64]> = twins.iter().map(|twin| twin.values.as_slice()).collect();
        assert_eq!(values, [&[][..], &[20.0], &[30.0]]);
        assert_eq!(twins[1].timestamps_s, [107]);
    }
}
