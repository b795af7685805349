//! Which services a bad deploy can show in: the dependency graph, followed from callee to caller.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use deployline_schemas::signal::Services;

/// How many hops a failure is followed.
const MOST_HOPS: usize = 2;

/// The services in whose signals a deploy of each service can show, with their distance in hops.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    callers: BTreeMap<String, Vec<String>>,
}

impl Scope {
    /// Turns "checkout depends on auth" around into "auth shows in checkout".
    pub fn new(services: &Services) -> Self {
        let mut callers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (caller, service) in services {
            for callee in &service.depends_on {
                callers.entry(callee.clone()).or_default().push(caller.clone());
            }
        }
        Self { callers }
    }

    /// The services within reach of a deploy of `service`, itself at distance 0 first, then by distance and name.
    pub fn reach(&self, service: &str) -> Vec<(String, usize)> {
        let mut seen = BTreeSet::from([service.to_owned()]);
        let mut queue = VecDeque::from([(service.to_owned(), 0)]);
        let mut reached = Vec::new();
        while let Some((name, hops)) = queue.pop_front() {
            if hops < MOST_HOPS {
                for caller in self.callers.get(&name).into_iter().flatten() {
                    if seen.insert(caller.clone()) {
                        queue.push_back((caller.clone(), hops + 1));
                    }
                }
            }
            reached.push((name, hops));
        }
        reached
    }

    /// How many hops a failure of `from` takes to show in `to`; `None` where it cannot within `MOST_HOPS`.
    pub fn hops(&self, from: &str, to: &str) -> Option<usize> {
        self.reach(from).into_iter().find(|(name, _)| name == to).map(|(_, hops)| hops)
    }
}

/// The probability that a service `hops` away moves when a deploy is bad.
pub fn reach_probability(hops: usize) -> f64 {
    match hops {
        0 => 0.9,
        1 => 0.3,
        _ => 0.08,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_travel_from_callee_to_caller_and_not_back() {
        let services: Services = serde_json::from_str(
            r#"{"checkout": {"depends_on": ["auth", "cart"]}, "cart": {"depends_on": ["auth"]}, "page": {"depends_on": ["checkout"]}}"#,
        )
        .unwrap();
        let scope = Scope::new(&services);
        assert_eq!(scope.hops("auth", "checkout"), Some(1));
        assert_eq!(scope.hops("auth", "page"), Some(2));
        assert_eq!(scope.hops("checkout", "auth"), None);
        assert_eq!(scope.hops("search", "search"), Some(0));
        assert_eq!(scope.reach("auth").len(), 4);
    }
}
