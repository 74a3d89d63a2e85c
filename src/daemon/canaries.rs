//! Sends canaries: a test body to each distinct `notify_url` of each account, every now and then.
//! Off unless `[canary]` says how often.
//!
//! A task of its own with its own connections; passes neither wait for it nor know of it. The fate
//! of a canary is a fact in the store ([`Canaries`]), written when it is answered. A fact
//! that brings news about a URL wakes the account, and its pass takes it into the ledger and the
//! report like any other fact.
//!
//! A canary is a POST as Zoho would make it, in the name of the first channel (by id) of that URL
//! that is not paused: its `channel_id` and its `token`. A receiver needs both to accept it, and
//! Zoho sends them there as well. Nothing else that is secret is in it. The header [`HEADER`] and
//! the key [`MARK`] say what it is; `module` and `operation` are empty. It goes to https, its
//! certificate verified, or in plain text to loopback. Only the status of the answer counts: 2xx is
//! accepted, and everything else (a redirect, which is not followed, no connection, nothing within
//! [`REQUEST_TIMEOUT`]) is refused.
//!
//! Deliberately absent: the meaning of refusals (that is [`crate::model::canary`] and
//! [`crate::coverage::reception`]), and any claim that Zoho reaches a URL that this host reaches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::clock::{Clock, LOOK_AT_CLOCK};
use crate::config::check_notify_url;
use crate::model::canary::Canaries;
use crate::model::channel::{AccountName, NotifyUrl, Spec};
use crate::model::exchange::Request;
use crate::model::secret::Fingerprint;
use crate::model::time::Timestamp;
use crate::reconcile::subject::Subject;
use crate::store::{Store, StoreError};
use crate::zoho::transport::Transport;

use super::alerts::request;
use super::fleet::Fleet;
use super::scheduler::{Links, Wakes, chain};

/// The task.
pub(crate) struct CanaryTask {
    fleet: watch::Receiver<Arc<Fleet>>,
    wakes: Wakes,
    clock: Arc<dyn Clock>,
    transport: Arc<dyn Transport>,
    store: Store,
}

/// One that is due.
struct Due {
    account: AccountName,
    url: Fingerprint,
    request: Request,
    /// In Zoho's time.
    sent_at: Timestamp,
}

impl CanaryTask {
    /// The canaries of this daemon.
    pub(crate) fn new(
        links: &Links,
        clock: Arc<dyn Clock>,
        transport: Arc<dyn Transport>,
        store: Store,
    ) -> CanaryTask {
        CanaryTask {
            fleet: links.fleet.clone(),
            wakes: links.wakes.clone(),
            clock,
            transport,
            store,
        }
    }

    /// Sends what is due until `closing`.
    pub(crate) async fn run(mut self, closing: CancellationToken) {
        let turns = async {
            loop {
                let fleet = self.fleet.borrow_and_update().clone();
                self.turn(&fleet).await;
                tokio::select! {
                    changed = self.fleet.changed() => if changed.is_err() { std::future::pending().await },
                    () = self.clock.sleep(LOOK_AT_CLOCK) => {}
                }
            }
        };
        tokio::select! {
            () = closing.cancelled() => {}
            () = turns => {}
        }
    }

    /// Sends every canary that is due, few at once. A canary whose facts cannot be read is left for
    /// the next turn.
    async fn turn(&self, fleet: &Fleet) {
        if let Err(error) = self.forget(fleet).await {
            warn!(
                error = chain(&error),
                "the results of canaries that are no longer sent could not be removed"
            );
        }
        let Some(every) = fleet.settings.canary_every else { return };
        let mut under_way = JoinSet::new();
        for subject in fleet.subjects.values() {
            let due = self.due(subject, every).unwrap_or_else(|error| {
                warn!(
                    error = chain(&error),
                    "the results of canaries cannot be read, so none is sent"
                );
                Vec::new()
            });
            for due in due {
                if under_way.len() >= AT_ONCE_MAX {
                    under_way.join_next().await;
                }
                under_way.spawn(send(self.means(), due));
            }
        }
        while under_way.join_next().await.is_some() {}
    }

    fn means(&self) -> CanaryMeans {
        let CanaryTask { fleet: _, wakes, clock, transport, store } = self;
        (wakes.clone(), clock.clone(), transport.clone(), store.clone())
    }

    /// The canaries of an account that are due: one for each URL.
    fn due(&self, subject: &Subject, every: Duration) -> Result<Vec<Due>, StoreError> {
        let (account, now) = (subject.name(), self.clock.now());
        let (state, known) = (self.store.account_state(account)?, self.store.canaries(account)?);
        let pauses = self.store.wishes(account)?.pauses;
        let zoho_now = state.zoho_time(now);
        let mut due: BTreeMap<Fingerprint, Due> = BTreeMap::new();
        for spec in subject.desired.specs_at(zoho_now).values() {
            let url = spec.notify_url.fingerprint();
            let is_due = known.get(&url).is_none_or(|facts| facts.is_due(every, zoho_now));
            let may_be_sent = pauses.of(spec.id, now).is_none()
                && check_notify_url(spec.notify_url.full()).is_ok();
            if is_due && may_be_sent && !due.contains_key(&url) {
                let (account, request) = (account.clone(), canary(spec, zoho_now));
                due.insert(url, Due { account, url, request, sent_at: zoho_now });
            }
        }
        Ok(due.into_values().collect())
    }

