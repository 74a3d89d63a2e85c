//! A tree in the database: its entries one by one, or in leaves.
//!
//! Each change of an entry costs sled a copy of what lies around it, whatever the entry's size. So
//! the entries of the large trees go in leaves of at most [`ENTRIES_MAX`], deflated; sled has one
//! entry for each leaf. Whoever reads a tree sees its entries either way, in the order of their
//! keys.
//!
//! The *group* of an entry is its key up to the first `/`, which is an account or a generation. A
//! leaf holds all entries of one group from the leaf's own key on, up to the key of the next leaf.
//! The first leaf of a group has the group itself for a key. One that becomes too large is divided
//! in the batch in which that happens; one that becomes empty goes.
//!
//! The value of a leaf is the length of its text in four bytes, the lowest first, and the text,
//! deflated as zlib does, whose checksum shows what is damaged. The text has a line for each entry,
//! in their order: its key below the group, a blank, and its value, which is JSON without a line
//! break.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::tree::{EntryChange, StoreError, TreeEntries};

/// One tree in the database.
#[derive(Clone)]
pub(super) struct Disk {
    name: &'static str,
    tree: sled::Tree,
    /// There for a tree in leaves.
    deflater: Option<Arc<Mutex<Compress>>>,
}

impl Disk {
    pub(super) fn open(
        db: &sled::Db,
        name: &'static str,
        is_in_leaves: bool,
    ) -> Result<Disk, StoreError> {
        let tree = db
            .open_tree(name)
            .map_err(|source| StoreError::Sled { doing: "open a tree", source })?;
        let deflater = is_in_leaves.then(|| Arc::new(Mutex::new(deflater())));
        Ok(Disk { name, tree, deflater })
    }

