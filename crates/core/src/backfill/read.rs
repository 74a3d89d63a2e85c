//! Reading a module's changes, by key and never by offset: a state that takes one page at a time.
//!
//! Ascending by `Modified_Time`, from a second on. Each page says up to where everything is known,
//! and the next one begins there, as a first page of a later beginning. A row that is edited
//! between two pages moves to the end, where it is still to come. (An offset would shift with it,
//! and lose its neighbour.) Records that were seen at the key's own second are dropped.
//!
//! Zoho does not document if `If-Modified-Since` includes its own second. So the header is one
//! second below the key, and rows of two seconds are remembered. When a page holds nothing but
//! those two seconds, a token leads through them: if tokens are offsets, an edit meanwhile can hide
//! a record there, and [`Doubt::Crowded`] says so.
//!
//! The deleted have neither key nor order. All their pages are read, twice when there is more than
//! one, and the two readings are united.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::records::{List, Place, RecordRow, RecordsAsk, RecordsPage};
use crate::model::time::{Timestamp, after, before, span, whole_seconds};
use crate::model::version::DAY;

/// The reading of one module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// The module's API name.
    pub module: String,
    /// The numbers of the recoveries that it is for.
    pub serves: Vec<u64>,
    /// Changes from here on are read.
    pub since: Timestamp,
    /// True when deletions are read too.
    pub deletions: bool,
    /// Where it is.
    pub at: ReadingAt,
    /// Pages whose rows were kept.
    pub pages: u32,
    /// API credits that it took.
    pub credits: u64,
    /// The doubts about it.
    pub doubts: BTreeSet<Doubt>,
    /// Page tokens that Zoho refused since the reading last came further.
    #[serde(default)]
    pub refused: u32,
}

/// A place in the reading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadingAt {
    /// Among the records that are there.
    Changed {
        /// Every change before this second is known.
        from: Timestamp,
        /// Rows from there on that are known, with their `Modified_Time`.
        seen: BTreeMap<String, Timestamp>,
        /// The page to ask for.
        place: Place,
    },
    /// Among the deleted.
    Deleted {
        /// The page to ask for.
        page: u32,
        /// True in the second reading.
        again: bool,
    },
    /// Everything is read.
    End,
}

/// A reason why a recovery may lack a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doubt {
    /// More changes lie in two neighbouring seconds than a page holds.
    Crowded,
    /// Zoho did not keep to the order that was asked for.
    Unsorted,
    /// There were more pages than are read.
    Endless,
    /// Deletions of so long ago may not be listed any more.
    Purged,
    /// Zoho does not say when records were created, so creations cannot be told.
    Undated,
}

impl Read {
    /// A reading of everything from `first` on, less [`WIDER`], for these recoveries.
    pub fn new(
        module: String,
        serves: Vec<u64>,
        first: Timestamp,
        (changes, deletions): (bool, bool),
        now: Timestamp,
    ) -> Read {
        let since = before(whole_seconds(first), WIDER);
        let at = if changes {
            ReadingAt::Changed { from: since, seen: BTreeMap::new(), place: FIRST }
        } else {
            deleted(deletions)
        };
        let old = deletions && span(first, now) > LISTED;
        let doubts = old.then_some(Doubt::Purged).into_iter().collect();
        Read { module, serves, since, deletions, at, pages: 0, credits: 0, doubts, refused: 0 }
    }

    /// The next page to ask for; none when everything is read.
    pub fn next(&self) -> Option<RecordsAsk> {
        let (list, since, place) = match &self.at {
            ReadingAt::Changed { from, seen: _, place } => (List::Changed, *from, place.clone()),
            ReadingAt::Deleted { page, again: _ } => {
                (List::Deleted, self.since, Place::Page(*page))
            }
            ReadingAt::End => return None,
        };
        Some(RecordsAsk { module: self.module.clone(), list, since, place })
    }

    /// Takes the page that was asked for, and says which of its rows are to be kept.
    #[must_use]
    pub fn take(self, page: RecordsPage) -> (Read, List, Vec<RecordRow>) {
        let (list, mut read, rows) = match self.at.clone() {
            ReadingAt::Changed { from, seen, place } => {
                let (read, rows) = self.take_changed((from, place), seen, page);
                (List::Changed, read, rows)
            }
            ReadingAt::Deleted { page: number, again } => {
                let at = match (page.more && !page.rows.is_empty(), again) {
                    (true, again) => ReadingAt::Deleted { page: number + 1, again },
                    (false, false) if number > 1 => ReadingAt::Deleted { page: 1, again: true },
                    (false, _) => ReadingAt::End,
                };
                (List::Deleted, Read { at, ..self }, page.rows)
            }
            ReadingAt::End => return (self, List::Changed, Vec::new()),
        };
        read.credits += list.credits();
        read.pages += u32::from(!rows.is_empty());
        if read.pages >= PAGES_MAX && read.at != ReadingAt::End {
            read.doubts.insert(Doubt::Endless);
            read.at = ReadingAt::End;
        }
        (read, list, rows)
    }

