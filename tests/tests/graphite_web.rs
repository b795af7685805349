//! What we answer beside what graphite-web itself answers, over HTTP and over the same datapoints: values, names, times.
//!
//! `DEPLOYLINE_TEST_ALL=1` shows every difference, the known ones as well.

#![allow(clippy::unwrap_used, reason = "the helpers of a test panic as the test does")]

use std::{collections::BTreeSet, env, time::Duration};

use anyhow::ensure;
use deployline_tests::{
    graphite_web::{GraphiteWeb, NOW_S, difference, json_of},
    server::{Answer, Server, Settings},
    wait::eventually,
};
use serde_json::{Value, json};

/// Why `drawAsInfinite` is consolidated by the greatest value.
const DEPLOYS_STAY: &str = "a mean would dim a deploy's single 1 to nearly nothing";

/// What `asPercent` does with series of unequal steps.
const UNEQUAL_STEPS: &str = "ours keeps each series' own step, theirs brings all to a common one";

/// Both servers.
struct Pair {
    ours: Server,
    theirs: GraphiteWeb,
    /// What differed, with the request.
    differences: Vec<(String, String)>,
}

impl Pair {
    fn start(targets: &[String]) -> Self {
        let theirs = GraphiteWeb::start(targets).unwrap();
        // The datapoints are of 2024, and all of them are kept as they came.
        let sections =
            "[[retention]]\nmatch = \"*\"\nkeep = [\"1s:60y\"]\n[[hook]]\nsource = \"graphite_events\"\n".to_owned();
        let ours = Server::start(&Settings { sections, flush_s: 3600, ..Settings::default() }).unwrap();
        theirs.send_points(&ours).unwrap();
        let points = std::fs::read_to_string(theirs.points()).unwrap();
        let names: BTreeSet<&str> = points.lines().filter_map(|line| line.split(' ').next()).collect();
        let known = || {
            let index: Vec<String> = ours.get("/metrics/index.json", &[])?.json()?;
            // The server's own series may be among them.
            let is_there = missing(&names, &index).is_empty();
            ensure!(is_there, "{} of {} names, without {:?}", index.len(), names.len(), missing(&names, &index));
            Ok(Some(()))
        };
        eventually("the datapoints", Duration::from_secs(30), known).unwrap();
        let last = points.lines().last().unwrap().split(' ').next().unwrap();
        let there = || {
            let (from, until) = ((NOW_S - 7300).to_string(), NOW_S.to_string());
            let window = [("target", last), ("from", &from), ("until", &until), ("format", "json")];
            Ok(ours.get("/render", &window)?.text().contains("],").then_some(()))
        };
        eventually("the last datapoint", Duration::from_secs(30), there).unwrap();
        Self { ours, theirs, differences: Vec::new() }
    }

    fn get(&self, path_and_query: &str) -> (Answer, Answer) {
        (self.ours.get(path_and_query, &[]).unwrap(), self.theirs.get(path_and_query).unwrap())
    }

    /// Compares two answers as JSON; where graphite-web refuses, so must we.
    fn compare(&mut self, request: &str, ours: &Answer, theirs: &Answer) {
        let told = match (ours.status, theirs.status) {
            (200, 200) => match (json_of(ours), json_of(theirs)) {
                (Ok(ours), Ok(theirs)) => difference(&ours, &theirs),
                (ours, theirs) => Some(format!("{:?} {:?}", ours.err(), theirs.err())),
            },
            (400 | 422, 400) | (404, 404) => None,
            // Where graphite-web crashes there is nothing to be like.
            (200 | 400, 500) => None,
            (a, b) => Some(format!("status {a}, not {b}: {} / {}", clip(&ours.text()), clip(&theirs.text()))),
        };
        self.differences.extend(told.map(|told| (request.to_owned(), told)));
    }

    fn json(&mut self, path_and_query: &str) {
        let (ours, theirs) = self.get(path_and_query);
        self.compare(path_and_query, &ours, &theirs);
    }

