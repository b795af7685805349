//! Graphite's image parameters as a picture's looks.

use deployline_render::{
    AreaMode, Colors, Frame, Scale, Shape, Theme, Top, Unit,
    chart::{SIZE_LIMITS, color},
    is_time_format,
};

use super::template::{Color, colors, template};
use crate::{
    error::WebError,
    graph::{Look, Pen},
    query::Query,
};

/// Longest title of an axis, in characters.
const MAX_WORDS: usize = 80;

/// Graphite's size of a picture with none asked, in pixels.
const DEFAULT_SIZE: (usize, usize) = (330, 250);

/// Parameters read with Graphite's rules: `default` and nothing are the same.
pub struct Asked<'q>(pub &'q Query);

impl<'q> Asked<'q> {
    /// A parameter's text.
    pub fn text(&self, name: &str) -> Option<&'q str> {
        self.0.get(name).map(str::trim).filter(|text| !text.is_empty() && !text.eq_ignore_ascii_case("default"))
    }

    /// Width and height, within the renderer's limits.
    ///
    /// # Errors
    /// What is no whole number.
    pub fn size(&self) -> Result<(u32, u32), WebError> {
        let bounds = (SIZE_LIMITS.0 as usize, SIZE_LIMITS.1 as usize);
        let size = |name, default| self.0.count(name, default, bounds).map(|size| size as u32);
        Ok((size("width", DEFAULT_SIZE.0)?, size("height", DEFAULT_SIZE.1)?))
    }

    /// A finite number.
    ///
    /// # Errors
    /// What is none.
    pub fn number(&self, name: &str) -> Result<Option<f64>, WebError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Some(value)),
            _ => Err(WebError::parameter(name, format!("`{text}` is not a number"))),
        }
    }

    fn either(&self, names: [&str; 2]) -> Result<Option<f64>, WebError> {
        self.number(names[0])?.map_or_else(|| self.number(names[1]), |value| Ok(Some(value)))
    }

    /// One of several words, in whatever case.
    ///
    /// # Errors
    /// Any other word, with those that would do.
    pub fn word<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, WebError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let found = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        let known = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        let wrong = || WebError::parameter(name, format!("`{text}` is none of {}", known()));
        found.map(|(_, meaning)| Some(*meaning)).ok_or_else(wrong)
    }

    fn is_set(&self, name: &str) -> bool {
        self.text(name).is_some() && self.0.is_set(name)
    }

    /// A colour, or the template's.
    ///
    /// # Errors
    /// What is no colour.
    pub fn color(&self, name: &str) -> Result<Option<Color>, WebError> {
        let of_template = self.text("template").and_then(|name_of| template(name_of)(name));
        let Some(text) = self.text(name).or(of_template) else { return Ok(None) };
        let forms = "a name as `red`, or digits as `ff8800`";
        let wrong = || WebError::parameter(name, format!("`{text}` is not a colour: write {forms}"));
        color(text).map(Some).ok_or_else(wrong)
    }

    /// The colours of series in turn.
    pub fn palette(&self) -> Vec<Color> {
        let of_template = self.text("template").and_then(|name| template(name)("colorList"));
        self.text("colorList").or(of_template).map(colors).unwrap_or_default()
    }

    /// The colours of paper, words and grid.
    ///
    /// # Errors
    /// What is no colour.
    pub fn colors(&self) -> Result<Colors, WebError> {
        let rgb = |name| Ok::<_, WebError>(self.color(name)?.map(|(rgb, _)| rgb));
        Ok(Colors {
            paper: rgb("bgcolor")?,
            ink: rgb("fgcolor")?,
            grid: rgb("majorGridLineColor")?,
            minor_grid: rgb("minorGridLineColor")?,
        })
    }

    /// Light or dark; where a background is asked for, the one that stands out from it.
    ///
    /// # Errors
    /// Any other word.
    pub fn theme(&self) -> Result<Theme, WebError> {
        let asked = self.word("theme", &[("light", Theme::Light), ("dark", Theme::Dark)])?;
        let paper = self.color("bgcolor")?.map(|(rgb, _)| rgb);
        Ok(asked.or(paper.map(Theme::upon)).unwrap_or_default())
    }

    /// What Graphite's image parameters ask for.
    ///
    /// # Errors
    /// [`WebError::Refused`] that names the parameter.
    pub fn look(&self) -> Result<Look, WebError> {
        let mode = self.word(
            "lineMode",
            &[("slope", (None, false)), ("connected", (None, true)), ("staircase", (Some(Shape::Staircase), false))],
        )?;
        let (shape, is_connected) = mode.unwrap_or_default();
        let limit = self.number("connectedLimit")?.map_or(usize::MAX, |limit| limit.max(0.0) as usize);
        let areas = [
            ("none", AreaMode::None),
            ("first", AreaMode::First),
            ("all", AreaMode::All),
            ("stacked", AreaMode::Stacked),
        ];
        Ok(Look {
            colors: self.colors()?,
            frame: self.frame()?,
            left: self.scale(
                ["yMin", "yMinLeft"],
                ["yMax", "yMaxLeft"],
                ["yLimit", "yLimitLeft"],
                ["yStep", "yStepLeft"],
                "vtitle",
            )?,
            right: self.scale(
                ["yMinRight"; 2],
                ["yMaxRight"; 2],
                ["yLimitRight"; 2],
                ["yStepRight"; 2],
                "vtitleRight",
            )?,
            area: self.word("areaMode", &areas)?.unwrap_or_default(),
            area_alpha: self.number("areaAlpha")?.map(|alpha| alpha.clamp(0.0, 1.0)),
            palette: self.palette(),
            line_width: self.either(["lineWidth", "thickness"])?.filter(|width| (0.1..=20.0).contains(width)),
            on_left: self.pen(["leftColor", "leftWidth", "leftDashed"])?,
            on_right: self.pen(["rightColor", "rightWidth", "rightDashed"])?,
            shape,
            joins: is_connected.then_some(limit),
            gaps_are_zeros: self.is_set("drawNullAsZero"),
            least_distance: self.number("minXStep")?.filter(|distance| *distance > 0.0),
        })
    }

    fn frame(&self) -> Result<Frame, WebError> {
        let format = self.text("xFormat");
        if let Some(format) = format.filter(|format| !is_time_format(format)) {
            let message = format!("`{format}` is not made of strftime's signs, as in `%H:%M`");
            return Err(WebError::parameter("xFormat", message));
        }
        let hides_axes = self.is_set("hideAxes");
        let has_minor = self.text("minorGridLineColor").is_some() || self.text("minorY").is_some();
        let n_minor = self.number("minorY")?.unwrap_or(1.0).clamp(0.0, 20.0) as usize;
        Ok(Frame {
            bare: self.is_set("graphOnly"),
            margin: self.number("margin")?.filter(|margin| *margin >= 0.0),
            font_size: self.number("fontSize")?.filter(|size| *size > 0.0),
            bold: self.is_set("fontBold"),
            legend: self.text("hideLegend").map(|_| !self.is_set("hideLegend")),
            unique_names: self.is_set("uniqueLegend"),
            hide_empty: self.is_set("hideNullFromLegend"),
            deploy_legend: None,
            hide_grid: hides_axes || self.is_set("hideGrid"),
            hide_times: hides_axes || self.is_set("hideXAxis"),
            hide_values: hides_axes || self.is_set("hideYAxis"),
            values_right: self.word("yAxisSide", &[("left", false), ("right", true)])?.unwrap_or_default(),
            n_minor: if has_minor { n_minor } else { 0 },
            time_format: format.map(str::to_owned),
        })
    }

    fn scale(
        &self,
        min: [&str; 2],
        max: [&str; 2],
        limit: [&str; 2],
        step: [&str; 2],
        title: &str,
    ) -> Result<Scale, WebError> {
        let systems = [
            ("si", Unit::Plain),
            ("binary", Unit::Binary),
            ("sec", Unit::Seconds),
            ("msec", Unit::Milliseconds),
            ("none", Unit::Bare),
        ];
        let is_greatest = max.iter().any(|name| self.text(name).is_some_and(|text| text.eq_ignore_ascii_case("max")));
        let top = if is_greatest { Top::Greatest } else { self.either(max)?.map_or(Top::Round, Top::At) };
        let log_base = match self.text("logBase") {
            Some("e") => Some(std::f64::consts::E),
            // As in Graphite, what is no base is none.
            _ => self.number("logBase")?.filter(|base| *base > 1.0),
        };
        Ok(Scale {
            title: self
                .0
                .text(title)
                .map(|title| deployline_notify::figures::clip(&title, MAX_WORDS))
                .unwrap_or_default(),
            unit: self.word("yUnitSystem", &systems)?.unwrap_or_default(),
            min: self.either(min)?,
            top,
            limit: self.either(limit)?,
            step: self.either(step)?.filter(|step| *step > 0.0),
            n_steps: self.divisors()?,
            log_base,
        })
    }

    /// The greatest of the numbers of divisions that may be chosen from.
    fn divisors(&self) -> Result<Option<usize>, WebError> {
        let Some(text) = self.text("yDivisors") else { return Ok(None) };
        let each: Option<Vec<usize>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
        let wrong = || WebError::parameter("yDivisors", format!("`{text}` is not a list of whole numbers"));
        Ok(each.ok_or_else(wrong)?.into_iter().max().filter(|n| *n > 0))
    }

    fn pen(&self, [color, width, dash]: [&str; 3]) -> Result<Pen, WebError> {
        Ok(Pen {
            color: self.color(color)?,
            width: self.number(width)?.filter(|width| *width > 0.0),
            dash: self.number(dash)?.filter(|dash| *dash > 0.0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(raw: &str) -> Result<Look, String> {
        Asked(&Query::parse(raw).unwrap()).look().map_err(|error| error.to_string())
    }

    #[test]
    fn the_axes_are_those_asked_for() {
        let look = look(
            "yMin=1&yMaxLeft=9.5&yLimit=7&yStep=2&yMinRight=-3&yMaxRight=max&yStepRight=5&vtitle=ms&vtitleRight=/s\
             &yUnitSystem=binary&logBase=2&yDivisors=3,4,8",
        );
        let look = look.unwrap();
        let scale = Scale { unit: Unit::Binary, log_base: Some(2.0), n_steps: Some(8), ..Scale::default() };
        let left = Scale {
            title: "ms".to_owned(),
            min: Some(1.0),
            top: Top::At(9.5),
            limit: Some(7.0),
            step: Some(2.0),
            ..scale.clone()
        };
        let right = Scale { title: "/s".to_owned(), min: Some(-3.0), top: Top::Greatest, step: Some(5.0), ..scale };
        assert_eq!((look.left, look.right), (left, right));
    }

    #[test]
    fn what_stands_around_the_plot_is_as_asked_for() {
        let frame = |raw: &str| look(raw).unwrap().frame;
        assert_eq!(frame("width=400"), Frame::default());
        let all = frame("hideAxes=true");
        assert!(all.hide_grid && all.hide_times && all.hide_values);
        let one =
            frame("hideYAxis=1&hideGrid=false&yAxisSide=right&margin=0&fontSize=14&uniqueLegend=true&xFormat=%25H");
        assert!(one.hide_values && !one.hide_grid && one.values_right && one.unique_names);
        assert_eq!((one.margin, one.font_size, one.time_format.as_deref()), (Some(0.0), Some(14.0), Some("%H")));
        assert_eq!((frame("hideLegend=false").legend, frame("hideLegend=true").legend), (Some(true), Some(false)));
        assert_eq!((frame("minorGridLineColor=red").n_minor, frame("minorY=3").n_minor, frame("").n_minor), (1, 3, 0));
        assert!(frame("graphOnly=true").bare);
    }

    #[test]
    fn lines_and_areas_are_as_asked_for() {
        let one = look(
            "lineMode=Connected&connectedLimit=3&areaMode=stacked&areaAlpha=0.4&colorList=red,%2300ff00&lineWidth=3\
             &drawNullAsZero=1&rightColor=blue&rightWidth=2&rightDashed=4&minXStep=2",
        )
        .unwrap();
        assert_eq!((one.joins, one.shape, one.area, one.area_alpha), (Some(3), None, AreaMode::Stacked, Some(0.4)));
        assert_eq!(one.palette, [((200, 0, 50), None), ((0, 255, 0), None)]);
        assert_eq!((one.line_width, one.gaps_are_zeros, one.least_distance), (Some(3.0), true, Some(2.0)));
        let blue = Pen { color: Some(((100, 100, 255), None)), width: Some(2.0), dash: Some(4.0) };
        assert_eq!((one.on_right, one.on_left), (blue, Pen::default()));
        assert_eq!(look("lineMode=staircase").unwrap().shape, Some(Shape::Staircase));
        assert_eq!(look("lineMode=connected").unwrap().joins, Some(usize::MAX));
    }

    #[test]
    fn a_template_gives_colours_and_parameters_come_before_it() {
        let one = look("template=solarized-dark&fgcolor=white").unwrap();
        assert_eq!((one.colors.paper, one.colors.ink), (Some((0, 0x2b, 0x36)), Some((255, 255, 255))));
        assert_eq!(one.palette.len(), 8);
        let theme = |raw: &str| Asked(&Query::parse(raw).unwrap()).theme().unwrap();
        assert_eq!(
            (theme("template=solarized-dark"), theme("bgcolor=white"), theme("")),
            (Theme::Dark, Theme::Light, Theme::Light)
        );
        assert_eq!(theme("bgcolor=black&theme=light"), Theme::Light);
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (raw, expected) in [
            ("yMin=low", "`low` is not a number"),
            ("lineMode=wavy", "`wavy` is none of slope, connected, staircase"),
            ("areaMode=some", "`some` is none of none, first, all, stacked"),
            ("yUnitSystem=imperial", "`imperial` is none of si, binary, sec, msec, none"),
            ("bgcolor=nice", "`nice` is not a colour: write a name as `red`, or digits as `ff8800`"),
            ("xFormat=%25!", "`%!` is not made of strftime's signs, as in `%H:%M`"),
            ("yDivisors=4,x", "`4,x` is not a list of whole numbers"),
        ] {
            assert_eq!(look(raw).unwrap_err(), expected);
        }
    }
}
