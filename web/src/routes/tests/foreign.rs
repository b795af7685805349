//! Other systems' APIs as input, and the quarantine.

use super::*;

#[tokio::test]
async fn other_systems_scripts_get_the_answers_they_expect() {
    let shop = Shop::open(WebConfig::default()).await;
    let annotation = json!({"time": 1_795_442_525, "tags": ["deploy", "service:web"], "text": "web v42"});
    let graphite = json!({"what": "deploy web v42", "tags": ["deploy", "web"], "when": 1_795_442_525});
    let event = json!({"title": "deploy web v42", "text": "", "tags": ["deploy", "service:web"], "date_happened": 1_795_442_525});
    let dora = json!({"data": {"attributes": {"id": "a-dora-id-of-16-letters", "service": "web", "started_at": 1_795_442_525_000_000_000_i64}}});
    let marker = json!({"message": "deploy v42", "type": "deploy", "start_time": 1_795_442_525});
    let cloud_event = json!({
        "specversion": "1.0", "id": "7", "source": "/ci/web", "type": "io.deployline.deploy.v1",
        "data": {"service": "web", "version": "v42", "started_at": 1_795_442_525},
    });
    for (path, body, status, pointer, expected) in [
        (
            "/api/annotations",
            &annotation,
            200,
            "/message",
            "Annotation added (`time` was taken as seconds, milliseconds are expected)",
        ),
        ("/api/annotations/graphite", &graphite, 200, "/message", "Graphite annotation added"),
        ("/api/v1/events", &event, 202, "/status", "ok"),
        ("/api/v2/dora/deployment", &dora, 202, "/data/id", "datadog:a-dora-id-of-16-letters"),
        ("/1/markers/web", &marker, 201, "/message", "deploy v42"),
        ("/hooks/cloudevents", &cloud_event, 202, "/delivery_id", "/ci/web 7"),
        ("/api/v1/cloudevents", &cloud_event, 202, "/delivery_id", "/ci/web 7"),
    ] {
        let (answered, answer) = shop.post(path, "application/json", body.to_string()).await;
        assert_eq!((answered, answer.pointer(pointer)), (status, Some(&json!(expected))), "{path}: {answer}");
    }
    let lag = shop.app.parts.bus.lag("catalog", deployline_schemas::topic::Topic::Deploys).await.unwrap();
    // The last is the delivery before it again, by another way in.
    assert_eq!(lag, 6);
    let lunch = json!({"time": 1_795_442_525_000_i64, "tags": ["food"], "text": "lunch"});
    let (status, answer) = shop.post("/api/annotations", "application/json", lunch.to_string()).await;
    assert_eq!((status, &answer["message"]), (200, &json!("Annotation added")));
    assert!(answer["id"].as_u64().is_some_and(|id| id > 0), "{answer}");
}

#[tokio::test]
async fn deploys_are_grafanas_annotations_with_an_end() {
    let shop = Shop::seeded().await;
    let (_, all) = shop.json("/api/annotations?from=1795440600000&to=1795444200000&limit=10").await;
    assert_eq!(all.as_array().unwrap().len(), 2);
    let (_, one) = shop.json("/api/annotations?tags=deploy&tags=checkout").await;
    assert_eq!(
        (one.as_array().unwrap().len(), &one[0]["time"], &one[0]["timeEnd"]),
        (1, &json!(1_795_442_480_000_i64), &json!(1_795_442_525_000_i64))
    );
    let (_, any) = shop.json("/api/annotations?tags=flag&tags=checkout&matchAny=true").await;
    assert_eq!(any.as_array().unwrap().len(), 2);
}

/// A shop whose catalog follows its bus.
async fn followed() -> (Shop, CancellationToken) {
    let shop = Shop::seeded().await;
    let (parts, stop) = (&shop.app.parts, CancellationToken::new());
    tokio::spawn(projector::run(parts.bus.clone(), parts.catalog.clone(), shop.changes.clone(), stop.clone()));
    (shop, stop)
}