    /// As [`Pair::json`], without what is of their file system: the order of names, and how long files go back.
    fn names(&mut self, path_and_query: &str) {
        let (ours, theirs) = self.get(path_and_query);
        let bare = |answer: Answer| {
            let Ok(mut body) = json_of(&answer) else { return answer };
            let metrics = body.get_mut("metrics").and_then(Value::as_array_mut);
            metrics.into_iter().for_each(|all| all.sort_by_key(|one| one["path"].to_string()));
            let nodes = body.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut);
            nodes.for_each(|node| drop(node.remove("intervals")));
            Answer { body: body.to_string().into_bytes(), ..answer }
        };
        self.compare(path_and_query, &bare(ours), &bare(theirs));
    }

    /// Compares two answers as text, the line ends aside.
    fn text(&mut self, path_and_query: &str) {
        let (ours, theirs) = self.get(path_and_query);
        let (a, b) = (ours.text().replace("\r\n", "\n"), theirs.text().replace("\r\n", "\n"));
        let told = (a != b || ours.status != theirs.status).then(|| format!("{} / {}", clip(&a), clip(&b)));
        self.differences.extend(told.map(|told| (path_and_query.to_owned(), told)));
    }

    /// Fails on a difference that is not among the known ones, and on a known one that is none.
    fn settle(self, known: &[(&str, &str)]) {
        let (expected, found): (Vec<_>, Vec<_>) =
            self.differences.iter().partition(|(request, _)| known.iter().any(|(known, _)| request.contains(known)));
        let gone: Vec<_> =
            known.iter().filter(|(known, _)| !expected.iter().any(|(request, _)| request.contains(known))).collect();
        if env::var_os("DEPLOYLINE_TEST_ALL").is_some() {
            expected.iter().for_each(|(request, told)| println!("known: {request}: {told}"));
        }
        let shown: Vec<String> = found.iter().map(|(request, told)| format!("{request}\n    {told}")).collect();
        assert!(
            found.is_empty() && gone.is_empty(),
            "{} differ:\n{}\nno longer: {gone:?}",
            found.len(),
            shown.join("\n")
        );
    }
}

/// The first names that are not listed.
fn missing<'n>(names: &BTreeSet<&'n str>, index: &[String]) -> Vec<&'n str> {
    names.iter().filter(|name| !index.iter().any(|listed| listed == *name)).take(3).copied().collect()
}

fn clip(text: &str) -> String {
    text.chars().take(160).collect()
}

/// `/render` of a target in JSON over a window, with `now` as the data has it.
fn render(target: &str, more: &str) -> String {
    let target: String = form_urlencoded::byte_serialize(target.as_bytes()).collect();
    format!("/render?target={target}&now={NOW_S}&until={NOW_S}&noCache=1&format=json&{more}")
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with("# "))
}

/// Events at the end of the data, for both.
fn post_events(pair: &mut Pair) {
    for event in [
        json!({"what": "release 1", "tags": "release web", "when": NOW_S - 900, "data": "first"}),
        json!({"what": "release 2", "tags": ["release", "db"], "when": NOW_S - 300, "data": "second"}),
    ] {
        let body = event.to_string();
        let ours = pair.ours.post("/events/", &[], body.as_bytes()).unwrap();
        let theirs = pair.theirs.post("/events/", "application/json", &body).unwrap();
        assert_eq!((ours.status, theirs.status), (200, 200), "{}", ours.text());
    }
    let there = || {
        let events: Vec<Value> = pair.ours.get("/events/get_data", &[])?.json()?;
        Ok((events.len() == 2).then_some(()))
    };
    eventually("the events", Duration::from_secs(15), there).unwrap();
}

#[test]
fn every_function_gives_what_graphite_web_gives() {
    let mut pair = Pair::start(&[]);
    post_events(&mut pair);
    let texts =
        [include_str!("../graphite_web/targets.txt"), include_str!("../../render/tests/graphite_web/targets.txt")];
    for target in texts.into_iter().flat_map(lines) {
        for more in ["from=-20min", "from=-2h&maxDataPoints=50", "from=-7min&xFilesFactor=0.6"] {
            pair.json(&render(target, more));
        }
    }
    pair.settle(&[
        ("drawAsInfinite", DEPLOYS_STAY),
        ("target=asPercent%28slow.*%29", UNEQUAL_STEPS),
        ("target=pct%28slow.*%29", UNEQUAL_STEPS),
    ]);
}

