//! Graphite's API, asked as its clients ask.

use super::*;

const ERRORS: &str = "stats.counters.checkout.http.5xx.count";

impl Shop {
    /// A form, as Grafana posts it.
    async fn form(&self, path: &str, pairs: &[(&str, &str)]) -> (u16, Value) {
        let body: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        self.post(path, "application/x-www-form-urlencoded", body).await
    }

    async fn tagged(&self) {
        let store = &self.app.parts.store;
        for name in ["cpu.idle;dc=eu;host=web1", "cpu.idle;dc=eu;host=web2", "cpu.idle;dc=us;host=web3"] {
            let series = store.intern(name).unwrap();
            let timestamp_s = (self.app.parts.clock)().as_secs();
            store.append(&[Point { series, timestamp_s, value: 1.0 }]).unwrap();
        }
    }
}

#[tokio::test]
async fn grafanas_data_source_gets_what_it_asks_for() {
    let shop = Shop::seeded().await;
    shop.tagged().await;
    // Save & Test, in the front end's mode: the reference is the last word of the name.
    let wrapped = r#"aliasSub(constantLine(100), "(^.*$)", "\1 A")"#;
    let pairs = [("target", wrapped), ("from", "-1h"), ("until", "now"), ("format", "json"), ("maxDataPoints", "100")];
    let (status, answer) = shop.form("/render", &pairs).await;
    assert_eq!((status, &answer[0]["target"]), (200, &json!("100.0 A")), "{answer}");
    assert_eq!(answer[0]["datapoints"][0][0], json!(100.0));
    // And in the back end's: bare, absolute.
    let (_, answer) = shop
        .form(
            "/render/",
            &[("target", "constantLine(100)"), ("from", "1795440600"), ("until", "1795444200"), ("format", "json")],
        )
        .await;
    assert_eq!(answer[0]["datapoints"][0], json!([100.0, 1_795_440_600]));

    // A panel of two queries.
    let a = format!(r#"aliasSub({ERRORS}, "(^.*$)", "\1 A")"#);
    let b = r#"aliasSub(sumSeries(stats.counters.checkout.http.*.count), "(^.*$)", "\1 B")"#;
    let pairs = [
        ("target", a.as_str()),
        ("target", b),
        ("from", "-5min"),
        ("until", "now"),
        ("format", "json"),
        ("maxDataPoints", "1100"),
    ];
    let (_, answer) = shop.form("/render", &pairs).await;
    assert_eq!(answer[0]["target"], json!(format!("{ERRORS} A")));
    assert_eq!(answer[1]["target"], json!("sumSeries(stats.counters.checkout.http.*.count) B"));
    let now_s = (shop.app.parts.clock)().as_secs();
    let points = answer[1]["datapoints"].as_array().unwrap();
    assert_eq!((points.len(), &points[29]), (30, &json!([1002.0, now_s])));
    assert_eq!(answer[0]["tags"]["name"], json!(ERRORS));

    // The query editor and variables.
    let (_, found) = shop.form("/metrics/find?from=-1&until=-1", &[("query", "stats.counters.*")]).await;
    let entry =
        json!([{"text": "checkout", "id": "stats.counters.checkout", "allowChildren": 1, "expandable": 1, "leaf": 0}]);
    assert_eq!(found, entry);
    let (_, expanded) = shop.json("/metrics/expand?query=stats.counters.checkout.http.*.count&from=-1&until=-1").await;
    assert_eq!(expanded, json!({"results": [ERRORS, "stats.counters.checkout.http.requests.count"]}));
    let (_, tags) = shop.json("/tags/autoComplete/tags?expr=name=cpu.idle&tagPrefix=&limit=10000").await;
    assert_eq!(tags, json!(["dc", "host"]));
    let (_, values) = shop.json("/tags/autoComplete/values?expr=dc=eu&tag=host&valuePrefix=web&limit=1").await;
    assert_eq!(values, json!(["web1"]));
    let (_, functions) = shop.json("/functions").await;
    assert_eq!(
        functions["aliasSub"]["params"][0],
        json!({"name": "seriesList", "type": "seriesList", "required": true})
    );
    assert!(functions.as_object().unwrap().len() > 100);
    assert!(text(&shop.get("/version").await).starts_with("1.1."));

    // Annotations from events.
    let (_, events) = shop.json("/events/get_data?from=1795440600&until=1795444200&tags=deploy%20checkout").await;
    assert_eq!(events.as_array().unwrap().len(), 1, "{events}");
    assert_eq!((&events[0]["when"], &events[0]["what"]), (&json!(1_795_442_525), &json!("checkout deploy 9bc1f2e")));
}

#[tokio::test]
async fn deploys_are_events_and_series_of_events() {
    let shop = Shop::seeded().await;
    let (_, events) = shop.json("/events/get_data?tags=flag+deploy&set=union").await;
    assert_eq!(
        events.as_array().unwrap().iter().map(|event| &event["when"]).collect::<Vec<_>>(),
        [1_795_442_310, 1_795_442_525]
    );
    let (_, none) = shop.json("/events/get_data?tags=flag+deploy").await;
    assert_eq!(none, json!([]));
    // As an annotation by series asks: the one must still be there.
    let (_, series) =
        shop.json("/render?target=events('*')&from=-1h&format=json&maxDataPoints=100&noNullPoints=1").await;
    let ones: f64 = series[0]["datapoints"].as_array().unwrap().iter().filter_map(|point| point[0].as_f64()).sum();
    assert_eq!(ones, 2.0, "{series}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_posted_event_becomes_a_deploy_or_stays_an_event() {
    let shop = Shop::open(WebConfig::default()).await;
    let event = json!({"what": "deploy checkout v42", "tags": ["deploy", "checkout"], "when": 1_795_442_525});
    let request = warp::test::request().method("POST").path("/events/").body(event.to_string());
    let answer = shop.ask(request).await;
    assert_eq!((answer.status().as_u16(), text(&answer).as_str()), (200, ""));
    let lag = shop.app.parts.bus.lag("catalog", deployline_schemas::topic::Topic::Deploys).await.unwrap();
    assert_eq!(lag, 1);
    let request = warp::test::request().method("POST").path("/events/").body(r#"{"what": "lunch", "tags": "food"}"#);
    let answer = shop.ask(request).await;
    assert_eq!(answer.status(), 200);
    assert!(answer.headers()["x-deployline-ignored"].to_str().unwrap().contains("speak of a deploy"));
    let id: u64 = answer.headers()["x-deployline-id"].to_str().unwrap().parse().unwrap();
    let (parts, stop) = (&shop.app.parts, CancellationToken::new());
    tokio::spawn(projector::run(parts.bus.clone(), parts.catalog.clone(), shop.changes.clone(), stop.clone()));
    let event = format!("/events/{id}");
    let (status, lunch) = shop.json(&event).await;
    assert_eq!(
        (status, &lunch["what"], &lunch["tags"], &lunch["when"]),
        (200, &json!("lunch"), &json!(["food"]), &json!("2026-11-23T14:30:00Z"))
    );
    let change = |body: Value| warp::test::request().method("PATCH").path(&event).body(body.to_string());
    assert_eq!(
        shop.ask(change(json!({"what": "dinner", "tags": "food late", "when": 1_795_442_000}))).await.status(),
        200
    );
    let (_, events) = shop.json("/events/get_data?tags=late").await;
    assert_eq!(
        events,
        json!([{"id": id, "what": "dinner", "tags": ["food", "late"], "when": 1_795_442_000, "data": ""}])
    );
    let (_, series) =
        shop.json("/render?target=events('late')&from=1795441990&until=1795442010&format=json&noNullPoints=1").await;
    assert_eq!(series[0]["datapoints"], json!([[1.0, 1_795_442_000]]));
    assert_eq!(shop.ask(change(json!({"tags": 5}))).await.status(), 400);
    assert_eq!(shop.ask(warp::test::request().method("DELETE").path(&event)).await.status(), 204);
    assert_eq!((shop.json(&event).await.0, shop.json("/events/get_data?tags=food").await.1), (404, json!([])));
    stop.cancel();
    let (status, problem) = shop.post("/events/", "application/json", "{").await;
    assert_eq!((status, &problem["code"]), (400, &json!("malformed_body")));
}

#[tokio::test]
async fn every_format_shows_the_same_series() {
    let shop = Shop::seeded().await;
    let target = format!("target=scale({ERRORS},2)&from=-20s");
    let raw = text(&shop.get(&format!("/render?{target}&format=raw")).await);
    assert_eq!(raw, format!("scale({ERRORS},2),1795444190,1795444210,10|4.0,4.0\n"));
    let csv = text(&shop.get(&format!("/render?{target}&format=csv&tz=Europe/Berlin")).await);
    assert_eq!(csv.lines().last(), Some(format!("\"scale({ERRORS},2)\",2026-11-23 15:30:00,4.0").as_str()));
    let script = text(&shop.get(&format!("/render?{target}&format=json&jsonp=show.it")).await);
    assert!(script.starts_with("show.it([{") && script.ends_with("])"), "{script}");
    for (path, start) in
        [(format!("/render?{target}"), &b"\x89PNG"[..]), (format!("/render?{target}&format=svg"), b"<svg")]
    {
        let picture = shop.get(&path).await;
        assert!(picture.body().starts_with(start), "{path}: {:?}", &picture.body()[..40]);
    }
}

#[tokio::test]
async fn pictures_of_targets_carry_deploys_too() {
    let shop = Shop::seeded().await;
    let target = format!("alias(scale({ERRORS},0.1),'errors')");
    for path in [
        format!("/graph.svg?target={target}"),
        format!("/render?target={target}&format=svg&from=-1h&width=800&height=400"),
    ] {
        let svg = text(&shop.get(&path).await);
        assert!(svg.contains("guilty 93 %") && svg.contains("errors"), "{path}: {svg}");
    }
    let pie = text(&shop.get(&format!("/render?target={ERRORS}&target=other:4&graphType=pie&format=svg")).await);
    assert_eq!(pie.matches("class=\"slice\"").count(), 2, "{pie}");
    assert_eq!(shop.json(&format!("/render?target={ERRORS}&yMin=low")).await.0, 400);
    let (status, problem) = shop.json("/graph.svg?target=sumSeries(").await;
    assert_eq!((status, &problem["code"]), (400, &json!("bad_target")));
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_targets_are_answered_at_once() {
    let shop = Shop::seeded().await;
    let now_s = (shop.app.parts.clock)().as_secs();
    let many = |part: &str, n: usize| part.repeat(n);
    let e = ERRORS;
    let mut wrong = Vec::new();
    for (target, more, expected) in [
        (many("sumSeries(", 5000), "", "bad_target"),
        (many("(", 60_000), "", "bad_target"),
        (many("[", 20_000), "", "ok"),
        (format!("{}{e}{}", many("scale(", 1000), many(",1)", 1000)), "", "bad_target"),
        (format!("{}{e}{}", many("scale(", 40), many(",1)", 40)), "", "ok"),
        (format!("{e}{}", many("|scale(1)", 2000)), "", "bad_target"),
        (format!("{}{e}{}", many("scale(", 30), many("|scale(1)|scale(1),1)", 30)), "", "bad_target"),
        (format!("movingMedian({e},1000000000)"), "", "bounded"),
        (format!("movingAverage({e},1000000000000)"), "", "bounded"),
        (format!("movingAverage({e},'1000y')"), "", "bounded"),
        (format!("movingAverage({e},-5)"), "", "bad_target"),
        (format!("movingWindow({e},99999999999999999999)"), "", "bounded"),
        (format!("exponentialMovingAverage({e},1000000000)"), "", "bounded"),
        (format!("timeShift({e},'999999999y')"), "", "bad_target"),
        (format!("timeStack({e},'1s',0,1000000000)"), "", "bounded"),
        (format!("delay({e},1000000000000)"), "", "ok"),
        (format!("holtWintersForecast({e},'900y','1d')"), "", "bounded"),
        (format!("linearRegression({e},'00:00_19700101')"), "", "bounded"),
        ("timeFunction('t',1)".to_owned(), "&from=0", "target_too_large"),
        ("sinFunction('s',1,1)".to_owned(), "&from=0", "target_too_large"),
        ("randomWalkFunction('r',1)".to_owned(), "&from=0", "target_too_large"),
        ("events('*')".to_owned(), "&from=0", "target_too_large"),
        (format!("summarize({e},'1s')"), "&from=0", "bounded"),
        (format!("hitcount({e},'1s')"), "&from=0", "bounded"),
        (format!("smartSummarize({e},'1s')"), "&from=0", "bounded"),
        (format!("integralByInterval({e},'1s')"), "&from=0", "bounded"),
        (e.to_owned(), "&from=0", "bounded"),
        (format!("group({}{e})", many(&format!("{e},"), 1000)), "&from=-7d", "bounded"),
        (format!("aliasSub({e},'(.{{1000}}){{1000}}','x')"), "", "bad_target"),
        (format!("aliasSub({e},'(a+)+(a+)+(a+)+$','x')"), "", "ok"),
        (format!("grep({e},'(x+x+)+y')"), "", "ok"),
        (format!("a.{}", many("{a,b}", 200)), "", "ok"),
        (format!("{}.*", many("*", 300)), "", "ok"),
        (format!("stats.{}", many("*.", 300)), "", "ok"),
        (format!("applyByNode({e},0,\"applyByNode(%.*.*.*.*.*,0,'%.*')\")"), "", "ok"),
        (format!("alias({e},'\u{1f4a5}\u{202e}\u{0}e\u{301}')"), "", "ok"),
        ("sumSeries(\u{e4}\u{1f4a5}.*,)".to_owned(), "", "bad_target"),
        ("\u{fffd}\u{200b}".to_owned(), "", "ok"),
        ("template(scale(x.$a,1),a='$a')".to_owned(), "", "ok"),
        (format!("scale({e},1e999)"), "", "ok"),
        (format!("pow({e},1e308)"), "", "ok"),
        (format!("round({e},2000000000)"), "", "ok"),
        (format!("substr({e},-9223372036854775808,9223372036854775807)"), "", "ok"),
        (format!("aliasByNode({e},9223372036854775807,-9223372036854775808)"), "", "ok"),
        (format!("limit({e},-9223372036854775808)"), "", "ok"),
        (format!("highest({e},1e18)"), "", "bad_target"),
        (format!("stdev({e},1000000000000)"), "", "ok"),
        (format!("keepLastValue({e},-1)"), "", "ok"),
        (format!("nPercentile({e},1e308)"), "", "ok"),
        (format!("timeSlice({e},'-1s','now')"), "", "ok"),
    ] {
        let form: String = form_urlencoded::byte_serialize(target.as_bytes()).collect();
        let body = format!("target={form}&format=json&from=-1h&until={now_s}{more}");
        let asked = shop.post("/render", "application/x-www-form-urlencoded", body);
        let (status, answer) = tokio::time::timeout(Duration::from_secs(20), asked).await.expect(&target);
        let shown: String = target.chars().take(60).collect();
        let told = if status == 200 { "ok" } else { answer["code"].as_str().unwrap_or_default() };
        // How much there is to read depends on what the retention has left of it: a long window is refused or short.
        let is_fine = told == expected || expected == "bounded" && matches!(told, "ok" | "target_too_large");
        if !is_fine {
            wrong.push(format!(
                "{shown}: {told}, not {expected}: {status} {}",
                answer.to_string().chars().take(200).collect::<String>()
            ));
        }
        if told == "bad_target" {
            assert!(answer["message"].as_str().unwrap().contains("at column "), "{shown}: {answer}");
        }
        assert!(
            told != "target_too_large" || answer["message"].as_str().unwrap().contains("at most"),
            "{shown}: {answer}"
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn a_bad_target_is_told_with_its_column_and_a_large_one_with_the_limit() {
    let config = WebConfig { max_query_series: 2, max_query_datapoints: 1000, ..WebConfig::default() };
    let shop = Shop::open(config).await;
    for index in 0..3 {
        let series = shop.app.parts.store.intern(&format!("a.{index}")).unwrap();
        let now_s = (shop.app.parts.clock)().as_secs();
        let points = (now_s - 3600..=now_s).step_by(10).map(|timestamp_s| Point { series, timestamp_s, value: 1.0 });
        shop.app.parts.store.append(&points.collect::<Vec<_>>()).unwrap();
    }
    for (query, code, message) in [
        ("target=sumSeries(a.*", "bad_target", "at column"),
        (
            "target=sumSeriez(a.0)&from=-5min",
            "bad_target",
            "unknown function `sumSeriez` at column 1, did you mean `sumSeries`?",
        ),
        ("target=alias(a.0,%20movingAverage(a.0))&from=-5min", "bad_target", "`windowSize` is missing at column 12"),
        ("target=seriesByTag('x!=y')", "bad_target", "must require its tag"),
        ("target=a.*&from=-1h", "target_too_large", "3 series, at most 2 are allowed by web.max_query_series"),
        ("target=a.{0,1}&target=a.0&from=-1h", "target_too_large", "at most 1000 are allowed"),
        (
            "target=a.{0,1}&from=-1d",
            "target_too_large",
            "about 2880 datapoints, at most 1000 are allowed by web.max_query_datapoints",
        ),
        ("target=a.0&from=soon", "invalid_parameter", "`soon` is not a time"),
        ("target=a.0&jsonp=alert(1)//", "invalid_parameter", "no name of a function"),
    ] {
        let (status, problem) = shop.json(&format!("/render?format=json&{query}")).await;
        assert_eq!((status, &problem["code"]), (400, &json!(code)), "{query}: {problem}");
        assert!(problem["message"].as_str().unwrap().contains(message), "{query}: {problem}");
    }
    for path in ["/metrics/find", "/tags/autoComplete/values", "/tags/findSeries"] {
        assert_eq!(shop.json(path).await.0, 400, "{path}");
    }
    assert_eq!(shop.json("/functions/none").await.0, 404);
}

#[tokio::test]
async fn tags_and_names_are_listed() {
    let shop = Shop::seeded().await;
    shop.tagged().await;
    for (path, expected) in [
        ("/tags", json!([{"tag": "dc"}, {"tag": "host"}, {"tag": "name"}])),
        ("/tags/dc", json!({"tag": "dc", "values": [{"value": "eu", "count": 2}, {"value": "us", "count": 1}]})),
        ("/tags/findSeries?expr=host=~web[23]&expr[]=dc!=eu", json!(["cpu.idle;dc=us;host=web3"])),
        ("/functions/alias", json!("Alias")),
        (
            "/metrics/find?query=stats&format=completer",
            json!({"metrics": [{"path": "stats.", "name": "stats", "is_leaf": "0"}]}),
        ),
    ] {
        let (status, answer) = shop.json(path).await;
        let shown = if path.starts_with("/functions") { &answer["group"] } else { &answer };
        assert_eq!((status, shown), (200, &expected), "{path}");
    }
    let (_, names) = shop.json("/metrics/index.json").await;
    assert_eq!((names.as_array().unwrap().len(), &names[0]), (5, &json!("cpu.idle;dc=eu;host=web1")));
    let (_, sum) = shop.json("/render?target=sumSeries(seriesByTag('dc=eu'))&from=-1min&format=json").await;
    let points = sum[0]["datapoints"].as_array().unwrap();
    assert_eq!(points.last().unwrap()[0], json!(2.0), "{sum}");
}
