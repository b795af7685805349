//! From the text of a target to an expression.
//!
//! The grammar is graphite-web's: calls with positional and named arguments, path patterns with braces, numbers, quoted
//! strings, booleans, `none`, `inf`, `template(…)`, and calls chained by `|`.

use super::{error::GraphiteError, number::Number};

/// Longest target taken, in bytes.
pub const MAX_TARGET_BYTES: usize = 64 * 1024;
/// Deepest nesting taken: beyond it a target is an attack on the stack, not a query.
pub const MAX_DEPTH: usize = 64;

/// An expression and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    /// Where it begins, in characters from 1.
    pub column: usize,
    /// What it is.
    pub kind: ExpressionKind,
}

/// What an expression can be.
#[derive(Debug, Clone, PartialEq)]
pub enum ExpressionKind {
    /// A pattern of series names.
    Path(String),
    /// A function's call.
    Call {
        /// The function's name.
        name: String,
        /// Its arguments by position.
        arguments: Vec<Expression>,
        /// Its arguments by name.
        named: Vec<(String, Expression)>,
        /// The call as written.
        text: String,
    },
    /// An expression with `$name` in it, and what the names stand for.
    Template {
        /// The expression.
        body: Box<Expression>,
        /// Names, `1` and so on for those by position, and their values.
        values: Vec<(String, Expression)>,
    },
    /// A number.
    Number(Number),
    /// A quoted string, without its quotes; backslashes are kept, as regular expressions need them.
    Text(String),
    /// `true` or `false`.
    Boolean(bool),
    /// `none`.
    None,
}

/// Parses a target.
///
/// # Errors
/// When the text is no target, with the column.
pub fn parse(target: &str) -> Result<Expression, GraphiteError> {
    if target.len() > MAX_TARGET_BYTES {
        return Err(GraphiteError::TooMuch { what: "bytes", asked: target.len(), limit: MAX_TARGET_BYTES });
    }
    let mut parser = Parser { text: target, at: 0, depth: 0, height: 0 };
    let expression = parser.piped()?;
    parser.blank();
    match parser.peek() {
        None => Ok(expression),
        Some(found) => Err(parser.error(format!("`{found}` is not expected"))),
    }
}