#[test]
fn public_dashboards_give_what_graphite_web_gives() {
    // What Grafana makes of its own variables before it asks.
    let filled = |line: &str| {
        let line = line.replace("$Interval", "5min").replace("$TrendInterval", "10min").replace("$period", "1h");
        let line =
            line.replace("$moving_average_window", "5min").replace("$Level", "alpha").replace("${title}", "alpha");
        let words = ["#A", "#B", "#C", "#D", "#E", "#F", "#G"];
        words.iter().fold(line, |line, word| line.replace(word, "web.a.errors"))
    };
    let targets: Vec<String> = lines(include_str!("../graphite_web/dashboards.txt")).map(filled).collect();
    let mut pair = Pair::start(&targets);
    for target in &targets {
        for more in ["from=-1h", "from=-110min&maxDataPoints=17"] {
            pair.json(&render(target, more));
        }
    }
    pair.settle(&[
        ("drawAsInfinite", DEPLOYS_STAY),
        (
            "failed+reports",
            "since Python 3.7 a pattern that takes everything takes the empty end as well, so that a name is doubled",
        ),
        (
            "error_budget",
            "a variable that nobody has filled in is no number; theirs does not look, as it has no series",
        ),
    ]);
}

#[test]
fn parameters_of_render_are_graphite_webs() {
    let mut pair = Pair::start(&[]);
    let (near, far) = include_str!("../graphite_web/windows.txt").split_once("\n\n").unwrap();
    for target in [
        "web.a.errors",
        "group(web.c.gappy,slow.*)",
        "template(web.$host.errors,host=\"a\")",
        "summarize(daily.wave,\"1d\",\"max\")",
        "timeShift(daily.wave,\"1d\",true,true)",
        "smartSummarize(daily.wave,\"6h\",\"sum\",\"days\")",
        "drawAsInfinite(edge.steps)",
    ] {
        lines(near).for_each(|more| pair.json(&render(target, more)));
    }
    for target in ["constantLine(1)", "daily.wave"] {
        let fits = |more: &&str| target != "daily.wave" || !more.contains(['y', 'o', 'n']);
        lines(near).chain(lines(far)).filter(fits).for_each(|more| pair.json(&render(target, more)));
    }
    for more in ["rawData=1", "format=raw", "format=csv", "format=csv&tz=Europe/Berlin", "format=raw&maxDataPoints=5"] {
        for target in [
            "web.c.gappy",
            "sumSeries(web.*.*)",
            "alias(web.a.errors,\"a, b\")",
            "edge.huge",
            "edge.tiny",
            "nothing.here",
        ] {
            let target: String = form_urlencoded::byte_serialize(target.as_bytes()).collect();
            pair.text(&format!("/render?target={target}&now={NOW_S}&until={NOW_S}&from=-5min&noCache=1&{more}"));
        }
    }
    pair.text(&format!("/render?target=web.c.gappy&now={NOW_S}&until={NOW_S}&from=-5min&format=json&jsonp=call"));
    pair.json(&format!("/render?now={NOW_S}&format=json"));
    pair.json(&format!("/render?target[]=web.a.errors&target[]=slow.thirty&now={NOW_S}&until={NOW_S}&format=json"));
    pair.json(&format!(
        "/render?target=web.a.errors&target=web.b.errors&from=-5min&now={NOW_S}&until={NOW_S}&format=json"
    ));
    let form =
        format!("target=web.a.errors&target=alias(web.b.errors,'b')&from=-5min&now={NOW_S}&until={NOW_S}&format=json");
    let kind = "application/x-www-form-urlencoded";
    let ours = pair.ours.post_as("/render", kind, form.as_bytes()).unwrap();
    let theirs = pair.theirs.post("/render/", kind, &form).unwrap();
    pair.compare("POST /render", &ours, &theirs);
    pair.settle(&[
        ("drawAsInfinite", DEPLOYS_STAY),
        ("tz=Nowhere/Land", "an unknown zone is refused; theirs takes the server's"),
        (
            "from=03:00_20240331&tz=Europe/Berlin",
            "pytz counts a shift over the change of clocks in hours that were not",
        ),
        ("maxDataPoints=x", "what is no number is refused; theirs takes it for none given"),
    ]);
}

