//! The operations of the watch resource, for one account.
//!
//! Each write takes one batch and gives one [`ItemVerdict`] a channel, in the order of the batch,
//! or one [`Error`] for the batch as a whole. An item is matched by the id it names where it names
//! one, by its place or its `json_path` where it does not, and where neither settles it the
//! channel's verdict is [`ItemVerdict::Unsure`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::{debug, warn};

use crate::clock::Clock;
use crate::model::account::Account;
use crate::model::channel::{Ask, ChannelId};
use crate::model::credits::CreditsNews;
use crate::model::events::Events;
use crate::model::exchange::{Request, Response};
use crate::model::observed::{Beside, Observed, Stranger, merge};
use crate::model::org::OrgShown;
use crate::model::records::{RecordsAsk, RecordsPage};
use crate::model::secret::Secret;
use crate::model::time::{Times, Timestamp};
use crate::model::token::{FETCHES_MAX_SHARED, TokenState};
use crate::model::version::{Limits, PAGE_ROWS};

use super::auth::{Remember, Tokens, TokensAsked, credentials_fingerprint};
use super::bounds::Bounds;
use super::error::{Error, Kind};
use super::records;
use super::replies;
use super::spot;
use super::time::ZohoTime;
use super::transport::{Exchange, Transport, TransportError};
use super::veil::Veil;
use super::wire::{self, Item, WriteAnswer};

pub(crate) use super::bounds::PATIENCE_MAX;
pub(crate) use super::wire::ItemVerdict;

/// One account's way to Zoho.
pub struct Client {
    account: Account,
    limits: Limits,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    tokens: Tokens,
    veil: Arc<Veil>,
    calls: Mutex<Calls>,
    time: Mutex<ZohoTime>,
    credits: Mutex<Option<CreditsNews>>,
    /// Held for as long as a call is under way: an account has one at a time, whoever makes it.
    under_way: tokio::sync::Mutex<()>,
    /// Held for as long as records are read, which nobody else waits for.
    reading: tokio::sync::Mutex<()>,
    told_of_clock: AtomicBool,
}

/// The content of the whole list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The channels by id.
    pub channels: BTreeMap<ChannelId, Observed>,
    /// The rest of what the list showed.
    pub beside: Beside,
    /// When it was read, in Zoho's time: from the first page asked for to the last one there.
    pub times: Times,
}

/// (operation, outcome) and how many.
pub(crate) type Calls = BTreeMap<(&'static str, &'static str), u64>;

/// Calls made by this process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Counts of calls to the watch API, by (operation, outcome). The outcome is `ok`, `refused`
    /// (another 4xx), `throttled` (429), `failed` (5xx), `lost` (no usable reply) or `not-sent`.
    pub calls: Calls,
    /// Tokens asked for, by outcome.
    pub tokens: TokensAsked,
}

impl Client {
    /// For one account, with what is remembered of its token.
    pub fn new(
        account: Account,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        remembered: Option<TokenState>,
        remember: Remember,
    ) -> Client {
        let veil = Arc::new(Veil::of(&account));
        let tokens = Tokens::new(&account, remembered, remember, veil.clone());
        let limits = account.limits();
        Client {
            account,
            limits,
            transport,
            clock,
            tokens,
            veil,
            calls: Mutex::default(),
            time: Mutex::default(),
            credits: Mutex::default(),
            under_way: tokio::sync::Mutex::default(),
            reading: tokio::sync::Mutex::default(),
            told_of_clock: AtomicBool::new(false),
        }
    }

    /// The same, for an account whose tokens other machines fetch too.
    #[must_use]
    pub fn sharing_tokens(self) -> Client {
        Client { tokens: self.tokens.with_fetches_max(FETCHES_MAX_SHARED), ..self }
    }

    /// The account.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// The clock it reads.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Calls made so far.
    pub fn traffic(&self) -> Traffic {
        let calls = self.calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        Traffic { calls, tokens: self.tokens.asked() }
    }

    /// How far Zoho's clock was ahead of ours at its last answer, whatever that answer was, in
    /// milliseconds.
    pub fn skew_ms(&self) -> Option<i64> {
        self.zoho_time().skew_ms()
    }

