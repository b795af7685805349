//! `/render` as a picture: Graphite's image parameters in our charts' terms.

mod look;
mod pie;
mod template;

use deployline_schemas::UnixMillis;
use warp::reply::Response;

pub use pie::PieQuery;

use super::window::Window;
use crate::{
    app::App,
    error::WebError,
    graph::{Compare, Format, GraphQuery, Look, Marks, draw},
    library::{Library, blocking, in_turn},
    query::Query,
    response,
};
use look::Asked;

/// What is to be drawn.
#[derive(Debug, Clone)]
pub enum Picture {
    /// Series over time.
    Graph(Box<GraphQuery>),
    /// Shares of a whole.
    Pie(Box<PieQuery>),
}

/// Reads what is to be drawn. Parameters that our charts have no use for are ignored, as Graphite ignores what it does not know.
///
/// # Errors
/// [`WebError::Refused`] that names the parameter.
pub fn picture(query: &Query, targets: Vec<String>, window: Window) -> Result<Picture, WebError> {
    match Asked(query).word("graphType", &[("line", false), ("pie", true)])? {
        Some(true) => Ok(Picture::Pie(Box::new(PieQuery::parse(query, targets, window)?))),
        _ => Ok(Picture::Graph(Box::new(graph(query, targets, window)?))),
    }
}

/// What Graphite's image parameters ask of a graph.
///
/// # Errors
/// [`WebError::Refused`] that names the parameter.
pub fn look(query: &Query) -> Result<Look, WebError> {
    Asked(query).look()
}

fn graph(query: &Query, targets: Vec<String>, window: Window) -> Result<GraphQuery, WebError> {
    let asked = Asked(query);
    let (width, height) = asked.size()?;
    let compare: Option<Compare> = query.get("compare").map(str::parse).transpose()?;
    if compare == Some(Compare::Before) {
        return Err(WebError::parameter("compare", "before and after are drawn by /graph.png and /graph.svg"));
    }
    Ok(GraphQuery {
        targets,
        signal: None,
        service: None,
        from: UnixMillis::from_secs(window.from_s),
        until: UnixMillis::from_secs(window.until_s),
        width,
        height,
        theme: asked.theme()?,
        time_zone: window.time_zone.clone(),
        // Graphite's pictures have no title unless one is asked for.
        title: Some(query.text("title").map(|title| deployline_notify::figures::clip(&title, 200)).unwrap_or_default()),
        marks: query.get("deploys").map_or(Ok(Marks::Auto), str::parse)?,
        deploy: None,
        is_around: false,
        compare,
        strict: false,
        look: asked.look()?,
        window: Some(window),
    })
}

/// Draws the picture when it is its turn, and answers with it.
///
/// # Errors
/// 503 when too many are being drawn; a target that makes no sense; a failed read.
pub async fn answer(app: &App, picture: Picture, format: Format) -> Result<Response, WebError> {
    let too_many = "too many pictures are being drawn; `web.max_drawings` allows more";
    let turn = in_turn(&app.drawings, "too_many_drawings", too_many).await?;
    let settings = app.parts.settings.clone();
    let bytes = blocking(app, move |library: &Library| {
        // Held by the thread that draws: a caller who goes away must not make room for one more.
        let _turn = turn;
        match picture {
            Picture::Graph(graph) => draw(library, &settings, &graph, format),
            Picture::Pie(pie) => pie.draw(library, format),
        }
    });
    let content_type = match format {
        Format::Png => "image/png",
        Format::Svg => "image/svg+xml; charset=utf-8",
        Format::Text(_) => "text/plain; charset=utf-8",
    };
    Ok(response::bytes(content_type, bytes.await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_title_and_kind_are_understood() {
        let query = |raw: &str| {
            let query = Query::parse(raw).unwrap();
            picture(&query, vec![], Window::parse(&query, 1_000_000).unwrap()).map_err(|error| error.to_string())
        };
        let Picture::Graph(graph) = query("width=586&height=308&bgcolor=black&title=t").unwrap() else {
            panic!("a graph is what is drawn if nothing is said");
        };
        assert_eq!((graph.width, graph.height, graph.title.as_deref()), (586, 308, Some("t")));
        assert!(matches!(query("graphType=pie"), Ok(Picture::Pie(_))));
        assert_eq!(query("graphType=bar").unwrap_err(), "`bar` is none of line, pie");
    }
}
