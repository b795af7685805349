//! A function's call: what it takes, and how it gets at it.

use super::{
    aggregate::Aggregate, error::GraphiteError, evaluate::Context, number::Number, parse::Expression, series::Series,
    time,
};

/// A function of the language.
#[derive(Debug)]
pub struct Function {
    /// What targets call it.
    pub name: &'static str,
    /// The family that it is listed under.
    pub group: Group,
    /// What it gives, with its formula where that is not plain.
    pub description: &'static str,
    /// What it takes, in order.
    pub params: &'static [Param],
    pub(super) run: fn(&mut Call<'_>) -> Outcome,
}

/// What a function gives.
pub(super) type Outcome = Result<Value, GraphiteError>;

/// A family of functions, as Graphite's documents sort them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Several series become one.
    Combine,
    /// Each series becomes another.
    Transform,
    /// Statistics over time.
    Calculate,
    /// Some of the series.
    FilterSeries,
    /// Some of the values.
    FilterData,
    /// Another order.
    Sorting,
    /// Another name.
    Alias,
    /// How a picture shows it.
    Graph,
    /// Everything else.
    Special,
}

impl Group {
    /// Its name in `/functions`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Combine => "Combine",
            Self::Transform => "Transform",
            Self::Calculate => "Calculate",
            Self::FilterSeries => "Filter Series",
            Self::FilterData => "Filter Data",
            Self::Sorting => "Sorting",
            Self::Alias => "Alias",
            Self::Graph => "Graph",
            Self::Special => "Special",
        }
    }
}

/// A parameter of a function.
#[derive(Debug, Clone, Copy)]
pub struct Param {
    /// Its name, by which an argument may be given as well.
    pub name: &'static str,
    /// What it takes.
    pub kind: ParamKind,
    /// Whether it must be given.
    pub required: bool,
    /// Whether it takes all arguments that are left.
    pub multiple: bool,
    /// What stands in for it when it is not given, as JSON.
    pub default: Option<&'static str>,
    /// The only words that it takes; any if empty.
    pub options: &'static [&'static str],
}

/// What a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamKind {
    /// A name of an [`Aggregate`].
    AggFunc,
    /// A name of an [`Aggregate`], or of a function that combines series.
    AggOrSeriesFunc,
    /// Anything.
    Any,
    /// `true` or `false`.
    Boolean,
    /// A time, as in `from`.
    Date,
    /// A number.
    Float,
    /// A whole number.
    Integer,
    /// A whole number or `inf`.
    IntOrInf,
    /// A number of datapoints or an interval.
    IntOrInterval,
    /// An interval, as `10min`.
    Interval,
    /// The place of a part in a dotted name, from 0; from the end if negative.
    Node,
    /// A place in a dotted name, or the name of a tag.
    NodeOrTag,
    /// Series.
    SeriesList,
    /// Lists of series, as `mapSeries` gives.
    SeriesLists,
    /// Text.
    String,
    /// The name of a tag.
    Tag,
}

impl ParamKind {
    /// Its name in `/functions`.
    pub fn name(self) -> &'static str {
        match self {
            Self::AggFunc => "aggFunc",
            Self::AggOrSeriesFunc => "aggOrSeriesFunc",
            Self::Any => "any",
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Float => "float",
            Self::Integer => "integer",
            Self::IntOrInf => "intOrInf",
            Self::IntOrInterval => "intOrInterval",
            Self::Interval => "interval",
            Self::Node => "node",
            Self::NodeOrTag => "nodeOrTag",
            Self::SeriesList => "seriesList",
            Self::SeriesLists => "seriesLists",
            Self::String => "string",
            Self::Tag => "tag",
        }
    }
}

/// A parameter that must be given.
pub(super) const fn needs(name: &'static str, kind: ParamKind) -> Param {
    Param { name, kind, required: true, multiple: false, default: None, options: &[] }
}

/// A parameter that may be left out.
pub(super) const fn may(name: &'static str, kind: ParamKind) -> Param {
    Param { required: false, ..needs(name, kind) }
}

