//! `/metrics`: our own counters in Prometheus' text format, version 0.0.4.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
};

use warp::http::StatusCode;

/// Metrics on their way out. Samples of one name must be added one after the other.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    /// The name whose `HELP` and `TYPE` lines were written last.
    described: String,
}

impl Exposition {
    /// Adds a value that only grows. `name` ends in `_total`; label values may hold anything.
    pub fn counter(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: u64) {
        self.add(name, help, "counter", labels, value as f64);
    }

    /// Adds a value that goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: f64) {
        self.add(name, help, "gauge", labels, value);
    }

    /// The text so far.
    pub fn finish(self) -> String {
        self.text
    }

    fn add(&mut self, name: &str, help: &str, kind: &str, labels: &[(&str, &str)], value: f64) {
        if self.described != name {
            // Writing to a string has no way to fail.
            let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            name.clone_into(&mut self.described);
        }
        let labels: Vec<_> = labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escape(value))).collect();
        let _ = match labels.is_empty() {
            true => writeln!(self.text, "{name} {value}"),
            false => writeln!(self.text, "{name}{{{}}} {value}", labels.join(",")),
        };
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// How many requests were answered, by route and status. Routes are a fixed set, so this stays small.
#[derive(Debug, Default)]
pub struct Requests(Mutex<BTreeMap<(&'static str, u16), u64>>);

impl Requests {
    /// Counts one answer.
    pub fn count(&self, route: &'static str, status: StatusCode) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry((route, status.as_u16())).or_default() += 1;
    }

    /// Adds all counts.
    pub fn collect(&self, exposition: &mut Exposition) {
        for ((route, status), n_requests) in &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let labels = [("route", *route), ("status", &status.to_string())];
            exposition.counter("deployline_http_requests_total", "HTTP requests answered.", &labels, *n_requests);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_described_once_and_labels_escaped() {
        let mut exposition = Exposition::default();
        exposition.counter("a_total", "How many.", &[("source", "git\"hub\\\n")], 3);
        exposition.counter("a_total", "How many.", &[("source", "x")], 4);
        exposition.gauge("b", "How much.", &[], 0.5);
        let expected = "# HELP a_total How many.\n# TYPE a_total counter\na_total{source=\"git\\\"hub\\\\\\n\"} 3\n\
                        a_total{source=\"x\"} 4\n# HELP b How much.\n# TYPE b gauge\nb 0.5\n";
        assert_eq!(exposition.finish(), expected);
    }
}
