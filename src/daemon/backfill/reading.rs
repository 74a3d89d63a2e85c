//! Reading: one page of one module of an account after the other, for all recoveries of that module
//! at once.
//!
//! | Zoho | then |
//! | --- | --- |
//! | a page | its rows are written, then the place behind them |
//! | does not answer, or asks to wait | the account is left alone for as long |
//! | refuses a page token | reading goes on from the last key; the eighth in a row counts as the module |
//! | refuses the module | its recoveries wait for other credentials, or a day |
//! | has few credits left, or the day's part of them is spent | nothing is read; the place is kept |

use std::time::Duration;

use tokio::task::yield_now;
use tracing::{info, warn};

use super::made::goes_on;
use super::{Backfill, Rest, rule_of};
use crate::backfill::classify::MissedChanges;
use crate::backfill::freeze::freeze;
use crate::backfill::read::{Doubt, REFUSED_MAX, Read};
use crate::backfill::{HeldFor, Recovery, State};
use crate::clock::LOOK_AT_CLOCK;
use crate::model::backfill::BackfillMode;
use crate::model::credits::CreditsNews;
use crate::model::events::Operation;
use crate::model::records::RecordsAsk;
use crate::model::time::{Timestamp, span};
use crate::model::version::DAY;
use crate::plan::credits::RESERVE_MIN;
use crate::reconcile::subject::Subject;
use crate::store::StoreError;
use crate::store::recoveries::{Reading, RowsKept};
use crate::zoho::auth::credentials_fingerprint;
use crate::zoho::error::{Class, Error};

impl Backfill {
    /// Reads what is to be read of an account, for a turn.
    pub(super) async fn read(&self, subject: &Subject) -> Result<Rest, StoreError> {
        self.while_there_is_time(|| self.read_page(subject)).await
    }

    async fn read_page(&self, subject: &Subject) -> Result<Option<Rest>, StoreError> {
        let account = subject.name();
        if let Some(wait) = self.is_left_alone(account) {
            return Ok(Some(wait));
        }
        let mut reading = self.counted(self.store.reading(account)?);
        let waiting = self.waiting(subject)?;
        let Some(oldest) = waiting.first() else { return Ok(Some(LOOK_AT_CLOCK)) };
        let is_waited_for =
            |read: &Read| waiting.iter().any(|one| read.serves.contains(&one.number));
        let read = match reading.read.take() {
            Some(read) if is_waited_for(&read) => read,
            Some(_) => {
                self.store.end_reading(account, &reading).await?;
                return Ok(None);
            }
            None => self.reading_of(subject, &oldest.module, &waiting)?,
        };
        let Some(ask) = read.next() else {
            self.finish(subject, read, reading).await?;
            return Ok(None);
        };
        if !self.may_spend(subject, &reading, &ask) {
            return Ok(Some(LOOK_AT_CLOCK));
        }
        match subject.client.records(&ask).await {
            Ok(page) => {
                let (read, list, rows) = read.take(page);
                reading.credits += list.credits();
                let kept = (!rows.is_empty()).then_some((read.pages, RowsKept { list, rows }));
                reading.read = Some(read);
                self.store.write_reading(account, &reading, kept).await?;
                Ok(None)
            }
            Err(error) => self.not_read(subject, read, reading, &error).await,
        }
    }

    /// A day's count of credits that began too long ago begins anew; so does one from the future,
    /// when the clock was wrong.
    fn counted(&self, reading: Reading) -> Reading {
        let now = self.clock.now();
        let is_current = |from: &Timestamp| *from <= now && span(*from, now) < DAY;
        match reading.counted_from.filter(is_current) {
            Some(_) => reading,
            None => Reading { counted_from: Some(now), credits: 0, ..reading },
        }
    }

