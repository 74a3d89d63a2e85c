//! Which account's turn it is.
//!
//! An account waits until it is due. A due account with a channel in its emergency goes first; the
//! earliest emergency goes before the others. Accounts whose own plan asks for a pass come next,
//! mostly for a renewal. Accounts that somebody else woke come last: an audit of a large fleet
//! takes seconds anyway, and loses nothing when it takes one more. Within each of the three the one
//! goes first that has waited longest. So nothing routine that came due at once (an audit, a start,
//! the end of an outage) holds up a renewal, in whichever account that is.
//!
//! An emergency or a renewal that comes while its account waits for its turn counts from then on.
//! One of an account that is not due changes nothing: it has been tried, and its plan says when it
//! is tried again.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::channel::AccountName;
use crate::model::time::Timestamp;

/// The accounts that wait, each once.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: BTreeMap<AccountName, Wait>,
    /// The accounts that were not due when the queue was last asked.
    later: BTreeSet<(Timestamp, AccountName)>,
    /// The accounts that were due, by the time they were due.
    due: BTreeSet<(Timestamp, AccountName)>,
    /// The due accounts with an emergency to come, by its beginning.
    urgent: BTreeSet<(Timestamp, AccountName)>,
    /// The due accounts whose plan asks for a pass, by that time.
    planned: BTreeSet<(Timestamp, AccountName)>,
}

/// The next turn of an account.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    /// When its turn may come.
    pub(super) due: Timestamp,
    /// When the first emergency of its channels begins.
    pub(super) emergency_at: Option<Timestamp>,
    /// When its own plan asks for a pass, whoever else does before.
    pub(super) planned_at: Option<Timestamp>,
}

impl Queue {
    /// Waits for this, and not for what it waited for before.
    pub(super) fn put(&mut self, account: &AccountName, wait: Wait) {
        self.remove(account);
        self.waiting.insert(account.clone(), wait);
        self.later.insert((wait.due, account.clone()));
    }

    /// Waits no longer.
    pub(super) fn remove(&mut self, account: &AccountName) {
        let Some((name, Wait { due, emergency_at, planned_at })) =
            self.waiting.remove_entry(account)
        else {
            return;
        };
        let entry = (due, name);
        if !self.later.remove(&entry) {
            self.due.remove(&entry);
            emergency_at.map(|at| self.urgent.remove(&(at, entry.1.clone())));
            planned_at.map(|at| self.planned.remove(&(at, entry.1)));
        }
    }

