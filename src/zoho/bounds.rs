//! How much one look may take: pages, rows, bytes and time. A list that never ends must cost
//! neither the memory nor the renewals that wait behind it.
//!
//! A page that brings nothing new is an error whether or not more are said to follow: what should
//! have stood there is then unknown, and must not be taken to be absent.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::wire::Page;

/// The rows, pages and bytes that one look has taken so far.
pub(super) struct Bounds {
    /// The channel and the module of each row, unless there is one page only.
    rows: BTreeSet<(String, Arc<str>)>,
    pages: usize,
    bytes: usize,
    began: Duration,
    patience: Duration,
}

impl Bounds {
    /// The bounds of a look that began at `began` of the monotonic clock and may take `patience`.
    pub(super) fn new(began: Duration, patience: Duration) -> Bounds {
        Bounds { rows: BTreeSet::new(), pages: 0, bytes: 0, began, patience }
    }

    /// Takes a page in, of so many bytes, that was there at `elapsed`.
    ///
    /// # Errors
    /// The reason why the look ends without an answer.
    pub(super) fn take(
        &mut self,
        page: &Page,
        bytes: usize,
        elapsed: Duration,
    ) -> Result<(), String> {
        let known = self.rows.len();
        // A list of one page has nothing that it could say again.
        let is_all = self.pages == 0 && !page.more;
        if !is_all {
            let ours = page.rows.iter().map(|row| (row.id.to_string(), row.module.clone()));
            let strangers =
                page.strangers.iter().map(|it| (it.id.clone(), it.events.join(" ").into()));
            self.rows.extend(ours.chain(strangers));
        }
        self.pages += 1;
        self.bytes += bytes;
        if page.count > 0 && self.rows.len() == known && !is_all {
            return Err(format!("page {} brings nothing new", self.pages));
        }
        if page.count == 0 && page.more {
            return Err("a page is empty and says that more follow".to_owned());
        }
        if !page.more {
            return Ok(());
        }
        if self.pages >= PAGES_MAX || self.rows.len() >= ROWS_MAX || self.bytes >= BYTES_MAX {
            let Bounds { rows, pages, bytes, .. } = self;
            return Err(format!(
                "the list does not end: {pages} pages, {} rows and {bytes} bytes were read",
                rows.len()
            ));
        }
        let took = elapsed.saturating_sub(self.began);
        if took >= self.patience {
            return Err(format!(
                "the list was broken off after {} pages and {} s, and more pages follow",
                self.pages,
                took.as_secs()
            ));
        }
        Ok(())
    }
}

/// A look that takes longer finds what is no longer so.
pub(crate) const PATIENCE_MAX: Duration = Duration::from_secs(10 * 60);
/// Pages of one look, at two hundred rows each.
const PAGES_MAX: usize = 1_000;
/// Rows of one look: no account that was heard of has a tenth of it.
const ROWS_MAX: usize = 200_000;
/// Bytes of one look.
const BYTES_MAX: usize = 128 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zoho::wire::read_page;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn page(ids: std::ops::Range<usize>, more: bool) -> Page {
        let rows = ids.map(|id| format!(r#"{{"channel_id":"{id}","events":["Deals.edit"]}}"#));
        let rows = rows.collect::<Vec<_>>().join(",");
        let body = format!(r#"{{"watch":[{rows}],"info":{{"more_records":{more}}}}}"#);
        read_page(body.as_bytes()).unwrap()
    }

    fn told(pages: impl IntoIterator<Item = (Page, usize, Duration)>) -> Result<usize, String> {
        let mut bounds = Bounds::new(Duration::ZERO, PATIENCE);
        for (page, bytes, elapsed) in pages {
            bounds.take(&page, bytes, elapsed)?;
        }
        Ok(bounds.pages)
    }

    fn quick(pages: Vec<Page>) -> Result<usize, String> {
        told(pages.into_iter().map(|page| (page, 100, Duration::ZERO)))
    }

    #[test]
    fn a_page_that_brings_nothing_new_ends_the_look() {
        assert_eq!(quick(vec![page(1..3, true), page(3..5, false)]), Ok(2));
        let twice = quick(vec![page(1..3, true), page(1..3, false)]);
        assert_eq!(twice, Err("page 2 brings nothing new".to_owned()));
        let circle = quick(vec![page(1..3, true), page(3..5, true), page(1..3, true)]);
        assert_eq!(circle, Err("page 3 brings nothing new".to_owned()));
        let one_row = quick(vec![page(1..3, true), page(2..3, true)]);
        assert_eq!(one_row, Err("page 2 brings nothing new".to_owned()));
        assert_eq!(quick(vec![page(1..1, false)]), Ok(1));
        assert!(quick(vec![page(1..1, true)]).is_err());
    }

    #[test]
    fn a_list_that_does_not_end_is_read_up_to_its_bounds() {
        let pages = (1..).map(|n| (page(n..n + 1, true), 0, Duration::ZERO));
        assert!(told(pages).unwrap_err().starts_with("the list does not end: 1000 pages"));
        let large = (1..).map(|n| (page(n..n + 1, true), 8 << 20, Duration::ZERO));
        assert!(told(large).unwrap_err().starts_with("the list does not end: 16 pages"));
    }

    #[test]
    fn a_look_ends_with_its_patience_unless_it_has_everything() {
        let late = |more| told([(page(1..2, more), 0, PATIENCE)]);
        assert_eq!(late(false), Ok(1));
        let said = "the list was broken off after 1 pages and 60 s, and more pages follow";
        assert_eq!(late(true), Err(said.to_owned()));
    }
}
