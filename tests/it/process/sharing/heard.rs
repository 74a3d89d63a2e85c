//! The judge: what Zoho heard, who owned which account meanwhile, and the laws over both.

use std::collections::BTreeMap;
use std::time::Duration;

use channelkeeper::cluster::keys::Claim;
use channelkeeper::engine::Snapshot;
use channelkeeper::model::time::{Timestamp, span};
use channelkeeper::simulator::{Covered, Heard};
use serde_json::Value;

/// One request that Zoho heard.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) at: Timestamp,
    /// The node that sent it.
    pub(super) node: usize,
    pub(super) org: String,
    pub(super) what: What,
    is_good: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Look,
    Token,
    /// These channels are enabled.
    Enable(Vec<String>),
    /// Another write.
    Write,
}

impl Call {
    /// The request of one of these nodes.
    pub(super) fn of(heard: &Heard<'_>, names: &[String]) -> Call {
        let Heard { org, request, reply, at } = heard;
        let is_its = |name: &String| request.base == format!("http://{name}");
        let what = match request.method {
            _ if request.path.starts_with("/oauth/") => What::Token,
            "GET" => What::Look,
            "POST" => What::Enable(enabled(&request.body)),
            _ => What::Write,
        };
        Call {
            at: *at,
            node: names.iter().position(is_its).unwrap(),
            org: org.unwrap_or_default().to_owned(),
            what,
            is_good: reply.response().is_some_and(|response| response.status < 300),
        }
    }

    pub(super) fn is_write(&self) -> bool {
        matches!(self.what, What::Enable(_) | What::Write)
    }
}

fn enabled(body: &[u8]) -> Vec<String> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let items = body["watch"].as_array().cloned().unwrap_or_default();
    items.iter().map(|item| item["channel_id"].to_string().replace('"', "")).collect()
}

/// How an account moved.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moves {
    /// How often it had another owner.
    pub(super) all: usize,
    /// The longest time from the last sight of the one to the first of the other.
    pub(super) longest: Duration,
}

/// Who owned which account, and surely so.
#[derive(Debug, Default)]
pub(super) struct Owners {
    spans: BTreeMap<String, Vec<Owned>>,
    is_seen: bool,
}

#[derive(Debug)]
struct Owned {
    node: String,
    from: Timestamp,
    to: Timestamp,
}

impl Owners {
    /// The claims were read between these two instants.
    pub(super) fn saw(&mut self, claims: &Snapshot, asked: Timestamp, answered: Timestamp) {
        let goes_on = std::mem::replace(&mut self.is_seen, true);
        let mut owners = owners_in(claims);
        for (account, spans) in &mut self.spans {
            let owner = owners.remove(account);
            match (spans.last_mut(), owner) {
                (Some(last), Some(node)) if goes_on && last.node == node => last.to = asked,
                (_, Some(node)) => spans.push(Owned { node, from: answered, to: answered }),
                (Some(last), None) if !last.node.is_empty() => {
                    spans.push(Owned { node: String::new(), from: answered, to: answered });
                }
                (_, None) => {}
            }
        }
        for (account, node) in owners {
            self.spans.insert(account, vec![Owned { node, from: answered, to: answered }]);
        }
    }

    /// Nobody knows who owns what.
    pub(super) fn lost_sight(&mut self) {
        self.is_seen = false;
    }

    /// Who owns what.
    pub(super) fn latest(&self) -> BTreeMap<String, String> {
        let latest = |(account, spans): (&String, &Vec<Owned>)| {
            let last = spans.last().filter(|last| !last.node.is_empty())?;
            Some((account.clone(), last.node.clone()))
        };
        self.spans.iter().filter_map(latest).collect()
    }

    /// The longest time that each account may have been without an owner since this instant, and
    /// how often it had another one.
    pub(super) fn moves(&self, since: Timestamp) -> BTreeMap<String, Moves> {
        let moves = |(account, spans): (&String, &Vec<Owned>)| {
            let owned: Vec<&Owned> = spans.iter().filter(|it| !it.node.is_empty()).collect();
            let pairs = owned.windows(2).filter(|pair| pair[1].from > since);
            let (mut all, mut longest) = (0, Duration::ZERO);
            for pair in pairs.filter(|pair| pair[0].node != pair[1].node) {
                all += 1;
                longest = longest.max(span(pair[0].to, pair[1].from));
            }
            (account.clone(), Moves { all, longest })
        };
        self.spans.iter().map(moves).collect()
    }

