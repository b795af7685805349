//! `/`: what is going on now.

use deployline_notify::{alert, figures, links};
use deployline_schemas::{Deploy, Incident, UnixMillis};
use maud::{Markup, html};

use super::{
    document,
    parts::{DeployRow, Drawing, ago, deploy_item, drawing, outside, state},
};

/// What the page shows.
#[derive(Debug, Clone)]
pub struct HomeView {
    /// What time it is.
    pub now: UnixMillis,
    /// Where senders reach us.
    pub base_url: String,
    /// The figures on top.
    pub tally: Tally,
    /// Incidents that last or are recent, newest first, each with the deploy that is suspected most.
    pub incidents: Vec<(Incident, Option<Deploy>)>,
    /// One page of deploys, newest first.
    pub deploys: Vec<DeployRow>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
    /// What the list is narrowed to.
    pub filter: Filter,
    /// The graphs beside the list.
    pub graphs: Vec<Drawing>,
}

/// The figures on top of the page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Deploys of the last 24 hours.
    pub n_deploys: usize,
    /// Whether there are more of them than were counted.
    pub is_capped: bool,
    /// How many of them are watched at the moment.
    pub n_watching: usize,
    /// Incidents that last.
    pub n_open: usize,
}

/// What a list of deploys is narrowed to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// One service.
    pub service: Option<String>,
    /// One environment.
    pub environment: Option<String>,
}

impl Filter {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// As a query, each part followed by `&`.
    fn query(&self) -> String {
        let part = |name: &str, value: &Option<String>| {
            value.as_ref().map(|v| format!("{name}={}&", links::encode(v))).unwrap_or_default()
        };
        part("service", &self.service) + &part("environment", &self.environment)
    }
}

/// The page.
pub fn home(view: &HomeView) -> Markup {
    document(
        "Now",
        html! {
            h1.tally { (tally(view.tally)) }
            @if view.deploys.is_empty() && view.filter.is_empty() && view.next_cursor.is_none() {
                (empty(&view.base_url))
            } @else {
                @if !view.incidents.is_empty() {
                    section aria-labelledby="incidents" {
                        h2 #incidents { "Incidents" }
                        ul.incidents { @for (incident, suspect) in &view.incidents { (incident_item(incident, suspect.as_ref(), view.now)) } }
                    }
                }
                div.columns {
                    section aria-labelledby="deploys" {
                        h2 #deploys { "Deploys" }
                        (filter(&view.filter))
                        @if view.deploys.is_empty() { p { "No deploy fits." } }
                        ul.deploys { @for row in &view.deploys { (deploy_item(row, view.now)) } }
                        @if let Some(cursor) = &view.next_cursor {
                            p { a rel="next" href={ "/?" (view.filter.query()) "cursor=" (links::encode(cursor)) } { "Older deploys" } }
                        }
                    }
                    section.graphs aria-labelledby="graphs" {
                        h2 #graphs { "The last hour" }
                        @if view.graphs.is_empty() { (no_series(&view.base_url)) }
                        @for graph in &view.graphs { (drawing(graph)) }
                    }
                }
            }
        },
    )
}

fn tally(tally: Tally) -> Markup {
    let plural = |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    let deploys = match tally.is_capped {
        true => format!("more than {} deploys", tally.n_deploys),
        false => plural(tally.n_deploys, "deploy", "deploys"),
    };
    html! {
        span { (deploys) " in 24 h" } " · "
        span { (tally.n_watching) " watched" } " · "
        span.alarm[tally.n_open > 0] { (plural(tally.n_open, "open incident", "open incidents")) }
    }
}

fn filter(filter: &Filter) -> Markup {
    html! {
        form.filter method="get" action="/" {
            label { "Service " input type="search" name="service" value=[&filter.service] autocomplete="off"; }
            label { "Environment " input type="search" name="environment" value=[&filter.environment] autocomplete="off"; }
            button type="submit" { "Show" }
            @if !filter.is_empty() { a href="/" { "all" } }
        }
    }
}