    /// One value, as bytes.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if self.deflater.is_none() {
            let value = self.tree.get(key).map_err(reading)?;
            return Ok(value.map(|bytes| bytes.to_vec()));
        }
        let Some((leaf, bytes)) = self.leaf_of(key)? else { return Ok(None) };
        let text = self.inflated(&leaf, &bytes)?;
        let found = self.lines(&leaf, &text)?;
        let below = below(key);
        Ok(found.binary_search_by_key(&below, |line| line.0).ok().map(|at| found[at].1.to_vec()))
    }

    /// Every entry whose key begins so, in the order of keys.
    pub(super) fn visit(
        &self,
        prefix: &[u8],
        mut see: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if self.deflater.is_some() {
            return self.visit_leaves(prefix, see);
        }
        for entry in self.tree.scan_prefix(prefix) {
            let (key, bytes) = entry.map_err(scanning)?;
            see(&key, &bytes)?;
            self.touch(&key)?;
        }
        Ok(())
    }

    fn visit_leaves(
        &self,
        prefix: &[u8],
        mut see: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let first = self.leaf_of(prefix)?.map_or_else(|| prefix.into(), |(leaf, _)| leaf);
        let mut whole = Vec::new();
        for entry in self.tree.range(first..) {
            let (leaf, bytes) = entry.map_err(scanning)?;
            if *leaf > *prefix && !leaf.starts_with(prefix) {
                break;
            }
            let text = self.inflated(&leaf, &bytes)?;
            for (key, value) in self.lines(&leaf, &text)? {
                whole.clear();
                whole.extend_from_slice(group_of(&leaf));
                whole.extend_from_slice(key);
                if whole.starts_with(prefix) {
                    see(&whole, value)?;
                }
            }
            self.touch(&leaf)?;
        }
        Ok(())
    }

    /// The first key that is this one or comes after it; in leaves, what is before all keys of its
    /// group and not before this one.
    pub(super) fn first_key_from(&self, from: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let first = self.tree.range(from..).next().transpose().map_err(scanning)?;
        Ok(first.map(|(key, _)| key.to_vec()))
    }

    /// Every entry.
    pub(super) fn everything(&self) -> Result<TreeEntries, StoreError> {
        let mut entries = TreeEntries::new();
        self.visit(b"", |key, value| {
            entries.insert(key.to_vec(), value.to_vec());
            Ok(())
        })?;
        Ok(entries)
    }

    /// Sets and removes entries, in one batch.
    pub(super) fn apply(&self, changes: &[EntryChange]) -> Result<(), StoreError> {
        // Until the leaves are written nobody else reads them to change them.
        let turn = self.deflater.as_ref();
        let mut turn = turn.map(|it| it.lock().unwrap_or_else(PoisonError::into_inner));
        let leaves = turn.as_deref_mut().map(|deflater| self.leaves(deflater, changes));
        let leaves = leaves.transpose()?;
        let written = match leaves.as_deref().unwrap_or(changes) {
            [] => Ok(()),
            // sled begins a batch with a write of its own. One change is whole without it.
            [(key, Some(value))] => self.tree.insert(key, value.as_slice()).map(drop),
            [(key, None)] => self.tree.remove(key).map(drop),
            changes => self.tree.apply_batch(batch(changes)),
        };
        written.map_err(|source| StoreError::Sled { doing: "write", source })
    }

    pub(super) fn flush(&self) -> Result<(), StoreError> {
        let flushed = self.tree.flush().map(drop);
        flushed.map_err(|source| StoreError::Sled { doing: "flush", source })
    }

    /// sled lets go of a page only after some 16,000 accesses to pages, whatever its cache may
    /// hold: a scan, which accesses each page once, leaves that many in memory. (Seen with 0.34.7:
    /// 300,000 entries read from end to end take 87 MB, and 19 MB when each is accessed once more,
    /// in a fifth more time.)
    fn touch(&self, key: &[u8]) -> Result<(), StoreError> {
        self.tree.contains_key(key).map(drop).map_err(scanning)
    }

    /// The leaf in which a key lies, if it is anywhere.
    fn leaf_of(&self, key: &[u8]) -> Result<Option<(sled::IVec, sled::IVec)>, StoreError> {
        let group = group_of(key);
        self.tree.range(group..=key).next_back().transpose().map_err(reading)
    }

    /// The leaves that these changes make.
    fn leaves(
        &self,
        deflater: &mut Compress,
        changes: &[EntryChange],
    ) -> Result<Vec<EntryChange>, StoreError> {
        let changes: BTreeMap<&[u8], Option<&[u8]>> =
            changes.iter().map(|(key, value)| (key.as_slice(), value.as_deref())).collect();
        let mut leaves = Vec::new();
        let mut left = changes.into_iter().peekable();
        while let Some((key, _)) = left.peek() {
            let (key, group) = (*key, group_of(key));
            let found = self.leaf_of(key)?;
            let next = self.leaf_after(key)?.filter(|leaf| group_of(leaf) == group);
            let is_here = |key: &[u8]| {
                group_of(key) == group && next.as_ref().is_none_or(|next| *key < **next)
            };
            let here = std::iter::from_fn(|| left.next_if(|(key, _)| is_here(key)));
            let here: Vec<_> = here.map(|(key, value)| (below(key), value)).collect();
            let (leaf, text) = match &found {
                Some((leaf, bytes)) => (leaf.as_ref(), self.inflated(leaf, bytes)?),
                None => (group, Vec::new()),
            };
            let lines = self.lines(leaf, &text)?;
            let Some(merged) = merged(&lines, &here) else { continue };
            if merged.is_empty() {
                leaves.push((leaf.to_vec(), None));
            }
            let whole = leaves_of(deflater, group, leaf, &merged);
            leaves.extend(whole.map(|(key, bytes)| (key, Some(bytes))));
        }
        Ok(leaves)
    }

    /// The key of the first leaf behind this key.
    fn leaf_after(&self, key: &[u8]) -> Result<Option<sled::IVec>, StoreError> {
        let after = (Bound::Excluded(key), Bound::Unbounded);
        let next = self.tree.range::<&[u8], _>(after).next().transpose().map_err(reading)?;
        Ok(next.map(|(leaf, _)| leaf))
    }

    fn inflated(&self, leaf: &[u8], bytes: &[u8]) -> Result<Vec<u8>, StoreError> {
        inflated(bytes).map_err(|why| self.damaged(leaf, why))
    }

    fn lines<'a>(&self, leaf: &[u8], text: &'a [u8]) -> Result<Vec<Line<'a>>, StoreError> {
        lines(text).map_err(|why| self.damaged(leaf, why))
    }

    fn damaged(&self, leaf: &[u8], why: &str) -> StoreError {
        let key = String::from_utf8_lossy(leaf).into_owned();
        StoreError::Value { tree: self.name, key, why: why.to_owned() }
    }
}