/// A parameter that takes all arguments that are left.
pub(super) const fn rest(name: &'static str, kind: ParamKind) -> Param {
    Param { multiple: true, ..may(name, kind) }
}

impl Param {
    pub(super) const fn or(self, default: &'static str) -> Param {
        Param { default: Some(default), ..self }
    }

    pub(super) const fn of(self, options: &'static [&'static str]) -> Param {
        Param { options, ..self }
    }

    pub(super) const fn required(self) -> Param {
        Param { required: true, ..self }
    }
}

/// What an expression evaluates to.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Series(Vec<Series>),
    Lists(Vec<Vec<Series>>),
    Number(Number),
    Text(String),
    Boolean(bool),
    None,
}

impl From<Vec<Series>> for Value {
    fn from(series: Vec<Series>) -> Self {
        Value::Series(series)
    }
}

/// One call, with its arguments in the order of the function's parameters.
pub(super) struct Call<'c> {
    pub context: &'c Context<'c>,
    pub function: &'static Function,
    /// Where the call begins.
    pub column: usize,
    /// The first argument as written, for functions that read it again over another window.
    pub first: Option<&'c Expression>,
    /// The call as written.
    pub text: &'c str,
    /// The values for each parameter; more than one only where it is multiple.
    pub values: Vec<Vec<(usize, Value)>>,
}

