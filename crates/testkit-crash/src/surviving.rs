//! Which pending changes a power cut leaves: each of these is something that disks have done.
//!
//! A disk writes sectors, in any order. Writes of several sectors are torn
//! between them and, in one of the kinds, within one, too.

use crate::{
    chance::Chance,
    file::{Change, File, apply},
};

/// Bytes that a disk writes at once: old disks, and new ones.
const SECTORS: [usize; 2] = [512, 4_096];

/// What is left of the pending changes of every file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surviving {
    /// Nothing: only what was synced.
    Nothing,
    /// All of it, as after the death of a process.
    Everything,
    /// Those before some moment.
    Prefix,
    /// All but one sector.
    AllButOne,
    /// Each sector with this probability, in percent, and each change of a size.
    Sectors(u8),
    /// Those before some moment, and the next one torn at any byte.
    Torn,
}

impl Surviving {
    /// All kinds.
    pub const KINDS: [Self; 8] = [
        Self::Nothing,
        Self::Everything,
        Self::Prefix,
        Self::AllButOne,
        Self::Sectors(20),
        Self::Sectors(50),
        Self::Sectors(80),
        Self::Torn,
    ];

    /// The bytes of a file that are left.
    pub fn of(self, file: &File, chance: &mut Chance) -> Vec<u8> {
        let mut bytes = file.durable.clone();
        let count = file.pending.len();
        let kept = match self {
            Self::Nothing => 0,
            Self::Prefix | Self::Torn => chance.up_to(count),
            Self::Everything | Self::AllButOne | Self::Sectors(_) => count,
        };
        let spared = if self == Self::AllButOne { chance.up_to(count.saturating_sub(1)) } else { usize::MAX };
        let sector = SECTORS[chance.up_to(SECTORS.len() - 1)];
        for (index, pending) in file.pending.iter().take(kept).enumerate() {
            match self {
                Self::AllButOne if index == spared => without_one_sector(&mut bytes, &pending.change, sector, chance),
                Self::Sectors(percent) => some_sectors(&mut bytes, &pending.change, sector, || chance.happens(percent)),
                _ => apply(&mut bytes, &pending.change),
            }
        }
        if self == Self::Torn
            && let Some(next) = file.pending.get(kept)
            && let Change::Write { offset, data } = &next.change
        {
            let data = data.iter().take(chance.up_to(data.len())).copied().collect();
            apply(&mut bytes, &Change::Write { offset: *offset, data });
        }
        bytes
    }
}

fn without_one_sector(bytes: &mut Vec<u8>, change: &Change, sector: usize, chance: &mut Chance) {
    let Change::Write { offset, data } = change else { return };
    let (first, last) = (offset / sector, (offset + data.len().saturating_sub(1)) / sector);
    let (spared, mut index) = (chance.up_to(last - first), 0);
    some_sectors(bytes, change, sector, || {
        index += 1;
        index - 1 != spared
    });
}

/// Applies the sectors of a write that `survives` says; a change of size as a whole.
fn some_sectors(bytes: &mut Vec<u8>, change: &Change, sector: usize, mut survives: impl FnMut() -> bool) {
    let Change::Write { offset, data } = change else {
        if survives() {
            apply(bytes, change);
        }
        return;
    };
    let (mut rest, mut at) = (data.as_slice(), *offset);
    while !rest.is_empty() {
        let (part, after) = rest.split_at(rest.len().min(sector - at % sector));
        if survives() {
            apply(bytes, &Change::Write { offset: at, data: part.to_vec() });
        }
        at += part.len();
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(synced: usize, writes: &[(usize, u8, usize)]) -> File {
        let mut file = File::default();
        for (index, (offset, byte, length)) in writes.iter().enumerate() {
            file.change(Change::Write { offset: *offset, data: vec![*byte; *length] }, index);
            if index + 1 == synced {
                file.sync(usize::MAX);
            }
        }
        file
    }

    proptest! {
        /// Every byte that is left was in its place at some time since the last sync, or is a hole's zero.
        #[test]
        fn nothing_is_made_up(
            synced in 0_usize..6,
            writes in prop::collection::vec((0_usize..9_000, 1_u8.., 1_usize..9_000), 1..6),
            kind in prop::sample::select(&Surviving::KINDS[..]),
            seed: u64,
        ) {
            let file = file(synced, &writes);
            let left = kind.of(&file, &mut Chance::new(seed));
            for (place, byte) in left.iter().enumerate() {
                let old = file.durable.get(place).copied().unwrap_or(0);
                let written = file.pending.iter().any(|one| match &one.change {
                    Change::Write { offset, data } => place.checked_sub(*offset).and_then(|at| data.get(at)) == Some(byte),
                    Change::Resize(_) => false,
                });
                prop_assert!(*byte == old || written, "{kind:?}: byte {place} is {byte}");
            }
            // What was synced and not written over since is there.
            prop_assert!(left.len() >= file.durable.len());
        }

        /// Without pending changes there is only one state.
        #[test]
        fn what_was_synced_is_there(
            writes in prop::collection::vec((0_usize..9_000, 1_u8.., 1_usize..9_000), 1..6),
            kind in prop::sample::select(&Surviving::KINDS[..]),
            seed: u64,
        ) {
            let file = file(writes.len(), &writes);
            prop_assert_eq!(kind.of(&file, &mut Chance::new(seed)), file.durable);
        }
    }

    /// The kinds reach the states that hurt: a later sector without an earlier one, and half a sector.
    #[test]
    fn sectors_survive_in_any_order() {
        let mut file = File::default();
        file.change(Change::Write { offset: 0, data: vec![1; 512] }, 0);
        file.change(Change::Write { offset: 512, data: vec![2; 512] }, 1);
        let mut chance = Chance::new(1);
        let seen: Vec<Vec<u8>> = (0..200).map(|_| Surviving::Sectors(50).of(&file, &mut chance)).collect();
        assert!(seen.iter().any(|left| left.len() == 1_024 && left[0] == 0), "the second without the first");
        let torn: Vec<Vec<u8>> = (0..200).map(|_| Surviving::Torn.of(&file, &mut chance)).collect();
        assert!(torn.iter().any(|left| left.len() % 512 != 0), "half a sector");
        let spared = (0..50).map(|_| Surviving::AllButOne.of(&file, &mut chance));
        assert!(spared.into_iter().all(|left| left != file.visible()));
    }
}