/// All entries of a tree in leaves. The error is the key of a value that is more than one line.
pub(super) fn in_leaves(entries: &TreeEntries) -> Result<TreeEntries, String> {
    let mut leaves = TreeEntries::new();
    let (mut left, mut deflater) = (entries.iter().peekable(), deflater());
    while let Some((first, _)) = left.peek() {
        let group = group_of(first);
        let of_group = std::iter::from_fn(|| left.next_if(|(key, _)| group_of(key) == group));
        let lines: Vec<Line<'_>> = of_group.map(|(key, value)| (below(key), &**value)).collect();
        if let Some((key, _)) = lines.iter().find(|(_, value)| value.contains(&b'\n')) {
            return Err(String::from_utf8_lossy(&[group, key].concat()).into_owned());
        }
        leaves.extend(leaves_of(&mut deflater, group, group, &lines));
    }
    Ok(leaves)
}

/// The leaves that hold these entries: keys and values. The first one has this key.
fn leaves_of<'a>(
    deflater: &'a mut Compress,
    group: &'a [u8],
    first: &'a [u8],
    lines: &'a [Line<'a>],
) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> + 'a {
    divided(lines).enumerate().map(move |(number, lines)| {
        let key = if number == 0 { first.to_vec() } else { [group, lines[0].0].concat() };
        (key, deflated(deflater, &text_of(lines)))
    })
}

/// An entry of a leaf: its key below the group, and its value.
type Line<'a> = (&'a [u8], &'a [u8]);

/// The entries with these changes; `None` when that makes no difference.
fn merged<'a>(
    lines: &[Line<'a>],
    changes: &[(&'a [u8], Option<&'a [u8]>)],
) -> Option<Vec<Line<'a>>> {
    let mut merged = Vec::with_capacity(lines.len() + changes.len());
    let (mut lines, mut is_same) = (lines.iter().copied().peekable(), true);
    for (key, value) in changes {
        merged.extend(std::iter::from_fn(|| lines.next_if(|line| line.0 < *key)));
        let before = lines.next_if(|line| line.0 == *key).map(|line| line.1);
        is_same &= before == *value;
        merged.extend(value.map(|value| (*key, value)));
    }
    merged.extend(lines);
    (!is_same).then_some(merged)
}

/// Cut where a leaf would be too large; evenly, so that what follows finds room.
fn divided<'a, 'b>(lines: &'b [Line<'a>]) -> impl Iterator<Item = &'b [Line<'a>]> {
    let parts = lines.len().div_ceil(ENTRIES_MAX).max(1);
    let entries_max = lines.len().div_ceil(parts);
    let mut left = lines;
    std::iter::from_fn(move || {
        if left.is_empty() {
            return None;
        }
        let (mut count, mut bytes) = (0, 0);
        while count < entries_max.min(left.len()) {
            bytes += left[count].0.len() + left[count].1.len() + 2;
            if count > 0 && bytes > BYTES_MAX {
                break;
            }
            count += 1;
        }
        let (part, rest) = left.split_at(count);
        left = rest;
        Some(part)
    })
}

fn text_of(lines: &[Line<'_>]) -> Vec<u8> {
    let bytes = lines.iter().map(|(key, value)| key.len() + value.len() + 2).sum();
    let mut text = Vec::with_capacity(bytes);
    for (key, value) in lines {
        text.extend_from_slice(key);
        text.push(b' ');
        text.extend_from_slice(value);
        text.push(b'\n');
    }
    text
}

fn lines(text: &[u8]) -> Result<Vec<Line<'_>>, &'static str> {
    let line = |line: &'_ [u8]| {
        let end = line.len().checked_sub(1).filter(|end| line[*end] == b'\n')?;
        let blank = line[..end].iter().position(|byte| *byte == b' ')?;
        Some((blank, end))
    };
    let mut found = Vec::new();
    for text in text.split_inclusive(|byte| *byte == b'\n') {
        let (blank, end) = line(text).ok_or("a line of it is no entry")?;
        found.push((&text[..blank], &text[blank + 1..end]));
    }
    Ok(found)
}

/// The key up to its first `/`, with it; all of it when there is none.
fn group_of(key: &[u8]) -> &[u8] {
    let end = key.iter().position(|byte| *byte == b'/');
    end.map_or(key, |end| &key[..=end])
}

fn below(key: &[u8]) -> &[u8] {
    &key[group_of(key).len()..]
}

fn deflater() -> Compress {
    Compress::new(Compression::fast(), true)
}

