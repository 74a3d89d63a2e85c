//! Handing over: one delivery at a time to each URL, the oldest recovery first.
//!
//! The fate of a delivery is on the disk before the next is sent. So a crash repeats one at
//! most, with the same bytes.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Map;
use tracing::{debug, info, warn};

use super::made::goes_on;
use super::{Backfill, Rest, rule_of};
use crate::backfill::delivery::Delivery;
use crate::backfill::freeze::{HEADER, body, name};
use crate::backfill::pace::ReceiverAnswer;
use crate::backfill::{Recovery, State};
use crate::clock::LOOK_AT_CLOCK;
use crate::config::check_notify_url;
use crate::daemon::alerts::request;
use crate::daemon::canaries::{REQUEST_TIMEOUT, query_params};
use crate::model::channel::Spec;
use crate::model::exchange::{Request, Response};
use crate::model::time::span;
use crate::reconcile::subject::Subject;
use crate::store::StoreError;

impl Backfill {
    /// Hands over what is frozen for one URL, for a turn.
    pub(super) async fn hand_over(
        &self,
        queue: Vec<(Arc<Subject>, Recovery)>,
    ) -> Result<Rest, StoreError> {
        let mut shortest = LOOK_AT_CLOCK;
        for (subject, recovery) in queue {
            // One that waits holds up the others to the same URL: the receiver is in trouble.
            if let Some(wait) = self.hand_over_one(&subject, recovery).await? {
                shortest = shortest.min(wait);
                break;
            }
        }
        Ok(shortest)
    }

    /// Returns whether the next delivery may go out: nothing is paused or given up, the receiver
    /// took its last canary, and the URL may be posted to.
    fn may_go(&self, subject: &Subject, recovery: &Recovery) -> Result<bool, StoreError> {
        let (account, now) = (subject.name(), self.clock.now());
        let Some(spec) = subject.desired.specs.get(&recovery.channel) else { return Ok(false) };
        let canaries = self.store.canaries(account)?.remove(&recovery.notify_url);
        let is_refusing = canaries.is_some_and(|canaries| canaries.refused.is_some());
        let goes_on = goes_on(recovery, spec, &self.store.wishes(account)?, now);
        Ok(goes_on && !is_refusing && check_notify_url(spec.notify_url.full()).is_ok())
    }

    /// Delivers until the recovery is over or may not go on, or has to wait for as long as is
    /// answered, or the turn is over, which is no wait at all.
    async fn hand_over_one(
        &self,
        subject: &Subject,
        mut recovery: Recovery,
    ) -> Result<Option<Rest>, StoreError> {
        let begun = self.clock.elapsed();
        while self.clock.elapsed().saturating_sub(begun) < super::TURN {
            if !self.may_go(subject, &recovery)? {
                return Ok(None);
            }
            let now = self.clock.now();
            if recovery.progress.waits(now) {
                let until = recovery.progress.not_before.unwrap_or(now);
                return Ok(Some(span(now, until).max(WAIT_MIN)));
            }
            if recovery.progress.next >= recovery.frozen.map_or(0, |frozen| frozen.deliveries) {
                self.end(subject, recovery, None).await?;
                return Ok(None);
            }
            let place = recovery.progress.next;
            let delivery = self.store.delivery(subject.name(), recovery.number, place)?;
            let Some(delivery) = delivery else {
                self.end(subject, recovery, Some("its deliveries are not there any more")).await?;
                return Ok(None);
            };
            let answer = self.deliver(subject, &recovery, &delivery).await?;
            let now = self.clock.now();
            let progress = std::mem::take(&mut recovery.progress);
            recovery.progress = progress.answered(&delivery, &answer, now);
            if answer == ReceiverAnswer::Gone {
                self.end(subject, recovery, Some("the receiver says that it is gone (410)"))
                    .await?;
                return Ok(None);
            }
            self.store.write_recoveries(subject.name(), std::slice::from_ref(&recovery)).await?;
            if let Some(why) = &recovery.progress.trouble {
                let (account, number) = (subject.name(), recovery.number);
                warn!(%account, number, why, "a recovered delivery was not taken");
            }
            self.clock.sleep(between(subject, &recovery)).await;
        }
        Ok(Some(Duration::ZERO))
    }

    async fn deliver(
        &self,
        subject: &Subject,
        recovery: &Recovery,
        delivery: &Delivery,
    ) -> Result<ReceiverAnswer, StoreError> {
        let account = subject.name();
        let zoho_now = self.store.account_state(account)?.zoho_time(self.clock.now());
        let specs = subject.desired.specs_at(zoho_now);
        let Some(spec) = specs.get(&recovery.channel) else { return Ok(ReceiverAnswer::Gone) };
        let posted = posted(subject, spec, recovery, delivery);
        let answered = tokio::select! {
            answered = self.receivers.send(posted) => answered.map_err(|error| error.to_string()),
            () = self.clock.sleep(REQUEST_TIMEOUT) => Err("timed out".to_owned()),
        };
        debug!(%account, number = recovery.number, "a recovered delivery was answered");
        Ok(match answered {
            Ok(response) => ReceiverAnswer::of(response.status, retry_after(&response)),
            Err(why) => ReceiverAnswer::Busy { why, retry_after: None },
        })
    }

    /// The recovery is over. Its deliveries go first: what is over has none.
    async fn end(
        &self,
        subject: &Subject,
        recovery: Recovery,
        given_up: Option<&str>,
    ) -> Result<(), StoreError> {
        let account = subject.name();
        self.store.drop_deliveries(account, recovery.number).await?;
        let at = self.store.account_state(account)?.zoho_time(self.clock.now());
        let state = match given_up {
            Some(why) => State::Abandoned { why: why.to_owned(), at },
            None => State::Done { at },
        };
        let recovery = Recovery { state, ..recovery };
        let (channel, number) = (&recovery.name, recovery.number);
        let (taken, aside) = (recovery.progress.taken, recovery.progress.aside);
        match given_up {
            Some(why) => warn!(%account, %channel, number, taken, why, "a recovery was broken off"),
            None => info!(%account, %channel, number, taken, aside, "missed events are recovered"),
        }
        self.news(account, &[recovery]).await
    }
}

fn between(subject: &Subject, recovery: &Recovery) -> Duration {
    let spec = subject.desired.specs.get(&recovery.channel);
    let rule = spec.and_then(|spec| rule_of(spec, recovery));
    rule.map_or(Duration::ZERO, |rule| rule.between())
}

/// A delivery as Zoho would post it, and marked twice.
fn posted(subject: &Subject, spec: &Spec, recovery: &Recovery, delivery: &Delivery) -> Request {
    let part = recovery.progress.part(delivery);
    let name = name(subject.name(), recovery, part);
    let params: Map<_, _> = query_params(&spec.notify_url);
    let base = subject.desired.account.api();
    let body = body((spec, &base), recovery, (delivery, part), (&name, params));
    let mut request = request("POST", spec.notify_url.full(), String::new());
    request.body = body;
    request.headers =
        vec![("content-type".to_owned(), "application/json".to_owned()), (HEADER.to_owned(), name)];
    request
}

/// Seconds; a date is rare, and the usual wait does for it.
fn retry_after(response: &Response) -> Option<Duration> {
    response.header("retry-after")?.trim().parse().ok().map(Duration::from_secs)
}

const WAIT_MIN: Duration = Duration::from_secs(1);
