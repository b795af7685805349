//! Graphite's globs: `*`, `?`, `[a-z]`, `[!a-z]` and `{a,b}`, also nested.
//!
//! A pattern is matched by carrying the set of places in the text that its tokens so far can end at. That takes time
//! proportional to pattern times text whatever the pattern, where backtracking would take forever on `*a*a*a*a*b`.

use crate::trie::split_parts;

/// Deepest nesting of braces that is understood; deeper ones are taken as they stand.
const MAX_DEPTH: usize = 8;

/// A compiled pattern. Any text is a pattern: an unclosed bracket or brace stands for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Literal(String),
    /// `?`
    AnyCharacter,
    /// `*`
    AnyRun,
    /// `[a-z]`, or negated.
    Class {
        ranges: Vec<(char, char)>,
        negated: bool,
    },
    /// `{a,b}`
    Either(Vec<Vec<Token>>),
}

impl Glob {
    /// Compiles a pattern. `*` and `?` take any character, a dot too: split a dotted pattern first where it matters.
    pub fn new(pattern: &str) -> Self {
        Self { tokens: parse(pattern, 0) }
    }

    /// Whether the pattern takes the whole text.
    pub fn matches(&self, text: &str) -> bool {
        match &self.tokens[..] {
            [] => text.is_empty(),
            [Token::AnyRun] => true,
            [Token::Literal(literal)] => literal == text,
            [Token::Literal(prefix), Token::AnyRun] => text.starts_with(prefix),
            [Token::AnyRun, Token::Literal(suffix)] => text.ends_with(suffix),
            tokens => {
                let mut ends = vec![false; text.len() + 1];
                ends[0] = true;
                advance(tokens, text, ends)[text.len()]
            }
        }
    }

    /// The text that the pattern stands for, where it is one text only.
    pub fn literal(&self) -> Option<&str> {
        match &self.tokens[..] {
            [] => Some(""),
            [Token::Literal(literal)] => Some(literal),
            _ => None,
        }
    }

    /// Whether it takes any text.
    pub fn is_any(&self) -> bool {
        matches!(&self.tokens[..], [Token::AnyRun])
    }

    /// What every match begins with; may be empty.
    pub fn prefix(&self) -> &str {
        match self.tokens.first() {
            Some(Token::Literal(prefix)) => prefix,
            _ => "",
        }
    }
}

/// Whether a dotted pattern matches a dotted name, each part by itself. The index gives the same answers faster.
pub fn matches_dotted(pattern: &str, name: &str) -> bool {
    let (patterns, parts) = (split_parts(pattern), split_parts(name));
    patterns.len() == parts.len() && patterns.iter().zip(parts).all(|(pattern, part)| Glob::new(pattern).matches(part))
}

fn parse(pattern: &str, depth: usize) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut literal = String::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        let special = match first {
            '*' => Some((Token::AnyRun, 1)),
            '?' => Some((Token::AnyCharacter, 1)),
            '[' => class(rest),
            '{' if depth < MAX_DEPTH => either(rest, depth),
            _ => None,
        };
        match special {
            Some((token, length)) => {
                if !literal.is_empty() {
                    tokens.push(Token::Literal(std::mem::take(&mut literal)));
                }
                if token != Token::AnyRun || tokens.last() != Some(&Token::AnyRun) {
                    tokens.push(token);
                }
                rest = &rest[length..];
            }
            None => {
                literal.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    if !literal.is_empty() {
        tokens.push(Token::Literal(literal));
    }
    tokens
}

/// The class at the start of `text` and its length in bytes.
fn class(text: &str) -> Option<(Token, usize)> {
    let inside = &text[1..];
    let negated = inside.starts_with(['!', '^']);
    let start = usize::from(negated);
    // As in fnmatch, a bracket that comes first belongs to the class.
    let first = inside[start..].chars().next()?;
    let end = start + first.len_utf8() + inside[start + first.len_utf8()..].find(']')?;
    let characters: Vec<char> = inside[start..end].chars().collect();
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < characters.len() {
        if at + 2 < characters.len() && characters[at + 1] == '-' {
            ranges.push((characters[at], characters[at + 2]));
            at += 3;
        } else {
            ranges.push((characters[at], characters[at]));
            at += 1;
        }
    }
    Some((Token::Class { ranges, negated }, 1 + end + 1))
}

/// The alternatives at the start of `text` and their length in bytes.
fn either(text: &str, depth: usize) -> Option<(Token, usize)> {
    let mut level = 0;
    let mut start = 1;
    let mut alternatives = Vec::new();
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => level += 1,
            b',' if level == 1 => {
                alternatives.push(parse(&text[start..at], depth + 1));
                start = at + 1;
            }
            b'}' if level == 1 => {
                alternatives.push(parse(&text[start..at], depth + 1));
                return Some((Token::Either(alternatives), at + 1));
            }
            b'}' => level -= 1,
            _ => {}
        }
    }
    None
}

