//! Runs expressions: reads the series of patterns and calls the functions.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
};

use jiff::tz::TimeZone;

use super::{
    call::{Call, Function, Value},
    error::GraphiteError,
    number::Number,
    parse::{Expression, ExpressionKind, parse},
    registry,
    series::{Series, tags},
    source::{Metric, Source, grid},
};

/// What one request may cost. A target that would read more is refused before anything of it is read.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most series that one pattern may match.
    pub series: usize,
    /// Most datapoints that one request may read or make up, all its targets together.
    pub datapoints: usize,
}

impl Default for Limits {
    /// 20,000 series; 50 million datapoints, which is 400 MB.
    fn default() -> Self {
        Self { series: 20_000, datapoints: 50_000_000 }
    }
}

/// What targets are evaluated in: the window, the source, and how the answer is wanted.
#[derive(Clone)]
pub struct Context<'s> {
    /// Where series come from.
    pub source: &'s dyn Source,
    /// Start of the window in Unix seconds; values at it are left out.
    pub from_s: i64,
    /// End of the window in Unix seconds; values at it are within.
    pub until_s: i64,
    /// The moment that `now` means.
    pub now_s: i64,
    /// The zone of times and days.
    pub time_zone: TimeZone,
    /// The least share of values that makes a value of them, unless a target says otherwise.
    pub x_files_factor: f64,
    /// Values for `template(…)` from the request, which go before the target's own.
    pub template: Vec<(String, String)>,
    /// What the request may cost.
    pub limits: Limits,
    /// Datapoints read so far.
    spent: Rc<Cell<usize>>,
    /// What `stacked` has heaped up so far, by the name of the stack.
    pub(super) stacks: Rc<RefCell<HashMap<String, Vec<f64>>>>,
    /// What `setXFilesFactor` has said for everything after it.
    pub(super) x_files_factor_set: Rc<Cell<Option<f64>>>,
    /// How deep functions that evaluate targets themselves are nested.
    depth: usize,
    /// What `$name` stands for within a template.
    names: Vec<(String, Value)>,
}

/// Evaluates a target.
///
/// # Errors
/// When it is no target, an argument cannot be taken, it would cost too much, or the source fails.
pub fn evaluate(context: &Context<'_>, target: &str) -> Result<Vec<Series>, GraphiteError> {
    context.series_of(&parse(target)?)
}

/// Functions that evaluate targets which they make up may nest so deep.
const MAX_DEPTH: usize = 16;

impl<'s> Context<'s> {
    /// A context over a window, with the usual limits.
    pub fn new(source: &'s dyn Source, from_s: i64, until_s: i64, now_s: i64) -> Self {
        Self {
            source,
            from_s,
            until_s: until_s.max(from_s.saturating_add(1)),
            now_s,
            time_zone: TimeZone::UTC,
            x_files_factor: 0.0,
            template: Vec::new(),
            limits: Limits::default(),
            spent: Rc::default(),
            stacks: Rc::default(),
            x_files_factor_set: Rc::default(),
            depth: 0,
            names: Vec::new(),
        }
    }

    /// The same over another window.
    pub(super) fn over(&self, from_s: i64, until_s: i64) -> Self {
        Self { from_s, until_s: until_s.max(from_s.saturating_add(1)), ..self.clone() }
    }

    /// The least share of values that makes a value of them, here and now.
    pub(super) fn x_files_factor(&self) -> f64 {
        self.x_files_factor_set.get().unwrap_or(self.x_files_factor)
    }

    /// The window that is read: what is to come is not, as whisper has it.
    fn read_window(&self) -> (i64, i64) {
        (self.from_s, self.until_s.min(self.now_s).max(self.from_s.saturating_add(1)))
    }

    /// Evaluates a target that a function made up.
    pub(super) fn nested(&self, target: &str) -> Result<Vec<Series>, GraphiteError> {
        if self.depth >= MAX_DEPTH {
            return Err(GraphiteError::TooMuch { what: "nested targets", asked: self.depth + 1, limit: MAX_DEPTH });
        }
        evaluate(&Self { depth: self.depth + 1, ..self.clone() }, target)
    }

    /// Takes datapoints from the request's allowance.
    pub(super) fn spend(&self, datapoints: usize) -> Result<(), GraphiteError> {
        let asked = self.spent.get().saturating_add(datapoints);
        if asked > self.limits.datapoints {
            return Err(GraphiteError::TooMuch { what: "datapoints", asked, limit: self.limits.datapoints });
        }
        self.spent.set(asked);
        Ok(())
    }

    /// The series of an expression; a literal is none.
    pub(super) fn series_of(&self, expression: &Expression) -> Result<Vec<Series>, GraphiteError> {
        match self.value(expression)? {
            Value::Series(series) => Ok(series),
            Value::Lists(lists) => Ok(lists.into_iter().flatten().collect()),
            _ => Err(GraphiteError::Syntax { column: expression.column, message: "this gives no series".to_owned() }),
        }
    }

    fn value(&self, expression: &Expression) -> Result<Value, GraphiteError> {
        match &expression.kind {
            ExpressionKind::Number(number) => Ok(Value::Number(*number)),
            ExpressionKind::Text(text) => Ok(Value::Text(text.clone())),
            ExpressionKind::Boolean(value) => Ok(Value::Boolean(*value)),
            ExpressionKind::None => Ok(Value::None),
            ExpressionKind::Path(pattern) => self.path(pattern),
            ExpressionKind::Template { body, values } => self.templated(body, values),
            ExpressionKind::Call { name, arguments, named, text } => {
                let Some(function) = registry::find(name) else {
                    let nearest = registry::nearest(name);
                    return Err(GraphiteError::UnknownFunction {
                        column: expression.column,
                        name: name.clone(),
                        nearest,
                    });
                };
                let values = self.bind(function, expression.column, arguments, named)?;
                let column = expression.column;
                (function.run)(&mut Call { context: self, function, column, first: arguments.first(), text, values })
            }
        }
    }

