//! The parsers of what strangers send, each with its corpus and what it may allocate.

use std::hint::black_box;

use deployline_bus::BusConfig;
use deployline_ingest::{
    announce::{AnnounceConfig, Announcer},
    carbon::{CarbonConfig, parse, pickle},
    hooks::{self, HookConfig, HookRequest, Secret},
    statsd::{Aggregator, Limits, StatsdConfig},
    tail::TailConfig,
    topics::TopicConfig,
};
use deployline_render::graphite;
use deployline_schemas::{DeployEvent, UnixMillis, cloudevent::CloudEvent, series};
use deployline_store::retention::RetentionRule;
use serde::Deserialize;

use crate::corpus::{self, Input};

/// When every input arrives.
const NOW: UnixMillis = UnixMillis::from_secs(1_764_000_000);

/// A parser.
pub struct Target {
    /// What it is called.
    pub name: &'static str,
    /// What its input is made of.
    pub corpus: Vec<Input>,
    /// What it may allocate whatever the input, in bytes.
    pub base_bytes: usize,
    /// What it may allocate on top for each byte of the input. All that it ever allocates counts, also what it has freed
    /// by then, so a vector that doubles counts twice its length.
    pub bytes_per_byte: usize,
    /// Runs it; what it returns is of no interest.
    pub parse: Box<dyn Fn(&Input)>,
}

/// What a hook may take: `[]` is three bytes of JSON and a value of 72 in a vector that doubles, and a body is read into
/// a tree, a deploy event and a deploy.
const HOOK_BYTES_PER_BYTE: usize = 300;
const HOOK_BASE_BYTES: usize = 64 * 1024;

/// Every target.
pub fn targets() -> Vec<Target> {
    let mut targets: Vec<Target> = hooks::sources().iter().map(|source| hook(source.name)).collect();
    targets.extend([verification(), mapping(), tagged_mapping(), records()]);
    targets.extend([
        statsd(),
        announcements(),
        carbon(),
        pickles(),
        names(),
        graphite_targets(),
        moments(),
        configuration(),
    ]);
    targets
}

fn request(input: &Input) -> HookRequest {
    HookRequest { headers: input.headers.clone(), ..HookRequest::new(input.body.clone(), NOW) }
}

/// A source of hooks, with every event type that it can be asked for.
fn hook(name: &'static str) -> Target {
    let mut corpus = corpus::hooks().remove(name).unwrap_or_default();
    if matches!(name, "cloudevents" | "cdevents") {
        corpus.extend(corpus::binary_cloudevents());
    }
    if corpus.is_empty() {
        // Sources without payloads of their own are read as our own JSON is.
        corpus.push(Input::of(
            r#"{"service": "web", "version": "abc", "started_at": 1763999000, "commits": [{"id": "a"}]}"#,
        ));
    }
    let events = ["workflow_run", "release", "push", "pipeline", "create"].map(str::to_owned).to_vec();
    let config = HookConfig { events, ..HookConfig::of(name) };
    let parse = move |input: &Input| drop(black_box(hooks::receive(&request(input), &config)));
    Target { name, corpus, base_bytes: HOOK_BASE_BYTES, bytes_per_byte: HOOK_BYTES_PER_BYTE, parse: Box::new(parse) }
}