#[test]
fn names_are_found_as_graphite_web_finds_them() {
    let mut pair = Pair::start(&[]);
    for query in [
        "*",
        "web",
        "web.*",
        "web.a.*",
        "web.*.errors",
        "web.{a,b}.*",
        "web.[ab].e*",
        "deep.one.*",
        "deep.one.two",
        "deep.*.two.*",
        "nothing",
        "nothing.*",
        "",
        "*.*",
        "w?b.*",
        "web.a",
        "web.a.",
        "a-b.*",
    ] {
        let encoded: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        for format in [
            "",
            "&format=treejson&wildcards=1",
            "&format=completer",
            "&format=completer&wildcards=1",
            "&format=nodelist",
            "&leavesOnly=1",
            "&format=json",
            "&from=-1&until=-1",
            "&format=nothing",
        ] {
            pair.names(&format!("/metrics/find?query={encoded}{format}"));
        }
        for more in ["", "&leavesOnly=1", "&groupByExpr=1", "&query=slow.*", "&query=slow.*&groupByExpr=1"] {
            // To theirs the empty pattern finds a node without a name.
            if !query.is_empty() {
                pair.json(&format!("/metrics/expand?query={encoded}{more}"));
            }
        }
    }
    for path in ["/metrics/find", "/metrics/expand"] {
        pair.json(path);
    }
    let (ours, theirs) = pair.get("/metrics/index.json");
    // Theirs lists tagged series under the names of their files.
    let listed = |answer: &Answer, is_own: fn(&str) -> bool| {
        let names: Vec<String> = answer.json().unwrap();
        names.into_iter().filter(|name| is_own(name)).collect::<BTreeSet<_>>()
    };
    let own = |name: &str| !name.contains(';') && !name.starts_with("stats.");
    assert_eq!(listed(&ours, own), listed(&theirs, |name| !name.starts_with("_tagged")));
    pair.text("/version");
    pair.settle(&[
        ("expand?query=web.a.", "an empty name is no node"),
        ("find?query=web.a.", "an empty name is no node"),
    ]);
}

#[test]
fn tags_are_answered_and_written_as_graphite_web_does() {
    let mut pair = Pair::start(&[]);
    let ask = |pair: &mut Pair| {
        for path in [
            "/tags",
            "/tags?filter=^h",
            "/tags?filter=o",
            "/tags?limit=2",
            "/tags/host",
            "/tags/host?filter=web",
            "/tags/name",
            "/tags/host?limit=1",
            "/tags/nothing",
            "/tags/findSeries?expr=host=web1",
            "/tags/findSeries?expr=host=~web&expr=dc=eu",
            "/tags/findSeries?expr=dc!=eu&expr=name=~.",
            "/tags/findSeries?expr[]=host=db1",
            "/tags/findSeries",
            "/tags/findSeries?expr=dc!=eu",
            "/tags/findSeries?expr=nonsense",
            "/tags/autoComplete/tags",
            "/tags/autoComplete/tags?tagPrefix=h",
            "/tags/autoComplete/tags?expr=host=web1",
            "/tags/autoComplete/tags?expr=host=web1&tagPrefix=m",
            "/tags/autoComplete/tags?limit=2",
            "/tags/autoComplete/tags?expr=dc=eu&limit=1",
            "/tags/autoComplete/tags?expr[]=name=cpu.load",
            "/tags/autoComplete/values?tag=host",
            "/tags/autoComplete/values?tag=host&valuePrefix=w",
            "/tags/autoComplete/values?tag=host&expr=dc=us",
            "/tags/autoComplete/values?tag=host&limit=1",
            "/tags/autoComplete/values?tag=host&expr=dc=us&valuePrefix=d",
            "/tags/autoComplete/values",
            "/tags/autoComplete/values?tag=nothing",
        ] {
            let (ours, theirs) = pair.get(path);
            // Numbers of its database's rows.
            let bare = |answer: &Answer| -> Answer {
                let Ok(mut body) = json_of(answer) else { return answer.clone() };
                strip_ids(&mut body);
                Answer { body: body.to_string().into_bytes(), ..answer.clone() }
            };
            pair.compare(path, &bare(&ours), &bare(&theirs));
        }
    };
    ask(&mut pair);
    let kind = "application/x-www-form-urlencoded";
    for (path, form) in [
        ("/tags/tagSeries", "path=mem.free;host=web3;dc=eu"),
        ("/tags/tagSeries", ""),
        ("/tags/tagMultiSeries", "path=mem.used;dc=eu;host=web3&path=mem.used;host=web4"),
        ("/tags/tagMultiSeries", "path[]=mem.used;zone=b;dc=us"),
        ("/tags/delSeries", "path=mem.used;host=web4"),
        ("/tags/delSeries", "path=nothing;at=all"),
        ("/tags/delSeries", ""),
    ] {
        let ours = pair.ours.post_as(path, kind, form.as_bytes()).unwrap();
        let theirs = pair.theirs.post(path, kind, form).unwrap();
        pair.compare(&format!("POST {path} {form}"), &ours, &theirs);
    }
    ask(&mut pair);
    pair.json("/tags/findSeries?expr=name=mem.used");
    pair.json("/tags/findSeries?expr=name=~mem");
    pair.settle(&[]);
}