    /// The news about the day's credits since this was last asked.
    pub fn take_credits_news(&self) -> Option<CreditsNews> {
        self.credits.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }

    /// Takes a skew that was measured before this process had an answer of its own.
    pub fn assume_skew(&self, skew_ms: Option<i64>) {
        if let Some(skew_ms) = skew_ms {
            let (elapsed, now) = (self.clock.elapsed(), self.clock.now());
            self.time
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .assume(skew_ms, elapsed, now);
        }
    }

    /// Zoho's time, for all that is known.
    pub fn zoho_now(&self) -> Timestamp {
        self.zoho_time().at(self.clock.elapsed(), self.clock.now())
    }

    /// From `sent`, as [`Clock::elapsed`] showed it, until this instant.
    pub fn times_since(&self, sent: Duration) -> Times {
        self.zoho_time().times(sent, self.clock.elapsed(), self.clock.now())
    }

    fn zoho_time(&self) -> ZohoTime {
        *self.time.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The state of the token.
    pub async fn token_state(&self) -> TokenState {
        self.tokens.state().await
    }

    /// GET: every channel, page by page.
    pub async fn list(&self) -> Result<Listing, Error> {
        self.list_within(PATIENCE_MAX).await
    }

    /// The same, broken off between two pages once it has taken this long.
    pub async fn list_within(&self, patience: Duration) -> Result<Listing, Error> {
        self.read(None, patience, |_| {}).await
    }

    /// GET: every channel, and beside it the tokens themselves, which nothing but a declaration
    /// made from them needs.
    pub async fn list_with_tokens(&self) -> Result<(Listing, BTreeMap<ChannelId, Secret>), Error> {
        let mut tokens = BTreeMap::new();
        let listing = self
            .read(None, PATIENCE_MAX, |body| {
                tokens.extend(wire::read_tokens(body).unwrap_or_default())
            })
            .await?;
        Ok((listing, tokens))
    }

    /// GET with `channel_id`: one channel, `None` when Zoho does not have it.
    pub async fn look_at(&self, id: ChannelId) -> Result<Option<Observed>, Error> {
        let mut listing = self.read(Some(id), PATIENCE_MAX, |_| {}).await?;
        Ok(listing.channels.remove(&id))
    }

    /// POST: creates channels, and gives live ones a new life.
    pub async fn enable(&self, asks: &[&Ask]) -> Result<Vec<ItemVerdict>, Error> {
        self.write("enable", "POST", asks).await
    }

    /// PATCH with whole channels.
    pub async fn update(&self, asks: &[&Ask]) -> Result<Vec<ItemVerdict>, Error> {
        self.write("update", "PATCH", asks).await
    }

    /// PUT: replaces channels.
    pub async fn replace(&self, asks: &[&Ask]) -> Result<Vec<ItemVerdict>, Error> {
        self.write("replace", "PUT", asks).await
    }

    /// PATCH with `_delete_events`: drops the named events and leaves the others.
    pub async fn remove_events(
        &self,
        removals: &[(ChannelId, &Events)],
    ) -> Result<Vec<ItemVerdict>, Error> {
        let ids: Vec<ChannelId> = removals.iter().map(|(id, _)| *id).collect();
        let body = wire::remove_events_body(removals);
        let response = self.call("remove-events", "PATCH", Vec::new(), body.clone()).await?;
        self.verdicts("remove-events", &ids, &body, &response)
    }

    /// DELETE: drops channels. At most [`DELETE_MAX`] a call.
    pub async fn disable(&self, ids: &[ChannelId]) -> Result<Vec<ItemVerdict>, Error> {
        let joined = ids.iter().map(ChannelId::to_string).collect::<Vec<_>>().join(",");
        let query = vec![("channel_ids".to_owned(), joined)];
        let response = self.call("disable", "DELETE", query, Vec::new()).await?;
        Ok(disable_verdicts(ids, &self.items("disable", &response)?))
    }

    async fn write(
        &self,
        operation: &'static str,
        method: &'static str,
        asks: &[&Ask],
    ) -> Result<Vec<ItemVerdict>, Error> {
        let ids: Vec<ChannelId> = asks.iter().map(|ask| ask.spec.id).collect();
        self.veil.hide_channels(asks.iter().filter_map(|ask| ask.spec.token.as_ref()));
        let body = wire::write_body(asks, self.limits);
        let response = self.call(operation, method, Vec::new(), body.clone()).await?;
        let verdicts = self.verdicts(operation, &ids, &body, &response)?;
        Ok(verdicts.into_iter().map(with_expiry).collect())
    }

    /// One verdict a channel, with the places that Zoho names in the request named by what was sent
    /// there.
    fn verdicts(
        &self,
        operation: &'static str,
        ids: &[ChannelId],
        body: &[u8],
        response: &Response,
    ) -> Result<Vec<ItemVerdict>, Error> {
        let named = |verdict| match verdict {
            ItemVerdict::Refused(refused) => {
                ItemVerdict::Refused(spot::named(refused, body, &self.veil))
            }
            ItemVerdict::Accepted(_) | ItemVerdict::Unsure(_) => verdict,
        };
        let items = self
            .items(operation, response)
            .map_err(|error| spot::named_error(error, body, &self.veil))?;
        Ok(match_items(ids, &items).into_iter().map(named).collect())
    }

    /// The items of an answer to a write. `watch` counts whatever the HTTP status is; anything else
    /// is read by the status.
    fn items(&self, operation: &'static str, response: &Response) -> Result<Vec<Item>, Error> {
        let unreadable = |why: String| {
            let kind = Kind::Unreadable { status: response.status, why };
            Error { operation, writing: true, kind }
        };
        match wire::read_answer(&response.body, &self.veil) {
            Ok(WriteAnswer::Items(items)) => Ok(items),
            Ok(WriteAnswer::Bare(refused)) => {
                Err(replies::refused_error(operation, true, response, refused))
            }
            Ok(WriteAnswer::BareSuccess) => {
                Err(unreadable("it says SUCCESS and names no channel".to_owned()))
            }
            Err(_) if response.status >= 300 => {
                Err(replies::status_error(operation, true, response, &self.veil))
            }
            Err(_) if replies::is_page(response) => Err(unreadable(replies::A_PAGE.to_owned())),
            Err(why) => Err(unreadable(why)),
        }
    }

    /// The API names of the org's modules, which needs a scope of its own.
    pub async fn modules(&self) -> Result<BTreeSet<String>, Error> {
        let response = self.call(MODULES, "GET", Vec::new(), Vec::new()).await?;
        wire::read_modules_list(&response.body).map_err(|why| Error {
            operation: MODULES,
            writing: false,
            kind: Kind::Unreadable { status: response.status, why: why.to_string() },
        })
    }

    /// GET: one page of a module's records, or of its deleted ones. It waits for calls that are
    /// under way, and no other call waits for it.
    pub async fn records(&self, ask: &RecordsAsk) -> Result<RecordsPage, Error> {
        let product = self.account.product;
        let newest = product.traits().versions.last().copied().unwrap_or(self.account.version);
        let request = records::request(&self.account.api_url, &product.api_path(newest), ask);
        let response = self.call_with_token(RECORDS, false, request).await?;
        records::read(ask.list, &response, &self.veil)
    }

    /// The last news about the day's credits, if no pass has taken them yet.
    pub fn credits_news(&self) -> Option<CreditsNews> {
        *self.credits.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The work that the token does not allow, where Zoho named its scopes.
    pub fn lacking_scopes(&self) -> Option<Vec<&'static str>> {
        self.tokens.lacking_scopes(self.account.product)
    }

    async fn read(
        &self,
        only: Option<ChannelId>,
        patience: Duration,
        mut heard: impl FnMut(&[u8]),
    ) -> Result<Listing, Error> {
        let (mut rows, mut strangers) = (Vec::new(), Vec::new());
        let mut ids = BTreeMap::new();
        let sent = self.clock.elapsed();
        let mut bounds = Bounds::new(sent, patience);
        for page in 1_u32.. {
            let mut query = vec![
                ("page".to_owned(), page.to_string()),
                ("per_page".to_owned(), PAGE_ROWS.to_string()),
            ];
            query.extend(only.map(|id| ("channel_id".to_owned(), id.to_string())));
            let response = self.call("list", "GET", query, Vec::new()).await?;
            let page = replies::read_list(&response, &self.veil)?;
            bounds.take(&page, response.body.len(), self.clock.elapsed()).map_err(|why| Error {
                operation: "list",
                writing: false,
                kind: Kind::Endless(why),
            })?;
            heard(&response.body);
            rows.extend(page.rows.into_iter().map(|row| row.within(self.limits)));
            ids.extend(page.modules);
            strangers.extend(page.strangers.into_iter().map(|it| self.shown(it)));
            if !page.more {
                break;
            }
        }
        let org = OrgShown { ids, credentials: Some(credentials_fingerprint(&self.account)) };
        let beside = Beside { strangers, org };
        Ok(Listing { channels: merge(rows), beside, times: self.times_since(sent) })
    }

    /// One request with a token; with a new token and once more when Zoho calls the token invalid.
    async fn call(
        &self,
        operation: &'static str,
        method: &'static str,
        query: Vec<(String, String)>,
        body: Vec<u8>,
    ) -> Result<Response, Error> {
        let writing = !["list", MODULES].contains(&operation);
        let resource = if operation == MODULES { "settings/modules" } else { "actions/watch" };
        let request = Request {
            method,
            base: self.account.api_url.clone(),
            path: format!("{}/{resource}", self.account.product.api_path(self.account.version)),
            query,
            headers: Vec::new(),
            body,
        };
        self.call_with_token(operation, writing, request).await
    }

    async fn call_with_token(
        &self,
        operation: &'static str,
        writing: bool,
        mut request: Request,
    ) -> Result<Response, Error> {
        let token = self.token().await?;
        authorize(&mut request, &token);
        let response = self.exchange(operation, writing, request.clone()).await?;
        if self.zoho_time().needs_a_second() {
            self.hear_a_second_source(&token).await;
        }
        self.tell_of_a_wrong_clock();
        if !replies::is_invalid_token(&response) {
            return self.unless_it_says_no(operation, writing, response);
        }
        self.tokens.invalidate(&token).await;
        let token = self.token().await?;
        authorize(&mut request, &token);
        let response = self.exchange(operation, writing, request).await?;
        let is_still_invalid = replies::is_invalid_token(&response);
        let answered = self.unless_it_says_no(operation, writing, response);
        answered.map_err(|error| if is_still_invalid { self.elsewhere(error) } else { error })
    }

    fn unless_it_says_no(
        &self,
        operation: &'static str,
        writing: bool,
        response: Response,
    ) -> Result<Response, Error> {
        let says_no = matches!(response.status, 401 | 403 | 404 | 405 | 429 | 500..)
            || (response.status / 100 == 3 && response.status != NOT_MODIFIED);
        if says_no {
            return Err(replies::status_error(operation, writing, &response, &self.veil));
        }
        Ok(response)
    }

    /// A token that was just given and is invalid: the OAuth server's reply names the host of the
    /// org's API, which may be another one than was asked.
    fn elsewhere(&self, mut error: Error) -> Error {
        let is_its_api = self.account.product.traits().api_domain;
        let named = self.tokens.api_domain().filter(|_| is_its_api);
        let Some(named) = named else { return error };
        let asked = &self.account.api_url;
        if let Kind::Refused { message, .. } = &mut error.kind
            && host_of(&named) != host_of(asked)
        {
            *message = format!(
                "{message}; the token is new, and the OAuth server says that the org's API is at {named}, but this \
                 account asks {asked}: mend data_center or api_url"
            );
        }
        error
    }

    /// A stranger's texts, as they may be shown.
    fn shown(&self, stranger: Stranger) -> Stranger {
        let Stranger { id, events } = stranger;
        let events = events.iter().map(|event| self.veil.words(event)).collect();
        Stranger { id: self.veil.words(&id), events }
    }

    async fn token(&self) -> Result<Secret, Error> {
        let heard = DateHearing { client: self };
        self.tokens.access(&self.account, &heard, &*self.clock).await
    }

    /// A new token, so that another server of Zoho's tells its time. Where Zoho has given several
    /// lately, the calls need what is left of them: then the API's time is followed unchecked.
    async fn hear_a_second_source(&self, token: &Secret) {
        if self.tokens.may_spare_one(self.clock.now()).await {
            self.tokens.invalidate(token).await;
            if let Err(why) = self.token().await {
                debug!(account = %self.account.name, %why, "a doubtful time waits for a second source");
            }
        } else {
            let (elapsed, now) = (self.clock.elapsed(), self.clock.now());
            let mut time = self.time.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            time.follow_unchecked(elapsed, now);
        }
    }

    /// Said once a process: it is Zoho's to mend, and nothing here goes by it.
    fn tell_of_a_wrong_clock(&self) {
        let Some(seconds) = self.zoho_time().not_followed(self.clock.elapsed()) else { return };
        if !self.told_of_clock.swap(true, Ordering::Relaxed) {
            let account = &self.account.name;
            warn!(%account, seconds, "the API's clock is off by more than an hour from the token endpoint's, and is not followed");
        }
    }

    async fn exchange(
        &self,
        operation: &'static str,
        writing: bool,
        request: Request,
    ) -> Result<Response, Error> {
        let _one_at_a_time = if operation == RECORDS {
            let reading = self.reading.lock().await;
            drop(self.under_way.lock().await);
            reading
        } else {
            self.under_way.lock().await
        };
        let started = self.clock.elapsed();
        let result = self.transport.send(request).await;
        let outcome = match &result {
            Ok(response) => match response.status {
                ..400 => "ok",
                429 => "throttled",
                400..500 => "refused",
                500.. => "failed",
            },
            Err(TransportError::NotSent(_) | TransportError::Withheld(_)) => "not-sent",
            Err(TransportError::Lost(_)) => "lost",
        };
        let elapsed = self.clock.elapsed();
        self.count(operation, outcome);
        if let Ok(response) = &result {
            let mut time = self.time.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            time.hear(response, started, elapsed, self.clock.now());
            if let Some(news) = replies::credits_news(response) {
                *self.credits.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
                    Some(news);
            }
        }
        result.map_err(|error| Error { operation, writing, kind: Kind::Transport(error) })
    }

    fn count(&self, operation: &'static str, outcome: &'static str) {
        let mut calls = self.calls.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *calls.entry((operation, outcome)).or_default() += 1;
    }
}

/// The operation that lists modules.
const MODULES: &str = "modules";
/// The operation that reads records.
const RECORDS: &str = records::OPERATION;
/// Nothing was changed since: an empty page.
const NOT_MODIFIED: u16 = 304;

fn host_of(url: &str) -> &str {
    let after = url.split_once("://").map_or(url, |(_, after)| after);
    after.split(['/', ':']).next().unwrap_or(after)
}

/// The way to the token endpoint, on which its time is heard.
struct DateHearing<'a> {
    client: &'a Client,
}

