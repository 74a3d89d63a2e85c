//! The query of a page's URL, read and written.
//!
//! Anything can stand in a URL, so nothing in it is an error: what is not understood is as if it
//! were not there, and the page says so.

use crate::model::sanitize::plain;
use crate::reconcile::report::ChannelState;

use super::super::health::Status;
use super::mark::Mark;

/// The query of the front page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query {
    /// Words that a channel must have in its name, id, account or events.
    pub q: String,
    /// Only channels that are so.
    pub state: Option<StateFilter>,
    /// Only channels of this account.
    pub account: Option<String>,
    /// The order of the channels.
    pub sort: Sort,
    /// True when that order is turned round.
    pub reversed: bool,
    /// Which stretch of the coverage is shown.
    pub period: Period,
    /// Which page, from 1.
    pub page: usize,
    /// True when the page loads itself anew.
    pub follow: bool,
    /// The choices that are not known, as `state=purple`, at most `UNKNOWN_MAX`.
    pub unknown: Vec<String>,
}

/// Which channels are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StateFilter {
    /// In this state.
    Is(ChannelState),
    /// In any state but covered.
    NotOk,
    /// With this mark.
    Marked(Mark),
}

/// The order of channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    /// The channels in trouble first, then the shortest life.
    #[default]
    Worst,
    /// The shortest life first.
    Life,
    /// The earliest renewal first.
    Renewal,
    /// The most gaps first that nobody has acknowledged.
    Gaps,
    /// By name.
    Name,
}

/// A stretch of time up to now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Period {
    /// 24 hours.
    #[default]
    Day,
    /// 7 days.
    Week,
    /// 30 days.
    Month,
}

impl StateFilter {
    /// All of them, with their words.
    pub(crate) fn all() -> impl Iterator<Item = StateFilter> {
        let states = ChannelState::ALL.into_iter().rev().map(StateFilter::Is);
        [StateFilter::NotOk].into_iter().chain(states).chain(Mark::ALL.map(StateFilter::Marked))
    }

    /// One word.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            StateFilter::Is(state) => state.word(),
            StateFilter::NotOk => "not-ok",
            StateFilter::Marked(mark) => mark.word(),
        }
    }

    /// Returns whether a channel in this state and with these marks is shown.
    pub(crate) fn shows(self, state: ChannelState, marks: &[Mark]) -> bool {
        match self {
            StateFilter::Is(wanted) => state == wanted,
            StateFilter::NotOk => Status::of_channel(state) != Status::Ok,
            StateFilter::Marked(mark) => marks.contains(&mark),
        }
    }
}

impl Sort {
    /// All of them.
    pub(crate) const ALL: [Sort; 5] =
        [Sort::Worst, Sort::Life, Sort::Renewal, Sort::Gaps, Sort::Name];

    /// One word.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Sort::Worst => "worst",
            Sort::Life => "life",
            Sort::Renewal => "renewal",
            Sort::Gaps => "gaps",
            Sort::Name => "name",
        }
    }

    /// The word for people.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Sort::Worst => "worst first",
            Sort::Life => "shortest life first",
            Sort::Renewal => "earliest renewal first",
            Sort::Gaps => "most gaps first",
            Sort::Name => "by name",
        }
    }
}

impl Period {
    /// All of them, the shortest first.
    pub(crate) const ALL: [Period; 3] = [Period::Day, Period::Week, Period::Month];

    /// The word for it in a URL and beside a timeline.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Period::Day => "24h",
            Period::Week => "7d",
            Period::Month => "30d",
        }
    }

    /// The word for people.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Period::Day => "24 hours",
            Period::Week => "7 days",
            Period::Month => "30 days",
        }
    }

    /// How long it is.
    pub(crate) const fn length(self) -> std::time::Duration {
        let hours = match self {
            Period::Day => 24,
            Period::Week => 7 * 24,
            Period::Month => 30 * 24,
        };
        std::time::Duration::from_secs(hours * 3600)
    }
}

impl Query {
    /// The query in a URL, without the `?`.
    pub(crate) fn parse(text: &str) -> Query {
        let mut query = Query { page: 1, ..Query::default() };
        for (key, value) in form_urlencoded::parse(text.as_bytes()) {
            query.set(&key, &value);
        }
        query
    }

    fn set(&mut self, key: &str, value: &str) {
        let is_known = match key {
            "q" => {
                self.q = words(value).trim().to_owned();
                true
            }
            "state" => {
                self.state = StateFilter::all().find(|state| state.word() == value);
                self.state.is_some()
            }
            "account" => {
                self.account = (!value.is_empty()).then(|| words(value));
                true
            }
            "sort" => self.set_sort(value),
            "period" => {
                let period = Period::ALL.into_iter().find(|period| period.word() == value);
                self.period = period.unwrap_or_default();
                period.is_some()
            }
            "page" => {
                let page = value.parse().ok().filter(|page| *page > 0);
                self.page = page.unwrap_or(1);
                page.is_some()
            }
            "follow" => {
                self.follow = value == "1";
                self.follow
            }
            _ => false,
        };
        if !is_known && !value.is_empty() && self.unknown.len() < UNKNOWN_MAX {
            self.unknown.push(format!("{}={}", words(key), words(value)));
        }
    }

