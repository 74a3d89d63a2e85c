//! Tells what goes wrong: the webhook and the heartbeat of `[alerts]`.
//!
//! A task of its own, which watches the overview and has its own connections: passes neither wait
//! for it nor know of it. [`AlertTeller`] and [`proof`] decide the messages from the state at that
//! moment, so nothing queues up: a message that cannot be delivered is made anew, later. At most
//! one request is under way; it ends after [`REQUEST_TIMEOUT`], no redirect is followed, and of the
//! answer only the status counts.
//!
//! A message is stored when it was delivered. A crash in between tells it twice, and never not at
//! all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::clock::{Clock, LOOK_AT_CLOCK};
use crate::expose::alert::{AlertTeller, News, Retry, of_this_machine, proof};
use crate::expose::health::health;
use crate::expose::overview::{Overview, Receiver, Sent};
use crate::model::desired::{Alerts, Settings};
use crate::model::exchange::Request;
use crate::model::secret::Secret;
use crate::model::time::{Timestamp, span};
use crate::store::Store;
use crate::zoho::transport::Transport;

use super::fleet::Fleet;
use super::machines::MachinesDoor;
use super::scheduler::{Links, Pulse, chain};

mod leading;

use leading::{LastWords, Leading};

/// The messages sent, for the metrics.
pub(crate) type Outbox = Arc<Mutex<BTreeMap<Receiver, Sent>>>;

/// The task.
pub(crate) struct Alarm {
    overview: watch::Receiver<Arc<Overview>>,
    fleet: watch::Receiver<Arc<Fleet>>,
    pulse: Pulse,
    clock: Arc<dyn Clock>,
    transport: Arc<dyn Transport>,
    store: Store,
    outbox: Outbox,
    teller: AlertTeller,
    beat: Beat,
    leading: Option<Leading>,
}

/// The heartbeat.
#[derive(Default)]
struct Beat {
    /// The pass that the last one stood for.
    of: Option<Timestamp>,
    at: Option<Timestamp>,
    retry: Retry,
}

impl Alarm {
    /// Goes on where an earlier process ended, and counts in `outbox`. `transport` must bound its
    /// requests.
    pub(crate) fn new(
        links: &Links,
        clock: Arc<dyn Clock>,
        transport: Arc<dyn Transport>,
        store: Store,
        outbox: Outbox,
    ) -> Alarm {
        let told = store.told().unwrap_or_else(|error| {
            warn!(
                error = chain(&error),
                "the last message cannot be read, so it may be sent again"
            );
            None
        });
        Alarm {
            overview: links.overview.clone(),
            fleet: links.fleet.clone(),
            pulse: links.pulse.clone(),
            clock,
            transport,
            store,
            outbox,
            teller: told.map(AlertTeller::restored).unwrap_or_default(),
            beat: Beat::default(),
            leading: None,
        }
    }

    /// The same on one of several machines, of which one tells for all.
    pub(crate) fn of_several(self, door: Option<MachinesDoor>) -> Alarm {
        Alarm { leading: door.map(Leading::new), ..self }
    }

    /// Looks and tells until `closing`.
    pub(crate) async fn run(mut self, closing: CancellationToken) {
        let turns = async {
            loop {
                self.turn().await;
                self.wait().await;
            }
        };
        tokio::select! {
            () = closing.cancelled() => {}
            () = turns => {}
        }
    }

    /// Until there may be something to tell: after a pass or a reload, and now and then, since
    /// things also turn bad by time passing. A little longer, so that a thousand accounts are
    /// not looked over for each of their passes.
    async fn wait(&mut self) {
        let (clock, breath) = (self.clock.clone(), self.clock.clone());
        tokio::select! {
            () = changed(&mut self.overview) => {}
            () = changed(&mut self.fleet) => {}
            () = clock.sleep(LOOK_AT_CLOCK) => {}
        }
        breath.sleep(BREATH).await;
    }

    async fn turn(&mut self) {
        let Settings { owner, alerts, .. } = self.fleet.borrow_and_update().settings.clone();
        let overview = self.overview.borrow_and_update().clone();
        if !self.leads_or_follows(&overview).await {
            return;
        }
        match &alerts.webhook {
            Some(webhook) => self.tell(webhook, &overview, &owner, &alerts).await,
            None => self.forget().await,
        }
        if let Some(heartbeat) = &alerts.heartbeat {
            self.beat(heartbeat, &overview, alerts.heartbeat_interval).await;
        }
        self.keep_last_words(&overview).await;
    }

    /// Goes on where another machine ended, when this one begins to tell for all. False while it is
    /// not known what was told.
    async fn leads_or_follows(&mut self, overview: &Overview) -> bool {
        let Some(leading) = &mut self.leading else { return true };
        let leads = overview.cluster.as_ref().is_some_and(|it| it.leads && it.is_active);
        match (leads, &leading.known) {
            (false, _) => leading.known = None,
            (true, Some(_)) => {}
            (true, None) => match leading.read().await {
                Ok(words) => {
                    if let Some(told) = words.told.clone() {
                        self.teller.take_over(told);
                    }
                    if let Some((of, at)) = words.beat {
                        self.beat = Beat { of: Some(of), at: Some(at), retry: Retry::default() };
                    }
                    leading.known = Some(words);
                }
                Err(error) => {
                    debug!(error = chain(&error), "it is not known yet what was told");
                    return false;
                }
            },
        }
        true
    }

