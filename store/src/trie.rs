//! Names by their dotted parts, so that a glob visits only what it can match.

use std::{borrow::Cow, sync::Arc};

use crate::{
    glob::Glob,
    level::Level,
    parts::{PartId, Parts},
    point::SeriesId,
};

/// The names of all untagged series, as a tree of dotted parts.
///
/// A branch holds its children in one run of memory, and a series without children is nothing but an entry in it: a
/// level of a million names is read at the speed of memory, where a node of its own for each cost a cache miss apiece.
pub(crate) struct Trie {
    branches: Vec<Branch>,
    /// Branches that went with their last name.
    free: Vec<BranchId>,
    parts: Parts,
}

type BranchId = u32;

const ROOT: BranchId = 0;
/// No series, or no branch: neither has this number.
const NONE: u32 = u32::MAX;

#[derive(Default)]
struct Branch {
    /// The first `n_sorted` in order of their texts, the rest as they came. Shared with the answers that list them, for
    /// as long as these live.
    children: Arc<Vec<Child>>,
    n_sorted: usize,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Child {
    pub part: PartId,
    series: u32,
    branch: BranchId,
}

impl Child {
    /// Whether more parts follow.
    pub fn is_branch(&self) -> bool {
        self.branch != NONE
    }

    /// Whether a name ends here.
    pub fn is_series(&self) -> bool {
        self.series != NONE
    }

    /// One of no tree, which is either.
    pub fn of(part: PartId, is_series: bool) -> Self {
        match is_series {
            true => Self { part, series: 0, branch: NONE },
            false => Self { part, series: NONE, branch: ROOT },
        }
    }
}

/// Children up to which a new one is put in its place at once, which moves half of them. A wider branch keeps some at the
/// end, and sorts them in when they are as many as four times the root of all: each is then moved about as rarely as it
/// is searched.
const NARROW: usize = 1024;

/// Most parts of a name; the last one keeps the dots that are left. A bound on what one name costs, and on recursion.
const MAX_PARTS: usize = 64;

impl Default for Trie {
    fn default() -> Self {
        Self { branches: vec![Branch::default()], free: Vec::new(), parts: Parts::default() }
    }
}

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

fn globs_of(pattern: &str) -> Vec<Glob> {
    split_parts(pattern).into_iter().map(Glob::new).collect()
}

impl Trie {
    pub fn insert(&mut self, name: &str, id: SeriesId) {
        let mut branch = ROOT;
        let mut parts = name.splitn(MAX_PARTS, '.').peekable();
        while let Some(part) = parts.next() {
            let index = self.ensure(branch, part);
            if parts.peek().is_none() {
                self.child(branch, index).series = id.0;
                return;
            }
            let below = self.branches[branch as usize].children[index].branch;
            branch = if below == NONE { self.grow(branch, index) } else { below };
        }
    }