impl Call<'_> {
    /// An error at the argument of a parameter, or at the call where there is none.
    pub fn wrong(&self, place: usize, message: impl Into<String>) -> GraphiteError {
        let column =
            self.values.get(place).and_then(|values| values.first()).map_or(self.column, |(column, _)| *column);
        GraphiteError::Argument { column, function: self.function.name.to_owned(), message: message.into() }
    }

    fn name(&self, place: usize) -> &'static str {
        self.function.params.get(place).map_or("argument", |param| param.name)
    }

    fn value(&self, place: usize) -> Option<&Value> {
        self.values.get(place)?.first().map(|(_, value)| value).filter(|value| !matches!(value, Value::None))
    }

    /// Whether an argument was given.
    pub fn has(&self, place: usize) -> bool {
        self.value(place).is_some()
    }

    /// Takes all series given for a parameter.
    pub fn series(&mut self, place: usize) -> Result<Vec<Series>, GraphiteError> {
        Ok(self.lists(place)?.into_iter().flatten().collect())
    }

    /// Takes the series given for a parameter, list by list.
    pub fn lists(&mut self, place: usize) -> Result<Vec<Vec<Series>>, GraphiteError> {
        let mut lists = Vec::new();
        for (column, value) in std::mem::take(&mut self.values[place]) {
            match value {
                Value::Series(list) => lists.push(list),
                Value::Lists(more) => lists.extend(more),
                Value::None => {}
                _ => {
                    let message = format!("`{}` takes series", self.name(place));
                    return Err(GraphiteError::Argument { column, function: self.function.name.to_owned(), message });
                }
            }
        }
        Ok(lists)
    }

    /// A number, as written, where one was given; texts that hold one count.
    pub fn number(&self, place: usize) -> Result<Option<Number>, GraphiteError> {
        match self.value(place) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(Some(*number)),
            Some(Value::Text(text)) if Number::parse(text.trim()).is_some() => Ok(Number::parse(text.trim())),
            Some(_) => Err(self.wrong(place, format!("`{}` takes a number", self.name(place)))),
        }
    }

    /// A number that must be given or has a default.
    pub fn float(&self, place: usize) -> Result<f64, GraphiteError> {
        let default = self.function.params[place].default.and_then(Number::parse);
        let number = self.number(place)?.or(default);
        number.map(|number| number.value).ok_or_else(|| self.wrong(place, format!("`{}` is missing", self.name(place))))
    }

    /// A whole number that must be given or has a default.
    pub fn integer(&self, place: usize) -> Result<i64, GraphiteError> {
        match self.number(place)? {
            Some(number) if !number.is_whole => {
                Err(self.wrong(place, format!("`{}` takes a whole number", self.name(place))))
            }
            Some(number) => Ok(number.value as i64),
            None => Ok(self.float(place)? as i64),
        }
    }

    /// A text that must be given or has a default.
    pub fn text(&self, place: usize) -> Result<String, GraphiteError> {
        let default = self.function.params[place].default.map(|default| default.trim_matches('"').to_owned());
        let text = self.text_if_given(place)?.or(default);
        text.ok_or_else(|| self.wrong(place, format!("`{}` is missing", self.name(place))))
    }

    /// A text, where one was given; numbers count as written.
    pub fn text_if_given(&self, place: usize) -> Result<Option<String>, GraphiteError> {
        match self.value(place) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(Value::Boolean(value)) => Ok(Some(value.to_string())),
            Some(_) => Err(self.wrong(place, format!("`{}` takes text", self.name(place)))),
        }
    }

    /// A boolean; `false` where none was given and no default says otherwise.
    pub fn boolean(&self, place: usize) -> Result<bool, GraphiteError> {
        match self.value(place) {
            None => Ok(self.function.params[place].default == Some("true")),
            Some(Value::Boolean(value)) => Ok(*value),
            Some(Value::Number(number)) if number.value == 0.0 || number.value == 1.0 => Ok(number.value == 1.0),
            Some(Value::Text(text)) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(Value::Text(text)) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(_) => Err(self.wrong(place, format!("`{}` takes true or false", self.name(place)))),
        }
    }

    /// An aggregation function by its name, with the name as given.
    pub fn aggregate(&self, place: usize) -> Result<(Aggregate, String), GraphiteError> {
        let name = self.text(place)?;
        match Aggregate::named(&name) {
            Some(aggregate) => Ok((aggregate, name)),
            None => {
                Err(self
                    .wrong(place, format!("`{name}` is no aggregation, use one of {}", Aggregate::NAMES.join(", "))))
            }
        }
    }

    /// An interval in seconds, other than 0, with the text as given.
    pub fn interval(&self, place: usize) -> Result<(i64, String), GraphiteError> {
        let text = self.text(place)?;
        match time::offset_s(&text) {
            Some(seconds) if seconds != 0 => Ok((seconds, text)),
            _ => Err(self.wrong(place, format!("`{text}` is no interval, write it as 10min or 1h"))),
        }
    }

    /// A moment in Unix seconds.
    pub fn moment(&self, place: usize) -> Result<i64, GraphiteError> {
        let text = self.text(place)?;
        let moment = time::moment_s(&text, self.context.now_s, &self.context.time_zone);
        moment.ok_or_else(|| self.wrong(place, format!("`{text}` is no time")))
    }

    /// All texts given for a parameter.
    pub fn texts(&self, place: usize) -> Result<Vec<String>, GraphiteError> {
        let text = |(column, value): &(usize, Value)| match value {
            Value::Text(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            _ => Err(GraphiteError::Argument {
                column: *column,
                function: self.function.name.to_owned(),
                message: format!("`{}` takes text", self.name(place)),
            }),
        };
        self.values[place].iter().map(text).collect()
    }

    /// All whole numbers given for a parameter.
    pub fn integers(&self, place: usize) -> Result<Vec<i64>, GraphiteError> {
        let whole = |text: String| {
            text.parse().map_err(|_| self.wrong(place, format!("`{}` takes whole numbers", self.name(place))))
        };
        self.texts(place)?.into_iter().map(whole).collect()
    }

    /// The first argument, read again over another window.
    pub fn again(&self, from_s: i64, until_s: i64) -> Result<Vec<Series>, GraphiteError> {
        match self.first {
            Some(expression) => self.context.over(from_s, until_s).series_of(expression),
            None => Ok(Vec::new()),
        }
    }

    /// A series made up by a function, with the request's settings.
    pub fn made(&self, name: impl Into<String>, start_s: i64, end_s: i64, step_s: i64, values: Vec<f64>) -> Series {
        Series { x_files_factor: self.context.x_files_factor(), ..Series::new(name, start_s, end_s, step_s, values) }
    }
}
