//! The members of all sets within an interval, each once, without an allocation for each.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// Bytes of all members together. Members are bounded in number too; this bounds long ones.
const MAX_BYTES: usize = 64 << 20;

/// Distinct members by slot of their set.
#[derive(Debug, Default)]
pub(crate) struct Members {
    table: HashTable<Member>,
    hash: DefaultHashBuilder,
    bytes: Vec<u8>,
    /// Distinct members by slot.
    counts: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    slot: u32,
    start: u32,
    length: u32,
}

impl Members {
    /// Adds a member; false if it is new and there is no room for it.
    pub(crate) fn insert(&mut self, slot: u32, text: &[u8], max: usize) -> bool {
        let Self { table, hash, bytes, counts } = self;
        let of = |member: &Member| &bytes[member.start as usize..][..member.length as usize];
        let code = hash.hash_one((slot, text));
        if table.find(code, |member| member.slot == slot && of(member) == text).is_some() {
            return true;
        }
        if table.len() >= max || bytes.len() + text.len() > MAX_BYTES {
            return false;
        }
        let member = Member { slot, start: bytes.len() as u32, length: text.len() as u32 };
        table.insert_unique(code, member, |member| hash.hash_one((member.slot, of(member))));
        bytes.extend_from_slice(text);
        counts[slot as usize] += 1;
        true
    }

    /// Distinct members by slot.
    pub(crate) fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// Makes room for slots up to `n_slots`.
    pub(crate) fn resize(&mut self, n_slots: usize) {
        self.counts.resize(n_slots, 0);
    }

    /// Forgets the members of one set.
    pub(crate) fn forget(&mut self, slot: u32) {
        self.table.retain(|member| member.slot != slot);
        self.counts[slot as usize] = 0;
    }

    /// Forgets all members; keeps the slots and the memory.
    pub(crate) fn clear(&mut self) {
        self.table.clear();
        self.bytes.clear();
        self.counts.fill(0);
    }
}
