//! `/silences`: of what nobody is told for a while.

use deployline_notify::links;
use deployline_schemas::{Silence, UnixMillis};
use maud::{Markup, html};

use super::{
    document,
    parts::{clock, pill},
};

/// What the page shows.
#[derive(Debug, Clone)]
pub struct SilencesView {
    /// What time it is.
    pub now: UnixMillis,
    /// The proof that its forms are ours.
    pub token: String,
    /// The silences, last made first.
    pub silences: Vec<Silence>,
    /// What the form holds.
    pub service: String,
    /// See `service`.
    pub environment: String,
    /// See `service`.
    pub deploy_id: String,
}

/// The page.
pub fn silences(view: &SilencesView) -> Markup {
    document(
        "Silences",
        html! {
            h1 { "Silences" }
            p.hint { "While a silence holds, nobody is told of the incidents that fit it. They are judged, kept and shown all the same, and what still lasts when it ends is told then." }
            form.silence method="post" action="/silences" {
                input type="hidden" name="csrf" value=(view.token);
                label { "Service (* for any run of letters) " input type="text" name="service" value=(view.service) size="18" autocomplete="off"; }
                label { "Environment " input type="text" name="environment" value=(view.environment) size="14" autocomplete="off"; }
                label { "Deploy, by id " input type="text" name="deploy_id" value=(view.deploy_id) size="18" autocomplete="off"; }
                label { "For " input type="text" name="for" value="30m" size="6" required; }
                label { "By " input type="text" name="by" size="12" autocomplete="username"; }
                label { "Why " input type="text" name="note" size="28" maxlength="2000"; }
                button type="submit" { "Silence" }
            }
            @if view.silences.is_empty() { p { "There is none." } }
            @else {
                div.scroll { table {
                    thead { tr {
                        th scope="col" { "State" } th scope="col" { "Of what" } th scope="col" { "From" } th scope="col" { "Until" }
                        th scope="col" { "By, and why" } th scope="col" { span.unseen { "End it" } }
                    } }
                    tbody { @for silence in &view.silences { (row(silence, view)) } }
                } }
            }
        },
    )
}

fn row(silence: &Silence, view: &SilencesView) -> Markup {
    let has_ended = silence.until <= view.now;
    html! {
        tr {
            td {
                @if has_ended { (pill("calm", "–", "over", None)) }
                @else if silence.from > view.now { (pill("watch", "◔", "to come", None)) }
                @else { (pill("warn", "∅", "silent", None)) }
            }
            th scope="row" { (of_what(silence)) }
            td { (clock(silence.from, view.now)) }
            td { (clock(silence.until, view.now)) }
            td {
                @if let Some(by) = &silence.by { (by) }
                @if let Some(note) = &silence.note { span.meta { " " (note) } }
            }
            td {
                @if !has_ended {
                    form method="post" action={ "/silences/" (links::encode(&silence.id)) "/end" } {
                        input type="hidden" name="csrf" value=(view.token);
                        button.quiet type="submit" { "End it" }
                    }
                }
            }
        }
    }
}

/// What a silence speaks of, in words.
fn of_what(silence: &Silence) -> Markup {
    html! {
        @match silence.service.as_deref() {
            None | Some("*") => { "every service" }
            Some(service) => { (service) }
        }
        @if let Some(environment) = &silence.environment { " in " (environment) }
        @if let Some(id) = &silence.deploy_id { ", through " a href=(links::deploy("", id)) { "deploy " (id) } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_that_holds_can_be_ended_and_one_that_is_over_can_not() {
        let silence = |id: &str, until| Silence {
            id: id.to_owned(),
            service: Some("<b>checkout".to_owned()),
            environment: None,
            deploy_id: None,
            from: UnixMillis::from_secs(100),
            until: UnixMillis::from_secs(until),
            by: Some("ana".to_owned()),
            note: Some("known & fine".to_owned()),
            created_at: UnixMillis::from_secs(100),
        };
        let view = SilencesView {
            now: UnixMillis::from_secs(300),
            token: "t0ken".to_owned(),
            silences: vec![silence("s-1", 200), silence("s-2", 400)],
            service: String::new(),
            environment: String::new(),
            deploy_id: String::new(),
        };
        let html = silences(&view).into_string();
        assert!(html.contains("/silences/s-2/end") && !html.contains("/silences/s-1/end"), "{html}");
        assert!(html.contains("&lt;b&gt;checkout") && html.contains("known &amp; fine") && html.contains("t0ken"));
    }
}