/// Signatures and tokens of every kind, with anything in their headers.
fn verification() -> Target {
    let headers = [
        ("x-hub-signature-256", "sha256=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"),
        ("webhook-id", "msg_1"),
        ("webhook-timestamp", "1764000000"),
        ("webhook-signature", "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
        ("authorization", "Basic YW55OnNlc2FtZQ=="),
        ("x-buildkite-signature", "timestamp=1764000000,signature=0a0b"),
        ("x-webhook-signature", "eyJhbGciOiJIUzI1NiJ9.eyJzaGEyNTYiOiJhYiJ9.c2ln"),
        ("circleci-signature", "v1=00ff,v2=zz"),
        ("x-signature", "sha512=00"),
        ("heroku-webhook-hmac-sha256", "AAAA"),
    ];
    let input = |(name, value): (&str, &str)| Input {
        headers: vec![(name.to_owned(), value.to_owned())],
        body: br#"{"routing_key": "k", "payload": {"summary": "x"}}"#.to_vec(),
    };
    let all = Input {
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        ..input(headers[0])
    };
    let parse = |input: &Input| {
        for source in hooks::sources() {
            let secret = vec![Secret::new("s"), Secret::new("whsec_c2VjcmV0")];
            let config = HookConfig { secret, ..HookConfig::of(source.name) };
            drop(black_box(hooks::receive(&request(input), &config)));
        }
    };
    Target {
        name: "verification",
        corpus: headers.map(input).into_iter().chain([all]).collect(),
        base_bytes: 30 * HOOK_BASE_BYTES,
        bytes_per_byte: 30 * 40,
        parse: Box::new(parse),
    }
}

/// The configurable mapping on bodies that it was not made for.
fn mapping() -> Target {
    let config = r#"{"source": "generic", "map": {"each": "deploys", "filter": {"event": ["*deploy*"]}, "id": "id",
        "service": "app.name | name", "environment": "=production", "version": "changes.0.sha", "status": "state",
        "statuses": {"ok": "succeeded"}, "started_at": "/begun~1at", "labels": {"a": "a.b.c.0"}}}"#;
    let config: HookConfig = serde_json::from_str(config).expect("the mapping is well formed");
    let body = r#"{"deploys": [{"event": "deployed", "id": 5, "app": {"name": "web"}, "changes": [{"sha": "abc"}],
        "state": "ok", "begun/at": 1763999000, "a": {"b": {"c": ["x"]}}}]}"#;
    let parse = move |input: &Input| drop(black_box(hooks::receive(&request(input), &config)));
    Target {
        name: "mapping",
        corpus: vec![Input::of(body)],
        base_bytes: HOOK_BASE_BYTES,
        bytes_per_byte: HOOK_BYTES_PER_BYTE,
        parse: Box::new(parse),
    }
}

/// The mapping itself, in whatever form: paths, pointers and filters that make no sense.
fn tagged_mapping() -> Target {
    let mapping = r#"{"each": "a.b", "filter": {"x.y": ["*a*b*"]}, "service": "a|b.0|/c~1d", "version": "=v",
        "labels": {"l": "/a/0"}, "statuses": {"ok": "succeeded"}, "kinds": {"f": "flag"}}"#;
    let parse = |input: &Input| {
        if let Ok(map) = serde_json::from_slice(&input.body) {
            let config = HookConfig { map: Some(map), ..HookConfig::of("generic") };
            let body = r#"{"a": {"b": [{"x": {"y": "aabb"}}]}, "service": "s", "c/d": [1, 2, 3]}"#;
            drop(black_box(hooks::receive(&HookRequest::new(body, NOW), &config)));
        }
    };
    Target {
        name: "mapping/rules",
        corpus: vec![Input::of(mapping)],
        base_bytes: HOOK_BASE_BYTES,
        bytes_per_byte: HOOK_BYTES_PER_BYTE,
        parse: Box::new(parse),
    }
}

/// Records of our own topics, and deploy events.
fn records() -> Target {
    let event = r#"{"service": "web", "started_at": "2025-11-24T16:00:00Z", "exposure": [[1764000000, 0.1], [1764000300, 1]],
        "commits": [{"id": "a", "message": "m"}], "labels": {"a": "b"}, "rollout": "rolling"}"#;
    let record =
        format!(r#"{{"specversion": "1.0", "id": "1", "source": "/x", "type": "t", "data": {event}, "ext": 1}}"#);
    let parse = |input: &Input| {
        drop(black_box(
            serde_json::from_slice::<CloudEvent<DeployEvent>>(&input.body).map(|event| event.data.into_deploy()),
        ));
        drop(black_box(serde_json::from_slice::<DeployEvent>(&input.body).map(DeployEvent::into_deploy)));
    };
    Target {
        name: "records",
        corpus: vec![Input::of(event), Input::of(record)],
        base_bytes: HOOK_BASE_BYTES,
        bytes_per_byte: HOOK_BYTES_PER_BYTE,
        parse: Box::new(parse),
    }
}

fn limits() -> Limits {
    Limits { max_names: 1000, max_timer_values: 1000, max_set_members: 1000, deletes: [false; 4], gauges_max_ttl: 1 }
}

