//! The dashboards that ship, held against what is served.

use std::{collections::BTreeSet, path::Path};

use deployline_tests::{
    github::Deployment,
    server::{Server, Settings},
    shop::now,
};

#[test]
fn every_metric_on_the_grafana_dashboard_is_served() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards/grafana-deployline.json");
    let dashboard = std::fs::read_to_string(path).unwrap();
    let asked = metrics(&dashboard);
    assert!(asked.len() > 10, "{asked:?}");

    let server = Server::start(&Settings::default()).unwrap();
    // Some are there from the first hook on.
    let delivery = Deployment::new(145_988_746, "checkout", "ana", now()).created();
    assert_eq!(server.deliver(&delivery).unwrap().status, 202);
    let exposition = server.get("/metrics", &[]).unwrap().text();
    let served = metrics(&exposition);
    let missing: Vec<_> = asked.difference(&served).collect();
    assert!(missing.is_empty(), "on the dashboard and not served: {missing:?}");
}

/// The words in a text that name one of Deployline's metrics.
fn metrics(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("deployline_")).collect()
}