    fn set_sort(&mut self, value: &str) -> bool {
        let (word, reversed) = match value.strip_prefix('-') {
            Some(word) => (word, true),
            None => (value, false),
        };
        let sort = Sort::ALL.into_iter().find(|sort| sort.word() == word);
        self.sort = sort.unwrap_or_default();
        self.reversed = sort.is_some() && reversed;
        sort.is_some()
    }

    /// As a link: what is as it would be anyway is left out.
    pub(crate) fn href(&self) -> String {
        let Query { q, state, account, sort, reversed, period, page, follow, unknown: _ } = self;
        let mut link = form_urlencoded::Serializer::new(String::new());
        let state = state.map(StateFilter::word);
        let sort = self.sort_word(*sort, *reversed);
        let period = (*period != Period::default()).then_some(period.word());
        let texts = [
            ("q", Some(q.as_str()).filter(|q| !q.is_empty())),
            ("state", state),
            ("account", account.as_deref()),
        ];
        for (key, value) in texts.into_iter().chain([("sort", sort.as_deref()), ("period", period)])
        {
            value.map(|value| link.append_pair(key, value));
        }
        if *page > 1 {
            link.append_pair("page", &page.to_string());
        }
        if *follow {
            link.append_pair("follow", "1");
        }
        let link = link.finish();
        if link.is_empty() { "/".to_owned() } else { format!("/?{link}") }
    }

    /// The same from its first page on, changed.
    #[must_use]
    pub(crate) fn with(&self, change: impl FnOnce(&mut Query)) -> Query {
        let mut changed = Query { page: 1, unknown: Vec::new(), ..self.clone() };
        change(&mut changed);
        changed
    }

    /// The order's word in a URL; nothing for the one that is meant without a word.
    pub(crate) fn sort_word(&self, sort: Sort, reversed: bool) -> Option<String> {
        let turn = if reversed { "-" } else { "" };
        (sort != Sort::default() || reversed).then(|| format!("{turn}{}", sort.word()))
    }
}

/// A text of the URL, fit to be shown: bounded, and without characters that turn or end a line.
fn words(value: &str) -> String {
    value.chars().take(WORDS_MAX).map(plain).collect()
}

/// The URL of a channel's page.
pub(crate) fn channel_href(account: &str, channel: &str) -> String {
    format!("/channels/{}/{}", segment(account), segment(channel))
}

/// One segment of a path.
fn segment(text: &str) -> String {
    let encoded: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
    // In a query a space is a plus; in a path it is not. A plus that was in the text is encoded
    // already.
    encoded.replace('+', "%20")
}

/// The most choices that the page says it does not know.
const UNKNOWN_MAX: usize = 5;
/// The most characters of a search.
const WORDS_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The text as the page can have it: foul characters never come in.
    fn sane(text: &str) -> String {
        text.chars().map(plain).collect()
    }

    fn queries() -> impl Strategy<Value = Query> {
        let state = prop::option::of(prop::sample::select(StateFilter::all().collect::<Vec<_>>()));
        let account = prop::option::of("\\PC{1,20}".prop_map(|name| sane(&name)));
        let sort = prop::sample::select(Sort::ALL.to_vec());
        let sort = (sort, any::<bool>());
        let period = prop::sample::select(Period::ALL.to_vec());
        ("\\PC{0,20}", state, account, sort, period, 1..5000_usize, any::<bool>()).prop_map(
            |(q, state, account, (sort, reversed), period, page, follow)| Query {
                q: sane(&q).trim().to_owned(),
                state,
                account,
                sort,
                reversed,
                period,
                page,
                follow,
                unknown: Vec::new(),
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_link_is_read_as_it_was_written(query in queries()) {
            let href = query.href();
            prop_assert!(href.is_ascii() && !href.contains(['"', '<', '>', ' ', '\'']), "{href}");
            prop_assert_eq!(Query::parse(href.trim_start_matches('/').trim_start_matches('?')), query);
        }

        #[test]
        fn nothing_in_a_url_is_an_error(text in "\\PC{0,200}") {
            let query = Query::parse(&text);
            prop_assert!(query.page >= 1 && query.q.chars().count() <= WORDS_MAX);
        }
    }

    #[test]
    fn what_is_not_understood_is_as_if_it_were_not_there() {
        let bad = "q=&state=purple&account=&sort=-1&period=1y&page=-3&follow=yes&x=%zz&=&&";
        let read = Query::parse(bad);
        assert_eq!(read.unknown, ["state=purple", "sort=-1", "period=1y", "page=-3", "follow=yes"]);
        let without = Query { unknown: Vec::new(), ..read };
        assert_eq!(without, Query { page: 1, ..Query::default() });
        assert_eq!(Query::parse("page=99999999999999999999").page, 1);
        assert_eq!(Query::parse(bad).href(), "/");
    }

    #[test]
    fn characters_that_turn_or_end_a_line_do_not_come_back_into_the_search_field() {
        let query = Query::parse("q=a%E2%80%AEb%00c%0Ad&account=x%1B%5B2J%E2%81%A6");
        assert_eq!((query.q.as_str(), query.account.as_deref()), ("a b c d", Some("x [2J ")));
    }

    #[test]
    fn a_path_has_no_way_out_of_its_segment() {
        assert_eq!(channel_href("acme", "deal-sync"), "/channels/acme/deal-sync");
        assert_eq!(channel_href("a/b", "?#<\"+ é"), "/channels/a%2Fb/%3F%23%3C%22%2B%20%C3%A9");
    }
}
