//! `/render?graphType=pie`: each series as its share of their sum.

use deployline_render::{
    Pie,
    graphite::Series,
    pie::{Labels, Slice},
};

use super::look::Asked;
use crate::{error::WebError, graph::Format, graphite::window::Window, library::Library, query::Query};

/// Least share in percent, or value, that has a label if nobody says.
const LEAST_LABEL: f64 = 5.0;

/// A pie, as asked for.
#[derive(Debug, Clone)]
pub struct PieQuery {
    targets: Vec<String>,
    window: Window,
    mode: Mode,
    colors: Vec<((u8, u8, u8), Option<f64>)>,
    /// The pie without its slices.
    pie: Pie,
}

/// What of a series is its part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Average,
    Maximum,
    Minimum,
}

impl PieQuery {
    /// Reads the parameters.
    ///
    /// # Errors
    /// [`WebError::Refused`] that names the parameter.
    pub fn parse(query: &Query, targets: Vec<String>, window: Window) -> Result<Self, WebError> {
        let asked = Asked(query);
        let (width, height) = asked.size()?;
        let modes = [("average", Mode::Average), ("maximum", Mode::Maximum), ("minimum", Mode::Minimum)];
        let labels = [("none", Labels::None), ("number", Labels::Number), ("percent", Labels::Percent)];
        // Our labels are never rotated; the words are those that Graphite takes.
        asked.word("pieLabels", &[("horizontal", ()), ("rotated", ())])?;
        let pie = Pie {
            width,
            height,
            theme: asked.theme()?,
            colors: asked.colors()?,
            title: query.text("title").map(|title| deployline_notify::figures::clip(&title, 200)).unwrap_or_default(),
            slices: Vec::new(),
            alpha: asked.number("areaAlpha")?.unwrap_or(1.0),
            legend: !query.is_set("hideLegend"),
            labels: asked.word("valueLabels", &labels)?.unwrap_or_default(),
            least_label: asked.number("valueLabelsMin")?.unwrap_or(LEAST_LABEL),
            label_color: asked.color("valueLabelsColor")?.map(|(rgb, _)| rgb),
            margin: asked.number("margin")?.filter(|margin| *margin >= 0.0),
            font_size: asked.number("fontSize")?.filter(|size| *size > 0.0),
        };
        let mode = asked.word("pieMode", &modes)?.unwrap_or_default();
        Ok(Self { targets, window, mode, colors: asked.palette(), pie })
    }

    /// Draws it. Blocks as a graph does.
    ///
    /// # Errors
    /// A target that makes no sense, a failed read, or a format that pies have not.
    pub fn draw(mut self, library: &Library, format: Format) -> Result<Vec<u8>, WebError> {
        for target in &self.targets {
            // Graphite takes `name:value` for a slice that no series has.
            if let Some((name, value)) = target.split_once(':').and_then(|(n, v)| Some((n, v.trim().parse().ok()?))) {
                self.pie.slices.push(Slice { name: name.to_owned(), value, color: None });
                continue;
            }
            let series = self.window.evaluate(library, std::slice::from_ref(target))?;
            let slice = |one: &Series| Slice { name: one.name.clone(), value: self.mode.of(&one.values), color: None };
            self.pie.slices.extend(series.iter().map(slice));
        }
        if !self.colors.is_empty() {
            let colors = self.colors.iter().cycle();
            self.pie.slices.iter_mut().zip(colors).for_each(|(slice, (rgb, _))| slice.color = Some(*rgb));
        }
        match format {
            Format::Png => Ok(self.pie.png()),
            Format::Svg => Ok(self.pie.svg().into_bytes()),
            Format::Text(_) => Err(WebError::parameter("graphType", "a terminal has no pies")),
        }
    }
}

impl Mode {
    /// The part of a series: of the values that it has.
    fn of(self, values: &[f64]) -> f64 {
        let known = || values.iter().copied().filter(|value| value.is_finite());
        match self {
            Self::Average => known().sum::<f64>() / known().count().max(1) as f64,
            Self::Maximum => known().reduce(f64::max).unwrap_or(0.0),
            Self::Minimum => known().reduce(f64::min).unwrap_or(0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_of_the_values_that_there_are() {
        let values = [1.0, f64::NAN, 5.0];
        let parts = [Mode::Average, Mode::Maximum, Mode::Minimum].map(|mode| mode.of(&values));
        assert_eq!((parts, Mode::Average.of(&[f64::NAN])), ([3.0, 5.0, 1.0], 0.0));
    }

    #[test]
    fn a_pies_parameters_are_checked() {
        let parse = |raw: &str| {
            let query = Query::parse(raw).unwrap();
            let window = Window::parse(&query, 1_000_000).unwrap();
            PieQuery::parse(&query, vec![], window).map_err(|error| error.to_string())
        };
        let query = parse("pieMode=maximum&valueLabels=number&valueLabelsMin=0&hideLegend=true&width=500").unwrap();
        assert_eq!((query.mode, query.pie.labels, query.pie.width), (Mode::Maximum, Labels::Number, 500));
        assert!(!query.pie.legend);
        assert_eq!(parse("pieMode=median").unwrap_err(), "`median` is none of average, maximum, minimum");
        assert_eq!(parse("valueLabels=all").unwrap_err(), "`all` is none of none, number, percent");
    }
}
