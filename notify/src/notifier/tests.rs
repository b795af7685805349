use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    sync::{Mutex, mpsc},
};

use deployline_bus::BusConfig;
use deployline_schemas::Secret;

use super::*;
use crate::fixtures;

/// A receiver on loopback that answers each request with the next of `answers`, the last one for ever,
/// and hands on what it was sent. An empty answer closes the connection without a word.
fn receiver(answers: &[&'static str]) -> (String, mpsc::Receiver<(String, serde_json::Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, received) = mpsc::channel();
    let answers = Mutex::new(answers.to_vec());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut length, mut key) = (0, String::new());
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                let Some((name, value)) = line.trim_end().split_once(": ") else {
                    if line.trim_end().is_empty() {
                        break;
                    }
                    continue;
                };
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => length = value.parse().unwrap(),
                    "idempotency-key" => key = value.to_owned(),
                    _ => {}
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let answer = {
                let mut answers = answers.lock().unwrap();
                if answers.len() > 1 { answers.remove(0) } else { answers[0] }
            };
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
            if sender.send((key, serde_json::from_slice(&body).unwrap())).is_err() {
                return;
            }
        }
    });
    (url, received)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
const LATER: &str =
    "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const GONE: &str = "HTTP/1.1 410 Gone\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngone";

struct Shop {
    dir: tempfile::TempDir,
    bus: Bus,
    catalog: Catalog,
}

impl Shop {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bus = Bus::open(&BusConfig::default(), dir.path()).await.unwrap();
        let catalog = Catalog::open(dir.path()).unwrap();
        catalog.apply_deploys(&fixtures::deploys().into_values().collect::<Vec<_>>()).unwrap();
        Self { dir, bus, catalog }
    }

    /// The same shop after a restart of the process.
    async fn reopen(self) -> Self {
        let Self { dir, bus, catalog } = self;
        bus.close().await.unwrap();
        drop(catalog);
        let bus = Bus::open(&BusConfig::default(), dir.path()).await.unwrap();
        let catalog = Catalog::open(dir.path()).unwrap();
        Self { dir, bus, catalog }
    }

    async fn publish(&self, incidents: &[Incident]) {
        let record = |incident: &Incident| {
            Record::new(incident.id.clone(), serde_json::to_vec(&CloudEvent::incident(incident.clone())).unwrap())
        };
        self.bus.publish(Topic::Incidents, incidents.iter().map(record).collect()).await.unwrap();
    }

    fn notifier(&self, url: &str) -> Notifier {
        let channel = ChannelConfig {
            name: "push".to_owned(),
            kind: ChannelKind::Slack,
            url: Secret::new(url),
            image: false,
            repeat_unknown: false,
            timeout_s: 5,
        };
        let config = NotifyConfig { channels: vec![channel], routes: vec![] };
        Notifier::new(self.bus.clone(), self.catalog.clone(), Services::new(), config, "http://d").unwrap()
    }

    /// Runs a notifier until all that was published is committed.
    async fn run(&self, url: &str) {
        let stop = CancellationToken::new();
        let running = tokio::spawn(self.notifier(url).run(stop.clone()));
        while self.bus.lag(GROUP, Topic::Incidents).await.unwrap() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.cancel();
        running.await.unwrap().unwrap();
    }

    /// The reasons of what is in quarantine.
    async fn quarantined(&self) -> Vec<String> {
        let bounds = self.bus.bounds(Topic::Quarantine).await.unwrap();
        let from = deployline_bus::Position { partition: bounds[0].partition, offset: bounds[0].first };
        let records = self.bus.read(Topic::Quarantine, from, 100).await.unwrap();
        records.iter().map(|delivered| delivered.record.header("reason").unwrap().to_owned()).collect()
    }
}

fn texts(received: &mpsc::Receiver<(String, serde_json::Value)>) -> Vec<String> {
    received.try_iter().map(|(_, body)| body["text"].as_str().unwrap()[..11].to_owned()).collect()
}

#[tokio::test]
async fn a_regression_and_its_end_are_told_once_each() {
    let shop = Shop::open().await;
    let (url, received) = receiver(&[OK]);
    let suspected = Incident {
        revision: 1,
        state: deployline_schemas::incident::IncidentState::Suspected,
        ..fixtures::confirmed()
    };
    shop.publish(&[suspected, fixtures::confirmed(), fixtures::recovered()]).await;
    shop.run(&url).await;
    assert_eq!(texts(&received), ["[REGRESSED]", "[RECOVERED]"]);
    // The same revisions again, as after a crash of the publisher; and a restart of ours.
    shop.publish(&[fixtures::confirmed(), fixtures::recovered()]).await;
    let shop = shop.reopen().await;
    shop.run(&url).await;
    assert_eq!(texts(&received), Vec::<String>::new());
    assert!(shop.quarantined().await.is_empty());
}

