//! Python's configuration files, as far as carbon uses them.

/// One `[section]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    pub name: String,
    /// Keys and values in order.
    pub pairs: Vec<(String, String)>,
}

impl Section {
    /// A value by its key, whatever the key's case.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known.eq_ignore_ascii_case(key)).map(|(_, value)| value.as_str())
    }
}

/// The sections in order. Comments stand on lines of their own: a `#` or `;` in a pattern belongs to it.
pub(super) fn sections(text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            sections.push(Section { name: name.to_owned(), pairs: Vec::new() });
        } else if let (Some(section), Some((key, value))) = (sections.last_mut(), line.split_once('=')) {
            section.pairs.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_keep_their_order_and_patterns_their_signs() {
        let sections = sections("lost = 1\n[a]\n; comment\nPattern = ^a;b=c#d$\n\n[b]\nx=1\n");
        assert_eq!(sections.len(), 2);
        assert_eq!(sections[0].get("pattern"), Some("^a;b=c#d$"));
        assert_eq!((sections[1].name.as_str(), sections[1].get("x")), ("b", Some("1")));
    }
}