async fn send(shop: &Shop, method: &str, path: &str, body: Value) -> (u16, Value) {
    let request = warp::test::request().method(method).path(path).header("content-type", "application/json");
    let answer = shop.ask(request.body(body.to_string())).await;
    (answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_annotation_is_read_changed_and_taken_away_as_in_grafana() {
    let (shop, stop) = followed().await;
    let lunch = json!({
        "dashboardUID": "d1", "panelId": 7, "time": 1_795_442_525_000_i64, "timeEnd": 1_795_442_585_000_i64,
        "tags": ["food", "noon"], "text": "lunch",
    });
    let (_, added) = send(&shop, "POST", "/api/annotations", lunch).await;
    let path = format!("/api/annotations/{}", added["id"]);
    let (status, one) = shop.json(&path).await;
    assert_eq!(
        (status, &one["id"], &one["text"], &one["tags"]),
        (200, &added["id"], &json!("lunch"), &json!(["food", "noon"]))
    );
    assert_eq!(
        (&one["timeEnd"], &one["dashboardUID"], &one["panelId"]),
        (&json!(1_795_442_585_000_i64), &json!("d1"), &json!(7))
    );
    let n_found = async |query: &str| shop.json(&format!("/api/annotations?{query}")).await.1.as_array().unwrap().len();
    assert_eq!(n_found("tags=food&tags=noon&from=1795442585000&to=1795442585000&type=annotation").await, 1);
    assert_eq!(n_found("tags=food&tags=tea").await, 0);
    assert_eq!(n_found("tags=food&tags=tea&matchAny=true").await, 1);
    assert_eq!(n_found("dashboardUID=d1&panelId=7").await, 1);
    assert_eq!(n_found("dashboardUID=d1&panelId=8").await, 0);
    assert_eq!(n_found("type=alert").await, 0);

    let (status, said) =
        send(&shop, "PATCH", &path, json!({"text": "a long lunch", "timeEnd": 1_795_446_125_000_i64})).await;
    assert_eq!((status, said), (200, json!({"message": "Annotation patched"})));
    let (status, said) = send(
        &shop,
        "PUT",
        &path,
        json!({"time": 1_795_442_500_000_i64, "text": "a very long lunch", "tags": ["food"]}),
    )
    .await;
    assert_eq!((status, said), (200, json!({"message": "Annotation updated"})));
    let one = shop.json(&path).await.1;
    assert_eq!((&one["text"], &one["tags"]), (&json!("a very long lunch"), &json!(["food"])));
    assert_eq!((&one["time"], &one["timeEnd"]), (&json!(1_795_442_500_000_i64), &json!(1_795_446_100_000_i64)));
    let (_, tags) = shop.json("/api/annotations/tags?tag=oo").await;
    assert_eq!(tags, json!({"result": {"tags": [{"tag": "food", "count": 1}]}}));

    assert_eq!(send(&shop, "DELETE", &path, json!({})).await, (200, json!({"message": "Annotation deleted"})));
    assert_eq!((shop.json(&path).await.0, n_found("tags=food").await), (404, 0));
    assert_eq!(send(&shop, "PATCH", &path, json!({"text": "back"})).await.0, 404);
    assert_eq!(send(&shop, "PATCH", "/api/annotations/7", json!(7)).await.0, 400);
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploys_annotation_is_edited_and_the_deploy_is_not() {
    let (shop, stop) = followed().await;
    let (_, all) = shop.json("/api/annotations?tags=deploy&tags=checkout").await;
    let path = format!("/api/annotations/{}", all[0]["id"]);
    let deploy = format!("/api/v1/deploys/{}", all[0]["data"]["deploy"].as_str().unwrap());
    let before = shop.json(&deploy).await;
    assert_eq!(send(&shop, "PATCH", &path, json!({"text": "the one that broke it", "tags": ["culprit"]})).await.0, 200);
    let (_, edited) = shop.json("/api/annotations?tags=culprit").await;
    assert_eq!((edited.as_array().unwrap().len(), &edited[0]["text"]), (1, &json!("the one that broke it")));
    assert_eq!((&edited[0]["time"], &edited[0]["data"]), (&all[0]["time"], &all[0]["data"]));
    assert_eq!(shop.json("/api/annotations?tags=checkout").await.1, json!([]));
    assert_eq!(send(&shop, "DELETE", &path, json!({})).await.0, 200);
    assert_eq!(shop.json("/api/annotations").await.1.as_array().unwrap().len(), 1);
    assert_eq!(shop.json(&deploy).await, before);

    // All of it is on the bus: a catalog that begins anew comes to the same.
    let dir = tempfile::tempdir().unwrap();
    let rebuilt = Catalog::open(dir.path()).unwrap();
    stop.cancel();
    let (bus, start) = (&shop.app.parts.bus, deployline_bus::Position { partition: 0, offset: 0 });
    let records = bus.read(deployline_schemas::topic::Topic::Deploys, start, 10).await.unwrap();
    for record in records {
        let event: deployline_schemas::cloudevent::CloudEvent<deployline_schemas::Annotation> =
            serde_json::from_slice(&record.record.value).unwrap();
        rebuilt.apply_annotations(&[event.data]).unwrap();
    }
    let number = all[0]["id"].as_u64().unwrap();
    assert_eq!(rebuilt.annotation(number).unwrap(), shop.app.parts.catalog.annotation(number).unwrap());
    assert!(rebuilt.annotation(number).unwrap().unwrap().is_deleted);
}

#[tokio::test]
async fn grafana_in_a_browser_is_let_in_where_it_is_listed() {
    let allowed_origins = vec!["https://grafana.shop".to_owned()];
    let shop =
        Shop::open(WebConfig { allowed_origins, tokens: vec![Token::new("sesame")], ..WebConfig::default() }).await;
    // As a browser asks before Grafana's own request: without a token.
    let preflight = |origin: &str| {
        warp::test::request()
            .method("OPTIONS")
            .path("/render")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,x-dashboard-id,x-panel-id")
    };
    let answer = shop.ask(preflight("https://grafana.shop")).await;
    assert_eq!(answer.status(), 204);
    assert_eq!(answer.headers()["access-control-allow-origin"], "https://grafana.shop");
    assert_eq!(answer.headers()["access-control-allow-headers"], "authorization,x-dashboard-id,x-panel-id");
    let answer = shop.ask(preflight("https://else.where")).await;
    assert!(!answer.status().is_success() && !answer.headers().contains_key("access-control-allow-origin"));

    let render = |origin: &str, token: &str| {
        warp::test::request()
            .method("POST")
            .path("/render")
            .header("origin", origin)
            .header("sec-fetch-site", "cross-site")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body("target=aliasSub(constantLine(100)%2C%20%22(%5E.*%24)%22%2C%20%22%5C1%20A%22)&from=-1h&until=now&format=json&maxDataPoints=100")
    };
    let answer = shop.ask(render("https://grafana.shop", "sesame")).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["access-control-allow-origin"]),
        (200, &"https://grafana.shop".parse().unwrap())
    );
    assert!(text(&answer).contains("\"target\": \"100.0 A\""), "{}", text(&answer));
    let refused = shop.ask(render("https://grafana.shop", "wrong")).await;
    // Without the header Grafana could not even read that it was refused.
    assert_eq!((refused.status().as_u16(), refused.headers().contains_key("access-control-allow-origin")), (401, true));
    assert_eq!(shop.ask(render("https://else.where", "sesame")).await.status(), 403);
}

#[tokio::test]
async fn what_was_refused_is_kept_shown_and_tried_again() {
    let shop = Shop::open(WebConfig::default()).await;
    assert_eq!(shop.post("/hooks/honeycomb/1/markers/web", "application/json", "[1").await.0, 400);
    assert_eq!(shop.post("/api/v1/deploys", "application/json", r#"{"version": "v1"}"#).await.0, 422);
    let (_, list) = shop.json("/api/v1/quarantine").await;
    let entries = list["quarantined"].as_array().unwrap();
    assert_eq!(entries.len(), 2, "{list}");
    let refused = entries.iter().find(|entry| entry["source"] == "api").unwrap();
    assert_eq!((&refused["reason"], &refused["body_bytes"]), (&json!("missing_field"), &json!(17)));
    assert_eq!(shop.json("/api/v1/quarantine?source=honeycomb").await.1["quarantined"].as_array().unwrap().len(), 1);

    let position = refused["position"].as_str().unwrap();
    let (status, whole) = shop.json(&format!("/api/v1/quarantine/{position}")).await;
    assert_eq!((status, &whole["body"]), (200, &json!(r#"{"version": "v1"}"#)));
    let redrive = format!("/api/v1/quarantine/{position}/redrive");
    let (status, problem) = shop.post(&redrive, "application/json", "").await;
    assert_eq!((status, &problem["code"]), (422, &json!("missing_field")));
    // One that is understood by now.
    let body = r#"{"id": "d1", "service": "web", "version": "v1", "started_at": 1795442525}"#;
    let of_reason =
        |record: deployline_bus::Record| record.with_header("reason", "missing_field").with_header("source", "api");
    let kept = of_reason(deployline_bus::Record::new("api", body)).with_header("path", "api");
    let topic = deployline_schemas::topic::Topic::Quarantine;
    let positions = shop.app.parts.bus.publish(topic, vec![kept]).await.unwrap();
    let redrive = format!("/api/v1/quarantine/{}-{}/redrive", positions[0].partition, positions[0].offset);
    let (status, receipt) = shop.post(&redrive, "application/json", "").await;
    assert_eq!((status, &receipt["deploys"]), (202, &json!(["d1"])));
    // What a consumer could not read is told of too, and cannot be tried again.
    let unread = of_reason(deployline_bus::Record::new("catalog", "no json")).with_header("topic", "deploys");
    let position = &shop.app.parts.bus.publish(topic, vec![unread]).await.unwrap()[0];
    let position = format!("{}-{}", position.partition, position.offset);
    assert_eq!(shop.json(&format!("/api/v1/quarantine/{position}")).await.1["path"], "deploys");
    let redrive = format!("/api/v1/quarantine/{position}/redrive");
    assert_eq!(shop.post(&redrive, "application/json", "").await.0, 422);
    for position in ["9-9", "0-99999", "x", "0--1"] {
        assert_eq!(shop.json(&format!("/api/v1/quarantine/{position}")).await.0, 404, "{position}");
    }
}

#[tokio::test]
async fn a_list_of_one_source_is_not_cut_short_by_another_s() {
    let shop = Shop::open(WebConfig::default()).await;
    let refused = |source: &str, n: usize| {
        let record = deployline_bus::Record::new(source, format!("{n}"));
        record.with_header("reason", "malformed_body").with_header("source", source).with_header("path", source)
    };
    let mut records = vec![refused("flux", 0), refused("flux", 1)];
    records.extend((0..1200).map(|n| refused("github", n)));
    let positions = shop.app.parts.bus.publish(deployline_schemas::topic::Topic::Quarantine, records).await.unwrap();
    let list = |path: &'static str| {
        let shop = &shop;
        async move { shop.json(path).await.1["quarantined"].as_array().unwrap().clone() }
    };
    let of_flux = list("/api/v1/quarantine?source=flux&limit=1").await;
    assert_eq!((of_flux.len(), &of_flux[0]["position"]), (1, &json!(format!("0-{}", positions[1].offset))));
    assert_eq!(list("/api/v1/quarantine?source=flux").await.len(), 2);
    assert_eq!(list("/api/v1/quarantine?limit=1000").await.len(), 1000);
    assert_eq!(list("/api/v1/quarantine").await.len(), 50);
}

#[tokio::test]
async fn the_schemas_are_served_by_name() {
    let shop = Shop::open(WebConfig::default()).await;
    let (status, list) = shop.json("/api/v1/schemas").await;
    assert_eq!(status, 200);
    for schema in list["schemas"].as_array().unwrap() {
        let (status, document) = shop.json(schema["url"].as_str().unwrap()).await;
        assert_eq!((status, &document["title"]), (200, &schema["title"]));
        assert_eq!(document["$id"], format!("urn:deployline:schema:{}", schema["name"].as_str().unwrap()));
    }
    assert_eq!(shop.json("/api/v1/schemas/deploy-1.json").await.0, 200);
    let (status, problem) = shop.json("/api/v1/schemas/deploy-9").await;
    assert_eq!((status, &problem["code"]), (404, &json!("not_found")));
}

#[tokio::test]
async fn foreign_paths_are_guarded_by_their_hooks_secret() {
    let shop = Shop::open(WebConfig { tokens: vec![Token::new("sesame")], ..WebConfig::default() }).await;
    let hook = serde_json::from_value(json!({"source": "datadog", "secret": "s3cret"})).unwrap();
    shop.app.parts.door.reconfigure(vec![hook], false);
    let event = json!({"title": "deploy web v42", "text": "", "tags": ["deploy", "service:web"]}).to_string();
    let post = |key: &'static str| {
        warp::test::request().method("POST").path("/api/v1/events").header("dd-api-key", key).body(event.clone())
    };
    assert_eq!(shop.ask(post("wrong")).await.status(), 401);
    assert_eq!(shop.ask(post("s3cret")).await.status(), 202);
    // No hook is set up for it.
    assert_eq!(shop.post("/events/", "application/json", "{}").await.0, 404);
    assert_eq!(shop.json("/api/annotations").await.0, 401);
    assert_eq!(shop.post("/render", "application/x-www-form-urlencoded", "target=a").await.0, 401);
}

#[tokio::test]
async fn series_are_exported_as_they_were_sent_and_a_wrong_question_is_refused() {
    let shop = Shop::seeded().await;
    let now_s = (shop.app.parts.clock)().as_secs();
    let store = &shop.app.parts.store;
    for (name, value) in [("export.b", 2.5), ("export.a", 1.0), ("other", 3.0)] {
        let series = store.intern(name).unwrap();
        let point = |timestamp_s| Point { series, timestamp_s, value };
        store.append(&[point(now_s - 20), point(now_s - 10), point(now_s)]).unwrap();
    }
    let range = format!("from={}&until={}", now_s - 20, now_s);
    let answer = shop.get(&format!("/api/v1/export?target=export.*&target=export.a&format=csv&{range}")).await;
    let lines = ["export.a", "export.b"].iter().zip(["1", "2.5"]);
    let rows = lines.map(|(name, value)| format!("{name},{},{value}\n{name},{now_s},{value}\n", now_s - 10));
    let expected = format!("series,timestamp,value\n{}", rows.collect::<String>());
    assert_eq!((answer.status().as_u16(), std::str::from_utf8(answer.body()).unwrap()), (200, &*expected));
    assert_eq!(answer.headers()["content-type"], "text/csv; charset=utf-8");
    let parquet = shop.get(&format!("/api/v1/export?target=export.*&{range}")).await;
    assert!(parquet.body().starts_with(b"PAR1") && parquet.body().ends_with(b"PAR1"));
    for (query, field) in [("from=-1h", "target"), ("target=a&format=xlsx", "format"), ("target=a&from=soon", "from")] {
        let (status, answer) = shop.json(&format!("/api/v1/export?{query}")).await;
        assert_eq!((status, &answer["field"]), (400, &json!(field)), "{answer}");
    }
}
