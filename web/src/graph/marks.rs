//! Which deploys stand on a picture.

use deployline_render::MarkVerdict;
use deployline_schemas::{Deploy, Incident, signal::Services};

use super::{Marks, incident::verdict};

/// Past this many, `deploys=auto` draws only those that can have moved the series that are shown.
const CROWDED: usize = 60;

/// The deploys to draw out of those in the window.
pub fn chosen(
    deploys: Vec<Deploy>,
    marks: &Marks,
    services: &[&str],
    map: &Services,
    incidents: &[Incident],
) -> Vec<Deploy> {
    let is_suspect = |deploy: &Deploy| verdict(deploy, incidents) != MarkVerdict::Unknown;
    let is_near = |deploy: &Deploy| {
        let calls = |service: &&str| map.get(*service).is_some_and(|s| s.depends_on.contains(&deploy.service));
        services.iter().any(|service| *service == deploy.service) || services.iter().any(calls)
    };
    match marks {
        Marks::None => Vec::new(),
        Marks::All => deploys,
        Marks::Service(service) => deploys.into_iter().filter(|deploy| deploy.service == *service).collect(),
        Marks::Auto if deploys.len() <= CROWDED || services.is_empty() => deploys,
        Marks::Auto => deploys.into_iter().filter(|deploy| is_near(deploy) || is_suspect(deploy)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    #[test]
    fn a_crowded_window_keeps_what_can_matter() {
        let [guilty, innocent]: [Deploy; 2] = fixtures::deploys().try_into().unwrap();
        let deploys = |n: usize| [vec![guilty.clone()], vec![innocent.clone(); n]].concat();
        let incidents = [fixtures::incident()];
        let count = |n, marks: &Marks, services: &[&str]| {
            chosen(deploys(n), marks, services, &Services::default(), &incidents).len()
        };
        assert_eq!(count(3, &Marks::Auto, &["payments"]), 4);
        assert_eq!(count(100, &Marks::Auto, &["payments"]), 1);
        assert_eq!(count(100, &Marks::Auto, &["search"]), 101);
        assert_eq!(count(100, &Marks::All, &["payments"]), 101);
        assert_eq!(count(100, &Marks::None, &[]), 0);
    }
}
