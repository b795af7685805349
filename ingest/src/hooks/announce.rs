//! Deploys that are announced on a metrics port: a series such as `deploys.web.production`, Deployinator's `deploylong`
//! timings, and DogStatsD's events.
//!
//! These come without a proof of who sent them, as everything on a StatsD or Graphite port does.

use deployline_schemas::{
    Deploy, DeployEvent, UnixMillis,
    deploy::{Kind, Status},
};

use super::{
    HookConfig, HookError, HookRequest, Received,
    event::{self, digest, foreign},
    moment, tags,
};

/// The deploy that a datapoint of `deploys.SERVICE`, `deploys.SERVICE.ENVIRONMENT` or `deploylong.STACK.TYPE` announces.
///
/// The prefixes are the series that people draw as vertical lines, and the one that Deployinator's sample plugin writes,
/// whose value is the deploy's duration in seconds. StatsD's own prefix (`stats.counters.`, `stats.gauges.`, `stats.`)
/// and suffix (`.count`) may stand around them. A value of 0 or less announces nothing: StatsD repeats idle series.
pub fn of_series(series: &str, value: f64, at: UnixMillis) -> Option<Deploy> {
    let name = series.split(';').next()?;
    let name = ["stats.counters.", "stats.gauges.", "stats_counts.", "stats."]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name);
    let parts: Vec<&str> = name.trim_end_matches(".count").split('.').collect();
    if !value.is_finite() || value <= 0.0 {
        return None;
    }
    let (service, environment, kind, duration_ms) = match parts[..] {
        ["deploys" | "deploy", service] => (service, None, Kind::Deploy, 0),
        ["deploys" | "deploy", service, environment] => (service, Some(environment), Kind::Deploy, 0),
        ["deploylong", stack, kind] => {
            let is_config = kind.eq_ignore_ascii_case("config");
            let duration_ms = (value.min(86_400.0) * 1e3) as i64;
            (stack, Some(kind).filter(|_| !is_config), if is_config { Kind::Config } else { Kind::Deploy }, duration_ms)
        }
        _ => return None,
    };
    let environment = environment.map(|name| tags::environment_word(name).unwrap_or_else(|| name.to_lowercase()));
    let event = DeployEvent {
        // The second, because the same point sent twice is one announcement.
        id: Some(format!("series:{}:{}", parts.join("."), at.as_secs())),
        service: service.to_owned(),
        environment,
        kind,
        status: Some(Status::Succeeded),
        started_at: Some(UnixMillis(at.0.saturating_sub(duration_ms).max(0))),
        live_at: Some(at),
        finished_at: Some(at),
        title: Some(series.to_owned()),
        ..DeployEvent::default()
    };
    one(event, "series", at)
}

/// The deploy that a DogStatsD event announces, `_e{5,4}:title|text|d:1700000000|#service:web,env:prod`; `None` where
/// nothing in it speaks of a deploy.
///
/// <https://docs.datadoghq.com/developers/dogstatsd/datagram_shell/>
///
/// # Errors
/// When the datagram is no event, or its lengths do not fit.
pub fn of_dogstatsd(datagram: &str, received_at: UnixMillis) -> Result<Option<Deploy>, HookError> {
    let read = || {
        let (lengths, rest) = datagram.trim_end().strip_prefix("_e{")?.split_once("}:")?;
        let (title_bytes, text_bytes) = lengths.split_once(',')?;
        let (title_bytes, text_bytes): (usize, usize) = (title_bytes.parse().ok()?, text_bytes.parse().ok()?);
        let title = rest.get(..title_bytes)?;
        let text_at = title_bytes.checked_add(1)?;
        let text_end = text_at.checked_add(text_bytes)?;
        let text = rest.get(text_at..text_end).filter(|_| rest.as_bytes().get(title_bytes) == Some(&b'|'))?;
        Some((title, text, &rest[text_end..]))
    };
    let (title, text, fields) =
        read().ok_or_else(|| HookError::malformed("no DogStatsD event, or its lengths do not fit"))?;
    let field = |name: &str| fields.split('|').find_map(|field| field.strip_prefix(name));
    let listed: Vec<&str> = field("#").unwrap_or_default().split(',').collect();
    let told = tags::read(listed.iter().copied(), title, &HookConfig::of("dogstatsd"));
    if !told.is_deploy {
        return Ok(None);
    }
    let at = field("d:").and_then(|at| moment::parse(at, &jiff::tz::TimeZone::UTC)).unwrap_or(received_at);
    let status = if field("t:") == Some("error") { Status::Failed } else { Status::Succeeded };
    let event = DeployEvent {
        id: Some(format!("dogstatsd:{}", digest(format!("{datagram}\n{}", at.as_secs()).as_bytes()))),
        status: Some(status),
        started_at: Some(at),
        live_at: Some(at).filter(|_| status == Status::Succeeded),
        finished_at: Some(at),
        title: Some(title.replace("\\n", " ")),
        labels: std::iter::once(("text".to_owned(), text.replace("\\n", " ")))
            .filter(|(_, text)| !text.is_empty())
            .collect(),
        ..told.event
    };
    Ok(one(event, "dogstatsd", received_at))
}

/// Through the rules that hold for every event.
fn one(event: DeployEvent, source: &str, received_at: UnixMillis) -> Option<Deploy> {
    let request = HookRequest { received_at, ..HookRequest::default() };
    match event::finish(vec![foreign(event)], None, &request, &HookConfig::of(source), source) {
        Ok(Received::Deploys { mut deploys, .. }) => deploys.pop(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis::from_secs(1_764_000_000);

    #[track_caller]
    fn check(series: &str, value: f64, expected: Option<&str>) {
        assert_eq!(of_series(series, value, NOW).map(|deploy| deploy.key()).as_deref(), expected, "{series} {value}");
    }

    #[test]
    fn the_series_that_people_draw_as_lines_announce_deploys() {
        check("deploys.web.production", 1.0, Some("web/production"));
        check("deploys.web", 1.0, Some("web/production"));
        check("stats.counters.deploys.web.prod.count", 1.0, Some("web/production"));
        check("deploylong.web.princess", 42.0, Some("web/princess"));
        check("deploys.web.production", 0.0, None);
        check("deploys.web.production", f64::NAN, None);
        check("deploys.a.b.c", 1.0, None);
        check("stats.counters.web.http.requests.count", 1.0, None);
        let took = of_series("deploylong.web.production", 42.0, NOW).unwrap();
        assert_eq!(took.finished_at.unwrap().0 - took.started_at.0, 42_000);
    }

    #[test]
    fn dogstatsd_events_are_read_by_their_lengths() {
        let read = |datagram: &str| of_dogstatsd(datagram, NOW);
        let deploy = read("_e{13,5}:deploy web v2|by|me|d:1763999000|#env:prod,service:web").unwrap().unwrap();
        assert_eq!((deploy.key().as_str(), deploy.version.as_deref()), ("web/prod", Some("v2")));
        assert_eq!(deploy.started_at.as_secs(), 1_763_999_000);
        assert_eq!(deploy.labels["text"], "by|me");
        assert_eq!(read("_e{4,2}:full|ok|#disk").unwrap(), None);
        for datagram in
            ["_e{99,1}:a|b", "_e{1,1}:a", "_e{é}:", "web:1|c", "_e{1,18446744073709551615}:a|b", "_e{1,1}:é|b"]
        {
            assert!(read(datagram).is_err(), "{datagram}");
        }
    }
}
