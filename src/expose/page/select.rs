//! Which channels are on a page: searched, filtered, sorted, cut into pages.
//!
//! Works on the reports themselves; a view is made only of what is on the page, so that ten
//! thousand channels cost a comparison each and no text.

use std::cmp::{Ordering, Reverse};

use crate::model::channel::{AccountName, Spec};
use crate::model::time::Timestamp;
use crate::reconcile::report::{AccountReport, ChannelReport, ChannelState};

use super::super::overview::Overview;
use super::mark::{Mark, causes};
use super::natural::natural;
use super::query::{Query, Sort};

/// One channel that is shown.
#[derive(Clone, Debug)]
pub(crate) struct Hit<'a> {
    /// Its account.
    pub report: &'a AccountReport,
    /// The channel.
    pub channel: &'a ChannelReport,
    /// Its state at the moment.
    pub state: ChannelState,
    /// Its marks at the moment.
    pub marks: Vec<Mark>,
}

/// The channels that a query selects.
#[derive(Clone, Debug)]
pub(crate) struct PageSelection<'a> {
    /// Every channel that is searched for, in whatever state, by account and name.
    pub fleet: Vec<Hit<'a>>,
    /// The channels of the page, in order.
    pub hits: Vec<Hit<'a>>,
    /// How many channels there are on all pages.
    pub found: usize,
    /// Which page this is, from 1: the last one when there are fewer than was asked for.
    pub page: usize,
    /// How many pages there are, at least one.
    pub pages: usize,
    /// How many channels are in each state, whatever state is asked for, in the order of
    /// [`ChannelState::ALL`].
    pub by_state: [usize; 4],
}

/// The channels that `query` selects at `now`.
pub(crate) fn select<'a>(
    overview: &'a Overview,
    query: &Query,
    now: Timestamp,
) -> PageSelection<'a> {
    let words: Vec<String> = query.q.split_whitespace().map(str::to_lowercase).collect();
    let mut by_state = [0; 4];
    let mut fleet = Vec::new();
    let reports = overview.names().into_iter();
    for (name, report) in reports.filter_map(|name| Some((name, overview.report(name)?))) {
        if query.account.as_ref().is_some_and(|account| account != name.as_str()) {
            continue;
        }
        let causes = causes(report);
        for (id, channel) in &report.channels {
            if !matches(name, &channel.spec, &words) {
                continue;
            }
            let state = report.state_at(channel, now);
            by_state[place(state)] += 1;
            let causes = causes.get(id).map(Vec::as_slice).unwrap_or_default();
            let marks = Mark::of(report, channel, causes, now);
            fleet.push(Hit { report, channel, state, marks });
        }
    }
    fleet.sort_by(|one, other| one.place().cmp(other.place()).then_with(|| one.by_name(other)));
    let is_shown =
        |hit: &&Hit<'_>| query.state.is_none_or(|filter| filter.shows(hit.state, &hit.marks));
    let mut hits: Vec<Hit<'a>> = fleet.iter().filter(is_shown).cloned().collect();
    sort(&mut hits, query.sort, now);
    if query.reversed {
        hits.reverse();
    }
    let (found, pages) = (hits.len(), hits.len().div_ceil(PAGE).max(1));
    let page = query.page.clamp(1, pages);
    let hits = hits.into_iter().skip((page - 1) * PAGE).take(PAGE).collect();
    PageSelection { fleet, hits, found, page, pages, by_state }
}

fn place(state: ChannelState) -> usize {
    ChannelState::ALL.iter().position(|one| *one == state).unwrap_or_default()
}

impl<'a> Hit<'a> {
    /// The name of its account.
    pub(crate) fn account(&self) -> &'a str {
        self.report.account.as_str()
    }

    /// Its name.
    pub(crate) fn name(&self) -> &'a str {
        self.channel.spec.name.as_str()
    }

    fn place(&self) -> &'a AccountName {
        &self.report.account
    }

    fn by_name(&self, other: &Hit<'_>) -> Ordering {
        natural(self.name(), other.name()).then_with(|| self.account().cmp(other.account()))
    }

    /// A channel that loses events stands first, then one that is about to, then one that has lost
    /// some, then each other that is not as it should be.
    fn badness(&self) -> impl Ord + use<> {
        let loses =
            self.state == ChannelState::Uncovered || self.marks.contains(&Mark::Undeliverable);
        let is_late = self.marks.contains(&Mark::Late);
        let unmarked = self.marks.is_empty();
        let mark = self.marks.first().copied();
        (!loses, !is_late, Reverse(self.channel.gaps), Reverse(self.state), unmarked, mark)
    }
}

