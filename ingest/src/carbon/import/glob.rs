//! Regular expressions as globs, where a glob says the same.

/// The globs over whole names, in which `*` spans dots, that together match what the expression finds; `None` where globs cannot say it.
///
/// Carbon searches: without `^` and `$` anything may stand before and after.
pub(super) fn globs_of(regex: &str) -> Option<Vec<String>> {
    let (rest, is_from_start) = regex.strip_prefix('^').map_or((regex, false), |rest| (rest, true));
    let ends = rest.strip_suffix('$').filter(|body| !body.ends_with('\\'));
    let (body, is_to_end) = ends.map_or((rest, false), |body| (body, true));
    // Each alternative at the top level would have anchors of its own.
    let inner = translate(body, true)?;
    let before = if is_from_start { "" } else { "*" };
    let after = if is_to_end { "" } else { "*" };
    let mut glob = format!("{before}{inner}{after}");
    while glob.contains("**") {
        glob = glob.replace("**", "*");
    }
    Some(vec![glob])
}

fn translate(body: &str, is_top: bool) -> Option<String> {
    let mut glob = String::new();
    let mut rest = body;
    while let Some(first) = rest.chars().next() {
        let mut after = &rest[first.len_utf8()..];
        let piece = match first {
            '\\' => {
                let escaped = after.chars().next()?;
                after = &after[escaped.len_utf8()..];
                match escaped {
                    'd' => "[0-9]".to_owned(),
                    c if c.is_ascii_alphanumeric() => return None,
                    c => literal(c)?,
                }
            }
            '.' => "?".to_owned(),
            '[' => {
                let (class, following) = after.split_once(']')?;
                if class.is_empty() || class.contains(['\\', '[']) {
                    return None;
                }
                after = following;
                match class.strip_prefix('^') {
                    Some(class) => format!("[!{class}]"),
                    None => format!("[{class}]"),
                }
            }
            '(' => {
                let (group, following) = group(after)?;
                after = following;
                let group = group.strip_prefix("?:").unwrap_or(group);
                if group.starts_with('?') {
                    return None;
                }
                let parts = group.split('|').map(|part| translate(part, false)).collect::<Option<Vec<_>>>()?;
                if parts.iter().any(|part| part.contains(',')) {
                    return None;
                }
                if parts.len() == 1 { parts.concat() } else { format!("{{{}}}", parts.join(",")) }
            }
            '|' | ')' | '^' | '$' | '+' | '*' | '?' | '{' | '}' => return None,
            c => literal(c)?,
        };
        // Only "anything, however long" can be repeated in a glob.
        let (piece, following) = match (piece.as_str(), after.chars().next()) {
            ("?", Some('*')) => ("*".to_owned(), &after[1..]),
            ("?", Some('+')) => ("?*".to_owned(), &after[1..]),
            (_, Some('*' | '+' | '?' | '{')) => return None,
            _ => (piece, after),
        };
        // Greedy or not is the same to a match.
        rest = if piece.ends_with('*') { following.strip_prefix('?').unwrap_or(following) } else { following };
        glob.push_str(&piece);
    }
    (is_top || !glob.is_empty()).then_some(glob)
}

/// A character that means itself in a glob too.
fn literal(c: char) -> Option<String> {
    (!matches!(c, '*' | '?' | '[' | ']' | '{' | '}')).then(|| c.to_string())
}

/// What stands up to the group's end, and what follows; groups within groups are left alone.
fn group(text: &str) -> Option<(&str, &str)> {
    let (group, after) = text.split_once(')')?;
    (!group.contains('(') && !group.ends_with('\\')).then_some((group, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_globs_can_say_is_translated() {
        for (regex, glob) in [
            (".*", "*"),
            ("", "*"),
            ("^carbon\\.", "carbon.*"),
            ("\\.count$", "*.count"),
            ("^stats\\.(timers|gauges)\\..+\\.p9[59]$", "stats.{timers,gauges}.?*.p9[59]"),
            ("web\\d", "*web[0-9]*"),
            ("^a.b$", "a?b"),
            ("^a\\.[^x]z", "a.[!x]z*"),
        ] {
            assert_eq!(globs_of(regex).as_deref(), Some(&[glob.to_owned()][..]), "{regex}");
        }
    }

    #[test]
    fn what_globs_cannot_say_is_refused() {
        for regex in ["^a+$", "[^.]+", "^(?!a)", "a|b", "\\w", "^(a(b|c))", "a{2}", "x\\", "("] {
            assert_eq!(globs_of(regex), None, "{regex}");
        }
    }
}