impl Transport for DateHearing<'_> {
    fn send(&self, request: Request) -> Exchange<'_> {
        Box::pin(async move {
            let response = self.client.transport.send(request).await?;
            let (elapsed, now) = (self.client.clock.elapsed(), self.client.clock.now());
            let mut time =
                self.client.time.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            time.hear_second(&response, elapsed, now);
            Ok(response)
        })
    }
}

fn authorize(request: &mut Request, token: &Secret) {
    let content_type = ("content-type".to_owned(), "application/json".to_owned());
    let authorization = ("authorization".to_owned(), format!("Zoho-oauthtoken {}", token.expose()));
    let is_ours = |name: &str| ["content-type", "authorization"].contains(&name);
    request.headers.retain(|(name, _)| !is_ours(name));
    request.headers.extend([content_type, authorization]);
}

/// An accepted POST, PUT or PATCH says what it granted; one that does not has to be looked at
/// again.
fn with_expiry(verdict: ItemVerdict) -> ItemVerdict {
    match verdict {
        ItemVerdict::Accepted(None) => ItemVerdict::Unsure("accepted without an expiry".to_owned()),
        ItemVerdict::Accepted(Some(_)) | ItemVerdict::Refused(_) | ItemVerdict::Unsure(_) => {
            verdict
        }
    }
}