/// Where the tokens can end, given where they can begin; `places[i]` stands for the text before byte `i`.
fn advance(tokens: &[Token], text: &str, places: Vec<bool>) -> Vec<bool> {
    tokens.iter().fold(places, |places, token| step(token, text, &places))
}

fn step(token: &Token, text: &str, places: &[bool]) -> Vec<bool> {
    let mut ends = vec![false; places.len()];
    let starts = || places.iter().enumerate().filter(|(_, reached)| **reached).map(|(at, _)| at);
    match token {
        Token::Literal(literal) => {
            for at in starts().filter(|at| text[*at..].starts_with(literal)) {
                ends[at + literal.len()] = true;
            }
        }
        Token::AnyRun => {
            if let Some(first) = starts().next() {
                (first..ends.len()).filter(|at| text.is_char_boundary(*at)).for_each(|at| ends[at] = true);
            }
        }
        Token::AnyCharacter => {
            for at in starts() {
                if let Some(character) = text[at..].chars().next() {
                    ends[at + character.len_utf8()] = true;
                }
            }
        }
        Token::Class { ranges, negated } => {
            for at in starts() {
                if let Some(character) = text[at..].chars().next()
                    && ranges.iter().any(|(low, high)| (*low..=*high).contains(&character)) != *negated
                {
                    ends[at + character.len_utf8()] = true;
                }
            }
        }
        Token::Either(alternatives) => {
            for alternative in alternatives {
                let reached = advance(alternative, text, places.to_vec());
                ends.iter_mut().zip(reached).for_each(|(end, reached)| *end |= reached);
            }
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A case is a pattern, and the names that it takes and leaves, by words.
    #[track_caller]
    fn check(pattern: &str, taken: &str, left: &str) {
        for name in taken.split_whitespace() {
            assert!(matches_dotted(pattern, name), "{pattern} takes {name}");
        }
        for name in left.split_whitespace() {
            assert!(!matches_dotted(pattern, name), "{pattern} leaves {name}");
        }
    }

    #[test]
    fn graphites_globs_match_within_a_part() {
        check("a.b", "a.b", "a.c a a.b.c");
        check("*", "a abc", "a.b");
        check("a.*.c", "a.b.c a.bb.c", "a.b.b.c a.c");
        check("web?", "web1 webx webé", "web web12");
        check("web[0-9]", "web1", "webx web12 web");
        check("web[!0-9]", "webx", "web1");
        check("web[^0-9]", "webx", "web1");
        check("[]a]", "] a", "b");
        check("[a-]", "a -", "b");
        check("{a,b}.c", "a.c b.c", "c.c ab.c");
        check("x{a,}y", "xay xy", "xby");
        check("{web,db}[0-9]*.cpu", "web1.cpu db20.cpu", "cache1.cpu web.cpu");
        check("{a{b,c},d}e", "abe ace de", "ae be");
        check("*x*", "x axb", "a");
        check("a*b*c", "abc aXbYc abbc", "ab acb");
    }

    #[test]
    fn a_dot_inside_braces_matches_no_dotted_name() {
        // As in Graphite's own finder, which looks at one part at a time.
        check("a.{b.c,d}", "a.d", "a.b a.b.c");
    }

    #[test]
    fn what_is_not_closed_stands_for_itself() {
        check("a[b", "a[b", "ab");
        check("a{b,c", "a{b,c", "ab");
        check("a}b]", "a}b]", "ab");
        check("[", "[", "a");
        check("[]", "[]", "a");
    }

    #[test]
    fn patterns_made_to_explode_do_not() {
        let text = "a".repeat(4000);
        let stars = "*a".repeat(40) + "*b";
        assert!(!Glob::new(&stars).matches(&text));
        assert!(Glob::new(&("*a".repeat(40) + "*")).matches(&text));
        let braces = "{a,aa,aaa}".repeat(30) + "b";
        assert!(!Glob::new(&braces).matches(&text[..100]));
        let deep = "{".repeat(2000) + &"}".repeat(2000);
        assert!(!Glob::new(&deep).matches("a"));
    }
}
