//! Deploys that are announced on a metrics port: a series such as `deploys.web.production`, Deployinator's `deploylong`
//! timings, and DogStatsD's events.
//!
//! These come without a proof of who sent them, as everything on a StatsD or Graphite port does.

use deployline_schemas::{
    Deploy, DeployEvent, UnixMillis,
    deploy::{Kind, Status},
};

use super::{
    HookConfig, HookRequest, Received,
    event::{self, digest, foreign},
    moment, tags,
};
use crate::statsd::parse as statsd;

/// A deploy that is said to have taken longer is taken to have taken this long.
const MAX_DURATION_S: f64 = 86_400.0;

/// What a datapoint says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Announced<'n> {
    /// The series, without what StatsD puts around it.
    pub series: &'n str,
    /// What was deployed.
    pub service: &'n str,
    /// Where to; Deployinator's `CONFIG` stands for a push of configuration.
    pub environment: Option<&'n str>,
    /// How long it took, in seconds, where the value says so; above 0.
    pub duration: Option<f64>,
}

/// The deploy that a datapoint announces, which ended at its timestamp.
pub(crate) fn of_series(told: &Announced<'_>, at: UnixMillis) -> Option<Deploy> {
    let is_config = told.environment.is_some_and(|name| name.eq_ignore_ascii_case("config"));
    let environment = told.environment.filter(|_| !is_config);
    let duration_ms = told.duration.map_or(0, |duration_s| (duration_s.min(MAX_DURATION_S) * 1e3) as i64);
    let event = DeployEvent {
        // The second, because the same point sent twice is one announcement.
        id: Some(format!("series:{}:{}", told.series, at.as_secs())),
        service: told.service.to_owned(),
        environment: environment.map(|name| tags::environment_word(name).unwrap_or_else(|| name.to_lowercase())),
        kind: if is_config { Kind::Config } else { Kind::Deploy },
        status: Some(Status::Succeeded),
        started_at: Some(UnixMillis(at.0.saturating_sub(duration_ms).max(0))),
        live_at: Some(at),
        finished_at: Some(at),
        title: Some(told.series.to_owned()),
        ..DeployEvent::default()
    };
    one(event, "series", at)
}

/// The deploy that a DogStatsD event announces, `_e{5,4}:title|text|d:1700000000|#service:web,env:prod`; `None` where
/// nothing in it speaks of a deploy.
///
/// <https://docs.datadoghq.com/developers/dogstatsd/datagram_shell/>
pub(crate) fn of_dogstatsd(told: statsd::Event<'_>, received_at: UnixMillis) -> Option<Deploy> {
    let [title, text, fields] = [told.title, told.text, told.fields].map(String::from_utf8_lossy);
    let field = |name: &str| fields.split('|').find_map(|field| field.strip_prefix(name));
    let listed: Vec<&str> = field("#").unwrap_or_default().split(',').collect();
    let told = tags::read(listed.iter().copied(), &title, &HookConfig::of("dogstatsd"));
    if !told.is_deploy {
        return None;
    }
    let at = field("d:").and_then(|at| moment::parse(at, &jiff::tz::TimeZone::UTC)).unwrap_or(received_at);
    let status = if field("t:") == Some("error") { Status::Failed } else { Status::Succeeded };
    let key = format!("{title}\n{text}\n{fields}\n{}", at.as_secs());
    let event = DeployEvent {
        id: Some(format!("dogstatsd:{}", digest(key.as_bytes()))),
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
    one(event, "dogstatsd", received_at)
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

    #[test]
    fn dogstatsd_events_that_speak_of_deploys_are_read() {
        let event = |title: &'static str, text: &'static str, fields: &'static str| statsd::Event {
            title: title.as_bytes(),
            text: text.as_bytes(),
            fields: fields.as_bytes(),
        };
        let deploy = of_dogstatsd(event("deploy web v2", "by|me", "d:1763999000|#env:prod,service:web"), NOW).unwrap();
        assert_eq!((deploy.key().as_str(), deploy.version.as_deref()), ("web/prod", Some("v2")));
        assert_eq!(deploy.started_at.as_secs(), 1_763_999_000);
        assert_eq!(deploy.labels["text"], "by|me");
        assert_eq!(of_dogstatsd(event("full", "ok", "#disk"), NOW), None);
        let odd = of_dogstatsd(statsd::Event { title: b"deploy web \xff", text: b"", fields: b"" }, NOW).unwrap();
        assert_eq!(odd.title.as_deref(), Some("deploy web \u{fffd}"));
    }
}