/// One verdict a channel. Items that name an id go to it, wherever they stand. An item that names
/// none goes by its `json_path`; else by its place, if all items are there and the named ones stand
/// in theirs; else to the one channel that is left, if it is the one item that is left.
fn match_items(ids: &[ChannelId], items: &[Item]) -> Vec<ItemVerdict> {
    let mut found: BTreeMap<usize, ItemVerdict> = BTreeMap::new();
    let mut nameless = Vec::new();
    let mut in_order = items.len() == ids.len();
    for (place, item) in items.iter().enumerate() {
        let Some(id) = item.id else {
            nameless.push((place, item));
            continue;
        };
        let index = ids.iter().position(|wanted| *wanted == id);
        in_order &= index == Some(place);
        index.into_iter().for_each(|index| settle(&mut found, index, &item.verdict));
    }
    let open: Vec<usize> = (0..ids.len()).filter(|index| !found.contains_key(index)).collect();
    let left = (nameless.len() == 1 && open.len() == 1).then(|| open.first().copied()).flatten();
    for (place, item) in nameless {
        let index = path_index(item).or(in_order.then_some(place)).or(left);
        let index = index.filter(|index| open.contains(index));
        index.into_iter().for_each(|index| settle(&mut found, index, &item.verdict));
    }
    let missing = || ItemVerdict::Unsure("the reply does not say what became of it".to_owned());
    (0..ids.len()).map(|index| found.remove(&index).unwrap_or_else(missing)).collect()
}