    /// Notes what was told for all, for the machine that tells after this one.
    async fn keep_last_words(&mut self, overview: &Overview) {
        let Some(leading) = self.leading.as_mut().filter(|it| it.known.is_some()) else { return };
        let told = self.teller.told_of_all(overview);
        let words = LastWords { told, beat: self.beat.of.zip(self.beat.at) };
        match leading.keep(words).await {
            Ok(true) => {}
            // Another machine tells by now, and has read what this one wrote before.
            Ok(false) => leading.known = None,
            Err(error) => {
                debug!(error = chain(&error), "what was told for all is noted later");
            }
        }
    }

    async fn tell(&mut self, webhook: &Secret, overview: &Overview, owner: &str, alerts: &Alerts) {
        let now = self.clock.now();
        let health = health(overview, self.pulse.age(&*self.clock), now);
        let health = of_this_machine(health, overview);
        self.teller.hand_over(overview);
        let Some(message) = self.teller.look(&health, &who(owner), alerts, now) else { return };
        let body = serde_json::json!({ "text": escaped(&message.text) }).to_string();
        if self.send(Receiver::Webhook, request("POST", webhook.expose(), body)).await {
            self.teller.delivered(&message, now);
            info!(news = news(message.news), "the webhook was told");
            self.keep().await;
        } else {
            self.teller.failed(self.clock.now());
        }
    }

    async fn beat(&mut self, heartbeat: &Secret, overview: &Overview, interval: Duration) {
        let now = self.clock.now();
        let Some(pass) = proof(overview, now).filter(|pass| self.beat.is_due(*pass, interval, now))
        else {
            return;
        };
        if self.send(Receiver::Heartbeat, request("GET", heartbeat.expose(), String::new())).await {
            self.beat = Beat { of: Some(pass), at: Some(now), retry: Retry::default() };
        } else {
            self.beat.retry.again(self.clock.now());
        }
    }

    /// Returns whether it was delivered.
    async fn send(&self, to: Receiver, request: Request) -> bool {
        let failure = match self.transport.send(request).await {
            Ok(response) if response.status / 100 == 2 => None,
            Ok(response) => Some(format!("HTTP {}", response.status)),
            Err(error) => Some(error.to_string()),
        };
        let mut outbox = self.outbox.lock().unwrap_or_else(PoisonError::into_inner);
        outbox.entry(to).or_default().add(failure.is_none(), self.clock.now());
        if let Some(why) = &failure {
            warn!(to = to.word(), why, "a message of [alerts] was not delivered");
        }
        failure.is_none()
    }

    /// Nobody is to be told any more.
    async fn forget(&mut self) {
        if std::mem::take(&mut self.teller).told().is_some() {
            self.keep().await;
        }
    }

    async fn keep(&self) {
        if let Err(error) = self.store.write_told(self.teller.told().as_ref()).await {
            warn!(
                error = chain(&error),
                "the last message cannot be stored, so it may be sent again after a restart"
            );
        }
    }
}

impl Beat {
    /// For a pass that it did not stand for yet, and not too often.
    fn is_due(&self, pass: Timestamp, interval: Duration, now: Timestamp) -> bool {
        let is_new = self.of != Some(pass);
        let is_time = self.at.is_none_or(|at| at > now || span(at, now) >= interval);
        is_new && is_time && !self.retry.waits(now)
    }
}

/// Returns at the next change; never when there will be none.
async fn changed<T>(watched: &mut watch::Receiver<T>) {
    if watched.changed().await.is_err() {
        std::future::pending().await
    }
}

fn who(owner: &str) -> String {
    let program = env!("CARGO_PKG_NAME");
    if owner == program { program.to_owned() } else { format!("{program} ({owner})") }
}

fn news(news: News) -> &'static str {
    match news {
        News::Bad => "bad",
        News::StillBad => "still bad",
        News::Good => "good",
    }
}

/// As Slack wants it: else what somebody else wrote could mention a whole channel
/// (<https://docs.slack.dev/messaging/formatting-message-text>).
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The URL is sent as it is written: what follows the host is the path, its query included.
pub(super) fn request(method: &'static str, url: &str, body: String) -> Request {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
    let content_type = ("content-type".to_owned(), "application/json".to_owned());
    Request {
        method,
        base: url[..end].to_owned(),
        path: url[end..].to_owned(),
        query: Vec::new(),
        headers: if body.is_empty() { Vec::new() } else { vec![content_type] },
        body: body.into_bytes(),
    }
}

/// How long connecting may take.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one request may take.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const BREATH: Duration = Duration::from_secs(1);

#[cfg(test)]
pub(super) mod tests;
