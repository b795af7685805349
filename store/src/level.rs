//! One level of the tree of names, as a glob finds it.

use std::{collections::HashMap, sync::Arc};

use crate::{
    parts::{PartId, Parts},
    trie::Child,
};

/// What a pattern finds in the tree of names: for each node at its depth the path down to it and the last part.
///
/// Lists of nodes are those of the tree itself, as they were when it was asked, and not copied: the time that a million
/// names take is that of walking over them once.
#[derive(Debug, Clone, Default)]
pub struct Level {
    runs: Vec<Run>,
    /// The last parts, each once, in order of first sight, and how each was met.
    parts: Vec<Part>,
    /// Which place in `parts` each part of the tree has.
    places: Vec<u32>,
    n_nodes: usize,
    leaves_only: bool,
}

/// The nodes below one path, in order.
#[derive(Debug, Clone)]
struct Run {
    parent: Arc<str>,
    children: Arc<Vec<Child>>,
}

#[derive(Debug, Clone)]
struct Part {
    text: Arc<str>,
    is_branch: bool,
    is_leaf: bool,
}

/// A part that the level does not have.
const NOWHERE: u32 = u32::MAX;

/// A node of the tree of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node<'l> {
    /// The path above it, empty at the root.
    pub parent: &'l str,
    /// The last part of its path.
    pub part: &'l str,
    /// Whether it is a series; else more parts follow. A path that is both stands here twice, the branch first.
    pub is_leaf: bool,
}

impl Node<'_> {
    /// The whole path, as in `stats.counters`.
    pub fn path(&self) -> String {
        match self.parent {
            "" => self.part.to_owned(),
            parent => format!("{parent}.{}", self.part),
        }
    }
}

impl Level {
    /// One that is empty, to take in nodes whose parts are numbered below `bound`.
    pub(crate) fn with_parts_below(bound: usize) -> Self {
        Self { places: vec![NOWHERE; bound], ..Self::default() }
    }

    /// Adds the nodes below a path, which is behind those before.
    pub(crate) fn push(&mut self, parent: Arc<str>, children: Arc<Vec<Child>>, texts: &Parts) {
        for child in children.iter() {
            self.meet(child.part, child.is_branch(), child.is_series(), || texts.text(child.part).clone());
        }
        self.runs.push(Run { parent, children });
    }

    fn meet(&mut self, part: PartId, is_branch: bool, is_leaf: bool, text: impl FnOnce() -> Arc<str>) {
        let place = &mut self.places[part as usize];
        if *place == NOWHERE {
            *place = self.parts.len() as u32;
            self.parts.push(Part { text: text(), is_branch: false, is_leaf: false });
        }
        let part = &mut self.parts[*place as usize];
        part.is_branch |= is_branch;
        part.is_leaf |= is_leaf;
        self.n_nodes += usize::from(is_branch) + usize::from(is_leaf);
    }

    /// The level of paths, each with whether it is a series, in their order.
    pub(crate) fn of_paths(paths: &[(String, bool)]) -> Self {
        let mut level = Self::default();
        let mut known: HashMap<&str, PartId> = HashMap::new();
        let split = |path: &'_ str| path.rfind('.').unwrap_or(0);
        for of_parent in paths.chunk_by(|(a, _), (b, _)| a[..split(a)] == b[..split(b)]) {
            let parent = of_parent.first().map_or("", |(path, _)| &path[..split(path)]);
            let mut children = Vec::with_capacity(of_parent.len());
            for (path, is_leaf) in of_parent {
                let text = path.rsplit_once('.').map_or(&**path, |(_, part)| part);
                let next = known.len() as PartId;
                let part = *known.entry(text).or_insert(next);
                if part == next {
                    level.places.push(NOWHERE);
                }
                level.meet(part, !is_leaf, *is_leaf, || text.into());
                children.push(Child::of(part, *is_leaf));
            }
            level.runs.push(Run { parent: parent.into(), children: Arc::new(children) });
        }
        level
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.n_nodes
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.n_nodes == 0
    }

    /// The series alone.
    pub fn leaves(mut self) -> Self {
        self.leaves_only = true;
        self.n_nodes = self.iter().count();
        self.parts.iter_mut().for_each(|part| part.is_branch = false);
        self
    }

    /// The nodes in order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = Node<'_>> {
        let nodes = self.runs.iter().flat_map(|run| run.children.iter().map(move |child| (run, child)));
        nodes.flat_map(move |(run, child)| {
            let part = &*self.parts[self.places[child.part as usize] as usize].text;
            let node = move |is_leaf| Node { parent: &run.parent, part, is_leaf };
            let branch = (child.is_branch() && !self.leaves_only).then(|| node(false));
            branch.into_iter().chain(child.is_series().then(|| node(true)))
        })
    }

    /// Every last part once, with whether it was met as a branch and as a series, in order of first sight.
    pub fn parts(&self) -> impl Iterator<Item = (&str, bool, bool)> {
        let parts = self.parts.iter().filter(|part| part.is_branch || part.is_leaf);
        parts.map(|part| (&*part.text, part.is_branch, part.is_leaf))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_of_paths_lists_them_and_their_parts() {
        let paths = [("a.x", false), ("a.x", true), ("a.y", true), ("b.x", false), ("c", true)];
        let paths: Vec<(String, bool)> = paths.iter().map(|(path, is_leaf)| ((*path).to_owned(), *is_leaf)).collect();
        let level = Level::of_paths(&paths);
        assert_eq!(level.iter().map(|node| (node.path(), node.is_leaf)).collect::<Vec<_>>(), paths);
        assert_eq!(level.len(), 5);
        let parts: Vec<_> = level.parts().collect();
        assert_eq!(parts, [("x", true, true), ("y", false, true), ("c", false, true)]);
        let leaves = level.leaves();
        assert_eq!(leaves.iter().map(|node| node.path()).collect::<Vec<_>>(), ["a.x", "a.y", "c"]);
        assert_eq!((leaves.len(), leaves.parts().count()), (3, 3));
    }
}