struct Parser<'t> {
    text: &'t str,
    /// Byte offset of the next character.
    at: usize,
    /// How many calls are open.
    depth: usize,
    /// Levels of the expression that was read last. Each pipe is one, though it opens no parenthesis.
    height: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn take(&mut self, expected: char) -> bool {
        let found = self.peek() == Some(expected);
        if found {
            self.at += expected.len_utf8();
        }
        found
    }

    fn blank(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += self.peek().map_or(0, char::len_utf8);
        }
    }

    fn column_of(&self, at: usize) -> usize {
        self.text[..at].chars().count() + 1
    }

    fn error(&self, message: String) -> GraphiteError {
        GraphiteError::Syntax { column: self.column_of(self.at), message }
    }

    /// An expression and the calls that it is piped through: `a | f(1)` is `f(a, 1)`.
    fn piped(&mut self) -> Result<Expression, GraphiteError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(format!("more than {MAX_DEPTH} levels of nesting")));
        }
        self.height = 1;
        let mut expression = self.argument()?;
        loop {
            self.blank();
            if !self.take('|') {
                break;
            }
            self.blank();
            let column = self.column_of(self.at);
            let below = std::mem::replace(&mut self.height, 1);
            let mut call = self.path_or_call()?;
            self.height = self.height.max(below + 1);
            if self.height > MAX_DEPTH {
                return Err(GraphiteError::Syntax {
                    column,
                    message: format!("more than {MAX_DEPTH} levels of nesting"),
                });
            }
            let ExpressionKind::Call { arguments, .. } = &mut call.kind else {
                return Err(GraphiteError::Syntax { column, message: "a call is expected after `|`".to_owned() });
            };
            arguments.insert(0, expression);
            expression = call;
        }
        self.depth -= 1;
        Ok(expression)
    }

    fn argument(&mut self) -> Result<Expression, GraphiteError> {
        self.blank();
        let column = self.column_of(self.at);
        match self.peek() {
            Some(quote @ ('"' | '\'')) => Ok(Expression { column, kind: ExpressionKind::Text(self.quoted(quote)?) }),
            Some(_) => {
                if let Some(kind) = self.word() {
                    return Ok(Expression { column, kind });
                }
                self.path_or_call()
            }
            None => Err(self.error("an expression is expected".to_owned())),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, GraphiteError> {
        let start = self.at + 1;
        let mut escaped = false;
        for (offset, character) in self.text[start..].char_indices() {
            match character {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                _ if character == quote => {
                    self.at = start + offset + 1;
                    return Ok(self.text[start..start + offset].to_owned());
                }
                _ => {}
            }
        }
        Err(self.error("this string has no end".to_owned()))
    }

    /// A number, a boolean, `none` or `inf`, when it stands alone: `10` is a number, `10.errors` a path.
    fn word(&mut self) -> Option<ExpressionKind> {
        let rest = &self.text[self.at..];
        let end = rest.find([',', ')', '|']).unwrap_or(rest.len());
        let word = rest[..end].trim_end();
        let kind = match word.to_ascii_lowercase().as_str() {
            "true" => ExpressionKind::Boolean(true),
            "false" => ExpressionKind::Boolean(false),
            "none" => ExpressionKind::None,
            "inf" => ExpressionKind::Number(Number::float(f64::INFINITY)),
            _ => ExpressionKind::Number(Number::parse(word)?),
        };
        self.at += word.len();
        Some(kind)
    }

    fn path_or_call(&mut self) -> Result<Expression, GraphiteError> {
        let (start, column) = (self.at, self.column_of(self.at));
        let rest = &self.text[start..];
        let name_end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let name = &rest[..name_end];
        let opens = rest[name_end..].trim_start().starts_with('(');
        if opens && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            self.at += name_end;
            self.blank();
            self.at += 1;
            return self.call(name.to_owned(), start, column);
        }
        let path = self.path()?;
        Ok(Expression { column, kind: ExpressionKind::Path(path) })
    }

    /// A path pattern. Commas and braces belong to it within braces, other symbols after a backslash.
    fn path(&mut self) -> Result<String, GraphiteError> {
        let start = self.at;
        let mut path = String::new();
        let mut braces: Vec<usize> = Vec::new();
        while let Some(character) = self.peek() {
            match character {
                '\\' => {
                    self.at += 1;
                    path.push('\\');
                    match self.peek() {
                        Some(symbol) => path.push(symbol),
                        None => return Err(self.error("a backslash is the last character".to_owned())),
                    }
                }
                '{' => {
                    braces.push(self.at);
                    path.push(character);
                }
                '}' => {
                    if braces.pop().is_none() {
                        return Err(self.error("`}` without `{`".to_owned()));
                    }
                    path.push(character);
                }
                ',' if !braces.is_empty() => path.push(character),
                ' ' if !braces.is_empty() => {}
                '(' | ')' | ',' | '|' | '"' | '\'' => break,
                _ if character.is_whitespace() || character.is_control() => break,
                _ => path.push(character),
            }
            self.at += self.peek().map_or(0, char::len_utf8);
        }
        if let Some(open) = braces.pop() {
            return Err(GraphiteError::Syntax { column: self.column_of(open), message: "`{` without `}`".to_owned() });
        }
        if self.at == start {
            let found = self.peek().map_or("the end".to_owned(), |found| format!("`{found}`"));
            return Err(self.error(format!("an expression is expected, not {found}")));
        }
        Ok(path)
    }

    fn call(&mut self, name: String, start: usize, column: usize) -> Result<Expression, GraphiteError> {
        let (mut arguments, mut named) = (Vec::new(), Vec::new());
        self.blank();
        let (mut is_first, mut highest) = (true, 0);
        while !self.take(')') {
            if !is_first && !self.take(',') {
                let message = match self.peek() {
                    None => format!("`)` is missing: the call of `{name}` has no end"),
                    Some(found) => format!("`,` or `)` is expected, not `{found}`"),
                };
                return Err(self.error(message));
            }
            self.blank();
            match self.key() {
                Some(key) => named.push((key, self.piped()?)),
                None if named.is_empty() => arguments.push(self.piped()?),
                None => return Err(self.error("an argument by position after one by name".to_owned())),
            }
            highest = highest.max(self.height);
            self.blank();
            is_first = false;
        }
        self.height = highest + 1;
        let text = self.text[start..self.at].to_owned();
        let kind = if name == "template" {
            self.template(arguments, named, column)?
        } else {
            ExpressionKind::Call { name, arguments, named, text }
        };
        Ok(Expression { column, kind })
    }

    /// The `name` of `name=`, if that stands here.
    fn key(&mut self) -> Option<String> {
        let rest = &self.text[self.at..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
        let after = rest[end..].trim_start();
        let is_key = end > 0 && !rest.starts_with(|c: char| c.is_ascii_digit()) && after.starts_with('=');
        // `a=b` may also be part of a path, but graphite-web takes it for an argument's name as well.
        is_key.then(|| {
            self.at = self.text.len() - after.len() + 1;
            rest[..end].to_owned()
        })
    }

    fn template(
        &self,
        mut arguments: Vec<Expression>,
        named: Vec<(String, Expression)>,
        column: usize,
    ) -> Result<ExpressionKind, GraphiteError> {
        if arguments.is_empty() {
            return Err(GraphiteError::Syntax { column, message: "template() needs an expression".to_owned() });
        }
        let body = Box::new(arguments.remove(0));
        let by_place = arguments.into_iter().enumerate().map(|(index, value)| ((index + 1).to_string(), value));
        let values: Vec<_> = by_place.chain(named).collect();
        let is_literal = |value: &Expression| matches!(value.kind, ExpressionKind::Number(_) | ExpressionKind::Text(_));
        match values.iter().find(|(_, value)| !is_literal(value)) {
            Some((_, value)) => Err(GraphiteError::Syntax {
                column: value.column,
                message: "template() takes numbers and strings only".to_owned(),
            }),
            None => Ok(ExpressionKind::Template { body, values }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes an expression with its structure showing.
    fn show(expression: &Expression) -> String {
        match &expression.kind {
            ExpressionKind::Path(path) => format!("<{path}>"),
            ExpressionKind::Call { name, arguments, named, .. } => {
                let named = named.iter().map(|(key, value)| format!("{key}={}", show(value)));
                format!("{name}({})", arguments.iter().map(show).chain(named).collect::<Vec<_>>().join(" "))
            }
            ExpressionKind::Template { body, values } => {
                let values = values.iter().map(|(key, value)| format!("{key}={}", show(value)));
                format!("template[{} {}]", show(body), values.collect::<Vec<_>>().join(" "))
            }
            ExpressionKind::Number(number) => number.to_string(),
            ExpressionKind::Text(text) => format!("{text:?}"),
            ExpressionKind::Boolean(value) => value.to_string(),
            ExpressionKind::None => "none".to_owned(),
        }
    }

    #[test]
    fn pipes_count_as_levels() {
        let piped = |n: usize| format!("a{}", "|f()".repeat(n));
        assert!(parse(&piped(MAX_DEPTH - 1)).is_ok());
        let refused = |target: &str| parse(target).unwrap_err().to_string();
        assert_eq!(refused(&piped(5000)), format!("more than {MAX_DEPTH} levels of nesting at column 255"));
        // A few in each of many parentheses come to many.
        let mixed = format!("{}a{}", "f(".repeat(30), "|g()|g())".repeat(30));
        assert!(refused(&mixed).starts_with("more than"), "{}", refused(&mixed));
        // Side by side they do not.
        assert!(parse(&format!("f({}a)", "a|g()|g(),".repeat(500))).is_ok());
    }

    #[test]
    fn targets_become_expressions() {
        for (target, expected) in [
            ("a.b.c", "<a.b.c>"),
            ("  a.{b,c}*.d[0-9]  ", "<a.{b,c}*.d[0-9]>"),
            ("sumSeries(a.*, b)", "sumSeries(<a.*> <b>)"),
            ("alias(scale(a, -0.5), 'x, \"y\" (z)')", "alias(scale(<a> -0.5) \"x, \\\"y\\\" (z)\")"),
            (r#"aliasSub(a, "(^.*$)", "\1 A")"#, r#"aliasSub(<a> "(^.*$)" "\\1 A")"#),
            (
                "summarize(a, '1h', func=\"max\", alignToFrom=true)",
                "summarize(<a> \"1h\" func=\"max\" alignToFrom=true)",
            ),
            ("keepLastValue(a, inf)", "keepLastValue(<a> inf)"),
            ("f(1e3,10,-2.5,10.errors,none,False)", "f(1000.0 10 -2.5 <10.errors> none false)"),
            ("a.b|sum()|alias('x')", "alias(sum(<a.b>) \"x\")"),
            ("template(hosts.$h.cpu, h='web1')", "template[<hosts.$h.cpu> h=\"web1\"]"),
            ("randomWalk( )", "randomWalk()"),
            ("seriesByTag('name=cpu','host=~web.*')", "seriesByTag(\"name=cpu\" \"host=~web.*\")"),
            ("divideSeries(#A,#B)", "divideSeries(<#A> <#B>)"),
            (r"a\,b.c", r"<a\,b.c>"),
        ] {
            assert_eq!(show(&parse(target).unwrap()), expected, "{target}");
        }
    }

    #[test]
    fn an_error_points_at_its_column() {
        for (target, expected) in [
            ("", "an expression is expected at column 1"),
            ("sum(a", "`)` is missing: the call of `sum` has no end at column 6"),
            ("sum(a b)", "`,` or `)` is expected, not `b` at column 7"),
            ("sum(a,)", "an expression is expected, not `)` at column 7"),
            ("sum(ä.ö, 'x)", "this string has no end at column 10"),
            ("a.{b,c", "`{` without `}` at column 3"),
            ("a.b}", "`}` without `{` at column 4"),
            ("a) ", "`)` is not expected at column 2"),
            ("a|b", "a call is expected after `|` at column 3"),
            ("f(x=1, 2)", "an argument by position after one by name at column 8"),
            ("template(a.$b, b=c.d)", "template() takes numbers and strings only at column 18"),
        ] {
            assert_eq!(parse(target).unwrap_err().to_string(), expected, "{target}");
        }
        assert!(parse(&"f(".repeat(1000)).unwrap_err().to_string().starts_with("more than 64 levels"));
    }
}