    /// Sorts arguments to parameters and evaluates them.
    fn bind(
        &self,
        function: &'static Function,
        column: usize,
        arguments: &[Expression],
        named: &[(String, Expression)],
    ) -> Result<Vec<Vec<(usize, Value)>>, GraphiteError> {
        let wrong = |column, message| GraphiteError::Argument { column, function: function.name.to_owned(), message };
        let params = function.params;
        let mut values: Vec<Vec<(usize, Value)>> = vec![Vec::new(); params.len()];
        for (index, argument) in arguments.iter().enumerate() {
            let place = match params.get(index) {
                Some(_) => index,
                None if params.last().is_some_and(|param| param.multiple) => params.len() - 1,
                None => return Err(wrong(argument.column, format!("takes at most {} arguments", params.len()))),
            };
            values[place].push((argument.column, self.value(argument)?));
        }
        for (key, argument) in named {
            let Some(place) = params.iter().position(|param| param.name == key) else {
                let names: Vec<_> = params.iter().map(|param| param.name).collect();
                return Err(wrong(argument.column, format!("has no parameter `{key}`, only {}", names.join(", "))));
            };
            if !values[place].is_empty() {
                return Err(wrong(argument.column, format!("`{key}` is given twice")));
            }
            values[place].push((argument.column, self.value(argument)?));
        }
        for (param, values) in params.iter().zip(&values) {
            if param.required && values.is_empty() {
                return Err(wrong(column, format!("`{}` is missing", param.name)));
            }
            if let Some((column, Value::Text(text))) = values.first()
                && !param.options.is_empty()
                && !param.options.contains(&text.as_str())
            {
                return Err(wrong(
                    *column,
                    format!("`{}` takes one of {}, not `{text}`", param.name, param.options.join(", ")),
                ));
            }
        }
        Ok(values)
    }

    /// Reads the series of a pattern, sorted by name.
    fn path(&self, pattern: &str) -> Result<Value, GraphiteError> {
        let mut pattern = pattern.to_owned();
        for (name, value) in &self.names {
            if pattern == format!("${name}") {
                return Ok(match value {
                    Value::Text(text) => {
                        Number::parse(text).map_or(Value::Text(text.clone()), |n| Value::Number(Number::float(n.value)))
                    }
                    value => value.clone(),
                });
            }
            let word = match value {
                Value::Text(text) => text.clone(),
                Value::Number(number) => number.to_string(),
                _ => continue,
            };
            pattern = pattern.replace(&format!("${name}"), &word);
        }
        if self.from_s > self.now_s {
            return Ok(Value::Series(Vec::new()));
        }
        let (from_s, until_s) = self.read_window();
        let metrics = self.source.find(&pattern, from_s, until_s)?;
        Ok(Value::Series(self.read(metrics, &pattern)?))
    }

    /// Reads the series of tag expressions, sorted by name.
    pub(super) fn tagged(&self, expressions: &[String], text: &str) -> Result<Vec<Series>, GraphiteError> {
        let (from_s, until_s) = self.read_window();
        let metrics = self.source.find_tagged(expressions, from_s, until_s)?;
        self.read(metrics, text)
    }

    fn read(&self, mut metrics: Vec<Metric>, path_expression: &str) -> Result<Vec<Series>, GraphiteError> {
        if metrics.len() > self.limits.series {
            return Err(GraphiteError::TooMuch { what: "series", asked: metrics.len(), limit: self.limits.series });
        }
        metrics.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        metrics.dedup_by(|a, b| a.name == b.name);
        let (from_s, until_s) = self.read_window();
        let grid_of = |metric: &Metric| grid(from_s, until_s, metric.step_s);
        let n_points = |metric: &Metric| {
            let (start, end) = grid_of(metric);
            ((end - start) / metric.step_s.max(1)) as usize
        };
        self.spend(metrics.iter().map(n_points).fold(0, usize::saturating_add))?;
        let read = |metric: &Metric| {
            let (start_s, end_s) = grid_of(metric);
            let mut values = self.source.read(metric, from_s, until_s)?;
            // The grid is the contract; whatever a source gives, no function sees another length.
            values.resize(n_points(metric), f64::NAN);
            Ok(Series {
                path_expression: path_expression.to_owned(),
                tags: tags(&metric.name),
                x_files_factor: self.x_files_factor(),
                ..Series::new(&*metric.name, start_s, end_s, metric.step_s, values)
            })
        };
        metrics.iter().map(read).collect()
    }

    fn templated(&self, body: &Expression, values: &[(String, Expression)]) -> Result<Value, GraphiteError> {
        let mut names: Vec<(String, Value)> = Vec::new();
        for (name, value) in &self.template {
            names.push((name.clone(), Value::Text(value.clone())));
        }
        for (name, value) in values {
            if !names.iter().any(|(known, _)| known == name) {
                names.push((name.clone(), self.value(value)?));
            }
        }
        // `$host` must not be taken for `$h` and `ost`.
        names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        Self { names, ..self.clone() }.value(body)
    }
}