fn deflated(deflater: &mut Compress, text: &[u8]) -> Vec<u8> {
    deflater.reset();
    let mut bytes = Vec::with_capacity(LENGTH_BYTES + text.len() / 4 + 64);
    bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
    loop {
        let from = usize::try_from(deflater.total_in()).unwrap_or(text.len());
        let status = deflater.compress_vec(&text[from..], &mut bytes, FlushCompress::Finish);
        match status.expect("it takes any bytes") {
            Status::StreamEnd => break,
            Status::Ok | Status::BufError => bytes.reserve(bytes.len()),
        }
    }
    bytes.shrink_to_fit();
    bytes
}

fn inflated(bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
    let (length, deflated) = bytes.split_at_checked(LENGTH_BYTES).ok_or("it is cut")?;
    let length = u32::from_le_bytes(length.try_into().unwrap_or_default()) as usize;
    if length > INFLATED_MAX {
        return Err("it is larger than any that is written");
    }
    let mut text = Vec::with_capacity(length);
    let status = Decompress::new(true).decompress_vec(deflated, &mut text, FlushDecompress::Finish);
    match status {
        Ok(Status::StreamEnd) if text.len() == length => Ok(text),
        Ok(_) | Err(_) => Err("it cannot be inflated"),
    }
}

fn batch(changes: &[EntryChange]) -> sled::Batch {
    let mut batch = sled::Batch::default();
    for (key, value) in changes {
        match value {
            Some(value) => batch.insert(key.as_slice(), value.as_slice()),
            None => batch.remove(key.as_slice()),
        }
    }
    batch
}

fn reading(source: sled::Error) -> StoreError {
    StoreError::Sled { doing: "read", source }
}

fn scanning(source: sled::Error) -> StoreError {
    StoreError::Sled { doing: "scan", source }
}