    /// True when another node than this one surely owned the account then.
    fn is_foreign(&self, account: &str, node: &str, at: Timestamp) -> bool {
        let spans = self.spans.get(account).map_or(&[][..], Vec::as_slice);
        let is_others = |owned: &&Owned| owned.from <= at && at <= owned.to;
        let owner = spans.iter().find(is_others).map_or("", |owned| &owned.node);
        !owner.is_empty() && owner != node
    }
}

fn owners_in(claims: &Snapshot) -> BTreeMap<String, String> {
    let owner = |entry: &channelkeeper::engine::Entry| {
        let account = entry.key.rsplit('/').next()?.to_owned();
        let claim: Claim = serde_json::from_slice(&entry.value).ok()?;
        (account != "@fleet").then_some((account, claim.member.node))
    };
    claims.entries.iter().filter_map(owner).collect()
}

/// A time at which an account's channels may be enabled once more than is due.
#[derive(Clone, Debug)]
pub(super) struct Excused {
    pub(super) org: String,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

/// The findings of the judge.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) doubles: Vec<String>,
    /// Writes of a node while another owned the account.
    pub(super) late: Vec<String>,
    pub(super) lapses: Vec<String>,
    /// The most token fetches for one account in any ten minutes, over all nodes.
    pub(super) tokens_max: usize,
    pub(super) writes: usize,
}

impl Verdict {
    /// The verdict on everything that was heard. `names` are the nodes.
    pub(super) fn of(
        calls: &[Call],
        owners: &Owners,
        names: &[String],
        excused: &[Excused],
    ) -> Verdict {
        let is_late = |call: &&Call| {
            call.is_write() && owners.is_foreign(&call.org, &names[call.node], call.at)
        };
        Verdict {
            doubles: doubles(calls, excused),
            late: calls.iter().filter(is_late).map(|call| format!("{call:?}")).collect(),
            lapses: Vec::new(),
            tokens_max: tokens_max(calls),
            writes: calls.iter().filter(|call| call.is_write()).count(),
        }
    }

    /// Takes note of when the channels of an account were not covered.
    pub(super) fn covers(&mut self, org: &str, truth: &[Covered], now: Timestamp) {
        let mut spans: BTreeMap<_, Vec<(Timestamp, Timestamp)>> = BTreeMap::new();
        for Covered { channel, module, operation, from, to, notify_url: _ } in truth {
            spans
                .entry((channel.as_str(), module.as_str(), *operation))
                .or_default()
                .push((*from, *to));
        }
        for (event, mut spans) in spans {
            spans.sort_unstable();
            let next = spans.iter().skip(1).map(|(from, _)| *from).chain([now]);
            let gaps = spans.iter().zip(next).filter(|((_, to), next)| to < next);
            self.lapses.extend(gaps.map(|((_, to), next)| format!("{org} {event:?} {to} {next}")));
        }
    }
}

/// Channels that were enabled again though nothing was due.
fn doubles(calls: &[Call], excused: &[Excused]) -> Vec<String> {
    let mut last: BTreeMap<(&str, &str), &Call> = BTreeMap::new();
    let mut doubles = Vec::new();
    for call in calls.iter().filter(|call| call.is_good) {
        let What::Enable(channels) = &call.what else { continue };
        for channel in channels {
            let before = last.insert((&call.org, channel), call);
            let is_soon = before.is_some_and(|before| span(before.at, call.at) < SOON);
            let is_excused = excused.iter().any(|excused| {
                excused.org == call.org && excused.from <= call.at && call.at <= excused.to
            });
            if is_soon && !is_excused {
                doubles.push(format!("{channel}: {before:?}, {call:?}"));
            }
        }
    }
    doubles
}

fn tokens_max(calls: &[Call]) -> usize {
    let mut fetches: BTreeMap<&str, Vec<Timestamp>> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.what == What::Token) {
        fetches.entry(&call.org).or_default().push(call.at);
    }
    let within = |fetches: &[Timestamp], from: Timestamp| {
        fetches.iter().filter(|at| **at >= from && span(from, **at) < TEN_MINUTES).count()
    };
    let most = |fetches: &Vec<Timestamp>| fetches.iter().map(|from| within(fetches, *from)).max();
    fetches.values().filter_map(most).max().unwrap_or_default()
}

/// Less than from one renewal to the next.
const SOON: Duration = Duration::from_secs(75);
const TEN_MINUTES: Duration = Duration::from_secs(600);