/// Two items about one channel that do not say the same say nothing.
fn settle(found: &mut BTreeMap<usize, ItemVerdict>, index: usize, verdict: &ItemVerdict) {
    let agreed = match found.remove(&index) {
        Some(earlier) if earlier != *verdict => {
            ItemVerdict::Unsure("the reply says two things of it".to_owned())
        }
        Some(_) | None => verdict.clone(),
    };
    found.insert(index, agreed);
}

/// DELETE answers one item a (channel, module), and an error item does not say which channel it is
/// about: as many as there are channels without an item go to them in order. Any other number
/// settles nothing.
fn disable_verdicts(ids: &[ChannelId], items: &[Item]) -> Vec<ItemVerdict> {
    let named = |id: &ChannelId| items.iter().any(|item| item.id == Some(*id));
    let nameless: Vec<&ItemVerdict> =
        items.iter().filter(|item| item.id.is_none()).map(|item| &item.verdict).collect();
    let settled = nameless.len() == ids.iter().filter(|id| !named(id)).count();
    let mut nameless = nameless.into_iter().filter(|_| settled);
    let missing = || ItemVerdict::Unsure("the reply does not say what became of it".to_owned());
    let of = |id: &ChannelId| {
        let mut said =
            items.iter().filter(|item| item.id == Some(*id)).map(|item| &item.verdict).peekable();
        if said.peek().is_none() {
            return nameless.next().cloned().unwrap_or_else(missing);
        }
        said.find(|verdict| !matches!(verdict, ItemVerdict::Accepted(_)))
            .cloned()
            .unwrap_or(ItemVerdict::Accepted(None))
    };
    ids.iter().map(of).collect()
}