    /// The recoveries that are to be read and go on, the oldest first.
    fn waiting(&self, subject: &Subject) -> Result<Vec<Recovery>, StoreError> {
        let (account, now) = (subject.name(), self.clock.now());
        let wishes = self.store.wishes(account)?;
        let mut waiting = self.store.recoveries(account)?;
        waiting.retain(|one| {
            let spec = subject.desired.specs.get(&one.channel);
            one.state == State::Reading && spec.is_some_and(|spec| goes_on(one, spec, &wishes, now))
        });
        Ok(waiting)
    }

    /// A reading of this module for all that wait for it.
    fn reading_of(
        &self,
        subject: &Subject,
        module: &str,
        waiting: &[Recovery],
    ) -> Result<Read, StoreError> {
        let of_module = || waiting.iter().filter(|one| one.module == module);
        let now = self.clock.now();
        let serves = of_module().map(|one| one.number).collect();
        let first = of_module().map(Recovery::from).min().unwrap_or(now);
        let has = |operation| of_module().any(|one| one.operations().contains(operation));
        let changes = has(Operation::Create) || has(Operation::Edit);
        let lists = (changes, has(Operation::Delete));
        let zoho_now = self.store.account_state(subject.name())?.zoho_time(now);
        Ok(Read::new(module.to_owned(), serves, first, lists, zoho_now))
    }

    /// Returns whether the page may be asked for: renewals and looks come first.
    fn may_spend(&self, subject: &Subject, reading: &Reading, ask: &RecordsAsk) -> bool {
        let cost = ask.list.credits();
        let rules = subject.desired.specs.values().filter_map(|spec| spec.backfill);
        let of_day = rules.map(|rule| rule.credits).max();
        let of_day = of_day.unwrap_or(crate::model::backfill::CREDITS_UNKNOWN_EDITION);
        let overview = self.overview.borrow().clone();
        let report = overview.accounts.get(subject.name()).cloned().flatten();
        let told = report.and_then(|report| report.credits);
        let kept = told.map_or(RESERVE_MIN, |credits| credits.reserve) + cost;
        let is_tight = match subject.client.credits_news() {
            Some(CreditsNews::Left(left)) => left < kept,
            Some(CreditsNews::Plenty) => false,
            None => told.is_some_and(|credits| {
                credits.remaining < kept && self.clock.now() < credits.until
            }),
        };
        reading.credits + cost <= of_day && !is_tight
    }

    async fn not_read(
        &self,
        subject: &Subject,
        read: Read,
        reading: Reading,
        error: &Error,
    ) -> Result<Option<Rest>, StoreError> {
        let account = subject.name();
        let retry_after = match error.class() {
            Class::Transient { retry_after } => Some(retry_after),
            Class::Withheld => Some(None),
            Class::Account
            | Class::Forbidden(_)
            | Class::Unscoped(_)
            | Class::Rejected { .. }
            | Class::Unsure => None,
        };
        if let Some(retry_after) = retry_after {
            let (wait, module) = (retry_after.unwrap_or(ZOHO_WAIT), &read.module);
            warn!(%account, module, error = chain(error), "records cannot be read now");
            self.leave_alone(account, wait);
            return Ok(Some(wait));
        }
        if let Some(read) = read.without_token() {
            self.leave_alone(account, TOKEN_WAIT);
            let reading = Reading { read: Some(read), ..reading };
            self.store.write_reading(account, &reading, None).await?;
            return Ok(Some(TOKEN_WAIT));
        }
        let why = self.words(subject, error, &read);
        warn!(%account, module = read.module, why, "records cannot be read");
        let at = self.store.account_state(account)?.zoho_time(self.clock.now());
        let credentials = credentials_fingerprint(&subject.desired.account);
        let mut served = self.served(subject, &read)?;
        for recovery in &mut served {
            recovery.state = State::Unreadable { why: why.clone(), at, credentials };
            recovery.credits += read.credits;
        }
        self.news(account, &served).await?;
        self.store.end_reading(account, &Reading { read: None, ..reading }).await?;
        Ok(None)
    }