#[tokio::test]
async fn a_busy_receiver_is_asked_again() {
    let shop = Shop::open().await;
    let (url, received) = receiver(&[LATER, LATER, OK]);
    shop.publish(&[fixtures::confirmed()]).await;
    shop.run(&url).await;
    let keys: Vec<_> = received.try_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["inc-1/2/push"; 3]);
    assert!(shop.quarantined().await.is_empty());
}

#[tokio::test]
async fn a_refusal_becomes_a_dead_letter_and_holds_nobody_up() {
    let shop = Shop::open().await;
    let (url, received) = receiver(&[GONE, OK]);
    let other = Incident { id: "inc-2".to_owned(), ..fixtures::confirmed() };
    shop.publish(&[fixtures::confirmed(), other]).await;
    shop.run(&url).await;
    assert_eq!(texts(&received), ["[REGRESSED]"; 2]);
    assert_eq!(shop.quarantined().await, ["delivery_failed"]);
}

#[tokio::test]
async fn what_may_have_arrived_is_not_sent_again() {
    let shop = Shop::open().await;
    let (url, received) = receiver(&["", OK]);
    shop.publish(&[fixtures::confirmed()]).await;
    shop.run(&url).await;
    let shop = shop.reopen().await;
    shop.run(&url).await;
    assert_eq!(texts(&received), ["[REGRESSED]"]);
    assert_eq!(shop.quarantined().await, ["delivery_unknown"]);
}

#[tokio::test]
async fn a_crash_in_mid_attempt_leaves_the_alert_unrepeated_and_on_record() {
    let shop = Shop::open().await;
    let (url, received) = receiver(&[OK]);
    shop.publish(&[fixtures::confirmed()]).await;
    let delivery = Delivery {
        incident_id: "inc-1".to_owned(),
        revision: 2,
        told: alert::Told::Regressed,
        channel: "push".to_owned(),
    };
    let ledger = Ledger::new(shop.catalog.clone());
    ledger.open(&delivery).unwrap();
    ledger.start(&delivery, 1).unwrap();
    drop(ledger);
    let shop = shop.reopen().await;
    shop.run(&url).await;
    assert_eq!(texts(&received), Vec::<String>::new());
    assert_eq!(shop.quarantined().await, ["delivery_unknown"]);
}

#[tokio::test]
async fn an_unreadable_record_is_put_aside() {
    let shop = Shop::open().await;
    let (url, received) = receiver(&[OK]);
    shop.bus.publish(Topic::Incidents, vec![Record::new("x", "{}")]).await.unwrap();
    shop.publish(&[fixtures::confirmed()]).await;
    shop.run(&url).await;
    assert_eq!(texts(&received), ["[REGRESSED]"]);
    assert_eq!(shop.quarantined().await, ["unreadable_incident"]);
}

#[tokio::test]
async fn what_a_silence_keeps_back_is_told_when_it_ends_if_it_still_lasts() {
    let shop = Shop::open().await;
    let (url, received) = receiver(&[OK]);
    shop.catalog.apply_incident(&fixtures::confirmed()).unwrap();
    let now = wall_clock()();
    let silence = deployline_schemas::Silence {
        id: "s-1".to_owned(),
        service: Some("check*".to_owned()),
        environment: None,
        deploy_id: None,
        from: now,
        until: now.plus(Duration::from_secs(3600)),
        by: None,
        note: None,
        created_at: now,
    };
    shop.catalog.put_silence(&silence).unwrap();
    shop.publish(&[fixtures::confirmed()]).await;
    shop.run(&url).await;
    let (notifier, stop) = (shop.notifier(&url), CancellationToken::new());
    assert_eq!(notifier.tell_unsilenced(&stop).await.unwrap(), Flow::Done);
    assert_eq!(texts(&received), Vec::<String>::new(), "silent");
    shop.catalog.put_silence(&deployline_schemas::Silence { until: now, ..silence }).unwrap();
    notifier.tell_unsilenced(&stop).await.unwrap();
    notifier.tell_unsilenced(&stop).await.unwrap();
    assert_eq!(texts(&received), ["[REGRESSED]"], "once");
    shop.publish(&[fixtures::recovered()]).await;
    shop.run(&url).await;
    assert_eq!(texts(&received), ["[RECOVERED]"]);
}
