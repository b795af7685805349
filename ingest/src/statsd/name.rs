//! Names as sent into names of series: tags of every style, and Etsy's rules on characters.

use deployline_schemas::series::{self, SeriesError};

use super::parse::Key;

/// Longest name as sent, tags included, in bytes. Leaves room below [`series::MAX_SERIES_BYTES`] for prefix and suffix.
pub const MAX_NAME_BYTES: usize = 2048;

/// Why a metric's name can not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing is left once the characters that no name may hold are gone.
    #[error("nothing of the name is left once sanitised")]
    Empty,
    /// Longer than [`MAX_NAME_BYTES`].
    #[error("the name has {0} bytes, at most {MAX_NAME_BYTES} are taken")]
    TooLong(usize),
    /// Graphite's tags in a form that Graphite refuses.
    #[error("the tags are malformed")]
    Tags(#[from] SeriesError),
    /// `name|#tags:value`: tags and no value.
    #[error("the line has tags and no value")]
    NoValue,
}

/// Returns the name that a metric is known by: sanitised, its tags as `;tag=value`, sorted.
///
/// Sanitising is Etsy's: runs of white space become `_`, `/` becomes `-`, and what is not in `[a-zA-Z_\-0-9.;=]` goes. A
/// tag without a value, which Graphite could not keep, gets the value `true`; one with an empty value is dropped.
///
/// # Errors
/// See [`NameError`].
pub fn canonical(key: Key<'_>) -> Result<String, NameError> {
    let length = key.name.len() + key.tags.len();
    if length > MAX_NAME_BYTES {
        return Err(NameError::TooLong(length));
    }
    if memchr::memmem::find(key.name, b"|#").is_some() {
        return Err(NameError::NoValue);
    }
    let name = String::from_utf8_lossy(key.name);
    let mut canonical = String::with_capacity(length);
    match name.split_once(',').filter(|(_, tags)| tags.contains('=')) {
        // InfluxDB's style, `name,tag=v,tag=v`. Etsy's daemon would glue all of it into one name.
        Some((name, tags)) => {
            sanitise(name, &mut canonical);
            tags.split(',').for_each(|tag| push_tag(tag, &mut canonical));
        }
        None => sanitise(&name, &mut canonical),
    }
    if canonical.is_empty() || canonical.starts_with(';') {
        return Err(NameError::Empty);
    }
    let tags = String::from_utf8_lossy(key.tags);
    tags.split(',').for_each(|tag| push_tag(tag, &mut canonical));
    Ok(series::canonical(&canonical)?)
}

/// Adds `;tag=value` for `tag:value` or `tag=value`; the first separator counts, as in Etsy's daemon.
fn push_tag(text: &str, canonical: &mut String) {
    let text = text.replacen(':', "=", 1);
    // A semicolon within a tag would make two tags of it.
    let clean = |part: &str| {
        let mut clean = String::new();
        sanitise(&part.replace(';', "_"), &mut clean);
        clean
    };
    let (tag, value) = match text.split_once('=') {
        Some((tag, value)) => (clean(tag), clean(value)),
        None => (clean(&text), "true".to_owned()),
    };
    if !tag.is_empty() && !value.is_empty() {
        canonical.extend([";", &tag, "=", &value]);
    }
}

/// Etsy's rules on characters.
fn sanitise(text: &str, out: &mut String) {
    let mut blank = false;
    for character in text.chars() {
        let space = is_space(character);
        match character {
            _ if space && blank => {}
            _ if space => out.push('_'),
            '/' => out.push('-'),
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' | '.' | ';' | '=' => out.push(character),
            _ => {}
        }
        blank = space;
    }
}

/// What JavaScript's `\s` matches.
fn is_space(character: char) -> bool {
    character == '\u{feff}' || (character.is_whitespace() && character != '\u{85}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, tags: &str, expected: Result<&str, NameError>) {
        let canonical = canonical(Key { name: name.as_bytes(), tags: tags.as_bytes() });
        assert_eq!(canonical.as_deref().map_err(|error| *error), expected, "{name} {tags}");
    }

    #[test]
    fn characters_are_etsys() {
        check("checkout.http.5xx", "", Ok("checkout.http.5xx"));
        check("sp ace/sl@sh*x", "", Ok("sp_ace-slshx"));
        check("a \t b\u{a0}c", "", Ok("a_b_c"));
        check("größe", "", Ok("gre"));
        check("***", "", Err(NameError::Empty));
        check("a|b", "", Ok("ab"));
        check("a|#b", "", Err(NameError::NoValue));
    }

    #[test]
    fn every_style_of_tags_becomes_graphites() {
        check("name", "env:prod,host:a", Ok("name;env=prod;host=a"));
        check("name", "host:a,env:prod", Ok("name;env=prod;host=a"));
        check("name,host=a,env=prod", "", Ok("name;env=prod;host=a"));
        check("name;host=a;env=prod", "", Ok("name;env=prod;host=a"));
        check("name", "urgent,,env:", Ok("name;urgent=true"));
        check("name", "url:http://x;y=z,a=b", Ok("name;a=b;url=http--x_y=z"));
        check("name;tag", "", Err(NameError::Tags(SeriesError::Tag)));
        check(";a=b", "", Err(NameError::Empty));
    }

    #[test]
    fn a_name_is_bounded() {
        check(&"x".repeat(3000), "", Err(NameError::TooLong(3000)));
    }
}
