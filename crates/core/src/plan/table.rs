//! Ring-1 tests of the planner: a converged account, one thing changed, the plan as text.
//!
//! Channel n has id n and the name `c{n}`. All times are hours after [`START`], at which every
//! channel was granted one day. The text is that of `plan`, with the next wake as its last line.
//!
//! - [`rows`]: the decision table, row by row;
//! - [`refused`]: what becomes of refusals, and of drift that comes back;
//! - [`checksums`]: what the short name of a plan covers;
//! - [`drifts`]: what differs, and which write mends it;
//! - [`account`]: mode, removal guard, back-off;
//! - [`batches`]: full batches, order;
//! - [`time`]: clocks, skew, expiries and the next wake;
//! - [`learned`]: what an account taught, and what that changes;
//! - [`unproved`]: an account that machines share, while nobody says whose it is;
//! - [`explained`]: the explanation of one channel's decision;
//! - [`laws`]: what holds of every plan, in every one of the [`worlds`].

mod account;
mod batches;
mod checksums;
mod drifts;
mod explained;
mod laws;
mod learned;
mod overlaps;
mod refused;
mod rows;
mod time;
mod unproved;
mod worlds;

use std::sync::Arc;
use std::time::Duration;

use expect_test::Expect;

use crate::model::channel::{ChannelId, ChannelName, NotifyUrl, Spec};
use crate::model::observed::{Look, Observed};
use crate::model::policy::{Mode, Policy, Removed};
use crate::model::record::{AccountState, Grant, Record, Refusal, Trouble};
use crate::model::secret::Secret;
use crate::model::time::{Timestamp, after, before, brief, span};
use crate::model::version::{DAY, WEEK};
use crate::testing::{World, hours, id, name, spec};

use super::filter::plan;
use super::render::PlanView;
use super::step::{Plan, Step};

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

impl World {
    fn observed(&mut self, number: i64) -> &mut Observed {
        self.seen().get_mut(&id(number)).unwrap()
    }

    fn record(&mut self, number: i64) -> &mut Record {
        self.records.get_mut(&id(number)).unwrap()
    }

    fn spec(&mut self, number: i64) -> &mut Spec {
        Arc::make_mut(self.specs.get_mut(&id(number)).unwrap())
    }

    /// Zoho no longer has it.
    fn lose(&mut self, number: i64) {
        self.seen().remove(&id(number));
    }

    /// Its spec was taken out of the config.
    fn retire(&mut self, number: i64) {
        let spec = self.specs.remove(&id(number)).unwrap();
        self.former.insert(id(number), spec);
    }

    /// The store no longer knows it.
    fn disown(&mut self, number: i64) {
        self.records.remove(&id(number));
    }

    fn look_fails(&mut self) {
        self.look = Look::Unknown("HTTP 503".to_owned());
        self.state.looks = Trouble::default().again(self.now, "HTTP 503", None);
    }

    fn writes_fail(&mut self, retry_after: Option<Duration>) {
        self.state.writes = Trouble::default().again(self.now, "HTTP 429", retry_after);
    }

    /// Zoho said no to channel `number` as it is declared.
    fn refuse(&mut self, number: i64, code: &str, attempts: u32) {
        let spec = self.specs[&id(number)].fingerprint();
        let (code, message) = (code.to_owned(), "no".to_owned());
        let (json_path, events) = (None, Default::default());
        let refusal = Refusal { code, message, json_path, spec, attempts, at: self.now, events };
        self.record(number).refusal = Some(refusal);
    }

    fn plan(&self) -> Plan {
        plan(&self.facts())
    }

    /// How long the plan sleeps.
    fn sleep(&self) -> Duration {
        span(self.now, self.plan().next_wake)
    }

    /// The steps in a few words each.
    fn titles(&self) -> Vec<String> {
        self.plan().steps.iter().map(Step::title).collect()
    }

    fn text(&self) -> String {
        let view = PlanView::of(&self.plan());
        format!("{}  next wake in {}\n", view.to_text(), brief(span(self.now, view.next_wake)))
    }

    #[track_caller]
    fn check(&self, expected: &Expect) {
        expected.assert_eq(&self.text());
    }
}

fn seconds_before(instant: Timestamp, seconds: u64) -> Timestamp {
    before(instant, SECOND * seconds as u32)
}
