//! Pages: how the entries of one account and tree lie in an engine.
//!
//! A key for each channel would cost an engine many times what its value takes. So entries go in
//! pages of at most [`ENTRIES_MAX`], deflated. An entry keeps its page for as long as it is there,
//! so that a change of one channel rewrites one page. A new entry goes into the first page with
//! room; a page that holds none any more is removed.
//!
//! A page is text, a line for each entry: its key below the account, a blank, and its value, which
//! is JSON without a line break. It is deflated as zlib does, whose checksum shows what is damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use crate::model::channel::AccountName;

use super::tree::TreeEntries;

/// Where the entries of one tree of an account lie.
#[derive(Debug, Default)]
pub(super) struct Pages {
    entries: BTreeMap<Vec<u8>, Place>,
    pages: BTreeMap<u32, Fill>,
    /// No page before this one has room.
    room_from: u32,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    page: u32,
    bytes: usize,
}

/// How full a page is.
#[derive(Clone, Copy, Debug, Default)]
struct Fill {
    entries: usize,
    bytes: usize,
}

impl Fill {
    fn has_room(self, bytes: usize) -> bool {
        self.entries < ENTRIES_MAX && (self.entries == 0 || self.bytes + bytes <= BYTES_MAX)
    }
}

impl Pages {
    /// Notes an entry that was read from a page. Returns whether it lay on another one already.
    pub(super) fn found(&mut self, key: &[u8], bytes: usize, page: u32) -> bool {
        self.put(key, bytes, page).is_some()
    }

    /// Finds the page of an entry that has these bytes, or is gone (`None`). Returns the page that
    /// is to be written anew; none when there was no such entry.
    pub(super) fn place(&mut self, key: &[u8], bytes: Option<usize>) -> Option<u32> {
        let known = self.entries.get(key).map(|place| place.page);
        match bytes {
            Some(bytes) => {
                let page = known.unwrap_or_else(|| self.page_with_room(bytes));
                self.put(key, bytes, page);
                Some(page)
            }
            None => {
                let Place { page, bytes } = self.entries.remove(key)?;
                self.empty(page, bytes);
                Some(page)
            }
        }
    }

    /// The keys on each of these pages, in their order. A page that holds none is to be removed.
    pub(super) fn keys_on(&self, pages: &BTreeSet<u32>) -> BTreeMap<u32, Vec<&[u8]>> {
        let mut keys: BTreeMap<u32, Vec<&[u8]>> =
            pages.iter().map(|page| (*page, Vec::new())).collect();
        for (key, Place { page, bytes: _ }) in &self.entries {
            if let Some(keys) = keys.get_mut(page) {
                keys.push(key);
            }
        }
        keys
    }

    fn put(&mut self, key: &[u8], bytes: usize, page: u32) -> Option<Place> {
        let before = self.entries.insert(key.to_vec(), Place { page, bytes });
        if let Some(Place { page, bytes }) = before {
            self.empty(page, bytes);
        }
        let fill = self.pages.entry(page).or_default();
        fill.entries += 1;
        fill.bytes += bytes;
        before
    }

    fn empty(&mut self, page: u32, bytes: usize) {
        if let Some(fill) = self.pages.get_mut(&page) {
            fill.entries = fill.entries.saturating_sub(1);
            fill.bytes = fill.bytes.saturating_sub(bytes);
            if fill.entries == 0 {
                self.pages.remove(&page);
            }
        }
        self.room_from = self.room_from.min(page);
    }

    fn page_with_room(&mut self, bytes: usize) -> u32 {
        let full = |page: &u32| self.pages.get(page).is_some_and(|fill| !fill.has_room(bytes));
        let page = (self.room_from..).find(|page| !full(page)).unwrap_or(u32::MAX);
        let is_full =
            |page: &u32| self.pages.get(page).is_some_and(|fill| fill.entries >= ENTRIES_MAX);
        self.room_from = (self.room_from..page).find(|page| !is_full(page)).unwrap_or(page);
        page
    }
}

/// The content of a page, before it is deflated.
pub(super) fn text_of(account: &AccountName, keys: &[&[u8]], entries: &TreeEntries) -> Vec<u8> {
    let mut text = Vec::new();
    for key in keys {
        let Some(value) = entries.get(*key) else { continue };
        text.extend(below(account, key));
        text.push(b' ');
        text.extend(value);
        text.push(b'\n');
    }
    text
}

/// The entries of a page.
pub(super) fn entries_in(account: &AccountName, text: &[u8]) -> Result<TreeEntries, String> {
    let mut entries = TreeEntries::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\n").ok_or("its last line is cut")?;
        let blank = line.iter().position(|byte| *byte == b' ').ok_or("a line without a key")?;
        let (key, value) = (&line[..blank], &line[blank + 1..]);
        let own = account.as_str().as_bytes();
        let key = match key {
            [] => own.to_vec(),
            below => [own, b"/", below].concat(),
        };
        entries.insert(key, value.to_vec());
    }
    Ok(entries)
}