    fn words(&self, subject: &Subject, error: &Error, read: &Read) -> String {
        let scope = subject.desired.account.product.read_scope(&read.module);
        if error.is_scope_mismatch() {
            return format!("the token lacks the scope {scope}");
        }
        match read.has_token() {
            true => format!("Zoho refused {REFUSED_MAX} page tokens in a row: {}", chain(error)),
            false => chain(error),
        }
    }

    fn served(&self, subject: &Subject, read: &Read) -> Result<Vec<Recovery>, StoreError> {
        let mut served = self.store.recoveries(subject.name())?;
        served.retain(|one| one.state == State::Reading && read.serves.contains(&one.number));
        Ok(served)
    }

    /// Everything is read: what was missed of each recovery is counted and frozen. That is much
    /// work for many records, so whoever renews meanwhile is let in between its parts.
    async fn finish(
        &self,
        subject: &Subject,
        read: Read,
        reading: Reading,
    ) -> Result<(), StoreError> {
        let account = subject.name();
        let served = self.served(subject, &read)?;
        let mut missed: Vec<MissedChanges> =
            served.iter().map(|_| MissedChanges::default()).collect();
        for number in 1..=read.pages {
            let Some(RowsKept { list, rows }) = self.store.page(account, number)? else { continue };
            for (recovery, missed) in served.iter().zip(&mut missed) {
                rows.iter().for_each(|row| missed.take(&recovery.gaps, list, row));
            }
            yield_now().await;
        }
        for (mut recovery, missed) in served.into_iter().zip(missed) {
            recovery.credits += read.credits;
            recovery.doubts.extend(&read.doubts);
            if missed.undated && recovery.operations().contains(Operation::Create) {
                recovery.doubts.insert(Doubt::Undated);
            }
            self.freeze(subject, recovery, missed).await?;
        }
        self.store.end_reading(account, &Reading { read: None, ..reading }).await?;
        self.wakes.wake(Some(account.clone()), "backfill").await;
        Ok(())
    }

    /// Freezes what was missed, and says what is to become of it.
    async fn freeze(
        &self,
        subject: &Subject,
        mut recovery: Recovery,
        missed: MissedChanges,
    ) -> Result<(), StoreError> {
        let account = subject.name();
        let at = self.store.account_state(account)?.zoho_time(self.clock.now());
        let (frozen, deliveries) = freeze(missed, at);
        for (first, some) in (0..).step_by(KEPT_AT_ONCE).zip(deliveries.chunks(KEPT_AT_ONCE)) {
            self.store.keep_deliveries(account, recovery.number, first, some)?;
            yield_now().await;
        }
        recovery.frozen = Some(frozen);
        let spec = subject.desired.specs.get(&recovery.channel);
        let rule = spec.and_then(|spec| rule_of(spec, &recovery));
        recovery.state = match rule {
            _ if frozen.records() == 0 => State::Done { at },
            _ if recovery.planned => State::Held(HeldFor::Plan),
            Some(rule) if rule.mode == BackfillMode::Plan && recovery.asked.is_none() => {
                State::Held(HeldFor::Plan)
            }
            Some(rule) if frozen.records() > rule.most => State::Held(HeldFor::Most),
            Some(_) | None => State::Handing,
        };
        self.store.write_recoveries(account, std::slice::from_ref(&recovery)).await?;
        let (channel, number) = (&recovery.name, recovery.number);
        let (records, state) = (frozen.records(), recovery.state.word());
        info!(%account, %channel, number, records, state, "missed events are counted");
        Ok(())
    }
}

fn chain(error: &Error) -> String {
    super::chain(error)
}

/// How long an account is left alone when Zoho does not answer and does not say how long.
const ZOHO_WAIT: Duration = Duration::from_secs(60);
/// The same after a page token that was not taken.
const TOKEN_WAIT: Duration = Duration::from_secs(5);
/// Deliveries that are written at once.
const KEPT_AT_ONCE: usize = 100;