/// The most entries of a leaf: as many channels as one call writes.
const ENTRIES_MAX: usize = 50;
/// The most bytes of a leaf with more than one entry, before it is deflated: sixteen of them have
/// to fit into a quarter of a segment, beyond which sled makes a file for them.
const BYTES_MAX: usize = 32 * 1024;
const LENGTH_BYTES: usize = 4;
/// The most bytes that are read of one leaf.
const INFLATED_MAX: usize = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::database::config;

    fn disk() -> Disk {
        let db = config().temporary(true).open().unwrap();
        Disk::open(&db, "records", true).unwrap()
    }

    fn set(key: &str, value: &str) -> EntryChange {
        (key.into(), Some(value.into()))
    }

    fn key(group: &str, number: usize) -> String {
        format!("{group}/{number:019}")
    }

    fn leaves(disk: &Disk) -> Vec<String> {
        let keys = disk.tree.iter().keys().map(Result::unwrap);
        keys.map(|key| String::from_utf8(key.to_vec()).unwrap()).collect()
    }

    /// Entries of 400 bytes, in batches as a store writes them.
    fn filled(group: &str, count: usize) -> Disk {
        let disk = disk();
        let entries: Vec<_> = (0..count).map(|n| set(&key(group, n), &"x".repeat(400))).collect();
        entries.chunks(200).for_each(|batch| disk.apply(batch).unwrap());
        disk
    }

    #[test]
    fn entries_lie_in_few_leaves_and_large_ones_in_their_own() {
        for (count, at_most) in [(1, 1), (50, 1), (51, 2), (10_000, 260)] {
            let leaves = leaves(&filled("a", count)).len();
            assert!((count.div_ceil(50)..=at_most).contains(&leaves), "{count}: {leaves}");
        }
        let disk = disk();
        let large = "x".repeat(BYTES_MAX);
        disk.apply(&[set("a/1", &large), set("a/2", &large), set("a/3", "1")]).unwrap();
        assert_eq!(leaves(&disk), ["a/", "a/2", "a/3"]);
        assert_eq!(disk.get(b"a/2").unwrap(), Some(large.into_bytes()));
    }

    #[test]
    fn accounts_share_no_leaf_and_one_that_is_empty_goes() {
        let disk = disk();
        disk.apply(&[set("a-b/1", "1"), set("a/1", "2"), set("a/2", "3"), set("b/1", "4")])
            .unwrap();
        assert_eq!(leaves(&disk), ["a-b/", "a/", "b/"]);
        disk.apply(&[(b"a/1".to_vec(), None), (b"a/2".to_vec(), None)]).unwrap();
        assert_eq!(leaves(&disk), ["a-b/", "b/"]);
        assert_eq!(disk.get(b"a/1").unwrap(), None);
    }

    #[test]
    fn one_change_writes_one_leaf_and_none_writes_nothing() {
        let disk = filled("a", 300);
        let written = |changes: &[EntryChange]| {
            let before: TreeEntries = raw(&disk);
            disk.apply(changes).unwrap();
            raw(&disk).iter().filter(|(key, value)| before.get(*key) != Some(value)).count()
        };
        assert_eq!(written(&[set(&key("a", 7), "{}")]), 1);
        assert_eq!(written(&[set(&key("a", 7), "{}"), (b"a/none".to_vec(), None)]), 0);
    }

    fn raw(disk: &Disk) -> TreeEntries {
        let pairs = disk.tree.iter().map(Result::unwrap);
        pairs.map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
    }

    #[test]
    fn a_damaged_leaf_says_so_and_the_others_are_read() {
        let disk = filled("a", 200);
        let leaf = leaves(&disk)[1].clone();
        let whole = disk.tree.get(&leaf).unwrap().unwrap().to_vec();
        for at in 0..whole.len() {
            let mut other = whole.clone();
            other[at] ^= 1;
            disk.tree.insert(&leaf, other).unwrap();
            let Err(StoreError::Value { tree, key, .. }) = disk.get(leaf.as_bytes()) else {
                // The header of zlib has a bit that says nothing.
                continue;
            };
            assert_eq!((tree, key.as_str()), ("records", leaf.as_str()));
            assert!(disk.apply(&[set(&leaf, "{}")]).is_err(), "nothing is written over it");
        }
        disk.tree.insert(&leaf, &whole[..whole.len() / 2]).unwrap();
        assert!(disk.get(leaf.as_bytes()).is_err());
        assert!(disk.everything().is_err());
        assert!(disk.get(key("a", 0).as_bytes()).unwrap().is_some());
    }

    fn change() -> impl Strategy<Value = EntryChange> {
        let any = (0..3_usize, 0..400_usize, prop::option::of(0..99_u32));
        any.prop_map(|(group, number, value)| {
            let key = key(["a", "a-b", "b"][group], number).into_bytes();
            (key, value.map(|value| value.to_string().into_bytes()))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn leaves_hold_what_was_set(
            batches in prop::collection::vec(
                prop::collection::vec(change(), 0..120),
                1..12,
            ),
            prefix in 0..400_usize,
        ) {
            let (disk, mut expected) = (disk(), TreeEntries::new());
            for batch in batches {
                disk.apply(&batch).unwrap();
                for (key, value) in batch {
                    match value {
                        Some(value) => expected.insert(key, value),
                        None => expected.remove(&key),
                    };
                }
                prop_assert_eq!(&disk.everything().unwrap(), &expected);
            }
            for prefix in ["a", "a/", "a-b/", "c", &key("a", prefix)[..20], &key("b", prefix)] {
                let mut seen = TreeEntries::new();
                disk.visit(prefix.as_bytes(), |key, value| {
                    seen.insert(key.to_vec(), value.to_vec());
                    Ok(())
                }).unwrap();
                let below = expected.iter().filter(|(key, _)| key.starts_with(prefix.as_bytes()));
                let below = below.map(|(key, value)| (key.clone(), value.clone())).collect();
                prop_assert_eq!(seen, below);
                let found = disk.get(prefix.as_bytes()).unwrap();
                prop_assert_eq!(found.as_ref(), expected.get(prefix.as_bytes()));
            }
            let groups: std::collections::BTreeSet<_> =
                expected.keys().map(|key| group_of(key).to_vec()).collect();
            let most = expected.len() / 10 + 3 * groups.len();
            prop_assert!(leaves(&disk).len() <= expected.len().min(most.max(30)));
        }
    }

    #[test]
    fn two_who_write_the_same_leaves_lose_nothing() {
        let disk = disk();
        std::thread::scope(|scope| {
            for writer in ["a", "b"] {
                let disk = disk.clone();
                scope.spawn(move || {
                    for number in 0..300 {
                        disk.apply(&[set(&format!("g/{number:03}{writer}"), "1")]).unwrap();
                    }
                });
            }
        });
        assert_eq!(disk.everything().unwrap().len(), 600);
    }
}
