//! The pages, as pure functions from view models to HTML. `maud` escapes every text; nothing here is ever `PreEscaped`
//! but the document type. No script is needed, and the content security policy allows none inline.

mod blame;
mod deploy;
mod home;
mod impact;
mod incident;
mod parts;
mod silences;

pub use blame::{BlameView, blame};
pub use deploy::{DeployView, deploy};
pub use home::{Filter, HomeView, Tally, home};
pub use incident::{IncidentView, incident};
pub use parts::{DeployRow, Drawing, SuspectRow};
pub use silences::{SilencesView, silences};

use maud::{DOCTYPE, Markup, html};
use warp::http::StatusCode;

use crate::error::Problem;

/// The style sheet, served at [`STYLE_PATH`].
pub const STYLE: &str = include_str!("../../assets/style.css");
/// The icon of the pages.
pub const ICON: &str = include_str!("../../assets/icon.svg");
/// Where pages look for the style sheet.
pub const STYLE_PATH: &str = "/assets/style.css";

/// A whole document around `main`.
fn document(title: &str, main: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Deployline" }
                link rel="stylesheet" href=(STYLE_PATH);
                link rel="icon" type="image/svg+xml" href="/assets/icon.svg";
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    a.brand href="/" { (logo()) "Deployline" }
                    nav aria-label="Pages" {
                        a href="/" { "Now" }
                        a href="/blame" { "What broke?" }
                        a href="/silences" { "Silences" }
                    }
                }
                main #main { (main) }
            }
        }
    }
}

/// The mark beside the name: a graph with one deploy line. Its colours come from the style sheet.
fn logo() -> Markup {
    html! {
        svg.logo viewBox="0 0 24 24" width="22" height="22" aria-hidden="true" {
            path.graph d="M2 17h8l3-9 3 6 2-3h4" {}
            path.line d="M10 3v18" {}
        }
    }
}

/// The page of an error.
pub fn problem(status: StatusCode, problem: &Problem) -> Markup {
    let title = status.canonical_reason().unwrap_or("Error");
    document(
        title,
        html! {
            h1 { (status.as_u16()) " " (title) }
            p { (problem.message) "." }
            p { a href="/" { "Back to what is going on now" } }
        },
    )
}
