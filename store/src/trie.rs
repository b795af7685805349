//! Names by their dotted parts, so that a glob visits only what it can match.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use crate::{glob::Glob, point::SeriesId};

/// One answer of `find`: a step further into the tree of names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// The whole path down to here, as in `stats.counters`.
    pub path: Arc<str>,
    /// Whether it is a series; else more parts follow. A path that is both is found twice.
    pub is_leaf: bool,
}

/// The names of all untagged series, as a tree of dotted parts.
#[derive(Default)]
pub(crate) struct Trie {
    root: Node,
}

#[derive(Default)]
struct Node {
    children: BTreeMap<Box<str>, Node>,
    series: Option<(SeriesId, Arc<str>)>,
}

/// Most parts of a name; the last one keeps the dots that are left. A tree as deep as a name of 4,096 dots would
/// overflow a thread's stack when it is dropped.
const MAX_PARTS: usize = 64;

/// The dotted parts of a name or pattern. A dot inside braces, or after the first `;`, does not divide.
pub(crate) fn split_parts(pattern: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut level) = (0, 0usize);
    for (at, byte) in pattern.bytes().enumerate() {
        if parts.len() + 1 == MAX_PARTS {
            break;
        }
        match byte {
            b'{' => level += 1,
            b'}' => level = level.saturating_sub(1),
            b'.' if level == 0 => {
                parts.push(&pattern[start..at]);
                start = at + 1;
            }
            b';' if level == 0 => break,
            _ => {}
        }
    }
    parts.push(&pattern[start..]);
    parts
}

impl Trie {
    pub fn insert(&mut self, name: Arc<str>, id: SeriesId) {
        let mut node = &mut self.root;
        for part in name.splitn(MAX_PARTS, '.') {
            // Looked up first: the key is allocated only where it is new.
            if !node.children.contains_key(part) {
                node.children.insert(part.into(), Node::default());
            }
            node = node.children.get_mut(part).expect("the child was just ensured");
        }
        node.series = Some((id, name));
    }

    pub fn remove(&mut self, name: &str) {
        let parts: Vec<&str> = name.splitn(MAX_PARTS, '.').collect();
        self.root.remove(&parts);
    }

    /// Adds every series that the pattern matches, in order of names.
    pub fn matching(&self, pattern: &str, found: &mut Vec<(SeriesId, Arc<str>)>) {
        let globs: Vec<Glob> = split_parts(pattern).into_iter().map(Glob::new).collect();
        self.root.visit(&globs, &mut |node| found.extend(node.series.clone()));
    }

    /// The nodes at the depth of the pattern: each leaf, and each branch.
    pub fn find(&self, pattern: &str) -> Vec<Found> {
        let globs: Vec<Glob> = split_parts(pattern).into_iter().map(Glob::new).collect();
        let mut found = Vec::new();
        let mut path = String::new();
        self.root.visit_paths(&globs, &mut path, &mut |path, node| {
            if !node.children.is_empty() {
                found.push(Found { path: path.into(), is_leaf: false });
            }
            if let Some((_, name)) = &node.series {
                found.push(Found { path: name.clone(), is_leaf: true });
            }
        });
        found
    }
}

impl Node {
    /// Removes the name below; returns whether nothing is left here.
    fn remove(&mut self, parts: &[&str]) -> bool {
        match parts.split_first() {
            None => self.series = None,
            Some((part, rest)) => {
                if self.children.get_mut(*part).is_some_and(|child| child.remove(rest)) {
                    self.children.remove(*part);
                }
            }
        }
        self.series.is_none() && self.children.is_empty()
    }

    fn visit<'n>(&'n self, globs: &[Glob], each: &mut impl FnMut(&'n Node)) {
        match globs.split_first() {
            None => each(self),
            Some((glob, rest)) => self.select(glob).for_each(|(_, child)| child.visit(rest, each)),
        }
    }

    fn visit_paths<'n>(&'n self, globs: &[Glob], path: &mut String, each: &mut impl FnMut(&str, &'n Node)) {
        let Some((glob, rest)) = globs.split_first() else { return each(path, self) };
        for (part, child) in self.select(glob) {
            let length = path.len();
            if length > 0 {
                path.push('.');
            }
            path.push_str(part);
            child.visit_paths(rest, path, each);
            path.truncate(length);
        }
    }

    /// The children that a glob matches. A literal costs one lookup, a literal start only the range behind it.
    fn select<'n>(&'n self, glob: &Glob) -> impl Iterator<Item = (&'n str, &'n Node)> {
        let exact = glob.literal().and_then(|part| self.children.get_key_value(part));
        let prefix = glob.prefix();
        let range = glob.literal().is_none().then(|| {
            let from = (Bound::Included(prefix), Bound::Unbounded);
            self.children.range::<str, _>(from).take_while(move |(part, _)| part.starts_with(prefix))
        });
        exact
            .into_iter()
            .chain(range.into_iter().flatten().filter(|(part, _)| glob.matches(part)))
            .map(|(part, node)| (&**part, node))
            .collect::<Vec<_>>()
            .into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glob::matches_dotted;

    fn trie(names: &[&str]) -> Trie {
        let mut trie = Trie::default();
        for (id, name) in names.iter().enumerate() {
            trie.insert((*name).into(), SeriesId(id as u32));
        }
        trie
    }

    fn matching(trie: &Trie, pattern: &str) -> Vec<String> {
        let mut found = Vec::new();
        trie.matching(pattern, &mut found);
        found.into_iter().map(|(_, name)| name.to_string()).collect()
    }

    #[test]
    fn find_tells_leaves_from_branches() {
        let trie = trie(&["a.b", "a.b.c", "a.d.e", "b"]);
        let found = |pattern: &str| {
            let show = |found: Found| format!("{}{}", found.path, if found.is_leaf { "" } else { "." });
            trie.find(pattern).into_iter().map(show).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(found("*"), "a. b");
        assert_eq!(found("a.*"), "a.b. a.b a.d.");
        assert_eq!(found("a.b.*"), "a.b.c");
        assert_eq!(found("x.*"), "");
        assert_eq!(found("{a,b}"), "a. b");
        assert_eq!(found(""), "");
    }

    #[test]
    fn the_index_agrees_with_matching_one_by_one() {
        let names = ["a", "a.b", "a.b.c", "web1.cpu", "web2.cpu", "web10.mem", "db1.cpu", "a..b", "x.y.z", "webé.cpu"];
        let index = trie(&names);
        for pattern in
            ["*", "*.*", "web*.cpu", "web?.*", "{web,db}1.cpu", "*.*.*", "a.", "a..*", "web[1-2].c*u", "a.b", "*1.cpu"]
        {
            let mut expected: Vec<&str> = names.iter().copied().filter(|name| matches_dotted(pattern, name)).collect();
            let mut found = matching(&index, pattern);
            expected.sort_unstable();
            found.sort_unstable();
            assert_eq!(found, expected, "{pattern}");
        }
    }

    #[test]
    fn a_removed_name_leaves_no_branch_behind() {
        let mut trie = trie(&["a.b.c", "a.d"]);
        trie.remove("a.b.c");
        assert_eq!(matching(&trie, "a.*"), ["a.d"]);
        assert_eq!(trie.find("a.*").len(), 1);
        trie.remove("a.d");
        assert!(trie.find("*").is_empty());
    }
}