    /// Keeps these only.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&AccountName) -> bool) {
        let gone: Vec<AccountName> =
            self.waiting.keys().filter(|account| !is_kept(account)).cloned().collect();
        gone.iter().for_each(|account| self.remove(account));
    }

    /// True when the next one is an account with a channel in its emergency.
    pub(super) fn has_emergency(&mut self, now: Timestamp) -> bool {
        self.turn(now);
        self.urgent.first().is_some_and(|(at, _)| *at <= now)
    }

    /// True when the next one is an account whose own plan asks for its pass, or has an emergency.
    pub(super) fn has_planned(&mut self, now: Timestamp) -> bool {
        self.turn(now);
        [self.urgent.first(), self.planned.first()].into_iter().flatten().any(|(at, _)| *at <= now)
    }

    /// The next instant at which such an account may come up.
    pub(super) fn next_planned(&self) -> Option<Timestamp> {
        let firsts = [self.later.first(), self.planned.first()];
        firsts.into_iter().flatten().map(|(at, _)| *at).min()
    }

    /// The next instant at which an emergency may come up: an account becomes due, or the emergency
    /// of a due one begins. `None` when nothing that waits has one to come.
    pub(super) fn next_emergency(&self) -> Option<Timestamp> {
        let firsts = [self.later.first(), self.urgent.first()];
        firsts.into_iter().flatten().map(|(at, _)| *at).min()
    }

    /// Those that are due by now wait no longer for their time.
    fn turn(&mut self, now: Timestamp) {
        while let Some((at, account)) = self.later.pop_first() {
            if at > now {
                self.later.insert((at, account));
                break;
            }
            if let Some(Wait { due: _, emergency_at, planned_at }) = self.waiting.get(&account) {
                self.urgent.extend(emergency_at.map(|at| (at, account.clone())));
                self.planned.extend(planned_at.map(|at| (at, account.clone())));
            }
            self.due.insert((at, account));
        }
    }

    /// The next one, if any is due at `now`; it waits no longer.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<AccountName> {
        self.turn(now);
        let begun =
            |first: Option<&(Timestamp, AccountName)>| first.filter(|(at, _)| *at <= now).cloned();
        let first = begun(self.urgent.first()).or_else(|| begun(self.planned.first()));
        let (_, account) = first.or_else(|| self.due.first().cloned())?;
        self.remove(&account);
        Some(account)
    }

    /// When the first is due; `None` when nothing waits.
    pub(super) fn first_due(&self) -> Option<Timestamp> {
        let first =
            |waiting: &BTreeSet<(Timestamp, AccountName)>| waiting.first().map(|(at, _)| *at);
        first(&self.due).or_else(|| first(&self.later))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(1_767_225_600 + minute * 60).unwrap()
    }

    fn queue(waiting: &[(&str, i64, Option<i64>)]) -> Queue {
        let mut queue = Queue::default();
        for (account, due, emergency) in waiting {
            put(&mut queue, account, *due, *emergency, None);
        }
        queue
    }

    fn put(
        queue: &mut Queue,
        account: &str,
        due: i64,
        emergency: Option<i64>,
        planned: Option<i64>,
    ) {
        let wait =
            Wait { due: at(due), emergency_at: emergency.map(at), planned_at: planned.map(at) };
        queue.put(&account.parse().unwrap(), wait);
    }

    fn taken(queue: &mut Queue, minute: i64) -> Vec<String> {
        std::iter::from_fn(|| queue.take(at(minute))).map(|account| account.to_string()).collect()
    }

    #[test]
    fn an_emergency_goes_before_whatever_was_due_earlier_and_the_rest_by_when_it_was_due() {
        let waiting = [
            ("routine", 1, Some(500)),
            ("late", 9, Some(4)),
            ("first", 8, Some(3)),
            ("none", 0, None),
            ("not-due", 11, Some(1)),
        ];
        let mut queue = queue(&waiting);
        assert_eq!(taken(&mut queue, 10), ["first", "late", "none", "routine"]);
        assert_eq!(queue.first_due(), Some(at(11)));
        assert_eq!(taken(&mut queue, 11), ["not-due"]);
        assert_eq!(queue.first_due(), None);
    }

    #[test]
    fn an_emergency_is_known_before_it_is_taken_and_one_that_is_not_due_is_none() {
        let mut queue = queue(&[("routine", 1, Some(500)), ("tried", 20, Some(2))]);
        assert!(!queue.has_emergency(at(10)));
        put(&mut queue, "urgent", 9, Some(4), None);
        assert!(queue.has_emergency(at(10)));
        assert_eq!(taken(&mut queue, 10), ["urgent", "routine"]);
        assert!(!queue.has_emergency(at(10)));
        assert!(queue.has_emergency(at(20)));
    }

    #[test]
    fn who_waits_for_emergencies_alone_wakes_when_one_may_come_up() {
        let mut queue =
            queue(&[("due", 1, Some(30)), ("routine", 1, None), ("later", 20, Some(3))]);
        assert!(!queue.has_emergency(at(10)));
        assert_eq!(queue.next_emergency(), Some(at(20)), "one that was tried is due again");
        assert_eq!(queue.take(at(20)).unwrap().as_str(), "later");
        assert_eq!(queue.next_emergency(), Some(at(30)), "the emergency of a due one begins");
        assert_eq!(taken(&mut queue, 30), ["due", "routine"]);
        assert_eq!(queue.next_emergency(), None);
    }

    #[test]
    fn an_emergency_that_begins_while_its_account_waits_counts_from_then_on() {
        let mut queue = queue(&[("a", 1, None), ("b", 2, None), ("c", 3, Some(6))]);
        assert_eq!(queue.take(at(5)).unwrap().as_str(), "a");
        assert_eq!(queue.take(at(6)).unwrap().as_str(), "c");
        assert_eq!(queue.take(at(6)).unwrap().as_str(), "b");
    }

    #[test]
    fn an_account_waits_once_for_what_it_was_last_put_for() {
        let mut queue = queue(&[("a", 1, Some(1)), ("b", 2, None)]);
        assert_eq!(queue.take(at(1)).unwrap().as_str(), "a");
        put(&mut queue, "b", 7, Some(0), Some(0));
        put(&mut queue, "a", 6, None, Some(6));
        assert_eq!((queue.first_due(), queue.take(at(5))), (Some(at(6)), None));
        put(&mut queue, "a", 5, None, Some(5));
        put(&mut queue, "c", 4, Some(4), Some(4));
        queue.retain(|account| account.as_str() != "c");
        assert_eq!(taken(&mut queue, 9), ["b", "a"]);
        let Queue { waiting, later, due, urgent, planned } = queue;
        assert!(waiting.is_empty() && [later, due, urgent, planned].iter().all(BTreeSet::is_empty));
    }

    #[test]
    fn what_its_own_plan_asks_for_goes_before_what_an_audit_asks_for() {
        let mut queue = Queue::default();
        // An audit wakes three at once; of one the plan asks for a pass in the next minute, of
        // another in an hour.
        put(&mut queue, "a", 5, None, None);
        put(&mut queue, "b", 5, None, Some(65));
        put(&mut queue, "c", 5, None, Some(6));
        assert_eq!(queue.take(at(5)).unwrap().as_str(), "a");
        put(&mut queue, "d", 6, Some(60), Some(6));
        assert_eq!(taken(&mut queue, 6), ["c", "d", "b"]);
    }
}