    /// Forgets what nobody is asked about any more, so that nothing of it stays open.
    async fn forget(&self, fleet: &Fleet) -> Result<(), StoreError> {
        for account in self.store.canary_accounts()? {
            let subject =
                fleet.subjects.get(&account).filter(|_| fleet.settings.canary_every.is_some());
            if subject.is_none() && fleet.unusable.contains_key(&account) {
                continue;
            }
            let urls: BTreeSet<Fingerprint> =
                subject.map(|subject| urls(subject)).unwrap_or_default();
            let known = self.store.canaries(&account)?.into_keys();
            let gone: BTreeMap<_, _> =
                known.filter(|url| !urls.contains(url)).map(|url| (url, None)).collect();
            if !gone.is_empty() {
                self.store.write_canaries(&account, &gone).await?;
            }
        }
        Ok(())
    }
}

type CanaryMeans = (Wakes, Arc<dyn Clock>, Arc<dyn Transport>, Store);

/// Sends one canary, stores its fate, and wakes the account when that is news.
async fn send((wakes, clock, transport, store): CanaryMeans, due: Due) {
    let Due { account, url, request, sent_at } = due;
    let answered = tokio::select! {
        answered = transport.send(request) => answered.map_err(|error| error.to_string()),
        () = clock.sleep(REQUEST_TIMEOUT) => Err("timed out".to_owned()),
    };
    let refused = match answered {
        Ok(response) if response.status / 100 == 2 => None,
        Ok(response) => Some(format!("HTTP {}", response.status)),
        Err(why) => Some(why),
    };
    match keep(&store, &account, url, sent_at, refused).await {
        Ok(true) => wakes.wake(Some(account), "canary").await,
        Ok(false) => {}
        Err(error) => warn!(error = chain(&error), "the result of a canary cannot be stored"),
    }
}

/// Returns whether an outage began to be known, or is over.
async fn keep(
    store: &Store,
    account: &AccountName,
    url: Fingerprint,
    sent_at: Timestamp,
    refused: Option<String>,
) -> Result<bool, StoreError> {
    let known = store.canaries(account)?.remove(&url);
    let mut facts = known.unwrap_or_else(|| Canaries::new(url, sent_at));
    let is_news = match refused {
        Some(why) => {
            warn!(%account, why, times = facts.refused.as_ref().map_or(1, |before| before.times + 1), "a canary was refused");
            facts.refused(sent_at, why)
        }
        None => {
            debug!(%account, "a canary was accepted");
            facts.accepted(sent_at)
        }
    };
    if is_news && facts.refused.is_none() {
        info!(%account, "canaries are accepted again");
    }
    store.write_canaries(account, &[(url, Some(facts))].into()).await?;
    Ok(is_news)
}

fn urls(subject: &Subject) -> BTreeSet<Fingerprint> {
    subject.desired.specs.values().map(|spec| spec.notify_url.fingerprint()).collect()
}

/// As Zoho would post it, and marked.
fn canary(spec: &Spec, zoho_now: Timestamp) -> Request {
    let body = json!({
        MARK: true,
        "server_time": zoho_now.as_millisecond(),
        "query_params": query_params(&spec.notify_url),
        "module": "",
        "resource_uri": "",
        "ids": [],
        "affected_fields": [],
        "operation": "",
        "channel_id": spec.id.to_string(),
        "token": spec.token.as_ref().map(|token| token.expose().to_owned()),
    });
    let mut request = request("POST", spec.notify_url.full(), body.to_string());
    request.headers.push((HEADER.to_owned(), "1".to_owned()));
    request
}

pub(super) fn query_params(url: &NotifyUrl) -> Map<String, Value> {
    let whole = url.full().split('#').next().unwrap_or_default();
    let query = whole.split_once('?').map_or("", |(_, query)| query);
    form_urlencoded::parse(query.as_bytes())
        .map(|(key, value)| (key.into_owned(), json!(value)))
        .collect()
}

/// The header that marks one.
pub(crate) const HEADER: &str = "x-channelkeeper-canary";
/// The key in its body that marks one.
pub(crate) const MARK: &str = "channelkeeper_canary";
/// How long connecting may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one may take in all.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The most under way at once.
const AT_ONCE_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::Secret;
    use crate::testing;

    fn spec(url: &str, token: Option<&str>) -> Spec {
        let token = token.map(|token| Secret::new(token.to_owned()));
        Spec { notify_url: NotifyUrl::new(url), token, ..testing::spec(68_001) }
    }

    #[test]
    fn a_canary_is_posted_as_zoho_would_and_marked_twice() {
        let at = "2026-03-01T00:00:00Z".parse().unwrap();
        let request = canary(&spec("https://hooks.example.com/zoho?a=b%20c&d=", Some("t")), at);
        assert_eq!((request.method, request.base.as_str()), ("POST", "https://hooks.example.com"));
        assert_eq!((request.path.as_str(), request.query.len()), ("/zoho?a=b%20c&d=", 0));
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(request.header("x-channelkeeper-canary"), Some("1"));
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        let expected = json!({
            "channelkeeper_canary": true, "server_time": 1_772_323_200_000_i64, "query_params": {"a": "b c", "d": ""},
            "module": "", "resource_uri": "", "ids": [], "affected_fields": [], "operation": "", "channel_id": "68001",
            "token": "t",
        });
        assert_eq!(body, expected);
        let bare: Value =
            serde_json::from_slice(&canary(&spec("http://127.0.0.1:1/", None), at).body).unwrap();
        assert_eq!((&bare["token"], &bare["query_params"]), (&Value::Null, &json!({})));
    }
}