fn strip_ids(value: &mut Value) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(strip_ids),
        Value::Object(fields) => {
            fields.remove("id");
            fields.values_mut().for_each(strip_ids);
        }
        _ => {}
    }
}

#[test]
fn functions_are_listed_as_graphite_web_lists_them() {
    let mut pair = Pair::start(&[]);
    let listed = |answer: &Answer| json_of(answer).unwrap().as_object().cloned().unwrap();
    let (ours, theirs) = pair.get("/functions");
    let (ours, theirs) = (listed(&ours), listed(&theirs));
    let missing: Vec<_> = theirs.keys().filter(|name| !ours.contains_key(*name)).collect();
    assert!(missing.is_empty(), "missing: {missing:?}");
    for (name, function) in &theirs {
        for key in ["name", "group", "module"] {
            let told = difference(&ours[name][key], &function[key]);
            pair.differences.extend(told.map(|told| (format!("{name} {key}"), told)));
        }
        let told = difference(&ours[name]["params"], &function["params"]);
        pair.differences.extend(told.map(|told| (format!("{name} params"), told)));
    }
    for path in ["/functions?type=pie", "/functions/nothing", "/functions?group=Nothing"] {
        let (ours, theirs) = pair.get(path);
        assert_eq!(ours.status, theirs.status, "{path}");
    }
    let groups = |answer: &Answer| listed(answer).keys().cloned().collect::<BTreeSet<_>>();
    let (ours, theirs) = pair.get("/functions?grouped=1");
    assert_eq!(groups(&ours), groups(&theirs));
    pair.settle(&[
        ("groupBy", "its callbacks are every name that combines series, which the editor need not list"),
        ("legendValue params", "its values are names of aggregations, with and without `Series`"),
        ("smartSummarize params", "its units are offered as text"),
        ("dashed params", "2.5 is taken, as dashboards write it"),
        ("sin params", "an amplitude of 0.5 is taken"),
        ("sinFunction params", "an amplitude of 0.5 is taken"),
    ]);
}

#[test]
fn events_are_answered_as_graphite_web_answers_them() {
    let mut pair = Pair::start(&[]);
    post_events(&mut pair);
    let (first, last) = (NOW_S - 900, NOW_S - 60);
    for query in [
        String::new(),
        "?tags=release".to_owned(),
        "?tags=release+web".to_owned(),
        "?tags=release+web&set=intersection".to_owned(),
        "?tags=web+db&set=union".to_owned(),
        "?tags=nobody".to_owned(),
        format!("?from={first}"),
        format!("?from={}", first + 1),
        format!("?until={last}"),
        format!("?until={}", last - 1),
        format!("?from={first}&until={first}"),
    ] {
        let path = format!("/events/get_data{query}");
        let (ours, theirs) = pair.get(&path);
        let bare = |answer: &Answer| {
            let mut body = json_of(answer).unwrap();
            strip_ids(&mut body);
            body
        };
        let told = difference(&bare(&ours), &bare(&theirs));
        pair.differences.extend(told.map(|told| (path, told)));
    }
    for body in [json!({"what": "x", "tags": 5}), json!({"what": "x", "tags": {"a": 1}})] {
        let (ours, theirs) = (
            pair.ours.post("/events/", &[], body.to_string().as_bytes()).unwrap(),
            pair.theirs.post("/events/", "application/json", &body.to_string()).unwrap(),
        );
        pair.compare("POST /events/", &ours, &theirs);
    }
    pair.settle(&[("from=1711849500&until=1711849500", "an empty window is refused")]);
}
