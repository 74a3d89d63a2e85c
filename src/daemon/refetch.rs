//! Credentials that Zoho refuses are fetched once more from where they came from.
//!
//! Whoever changes a client secret in a vault, or runs `channelkeeper login`, need not tell the
//! daemon: at each refusal it asks the origins of that account's two secrets again, once. When they
//! give others, the account goes on with those. Refusals come on the cadence of `model/token`, and
//! so does this. Nothing else of the config is read: a file that somebody is editing is not put in
//! force by it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::config::secrets::{Fetcher, SecretError};
use crate::model::account::Credentials;
use crate::model::channel::AccountName;
use crate::model::secret::{Origin, Secret};
use crate::model::time::Timestamp;
use crate::reconcile::report::AccountReport;
use crate::reconcile::subject::Subject;

use super::fleet;
use super::reload::Reader;
use super::scheduler::{Links, Message, chain};

/// Watches for refusals until `closing`.
pub(crate) async fn keep(links: Links, reader: Arc<Reader>, closing: CancellationToken) {
    let clock = reader.means.clock.clone();
    let mut refetcher = Refetcher { links: links.clone(), reader, seen: BTreeMap::new() };
    let mut overview = links.overview;
    loop {
        overview.mark_unchanged();
        tokio::select! {
            () = closing.cancelled() => return,
            () = refetcher.see_to_all() => {}
        }
        // Thousands of accounts may report within a second, and each time all are looked through.
        tokio::select! {
            () = closing.cancelled() => return,
            () = clock.sleep(BREATH) => {}
        }
        tokio::select! {
            () = closing.cancelled() => return,
            // Without a scheduler there are no refusals, and the rest is closing.
            Ok(()) = overview.changed() => {}
        }
    }
}

struct Refetcher {
    links: Links,
    reader: Arc<Reader>,
    /// The refusal of each account that was seen to, by the instant up to which it holds.
    seen: BTreeMap<AccountName, Timestamp>,
}

impl Refetcher {
    async fn see_to_all(&mut self) {
        let fleet = self.links.fleet.borrow().clone();
        for name in self.need_a_person() {
            let Some(subject) = fleet.subjects.get(&name) else { continue };
            let denied = subject.client.token_state().await.denied;
            let Some(denied) = denied.filter(|denied| !denied.throttled) else { continue };
            if self.seen.insert(name.clone(), denied.until) != Some(denied.until) {
                self.see_to(subject).await;
            }
        }
    }

    /// The accounts that do. Nobody holds the overview meanwhile: a scheduler that publishes would
    /// copy it.
    fn need_a_person(&self) -> Vec<AccountName> {
        let overview = self.links.overview.borrow();
        let reports = overview.accounts.iter();
        let needs = |report: &Arc<AccountReport>| report.needs_a_person;
        reports
            .filter(|(_, report)| report.as_ref().is_some_and(needs))
            .map(|(name, _)| name.clone())
            .collect()
    }

    async fn see_to(&self, subject: &Arc<Subject>) {
        let account = subject.name();
        match self.fetch(subject.desired.account.credentials.clone()).await {
            Ok(credentials) if credentials == subject.desired.account.credentials => {
                debug!(%account, "refused credentials are the same where they came from");
            }
            Ok(credentials) => self.go_on(subject, credentials).await,
            Err(why) => warn!(%account, why, "refused credentials cannot be fetched anew"),
        }
    }

    /// The same credentials, as their origins give them at this instant.
    async fn fetch(&self, credentials: Credentials) -> Result<Credentials, String> {
        let (reader, clock) = (self.reader.clone(), &self.reader.means.clock);
        let fetching = tokio::task::spawn_blocking(move || {
            let mut fetcher = Fetcher::new(&reader.surroundings);
            let Credentials { client_id, client_secret, refresh_token } = credentials;
            Ok(Credentials {
                client_id,
                client_secret: anew(&client_secret, &mut fetcher)?,
                refresh_token: anew(&refresh_token, &mut fetcher)?,
            })
        });
        tokio::select! {
            fetched = fetching => match fetched {
                Ok(fetched) => fetched.map_err(|error: SecretError| chain(&error)),
                Err(error) => Err(error.to_string()),
            },
            () = clock.sleep(TIME_MAX) => Err(format!("that took longer than {} s", TIME_MAX.as_secs())),
        }
    }

    async fn go_on(&self, former: &Arc<Subject>, credentials: Credentials) {
        let mut desired = former.desired.clone();
        desired.account.credentials = credentials;
        let name = desired.account.name.clone();
        match fleet::subject(desired, &self.reader.means) {
            Ok(subject) => {
                info!(account = %name, "other credentials were found where the refused ones came from");
                let (former, subject) = (former.clone(), Arc::new(subject));
                let sent = self.links.wakes.0.send(Message::Credentials { former, subject }).await;
                if sent.is_err() {
                    debug!("other credentials were found while the daemon was stopping");
                }
            }
            Err(error) => {
                warn!(account = %name, error = chain(&error), "other credentials cannot be used");
            }
        }
    }
}

/// A secret that stands in the config itself is what it is.
fn anew(secret: &Secret, fetcher: &mut Fetcher<'_>) -> Result<Secret, SecretError> {
    match secret.origin() {
        Origin::Plain => Ok(secret.clone()),
        origin
        @ (Origin::Env(_) | Origin::File(_) | Origin::Credential(_) | Origin::Command(_)) => {
            fetcher.secret(origin)
        }
    }
}

/// From one look through all reports to the next.
const BREATH: Duration = Duration::from_secs(1);
/// Two commands end within twenty seconds, and a disk may never answer.
const TIME_MAX: Duration = Duration::from_secs(60);
