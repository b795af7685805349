//! One level of the tree of names, as a glob finds it.

use std::{collections::HashMap, sync::Arc};

/// What a pattern finds in the tree of names: for each node at its depth the path down to it and the last part, without a
/// text of its own for each. Twelve bytes a node, so that a million names are listed in milliseconds.
#[derive(Debug, Clone, Default)]
pub struct Level {
    /// The paths above the nodes, in order.
    pub(crate) parents: Vec<Arc<str>>,
    /// The last parts, each once, in order of first sight.
    pub(crate) parts: Vec<Arc<str>>,
    pub(crate) entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub parent: u32,
    /// Index into `parts`, and whether it is a series in the highest bit.
    pub part: u32,
}

/// Marks a series in [`Entry::part`].
pub(crate) const LEAF: u32 = 1 << 31;

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
    /// The level of paths, each with whether it is a series, in their order.
    pub(crate) fn of_paths(paths: &[(String, bool)]) -> Self {
        let mut level = Self::default();
        let mut known: HashMap<&str, u32> = HashMap::new();
        for (path, is_leaf) in paths {
            let (parent, part) = path.rsplit_once('.').unwrap_or(("", path));
            if level.parents.last().is_none_or(|last| **last != *parent) {
                level.parents.push(parent.into());
            }
            let part = *known.entry(part).or_insert_with(|| {
                level.parts.push(part.into());
                level.parts.len() as u32 - 1
            });
            let part = part | if *is_leaf { LEAF } else { 0 };
            level.entries.push(Entry { parent: level.parents.len() as u32 - 1, part });
        }
        level
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The series alone.
    pub fn leaves(mut self) -> Self {
        self.entries.retain(|entry| entry.part & LEAF != 0);
        self
    }

    /// The nodes in order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = Node<'_>> {
        self.entries.iter().map(|entry| Node {
            parent: &self.parents[entry.parent as usize],
            part: &self.parts[(entry.part & !LEAF) as usize],
            is_leaf: entry.part & LEAF != 0,
        })
    }

    /// Every last part once, with whether it was met as a branch and as a series, in order of first sight.
    pub fn parts(&self) -> impl Iterator<Item = (&str, bool, bool)> {
        let mut met = vec![(false, false); self.parts.len()];
        for entry in &self.entries {
            let (is_branch, is_leaf) = &mut met[(entry.part & !LEAF) as usize];
            *(if entry.part & LEAF == 0 { is_branch } else { is_leaf }) = true;
        }
        self.parts.iter().zip(met).map(|(part, (is_branch, is_leaf))| (&**part, is_branch, is_leaf))
    }
}
