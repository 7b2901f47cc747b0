//! One file: the bytes that are durable, and the changes that are not yet.
//!
//! A sync makes everything durable that came before it. A sync that *failed* does
//! worse than nothing: the kernel may drop what was to be written and mark it
//! clean, so no later sync brings it back; only writing the bytes again does.

/// A change of a file's bytes or its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Bytes at a place; the file grows if need be.
    Write {
        /// Where.
        offset: usize,
        /// What.
        data: Vec<u8>,
    },
    /// A new size: cut off, or filled up with zeros.
    Resize(usize),
}

/// A change that is not durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) change: Change,
    /// The number of the operation that made it.
    pub(crate) at: usize,
    /// A sync failed on it: later syncs pass it by.
    pub(crate) abandoned: bool,
}

/// A file without its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct File {
    pub(crate) durable: Vec<u8>,
    pub(crate) pending: Vec<Pending>,
}

impl File {
    /// A change that nobody synced yet.
    pub fn change(&mut self, change: Change, at: usize) {
        self.pending.push(Pending { change, at, abandoned: false });
    }

    /// Makes all changes before operation number `began` durable, except those on which a sync failed before.
    pub fn sync(&mut self, began: usize) {
        let (covered, mut kept): (Vec<_>, Vec<_>) =
            self.pending.drain(..).partition(|one| !one.abandoned && one.at < began);
        for Pending { change, at, .. } in covered {
            kept =
                kept.into_iter().flat_map(|old| if old.at < at { without(old, &change) } else { vec![old] }).collect();
            apply(&mut self.durable, &change);
        }
        self.pending = kept;
    }

    /// Remembers that a sync of all pending changes failed. A size is the file system's own, and kept in its journal.
    pub fn fail_sync(&mut self) {
        let writes = self.pending.iter_mut().filter(|one| matches!(one.change, Change::Write { .. }));
        writes.for_each(|one| one.abandoned = true);
    }

    /// What a program sees: everything.
    pub fn visible(&self) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        self.pending.iter().for_each(|one| apply(&mut bytes, &one.change));
        bytes
    }
}

/// Does to bytes what a change says.
pub(crate) fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Resize(size) => bytes.resize(*size, 0),
        Change::Write { offset, data } => {
            let end = offset + data.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes.get_mut(*offset..end).expect("it was made long enough").copy_from_slice(data);
        }
    }
}

/// What is left of an abandoned change after `newer` was made durable over it.
fn without(old: Pending, newer: &Change) -> Vec<Pending> {
    let Pending { change: Change::Write { offset, data }, at, abandoned } = old else { return vec![old] };
    let end = offset + data.len();
    let (from, to) = match newer {
        Change::Write { offset, data } => (*offset, offset + data.len()),
        Change::Resize(size) => (*size, usize::MAX),
    };
    let parts = [(offset, end.min(from)), (offset.max(to), end)];
    let part = |(start, stop): (usize, usize)| {
        let data = data.get(start.checked_sub(offset)?..stop.checked_sub(offset)?)?.to_vec();
        (!data.is_empty()).then_some(Pending { change: Change::Write { offset: start, data }, at, abandoned })
    };
    parts.into_iter().filter(|(start, stop)| start < stop).filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn write(offset: usize, data: &[u8]) -> Change {
        Change::Write { offset, data: data.to_vec() }
    }

    #[test]
    fn a_sync_makes_durable_what_came_before_it() {
        let mut file = File::default();
        file.change(write(2, b"ab"), 0);
        assert_eq!((file.durable.len(), file.visible()), (0, b"\0\0ab".to_vec()));
        file.sync(usize::MAX);
        file.change(Change::Resize(3), 1);
        assert_eq!((file.durable.clone(), file.visible()), (b"\0\0ab".to_vec(), b"\0\0a".to_vec()));
    }

    /// Trying again is not enough; writing again is.
    #[test]
    fn what_a_failed_sync_dropped_no_later_sync_brings_back() {
        let mut file = File::default();
        file.change(write(0, b"aaaa"), 0);
        file.fail_sync();
        file.change(write(1, b"bb"), 1);
        file.sync(usize::MAX);
        assert_eq!(file.durable, b"\0bb");
        assert_eq!(file.visible(), b"abba");
        file.change(write(0, b"abba"), 2);
        file.sync(usize::MAX);
        assert_eq!((file.durable.clone(), file.pending.len()), (b"abba".to_vec(), 0));
    }

    fn changes() -> impl Strategy<Value = Vec<(Change, u8)>> {
        let write = (0_usize..40, prop::collection::vec(1_u8.., 1..20))
            .prop_map(|(offset, data)| Change::Write { offset, data });
        let resize = (0_usize..60).prop_map(Change::Resize);
        prop::collection::vec((prop_oneof![4 => write, 1 => resize], 0_u8..6), 0..30)
    }

    proptest! {
        /// Whatever was synced in between: a program sees what it wrote, and a last sync makes exactly that durable.
        #[test]
        fn syncing_changes_nothing_that_is_seen(changes in changes()) {
            let (mut plain, mut synced) = (Vec::new(), File::default());
            for (at, (change, then)) in changes.into_iter().enumerate() {
                apply(&mut plain, &change);
                synced.change(change, at);
                if then == 0 {
                    synced.sync(usize::MAX);
                }
                prop_assert_eq!(&synced.visible(), &plain);
            }
            synced.sync(usize::MAX);
            prop_assert_eq!(synced.durable, plain);
        }

        /// After failed syncs a program still sees what it wrote.
        #[test]
        fn a_failed_sync_is_not_seen(changes in changes()) {
            let (mut plain, mut file) = (Vec::new(), File::default());
            for (at, (change, then)) in changes.into_iter().enumerate() {
                apply(&mut plain, &change);
                file.change(change, at);
                match then {
                    0 => file.sync(usize::MAX),
                    1 => file.fail_sync(),
                    _ => {}
                }
                prop_assert_eq!(&file.visible(), &plain);
            }
        }
    }
}
