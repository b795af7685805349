//! `/render` as a picture: Graphite's image parameters in our charts' terms.

use deployline_render::{
    AreaMode, Shape, Theme,
    chart::{SIZE_LIMITS, named_color},
};
use deployline_schemas::UnixMillis;
use warp::reply::Response;

use super::window::Window;
use crate::{
    app::App,
    error::WebError,
    graph::{Format, GraphQuery, Look, Marks, draw},
    library::{blocking, in_turn},
    query::Query,
    response,
};

/// Graphite's size of a picture with none asked, in pixels.
const DEFAULT_SIZE: (usize, usize) = (330, 250);

/// What is to be drawn. Parameters that our charts have no use for are ignored, as Graphite ignores what it does not know.
///
/// # Errors
/// [`WebError::Refused`] that names the parameter.
pub fn graph(query: &Query, targets: Vec<String>, window: Window) -> Result<GraphQuery, WebError> {
    let bounds = (SIZE_LIMITS.0 as usize, SIZE_LIMITS.1 as usize);
    let size = |name, default| query.count(name, default, bounds).map(|size| size as u32);
    Ok(GraphQuery {
        targets,
        signal: None,
        service: None,
        from: UnixMillis::from_secs(window.from_s),
        until: UnixMillis::from_secs(window.until_s),
        width: size("width", DEFAULT_SIZE.0)?,
        height: size("height", DEFAULT_SIZE.1)?,
        theme: theme(query)?,
        time_zone: window.time_zone.clone(),
        // Graphite's pictures have no title unless one is asked for.
        title: Some(query.text("title").map(|title| deployline_notify::figures::clip(&title, 200)).unwrap_or_default()),
        marks: query.get("deploys").map_or(Ok(Marks::Auto), str::parse)?,
        strict: false,
        look: look(query)?,
        window: Some(window),
    })
}

fn theme(query: &Query) -> Result<Theme, WebError> {
    match (query.get("theme"), query.get("bgcolor").and_then(named_color)) {
        (Some("dark"), _) => Ok(Theme::Dark),
        (None | Some("light"), None) => Ok(Theme::Light),
        (Some("light"), Some(_)) => Ok(Theme::Light),
        // The themes' contrasts are checked, a background of somebody's choice is not: the nearer theme is taken.
        (None, Some((red, green, blue))) => {
            let is_dark = u32::from(red) + u32::from(green) + u32::from(blue) < 3 * 128;
            Ok(if is_dark { Theme::Dark } else { Theme::Light })
        }
        (Some(other), _) => Err(WebError::parameter("theme", format!("`{other}` is not light or dark"))),
    }
}

fn look(query: &Query) -> Result<Look, WebError> {
    let number = |name: &str| match query.get(name).map(str::trim) {
        None => Ok(None),
        Some(text) => match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Some(value)),
            _ => Err(WebError::parameter(name, format!("`{text}` is not a number"))),
        },
    };
    let flag = |name: &str| query.get(name).map(|_| query.is_set(name));
    Ok(Look {
        value_title: query.text("vtitle").map(|title| deployline_notify::figures::clip(&title, 80)),
        value_min: number("yMin")?,
        value_max: number("yMax")?,
        line_width: number("lineWidth")?.filter(|width| (0.1..=20.0).contains(width)),
        shape: match query.get("lineMode") {
            Some("staircase") => Some(Shape::Staircase),
            _ => None,
        },
        joins_gaps: query.get("lineMode") == Some("connected"),
        area: match query.get("areaMode") {
            Some("first") => AreaMode::First,
            Some("all") => AreaMode::All,
            Some("stacked") => AreaMode::Stacked,
            _ => AreaMode::None,
        },
        legend: flag("hideLegend").map(|hidden| !hidden),
        gaps_are_zeros: query.is_set("drawNullAsZero"),
        colors: query.get("colorList").unwrap_or_default().split(',').filter_map(named_color).take(64).collect(),
    })
}

/// Draws the picture when it is its turn, and answers with it.
///
/// # Errors
/// 503 when too many are being drawn; a target that makes no sense; a failed read.
pub async fn answer(app: &App, graph: GraphQuery, format: Format) -> Result<Response, WebError> {
    let too_many = "too many pictures are being drawn; `web.max_drawings` allows more";
    let turn = in_turn(&app.drawings, "too_many_drawings", too_many).await?;
    let picture = blocking(app, move |library| {
        // Held by the thread that draws: a caller who goes away must not make room for one more.
        let _turn = turn;
        draw(library, &graph, format)
    });
    let content_type = match format {
        Format::Png => "image/png",
        Format::Svg => "image/svg+xml; charset=utf-8",
        Format::Text(_) => "text/plain; charset=utf-8",
    };
    Ok(response::bytes(content_type, picture.await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graphites_image_parameters_are_understood() {
        let query = Query::parse(
            "width=586&height=308&bgcolor=black&yMin=0&yMax=1e3&areaMode=stacked&lineMode=connected\
             &colorList=red,%2300ff00&hideLegend=true&vtitle=ms&drawNullAsZero=1&title=t",
        )
        .unwrap();
        let graph = graph(&query, vec![], Window::parse(&query, 1_000_000).unwrap()).unwrap();
        assert_eq!(
            (graph.width, graph.height, graph.theme, graph.title.as_deref()),
            (586, 308, Theme::Dark, Some("t"))
        );
        let look = graph.look;
        assert_eq!((look.value_min, look.value_max, look.area), (Some(0.0), Some(1000.0), AreaMode::Stacked));
        assert_eq!((look.colors, look.legend), (vec![(200, 0, 50), (0, 255, 0)], Some(false)));
        assert!(look.joins_gaps && look.gaps_are_zeros);
    }
}