    fn take_changed(
        mut self,
        (from, place): (Timestamp, Place),
        mut seen: BTreeMap<String, Timestamp>,
        page: RecordsPage,
    ) -> (Read, Vec<RecordRow>) {
        let RecordsPage { rows, more, token } = page;
        let last = rows.iter().map(|row| row.at).max().unwrap_or(from);
        let is_sorted = rows.is_sorted_by_key(|row| row.at);
        let count = rows.len();
        let is_new = |row: &RecordRow| seen.get(&row.id) != Some(&row.at);
        let fresh: Vec<RecordRow> = rows.into_iter().filter(is_new).collect();
        seen.extend(fresh.iter().map(|row| (row.id.clone(), row.at)));
        let key = before(last, SECOND);
        if key > from || matches!(place, Place::Token(_)) {
            self.refused = 0;
        }
        self.at = if !more || count == 0 {
            deleted(self.deletions)
        } else if key > from && is_sorted {
            seen.retain(|_, at| *at >= key);
            ReadingAt::Changed { from: key, seen, place: FIRST }
        } else {
            self.doubts.insert(if is_sorted { Doubt::Crowded } else { Doubt::Unsorted });
            ReadingAt::Changed { from, seen, place: following(place, token) }
        };
        (self, fresh)
    }

    /// The token that led to the next page is not taken any more: reading goes on from the last
    /// key. Returns nothing when no token is in use, or [`REFUSED_MAX`] were refused in a row: the
    /// same page would lead to the next of them for ever.
    pub fn without_token(&self) -> Option<Read> {
        let ReadingAt::Changed { from, seen, place: Place::Token(_) } = &self.at else {
            return None;
        };
        let (from, seen) = (*from, seen.clone());
        let refused = self.refused + 1;
        let at = ReadingAt::Changed { from, seen, place: FIRST };
        (refused < REFUSED_MAX).then(|| Read { at, refused, ..self.clone() })
    }

    /// Returns whether the next page is asked for by a token.
    pub const fn has_token(&self) -> bool {
        matches!(self.at, ReadingAt::Changed { place: Place::Token(_), .. })
    }

    /// Up to which `Modified_Time` everything is known; none while that is nothing.
    pub fn known_to(&self) -> Option<Timestamp> {
        match &self.at {
            ReadingAt::Changed { from, .. } => (*from > self.since).then_some(*from),
            ReadingAt::Deleted { .. } | ReadingAt::End => None,
        }
    }
}

/// Without tokens, as before v3, a page has a number.
fn following(place: Place, token: Option<String>) -> Place {
    match (token, place) {
        (Some(token), _) => Place::Token(token),
        (None, Place::Page(page)) => Place::Page(page.saturating_add(1)),
        (None, Place::Token(_)) => FIRST,
    }
}

const fn deleted(deletions: bool) -> ReadingAt {
    if deletions { ReadingAt::Deleted { page: 1, again: false } } else { ReadingAt::End }
}

impl Doubt {
    /// A sentence.
    pub const fn words(self) -> &'static str {
        match self {
            Doubt::Crowded => {
                "more than a page of records changed within two seconds; one that was edited while they were read may be missing"
            }
            Doubt::Unsorted => {
                "Zoho did not list records by Modified_Time; one that was edited while they were read may be missing"
            }
            Doubt::Endless => "there were more pages than are read; later changes are missing",
            Doubt::Purged => {
                "some deletions may be missing: Zoho lists a record for 60 days in the recycle bin, and for 120 days once it is deleted for good"
            }
            Doubt::Undated => {
                "Zoho does not say when records of this module were created, so creations are handed over as updates"
            }
        }
    }
}

const FIRST: Place = Place::Page(1);
const SECOND: Duration = Duration::from_secs(1);
/// So many page tokens that are refused in a row are one refusal of the module.
pub const REFUSED_MAX: u32 = 8;
/// How much earlier than the gap reading begins.
pub const WIDER: Duration = Duration::from_secs(2);
/// How long Zoho lists a deletion at least.
const LISTED: Duration = Duration::from_secs(60 * DAY.as_secs());
/// Pages of one reading: two million records.
pub const PAGES_MAX: u32 = 10_000;