fn incident_item(incident: &Incident, suspect: Option<&Deploy>, now: UnixMillis) -> Markup {
    let odds = incident.leading_suspect().map(|suspect| figures::odds(suspect.probability)).unwrap_or_default();
    html! {
        li.incident {
            div.head {
                a.change href=(links::incident("", &incident.id)) { (figures::one_line(&incident.summary)) }
                (state(incident.state))
            }
            p.meta {
                @match suspect {
                    Some(deploy) => {
                        "Suspect, " b { (odds) } ": " (alert::change(deploy))
                        @if let Some(actor) = &deploy.actor { " by " (actor) }
                        @if deploy.diff_url.is_some() { " · " (outside(deploy.diff_url.as_deref(), "diff")) }
                    }
                    None => "No deploy stands out",
                }
                " · began " (ago(incident.onset.at, now))
            }
        }
    }
}

/// What a fresh installation shows: the three things to copy and paste.
fn empty(base_url: &str) -> Markup {
    let base_url = base_url.trim_end_matches('/');
    html! {
        section.empty aria-labelledby="first" {
            h2 #first { "Waiting for the first deploy" }
            p { "Nothing has been deployed yet, as far as we were told. Tell us in one of these ways, then reload this page." }
            h3 { "By hand, or at the end of a deploy script" }
            pre { code {
                "curl -X POST " (base_url) "/api/v1/deploys \\\n"
                "  -H 'Content-Type: application/json' \\\n"
                "  -d '{\"service\": \"checkout\", \"version\": \"9bc1f2e\", \"actor\": \"'$USER'\", \"finished_at\": '$(date +%s)'}'"
            } }
            h3 { "From GitHub" }
            p { "Add a webhook to the repository: payload URL below, content type JSON, and of the individual events “Deployments” and “Deployment statuses”." }
            pre { code { (base_url) "/hooks/github" } }
            h3 { "From Deployinator" }
            pre { code { "curl -X POST " (base_url) "/hooks/deployinator --data-binary \"$LOG_LINE\"" } }
        }
    }
}

fn no_series(base_url: &str) -> Markup {
    html! {
        p.hint {
            "No known signal of these services has a datapoint yet. Send StatsD counters like "
            code { "checkout.http.requests" } " and " code { "checkout.http.5xx" }
            ", or tell in " code { "[[signal]]" } " what your series are called. "
            "Any series can be drawn at " code { (base_url.trim_end_matches('/')) "/graph.svg?target=NAME" } "."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixtures, verdict::DeployVerdict};

    fn view() -> HomeView {
        let now = "2026-11-23T14:20:00Z".parse().unwrap();
        let incidents = vec![fixtures::incident()];
        let row = |deploy: Deploy| DeployRow { verdict: DeployVerdict::new(&deploy, &incidents, now), deploy };
        HomeView {
            now,
            base_url: "http://127.0.0.1:8128/".to_owned(),
            tally: Tally { n_deploys: 2, is_capped: false, n_watching: 0, n_open: 1 },
            deploys: fixtures::deploys().into_iter().map(row).collect(),
            incidents: vec![(fixtures::incident(), fixtures::deploys().into_iter().next())],
            next_cursor: Some("a b".to_owned()),
            filter: Filter { service: Some("\"><script>".to_owned()), environment: None },
            graphs: vec![Drawing {
                title: "checkout error ratio".to_owned(),
                url: "/graph.svg?signal=error%20ratio&service=checkout".to_owned(),
            }],
        }
    }

    #[test]
    fn everything_from_outside_is_escaped() {
        let html = home(&view()).into_string();
        assert!(!html.contains("<script") && !html.contains("<b>totals") && !html.contains("javascript:"), "{html}");
        assert!(
            html.contains("bo &lt;script&gt;") && html.contains("Round &lt;b&gt;totals&lt;/b&gt; &amp; taxes once")
        );
    }

    #[test]
    fn the_guilty_deploy_has_its_word_odds_and_diff() {
        let html = home(&view()).into_string();
        for part in [
            "2 deploys in 24 h",
            "1 open incident<",
            "regressed <b>93 %</b>",
            "by ana",
            "17 min ago",
            "/d/checkout-9bc1f2e",
            "https://git.example/shop/compare/3f2a771...9bc1f2e",
            "/?service=%22%3E%3Cscript%3E&amp;cursor=a%20b",
            "theme=dark",
            "width=400&amp;height=280&amp;theme=dark",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn an_empty_page_says_how_to_begin() {
        let view =
            HomeView { deploys: vec![], incidents: vec![], next_cursor: None, filter: Filter::default(), ..view() };
        let html = home(&view).into_string();
        assert!(
            html.contains("curl -X POST http://127.0.0.1:8128/api/v1/deploys") && html.contains("/hooks/github"),
            "{html}"
        );
    }
}