/// The `1` of `$.watch[1].events[0]`.
fn path_index(item: &Item) -> Option<usize> {
    let ItemVerdict::Refused(refused) = &item.verdict else { return None };
    let path = refused.json_path.as_deref()?;
    path.strip_prefix("$.watch[")?.split(']').next()?.parse().ok()
}

/// `channel_ids` holds at most 512 characters (zoho/crm-oas, v8.0): 25 ids of 19 digits.
pub(crate) const DELETE_MAX: usize = 25;

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> Vec<ChannelId> {
        [11, 22, 33].map(|id| ChannelId::new(id).unwrap()).to_vec()
    }

    fn ok(id: i64) -> String {
        format!(
            r#"{{"code":"SUCCESS","status":"success","message":"m","details":{{"events":[{{"channel_id":"{id}","channel_expiry":"2026-01-02T00:00:00-08:00"}}]}}}}"#
        )
    }

    fn no(path: &str) -> String {
        let details =
            if path.is_empty() { String::new() } else { format!(r#""json_path":"{path}""#) };
        format!(
            r#"{{"code":"INVALID_DATA","status":"error","message":"invalid data","details":{{{details}}}}}"#
        )
    }

    fn check(items: &[String]) -> Vec<String> {
        let body = format!(r#"{{"watch":[{}]}}"#, items.join(","));
        let Ok(WriteAnswer::Items(items)) = wire::read_answer(body.as_bytes(), &Veil::default())
        else {
            panic!("no items")
        };
        let words = |verdict: &ItemVerdict| match verdict {
            ItemVerdict::Accepted(_) => "ok",
            ItemVerdict::Refused(_) => "no",
            ItemVerdict::Unsure(_) => "unsure",
        };
        match_items(&ids(), &items).iter().map(|verdict| words(verdict).to_owned()).collect()
    }

    #[test]
    fn items_in_request_order_are_judged_each_by_itself() {
        assert_eq!(check(&[ok(11), no(""), ok(33)]), ["ok", "no", "ok"]);
    }

    #[test]
    fn items_that_name_their_channel_may_stand_anywhere() {
        assert_eq!(check(&[ok(33), ok(11), ok(22)]), ["ok", "ok", "ok"]);
        assert_eq!(check(&[ok(33), no("$.watch[1].events[0]"), ok(11)]), ["ok", "no", "ok"]);
    }

    #[test]
    fn what_a_reply_leaves_out_is_unsure() {
        assert_eq!(check(&[ok(11), ok(22)]), ["ok", "ok", "unsure"]);
        assert_eq!(check(&[]), ["unsure", "unsure", "unsure"]);
        assert_eq!(check(&[ok(11), no("")]), ["ok", "unsure", "unsure"]);
        assert_eq!(check(&[no("$.watch[7]"), ok(22), ok(33)]), ["unsure", "ok", "ok"]);
    }

    #[test]
    fn an_item_without_a_name_among_items_out_of_order_is_no_guess() {
        assert_eq!(check(&[no(""), ok(33), ok(11)]), ["ok", "no", "ok"]);
        assert_eq!(check(&[no(""), no(""), ok(11)]), ["ok", "unsure", "unsure"]);
        assert_eq!(check(&[ok(11), no(""), no("")]), ["ok", "no", "no"]);
    }

    #[test]
    fn two_items_about_one_channel_must_agree() {
        let refused =
            r#"{"code":"INVALID_DATA","status":"error","details":{"channel_id":"11"}}"#.to_owned();
        assert_eq!(check(&[ok(11), ok(11), ok(22), ok(33)]), ["ok", "ok", "ok"]);
        assert_eq!(check(&[refused, ok(11), ok(22), ok(33)]), ["unsure", "ok", "ok"]);
    }

    #[test]
    fn errors_of_a_delete_go_to_channels_only_when_their_number_is_right() {
        let gone = r#"{"code":"NOT_SUBSCRIBED","status":"error","message":"m","details":{}}"#;
        let ok = |id: i64| {
            format!(r#"{{"code":"SUCCESS","status":"success","details":{{"channel_id":"{id}"}}}}"#)
        };
        let check = |items: &[String]| {
            let body = format!(r#"{{"watch":[{}]}}"#, items.join(","));
            let Ok(WriteAnswer::Items(items)) =
                wire::read_answer(body.as_bytes(), &Veil::default())
            else {
                panic!("no items")
            };
            let words = |verdict: &ItemVerdict| match verdict {
                ItemVerdict::Accepted(_) => "ok".to_owned(),
                ItemVerdict::Refused(refused) => refused.code.clone(),
                ItemVerdict::Unsure(_) => "unsure".to_owned(),
            };
            disable_verdicts(&ids(), &items).iter().map(words).collect::<Vec<_>>()
        };
        assert_eq!(check(&[ok(11), ok(11), ok(22), ok(33)]), ["ok", "ok", "ok"]);
        assert_eq!(check(&[ok(11), gone.into(), no("")]), ["ok", "NOT_SUBSCRIBED", "INVALID_DATA"]);
        assert_eq!(check(&[ok(11), gone.into()]), ["ok", "unsure", "unsure"]);
        assert_eq!(check(&[gone.into()]), ["unsure", "unsure", "unsure"]);
    }
}