    /// Gives a child a branch of its own.
    fn grow(&mut self, parent: BranchId, index: usize) -> BranchId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.branches.push(Branch::default());
            // A branch holds a name of its own, and there are fewer than 2^32 of those.
            (self.branches.len() - 1) as BranchId
        });
        self.child(parent, index).branch = id;
        id
    }

    /// A child, to be changed.
    fn child(&mut self, branch: BranchId, index: usize) -> &mut Child {
        &mut Arc::make_mut(&mut self.branches[branch as usize].children)[index]
    }

    /// Where the child stands that is called `part`, made if missing.
    fn ensure(&mut self, branch: BranchId, part: &str) -> usize {
        let known = self.parts.lookup(part);
        if let Some(index) = known.and_then(|id| self.position(branch, part, id)) {
            return index;
        }
        let child = Child { part: self.parts.take(part), series: NONE, branch: NONE };
        let Branch { children, n_sorted } = &mut self.branches[branch as usize];
        let (parts, children) = (&self.parts, Arc::make_mut(children));
        if children.len() == children.capacity() {
            // By a quarter rather than double: of a million names the room to come is memory as well.
            children.reserve_exact((children.len() / 4).max(4));
        }
        if *n_sorted == children.len() && children.len() < NARROW {
            let index = children.partition_point(|other| **parts.text(other.part) < *part);
            children.insert(index, child);
            *n_sorted += 1;
            return index;
        }
        children.push(child);
        if children.len() - *n_sorted > 4 * children.len().isqrt() {
            // Stable, which finds the sorted run and merges the rest into it.
            children.sort_by(|a, b| parts.text(a.part).cmp(parts.text(b.part)));
            *n_sorted = children.len();
            return children.partition_point(|other| **parts.text(other.part) < *part);
        }
        children.len() - 1
    }

    fn position(&self, branch: BranchId, text: &str, part: PartId) -> Option<usize> {
        let Branch { children, n_sorted } = &self.branches[branch as usize];
        let (sorted, rest) = children.split_at(*n_sorted);
        let found = sorted.binary_search_by(|child| (**self.parts.text(child.part)).cmp(text)).ok();
        found.or_else(|| Some(n_sorted + rest.iter().position(|child| child.part == part)?))
    }

    pub fn remove(&mut self, name: &str) {
        let mut path = Vec::new();
        let mut branch = ROOT;
        for part in name.splitn(MAX_PARTS, '.') {
            let position = self.parts.lookup(part).and_then(|id| self.position(branch, part, id));
            let Some(index) = position else { return };
            path.push((branch, index));
            branch = self.branches[branch as usize].children[index].branch;
            if branch == NONE {
                break;
            }
        }
        let Some(&(branch, index)) = path.last().filter(|_| path.len() == name.splitn(MAX_PARTS, '.').count()) else {
            return;
        };
        self.child(branch, index).series = NONE;
        // What holds nothing any more goes, from the name up.
        let mut is_bare = false;
        for (branch, index) in path.into_iter().rev() {
            let Branch { children, n_sorted } = &mut self.branches[branch as usize];
            let children = Arc::make_mut(children);
            if is_bare {
                self.free.push(std::mem::replace(&mut children[index].branch, NONE));
            }
            let child = children[index];
            if child.series != NONE || child.branch != NONE {
                return;
            }
            children.remove(index);
            *n_sorted -= usize::from(index < *n_sorted);
            is_bare = children.is_empty();
            self.parts.release(child.part);
            if !is_bare {
                return;
            }
            *children = Vec::new();
        }
    }

    /// Calls `each` with every series that the pattern matches, in order of names.
    pub fn matching(&self, pattern: &str, mut each: impl FnMut(SeriesId)) {
        self.visit(ROOT, &globs_of(pattern), &mut |_, selected| {
            let series = selected.children().iter().filter(|child| child.is_series());
            series.for_each(|child| each(SeriesId(child.series)));
        });
    }

    /// The nodes at the depth of the pattern: each leaf, and each branch.
    pub fn find(&self, pattern: &str) -> Level {
        let globs = globs_of(pattern);
        let mut level = Level::with_parts_below(self.parts.bound());
        self.visit(ROOT, &globs, &mut |path, selected| {
            level.push(path.join(".").into(), selected.share(), &self.parts);
        });
        level
    }

    /// Hands over what the last glob selects below each branch that the others lead to, with the path to that branch.
    fn visit<'t>(&'t self, branch: BranchId, globs: &[Glob], each: &mut impl FnMut(&[&'t str], Selected<'t>)) {
        self.descend(branch, globs, &mut Vec::new(), each);
    }

    fn descend<'t>(
        &'t self,
        branch: BranchId,
        globs: &[Glob],
        path: &mut Vec<&'t str>,
        each: &mut impl FnMut(&[&'t str], Selected<'t>),
    ) {
        let Some((glob, rest)) = globs.split_first() else { return };
        let selected = self.select(branch, glob);
        if rest.is_empty() {
            if !selected.children().is_empty() {
                each(path, selected);
            }
            return;
        }
        for child in selected.children().iter().filter(|child| child.is_branch()) {
            path.push(self.parts.text(child.part));
            self.descend(child.branch, rest, path, each);
            path.pop();
        }
    }

    /// The children that a glob matches, in order. A literal costs one look-up, a literal start only the range behind it.
    fn select(&self, branch: BranchId, glob: &Glob) -> Selected<'_> {
        let Branch { children, n_sorted } = &self.branches[branch as usize];
        let text = |child: &Child| &**self.parts.text(child.part);
        if let Some(part) = glob.literal() {
            let index = self.parts.lookup(part).and_then(|id| self.position(branch, part, id));
            return Selected::Some(index.map_or(Cow::default(), |index| Cow::Borrowed(&children[index..=index])));
        }
        let mut sorted = Selected::All(children);
        if *n_sorted < children.len() {
            let mut children = children.to_vec();
            children.sort_by_key(text);
            sorted = Selected::Some(Cow::Owned(children));
        }
        if glob.is_any() {
            return sorted;
        }
        let sorted = sorted.children();
        let prefix = glob.prefix();
        let start = sorted.partition_point(|child| text(child) < prefix);
        let within = sorted[start..].iter().take_while(|child| text(child).starts_with(prefix));
        Selected::Some(within.filter(|child| glob.matches(text(child))).copied().collect())
    }
}