/// StatsD's packets, added up and flushed.
fn statsd() -> Target {
    let parse = |input: &Input| {
        let mut aggregator = Aggregator::new(limits(), "statsd");
        aggregator.add_packet(&input.body);
        drop(black_box(aggregator.take(Default::default())));
    };
    // A name of two bytes takes a slot in each column, which double.
    Target {
        name: "statsd",
        corpus: corpus::statsd(),
        base_bytes: 128 * 1024,
        bytes_per_byte: 250,
        parse: Box::new(parse),
    }
}

/// What packets and lines announce.
fn announcements() -> Target {
    let (announcer, _waiting) =
        Announcer::new(&AnnounceConfig::default()).expect("the default patterns are well formed");
    let parse = move |input: &Input| {
        let mut aggregator = Aggregator::new(limits(), "statsd").announcing(Some(announcer.clone()));
        aggregator.add_packet(&input.body);
        drop(black_box(aggregator.take_announced()));
        announcer.series(&String::from_utf8_lossy(&input.body), 1.0, NOW);
        deployline_ingest::statsd::parse::parse(&input.body, |item| {
            if let Ok(deployline_ingest::statsd::parse::Item::Event(event)) = item {
                announcer.event(event, NOW);
            }
        });
    };
    Target {
        name: "announcements",
        corpus: corpus::statsd(),
        base_bytes: 256 * 1024,
        bytes_per_byte: 400,
        parse: Box::new(parse),
    }
}

fn carbon() -> Target {
    let parse = |input: &Input| {
        for line in input.body.split(|byte| *byte == b'\n') {
            black_box(parse::parse(line, NOW.as_secs()));
        }
    };
    Target {
        name: "carbon/line",
        corpus: corpus::carbon(),
        base_bytes: 1024,
        bytes_per_byte: 1,
        parse: Box::new(parse),
    }
}

fn pickles() -> Target {
    let parse = |input: &Input| {
        black_box(pickle::parse(&input.body, |entry| _ = black_box(entry)).is_ok());
    };
    Target {
        name: "carbon/pickle",
        corpus: corpus::pickles(),
        base_bytes: 16 * 1024,
        bytes_per_byte: 100,
        parse: Box::new(parse),
    }
}

/// Names of series, with tags.
fn names() -> Target {
    let parse = |input: &Input| drop(black_box(series::canonical(&String::from_utf8_lossy(&input.body))));
    Target {
        name: "series names",
        corpus: ["web.cpu;host=a;dc=eu", "a.b.c", ";;=", "a;b=~c"].map(Input::of).to_vec(),
        base_bytes: 4096,
        bytes_per_byte: 40,
        parse: Box::new(parse),
    }
}

/// Graphite's target language and its times.
fn graphite_targets() -> Target {
    let parse = |input: &Input| {
        let text = String::from_utf8_lossy(&input.body);
        drop(black_box(graphite::parse::parse(&text)));
        black_box(graphite::time::offset_s(&text));
        black_box(graphite::time::moment_s(&text, NOW.as_secs(), &jiff::tz::TimeZone::UTC));
    };
    Target {
        name: "graphite/target",
        corpus: corpus::targets(),
        base_bytes: 64 * 1024,
        bytes_per_byte: 400,
        parse: Box::new(parse),
    }
}

fn moments() -> Target {
    let parse = |input: &Input| drop(black_box(String::from_utf8_lossy(&input.body).parse::<UnixMillis>()));
    Target { name: "moments", corpus: corpus::moments(), base_bytes: 4096, bytes_per_byte: 10, parse: Box::new(parse) }
}

/// The sections of a configuration that hold more than plain values.
fn configuration() -> Target {
    #[derive(Deserialize)]
    #[serde(default, deny_unknown_fields)]
    #[derive(Default)]
    #[allow(dead_code, reason = "they are read and thrown away")]
    struct Sections {
        statsd: StatsdConfig,
        carbon: CarbonConfig,
        bus: BusConfig,
        announce: AnnounceConfig,
        retention: Vec<RetentionRule>,
        hook: Vec<HookConfig>,
        topic: Vec<TopicConfig>,
        tail: Vec<TailConfig>,
    }
    let parse =
        |input: &Input| _ = black_box(toml::from_str::<Sections>(&String::from_utf8_lossy(&input.body)).is_ok());
    Target {
        name: "configuration",
        corpus: corpus::configurations(),
        base_bytes: 256 * 1024,
        bytes_per_byte: 1000,
        parse: Box::new(parse),
    }
}