fn sort(hits: &mut [Hit<'_>], sort: Sort, now: Timestamp) {
    let life = |hit: &Hit<'_>| hit.channel.expiry.unwrap_or(Timestamp::MIN);
    // A renewal that is due has nothing to be earlier than another for.
    let renewal = |hit: &Hit<'_>| hit.channel.due_at.unwrap_or(Timestamp::MIN).max(now);
    hits.sort_by(|one, other| {
        let order = match sort {
            Sort::Name => Ordering::Equal,
            Sort::Life => life(one).cmp(&life(other)),
            Sort::Renewal => renewal(one).cmp(&renewal(other)).then(life(one).cmp(&life(other))),
            Sort::Gaps => other.channel.gaps.cmp(&one.channel.gaps),
            Sort::Worst => one.badness().cmp(&other.badness()).then(life(one).cmp(&life(other))),
        };
        order.then_with(|| one.by_name(other))
    });
}

/// Returns whether a channel has every word somewhere: in its name, id, account or events.
fn matches(account: &AccountName, spec: &Spec, words: &[String]) -> bool {
    words.iter().all(|word| {
        has(spec.name.as_str(), word)
            || has(account.as_str(), word)
            || spec.events.iter().any(|(module, _)| has(module, word))
            || (word.bytes().all(|byte| byte.is_ascii_digit())
                && spec.id.to_string().contains(word.as_str()))
    })
}

/// Names and modules are ASCII.
fn has(text: &str, word: &str) -> bool {
    let (text, word) = (text.as_bytes(), word.as_bytes());
    text.windows(word.len().max(1)).any(|window| window.eq_ignore_ascii_case(word))
}

/// Channels on one page.
pub(crate) const PAGE: usize = 50;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::super::testing::{
        account, change_channel, converged, hours, lose, now, report,
    };
    use super::super::query::StateFilter;
    use super::*;

    fn fleet(channels: i64, others: i64) -> Overview {
        let mut overview = converged(channels);
        let beta = report("beta", 1001..=1000 + others);
        overview.accounts.insert(account("beta"), Some(Arc::new(beta)));
        overview
    }

    fn names(selection: &PageSelection<'_>) -> Vec<String> {
        selection
            .hits
            .iter()
            .map(|hit| format!("{}/{}", hit.report.account, hit.channel.spec.name))
            .collect()
    }

    fn asked(text: &str) -> Query {
        Query::parse(text)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_channel_is_on_exactly_one_page(
            channels in 0..130_i64,
            others in 0..90_i64,
            lost in prop::collection::btree_set(1..130_i64, 0..20),
            sort in prop::sample::select(Sort::ALL.to_vec()),
            state in prop::option::of(prop::sample::select(StateFilter::all().collect::<Vec<_>>())),
        ) {
            let mut overview = fleet(channels, others);
            lost.iter().filter(|number| **number <= channels).for_each(|number| lose(&mut overview, *number));
            let query = Query { sort, state, page: 1, ..Query::default() };
            let first = select(&overview, &query, now());
            let pages: Vec<String> = (1..=first.pages)
                .flat_map(|page| names(&select(&overview, &Query { page, ..query.clone() }, now())))
                .collect();
            let once: BTreeSet<&String> = pages.iter().collect();
            prop_assert_eq!(once.len(), pages.len(), "twice");
            prop_assert_eq!(pages.len(), first.found);
            let all = (channels + others) as usize;
            prop_assert_eq!(first.by_state.iter().sum::<usize>(), all);
            if state.is_none() {
                prop_assert_eq!(first.found, all);
            }
        }
    }

    #[test]
    fn the_worst_come_first_then_the_shortest_life() {
        let mut overview = fleet(3, 1);
        lose(&mut overview, 3);
        change_channel(&mut overview, 2, |channel| channel.expiry = Some(hours(5)));
        let names = |text: &str| names(&select(&overview, &asked(text), now()));
        assert_eq!(names(""), ["acme/c3", "acme/c2", "acme/c1", "beta/c1001"]);
        assert_eq!(names("sort=name"), ["acme/c1", "acme/c2", "acme/c3", "beta/c1001"]);
        assert_eq!(names("sort=life"), ["acme/c3", "acme/c2", "acme/c1", "beta/c1001"]);
        assert_eq!(names("state=not-ok"), ["acme/c3"]);
        assert_eq!(names("state=covered&account=acme"), ["acme/c2", "acme/c1"]);
        assert_eq!(names("account=none"), [""; 0]);
        change_channel(&mut overview, 1, |channel| channel.gaps = 8);
        assert_eq!(
            select(&overview, &asked(""), now()).hits[1].channel.gaps,
            8,
            "before a short life"
        );
    }

    #[test]
    fn a_search_looks_at_name_account_modules_and_id() {
        let overview = fleet(12, 2);
        let found = |text: &str| select(&overview, &asked(text), now()).found;
        assert_eq!(
            (found("q=C1"), found("q=c1+beta"), found("q=deals"), found("q=1002")),
            (6, 2, 14, 1)
        );
        assert_eq!((found("q=+"), found("q=nothing"), found("q=%F0%9F%92%A9")), (14, 0, 0));
    }

    #[test]
    fn a_page_too_far_is_the_last_one() {
        let overview = fleet(101, 0);
        let selection = select(&overview, &asked("page=77"), now());
        assert_eq!((selection.page, selection.pages, selection.hits.len()), (3, 3, 1));
        let nothing = fleet(0, 0);
        let selection = select(&nothing, &asked("page=77"), now());
        assert_eq!((selection.page, selection.pages, selection.found), (1, 1, 0));
    }
}