/// Children of one branch.
enum Selected<'t> {
    All(&'t Arc<Vec<Child>>),
    Some(Cow<'t, [Child]>),
}

impl Selected<'_> {
    fn children(&self) -> &[Child] {
        match self {
            Self::All(children) => children,
            Self::Some(children) => children,
        }
    }

    /// The children for as long as somebody wants them: all of a branch without a copy.
    fn share(self) -> Arc<Vec<Child>> {
        match self {
            Self::All(children) => Arc::clone(children),
            Self::Some(children) => Arc::new(children.into_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{glob::matches_dotted, level::Node};

    fn trie(names: &[impl AsRef<str>]) -> Trie {
        let mut trie = Trie::default();
        for (id, name) in names.iter().enumerate() {
            trie.insert(name.as_ref(), SeriesId(id as u32));
        }
        trie
    }

    fn matching<'n>(trie: &Trie, names: &[&'n str], pattern: &str) -> Vec<&'n str> {
        let mut found = Vec::new();
        trie.matching(pattern, |id| found.push(names[id.0 as usize]));
        found
    }

    fn found(trie: &Trie, pattern: &str) -> String {
        let show = |node: Node<'_>| format!("{}{}", node.path(), if node.is_leaf { "" } else { "." });
        trie.find(pattern).iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn find_tells_leaves_from_branches() {
        let trie = trie(&["a.b", "a.b.c", "a.d.e", "b"]);
        let found = |pattern: &str| found(&trie, pattern);
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
            let mut found = matching(&index, &names, pattern);
            expected.sort_unstable();
            found.sort_unstable();
            assert_eq!(found, expected, "{pattern}");
        }
    }

    #[test]
    fn a_removed_name_leaves_no_branch_behind() {
        let names = ["a.b.c", "a.d"];
        let mut trie = trie(&names);
        trie.remove("a.b");
        trie.remove("a.b.c.d");
        trie.remove("a.b.c");
        assert_eq!(matching(&trie, &names, "a.*"), ["a.d"]);
        assert_eq!(found(&trie, "a.*"), "a.d");
        trie.remove("a.d");
        assert!(trie.find("*").is_empty());
        trie.insert("x.y", SeriesId(0));
        assert_eq!(found(&trie, "*.*"), "x.y");
        assert_eq!((trie.branches.len(), trie.parts.bound()), (3, 4), "what was given back is used again");
    }

    #[test]
    fn an_answer_stays_as_it_was_while_the_tree_changes() {
        let mut trie = trie(&["a.b", "a.c", "a.d.e"]);
        let before = trie.find("a.*");
        trie.insert("a.aa", SeriesId(3));
        trie.remove("a.c");
        trie.insert("a.b.x", SeriesId(4));
        assert_eq!(before.iter().map(|node| node.path()).collect::<Vec<_>>(), ["a.b", "a.c", "a.d"]);
        assert_eq!(found(&trie, "a.*"), "a.aa a.b. a.b a.d.");
    }

    #[test]
    fn a_wide_branch_stays_in_order_while_names_come_and_go() {
        let name = |i: usize| format!("host{:05}", i * 7919 % 20_000);
        let names: Vec<String> = (0..20_000).map(name).collect();
        let mut trie = trie(&names);
        let mut expected = names.clone();
        for (index, gone) in names.iter().enumerate().filter(|(index, _)| index % 3 == 0) {
            trie.remove(gone);
            expected[index].clear();
        }
        expected.retain(|name| !name.is_empty());
        expected.sort_unstable();
        let level = trie.find("*");
        assert!(level.iter().map(|node| node.part).eq(expected.iter().map(String::as_str)));
        let is_between = |name: &&String| ("host10".."host15").contains(&name.as_str());
        assert_eq!(trie.find("host1[0-4]*").len(), expected.iter().filter(is_between).count());
        assert!(expected.iter().all(|name| trie.find(name).len() == 1));
        assert!(names.iter().step_by(3).all(|name| trie.find(name).is_empty()));
    }
}