/// The first instant after the second of this one.
pub(super) fn end_of_second(instant: Timestamp) -> Timestamp {
    let floor = whole_seconds(instant);
    if floor == instant { floor } else { after(floor, SECOND) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn row(id: u32, second: i64) -> RecordRow {
        RecordRow { id: id.to_string(), at: at(second), created: Some(at(0)) }
    }

    fn read(deletions: bool) -> Read {
        Read::new("Deals".to_owned(), vec![1], at(1000), (true, deletions), at(2000))
    }

    fn page(rows: Vec<RecordRow>, more: bool) -> RecordsPage {
        RecordsPage { rows, more, token: more.then(|| "next".to_owned()) }
    }

    #[test]
    fn it_begins_two_seconds_early_and_goes_on_by_key() {
        let first = read(false);
        let ask = first.next().unwrap();
        assert_eq!((ask.since, ask.place), (at(998), FIRST));
        let (second, _, kept) = first.take(page(vec![row(1, 1000), row(2, 1010)], true));
        assert_eq!(kept.len(), 2);
        let ask = second.next().unwrap();
        assert_eq!((ask.since, ask.place), (at(1009), FIRST));
        let (end, _, kept) = second.take(page(vec![row(2, 1010), row(3, 1010)], false));
        assert_eq!((end.next(), kept), (None, vec![row(3, 1010)]), "one is known already");
        assert!(end.doubts.is_empty());
    }

    #[test]
    fn a_row_that_is_edited_meanwhile_comes_once_more() {
        let (next, _, _) = read(false).take(page(vec![row(1, 1000), row(2, 1010)], true));
        let (_, _, kept) = next.take(page(vec![row(2, 1011)], false));
        assert_eq!(kept, [row(2, 1011)]);
    }

    #[test]
    fn a_token_leads_through_a_crowded_second_and_no_further() {
        let crowd: Vec<RecordRow> = (0..200).map(|id| row(id, 999)).collect();
        let (next, _, _) = read(false).take(page(crowd, true));
        assert_eq!(next.next().unwrap().place, Place::Token("next".to_owned()));
        assert_eq!(next.doubts, [Doubt::Crowded].into());
        assert_eq!(next.without_token().unwrap().next().unwrap().place, FIRST);
        let (next, _, _) = next.take(page(vec![row(300, 1400)], true));
        let ask = next.next().unwrap();
        assert_eq!((ask.since, ask.place), (at(1399), FIRST));
    }

    #[test]
    fn tokens_that_are_refused_in_a_row_are_given_up_and_a_page_in_between_counts_anew() {
        let crowd = || page((0..200).map(|id| row(id, 999)).collect(), true);
        let refused = |read: Read| read.take(crowd()).0.without_token();
        let mut stubborn = read(false);
        for _ in 1..REFUSED_MAX {
            stubborn = refused(stubborn).unwrap();
        }
        let token = stubborn.take(crowd()).0;
        assert_eq!(token.without_token(), None);
        let further = token.take(page(vec![row(300, 999)], true)).0;
        assert_eq!(further.refused, 0);
        assert!(further.without_token().is_some());
    }

    #[test]
    fn pages_out_of_order_are_followed_by_token_and_doubted() {
        let (next, _, kept) = read(false).take(page(vec![row(1, 1100), row(2, 1010)], true));
        assert_eq!(next.next().unwrap().place, Place::Token("next".to_owned()));
        assert_eq!((kept.len(), next.doubts), (2, [Doubt::Unsorted].into()));
    }

    #[test]
    fn several_pages_of_deletions_are_read_twice() {
        let (mut read, _, _) = read(true).take(page(vec![], false));
        let mut asked = Vec::new();
        while let Some(ask) = read.next() {
            assert_eq!((ask.list, ask.since), (List::Deleted, at(998)));
            let Place::Page(number) = ask.place else { panic!("a number") };
            asked.push(number);
            read = read.take(page(vec![row(number, 1000)], number < 3)).0;
        }
        assert_eq!((asked, read.credits), (vec![1, 2, 3, 1, 2, 3], 1 + 6 * 2));
    }

    #[test]
    fn deletions_of_long_ago_are_doubted() {
        let days = |days: i64| at(days * 86_400);
        let of = |deletions| {
            Read::new(String::new(), vec![], days(1), (true, deletions), days(70)).doubts
        };
        assert_eq!((of(true), of(false)), ([Doubt::Purged].into(), BTreeSet::new()));
    }
}