/// A key without its account.
fn below<'a>(account: &AccountName, key: &'a [u8]) -> &'a [u8] {
    let rest = key.strip_prefix(account.as_str().as_bytes()).unwrap_or(key);
    rest.strip_prefix(b"/").unwrap_or(rest)
}

/// Deflates.
pub(super) fn deflated(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(text).and_then(|()| encoder.finish());
    written.expect("a vector takes what is written to it")
}

/// Inflates, up to [`INFLATED_MAX`].
pub(super) fn inflated(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    let read = ZlibDecoder::new(bytes).take(INFLATED_MAX + 1).read_to_end(&mut text);
    read.map_err(|error| format!("it cannot be inflated: {error}"))?;
    if text.len() as u64 > INFLATED_MAX {
        return Err(format!("it is larger than {INFLATED_MAX} bytes"));
    }
    Ok(text)
}

/// The most entries of a page.
pub(super) const ENTRIES_MAX: usize = 128;
/// A page of so many bytes takes no further entry. Records and ledgers of channels without many
/// gaps stay below it; pages of what is recovered are cut by it.
const BYTES_MAX: usize = 96 * 1024;
/// The most bytes that are read of one page: more than 128 ledgers take that are as full as may be.
const INFLATED_MAX: u64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::acme;

    fn key(number: usize) -> Vec<u8> {
        format!("acme/{number:019}").into_bytes()
    }

    fn filled(entries: usize, bytes: usize) -> Pages {
        let mut pages = Pages::default();
        for number in 0..entries {
            pages.place(&key(number), Some(bytes));
        }
        pages
    }

    #[test]
    fn entries_lie_in_as_few_pages_as_hold_them() {
        for (entries, expected) in [(0, 0), (1, 1), (128, 1), (129, 2), (10_000, 79)] {
            assert_eq!(filled(entries, 400).pages.len(), expected, "{entries}");
        }
        assert_eq!(filled(10, BYTES_MAX / 2).pages.len(), 5, "large ones go two by two");
        assert_eq!(filled(3, BYTES_MAX * 2).pages.len(), 3, "larger ones have their own");
    }

    #[test]
    fn an_entry_keeps_its_page_and_a_new_one_takes_the_room_of_one_that_is_gone() {
        let mut pages = filled(300, 400);
        assert_eq!(pages.place(&key(200), Some(900)), Some(1));
        assert_eq!(pages.place(&key(5), None), Some(0));
        assert_eq!(pages.place(&key(5), None), None, "it is gone");
        assert_eq!(pages.place(&key(1000), Some(400)), Some(0));
        assert_eq!(pages.place(&key(1001), Some(400)), Some(2));
        for number in 128..256 {
            assert_eq!(pages.place(&key(number), None), Some(1));
        }
        assert_eq!(pages.keys_on(&[1].into()), [(1, Vec::new())].into());
        assert_eq!(pages.place(&key(1002), Some(400)), Some(1));
        assert_eq!(pages.keys_on(&[1].into())[&1], [key(1002)]);
    }

    #[test]
    fn room_for_what_is_small_is_found_behind_what_was_too_large() {
        let mut pages = Pages::default();
        pages.place(&key(0), Some(BYTES_MAX - 1000));
        assert_eq!(pages.place(&key(1), Some(2000)), Some(1));
        assert_eq!(pages.place(&key(2), Some(500)), Some(0));
    }

    #[test]
    fn a_page_is_written_and_read_and_what_is_damaged_is_not() {
        let entries: TreeEntries = [
            (b"acme".to_vec(), br#"{"a":"one two"}"#.to_vec()),
            (b"acme/0007".to_vec(), b"[1]".to_vec()),
            (b"acme/0007/0001".to_vec(), b"null".to_vec()),
        ]
        .into();
        let keys: Vec<&[u8]> = entries.keys().map(Vec::as_slice).collect();
        let text = text_of(&acme(), &keys, &entries);
        assert_eq!(entries_in(&acme(), &text).unwrap(), entries);
        let bytes = deflated(&text);
        assert_eq!(inflated(&bytes).unwrap(), text);
        let mut other = bytes.clone();
        *other.last_mut().unwrap() ^= 1;
        assert!(inflated(&other).is_err() && inflated(&bytes[..bytes.len() - 3]).is_err());
        for bad in ["0007 [1]", "0007\n"] {
            assert!(entries_in(&acme(), bad.as_bytes()).is_err(), "{bad}");
        }
        let bomb = deflated(&vec![b' '; INFLATED_MAX as usize + 1]);
        assert!(inflated(&bomb).unwrap_err().contains("larger than"));
    }
}
