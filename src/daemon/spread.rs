//! Verbs that the machines of a cluster answer together: any machine's socket will do.
//!
//! A verb about one account is its owner's to answer. One about everything is divided: each machine
//! that owns an account does its part, and the parts are joined. What another machine is asked goes
//! through the engine ([`crate::cluster::asks`]), and it answers by the same code as to its own
//! socket.
//!
//! An account that changes hands meanwhile is asked for at its next owner, for as long as a
//! takeover takes. When a part fails and others were done, the error says so and names the machine.
//!
//! A machine's file that is not in force is proposed with the question
//! ([`super::requests::Proposal`]): `plan` and `explain` show what would follow from it, wherever
//! the account is served. `apply` publishes it, and each machine waits for it before it does its
//! part.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tracing::info;

use crate::cluster::asks::{AskError, Question};
use crate::cluster::view::ClusterView;
use crate::cluster::{Charge, MemberId};
use crate::model::address::Address;
use crate::model::channel::AccountName;

use super::actions::{self, VerbError};
use super::choose::UnknownName;
use super::desk::{Desk, Verb, WaitsFor};
use super::fleet::Fleet;
use super::machines::MachinesDoor;
use super::requests::{ApplyRequest, PlanRequest, Which};
use super::views::Applied;

/// Whom a verb is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Whoever serves this account.
    Owner(AccountName),
    /// Everybody who serves an account.
    Everybody,
    /// This machine alone.
    Here,
}

/// The accounts that a part is about.
#[derive(Clone, Copy, Debug)]
pub enum Portion<'a> {
    /// This one.
    Account(&'a AccountName),
    /// All that a machine serves.
    Machine(&'a BTreeSet<AccountName>),
}

/// A verb that machines answer together.
pub trait Spread: Verb {
    /// The question to another machine.
    type Part: Verb<Answer = Self::Answer>;

    /// Whom it is for, and the questions.
    fn divided(
        &self,
        desk: &Desk,
    ) -> impl Future<Output = Result<Divided<Self::Part>, VerbError>> + Send;

    /// The answers of several machines as one.
    fn joined(parts: Vec<Self::Answer>) -> Self::Answer;
}

/// A verb, divided among machines.
pub struct Divided<P: Verb> {
    /// Whom it is for.
    pub whom: Whom,
    /// Makes the question about a portion.
    pub part: Arc<Dividing<P>>,
    /// This machine's own part.
    pub own: Own<P::Answer>,
}

/// Makes the question about a portion.
pub type Dividing<P> = dyn Fn(Portion<'_>) -> P + Send + Sync;
/// The answer that this machine makes, once it is waited for.
pub type Own<A> = Pin<Box<dyn Future<Output = Result<A, VerbError>> + Send>>;

impl<P: Verb> Divided<P> {
    /// Whoever is asked is asked this, this machine as well.
    pub fn alike(whom: Whom, part: P, desk: &Desk) -> Divided<P>
    where
        P: Clone + Sync,
    {
        let own = own(part.clone(), desk);
        Divided { whom, part: Arc::new(move |_| part.clone()), own }
    }
}

/// The answer of this machine to a verb.
pub fn own<V: Verb>(verb: V, desk: &Desk) -> Own<V::Answer> {
    let desk = desk.clone();
    Box::pin(async move { verb.answer(&desk).await })
}

/// Waits until this machine holds what it owns, or no longer than [`HELD_WITHIN`]: between its claim
/// of an account and the account's memory it would answer as if it had nothing of it, and nobody
/// else would answer either.
pub(super) async fn own_is_held(desk: &Desk) {
    let Some(door) = &desk.machines else { return };
    let (mut view, mut fleet) = (door.view.clone(), desk.links.fleet.clone());
    let mut late = desk.clock.sleep(HELD_WITHIN);
    while is_between(&view.borrow_and_update(), &fleet.borrow_and_update()) {
        tokio::select! {
            Ok(()) = view.changed() => {}
            Ok(()) = fleet.changed() => {}
            () = &mut late => return,
        }
    }
}

/// True when this machine owns an account that it does not hold: it comes, or goes.
fn is_between(view: &ClusterView, fleet: &Fleet) -> bool {
    let is_mine = |owner: &MemberId| view.me.as_ref() == Some(owner);
    let is_held = |charge: &Charge| {
        charge.account().is_none_or(|account| !fleet.elsewhere.contains_key(account))
    };
    view.owners.iter().any(|(charge, owner)| is_mine(owner) && !is_held(charge))
}

/// The answer of all machines together, or of this one where it shares with none.
///
/// # Errors
/// The owner's own error; that of a part, where others were done.
pub async fn answered<V: Spread>(verb: V, desk: &Desk) -> Result<V::Answer, VerbError> {
    let Some(door) = &desk.machines else { return verb.answer(desk).await };
    let Divided { whom, part, own } = verb.divided(desk).await?;
    let asking = Asking { desk: desk.clone(), door: door.clone(), part };
    match whom {
        Whom::Here => own.await,
        Whom::Owner(account) if asking.is_mine(&account) => match own.await {
            Err(error) if error.is_for_another_machine() => asking.of_owner(&account).await,
            answer => answer,
        },
        Whom::Owner(account) => asking.of_owner(&account).await,
        Whom::Everybody => asking.of_everybody::<V>(own).await,
    }
}

/// Puts this machine's file in force, and does what follows from it on every machine that serves
/// one of the chosen accounts.
///
/// # Errors
/// When the file cannot be put in force, or the plan is another one; else as [`answered`].
pub async fn applied(request: ApplyRequest, desk: &Desk) -> Result<Vec<Applied>, VerbError> {
    let Some(door) = &desk.machines else { return request.answer(desk).await };
    if let Some(wanted) = &request.plan {
        let made = answered(PlanRequest(request.which.clone()), desk).await?.checksum;
        actions::expect_plan(&made, wanted)?;
    }
    let request = ApplyRequest { plan: None, ..request };
    let proposing = request.proposing();
    let Divided { whom, part, own } = request.divided(desk).await?;
    let asking = Asking { desk: desk.clone(), door: door.clone(), part };
    match whom {
        Whom::Owner(account) if !asking.is_mine(&account) => {
            // Whoever is asked waits for the file, so that it hears what follows from it.
            let mut owner = std::pin::pin!(asking.of_owner(&account));
            tokio::select! {
                reloaded = desk.reload(proposing) => reloaded?,
                answer = &mut owner => return answer,
            }
            owner.await
        }
        Whom::Owner(_) | Whom::Here => own.await,
        Whom::Everybody => asking.of_everybody::<ApplyRequest>(own).await,
    }
}

/// The place of an address: the account that declares the channel, wherever it is served.
pub fn whom_of_channel(address: &Address, fleet: &Fleet) -> Whom {
    fleet.account_of(address).map_or(Whom::Everybody, Whom::Owner)
}

/// The place of some accounts.
pub fn whom_of(which: &Which, fleet: &Fleet) -> Whom {
    match (&which.channel, &which.account) {
        (Some(channel), _) => whom_of_channel(channel, fleet),
        (None, Some(name)) => match name.parse() {
            Ok(name) if fleet.declares(&name) => Whom::Owner(name),
            Ok(_) | Err(_) => Whom::Everybody,
        },
        (None, None) => Whom::Everybody,
    }
}

/// One verb under way.
struct Asking<P: Verb> {
    desk: Desk,
    door: MachinesDoor,
    part: Arc<Dividing<P>>,
}

impl<P: Verb> Clone for Asking<P> {
    fn clone(&self) -> Asking<P> {
        let Asking { desk, door, part } = self;
        Asking { desk: desk.clone(), door: door.clone(), part: part.clone() }
    }
}

impl<P: Verb> Asking<P> {
    fn is_mine(&self, account: &AccountName) -> bool {
        let view = self.door.view.borrow();
        view.me.is_some() && view.owners.get(&Charge::Account(account.clone())) == view.me.as_ref()
    }

    /// The answer of whoever serves the account, who may be another by the time that he is asked.
    async fn of_owner(&self, account: &AccountName) -> Result<P::Answer, VerbError> {
        let clock = self.desk.clock.clone();
        let mut late = clock.sleep(match P::WAITS_FOR {
            WaitsFor::Nothing => PATIENCE,
            WaitsFor::Zoho => OWNED_WITHIN,
        });
        let mut view = self.door.view.clone();
        loop {
            let (owner, me) = {
                let view = view.borrow_and_update();
                let charge = Charge::Account(account.clone());
                (view.owners.get(&charge).cloned(), view.me.clone())
            };
            let question = (self.part)(Portion::Account(account));
            let answer = match owner {
                Some(owner) if Some(&owner) == me.as_ref() => question.answer(&self.desk).await,
                Some(owner) => self.of_machine(&owner, question).await,
                None => Err(VerbError::Unserved(account.clone())),
            };
            match answer {
                Err(error) if error.is_for_another_machine() => {
                    tokio::select! {
                        () = clock.sleep(AGAIN) => {}
                        () = &mut late => return Err(error),
                    }
                }
                answer => return answer,
            }
        }
    }

    /// The answers of all, as one.
    async fn of_everybody<V>(&self, own: Own<V::Answer>) -> Result<V::Answer, VerbError>
    where
        V: Spread<Part = P, Answer = P::Answer>,
    {
        let before = self.door.view.borrow().owners.clone();
        let (machines, unserved) = self.machines();
        if unserved.len() > UNSERVED_MAX {
            return Err(VerbError::ManyUnserved(unserved.len()));
        }
        let mut asked = JoinSet::new();
        for (machine, accounts) in machines {
            let (asking, question) = (self.clone(), (self.part)(Portion::Machine(&accounts)));
            asked.spawn(async move { (asking.of_machine(&machine, question).await, accounts) });
        }
        let mut answers = Answers::default();
        own_is_held(&self.desk).await;
        match own.await {
            Err(VerbError::Name(UnknownName::NoneHere(_))) => {}
            // Nobody has begun anything: the others wait for the config.
            Err(error @ VerbError::BadConfig(_)) => return Err(error),
            answer => answers.add(answer),
        }
        let mut left = BTreeSet::new();
        while let Some(answer) = asked.join_next().await {
            match answer {
                // How far it came nobody knows. Its accounts will be others', of which this
                // machine may not have heard yet.
                Ok((Err(VerbError::Gone(_)), accounts)) => left.extend(accounts),
                Ok((answer, _)) => answers.add(answer),
                Err(error) => answers.add(Err(VerbError::Died(error))),
            }
        }
        let mut moved = self.moved_since(&before);
        moved.append(&mut left);
        if !moved.is_empty() {
            answers.add(self.of_owners::<V>(moved).await);
        }
        answers.joined::<V>()
    }

    /// The accounts that are not whose they were, which may have been nobody's part.
    fn moved_since(&self, before: &BTreeMap<Charge, MemberId>) -> BTreeSet<AccountName> {
        let view = self.door.view.borrow();
        let fleet = self.desk.links.fleet.borrow();
        let declared = fleet.subjects.keys().chain(fleet.elsewhere.keys());
        let has_moved = |name: &&AccountName| {
            let charge = Charge::Account((*name).clone());
            let now = view.owners.get(&charge).filter(|it| view.members.contains_key(*it));
            now.is_none() || before.get(&charge) != now
        };
        declared.filter(has_moved).cloned().collect()
    }

    /// The same of some accounts, each by its next owner.
    async fn of_owners<V>(&self, accounts: BTreeSet<AccountName>) -> Result<P::Answer, VerbError>
    where
        V: Spread<Part = P, Answer = P::Answer>,
    {
        let mut asked: JoinSet<Result<P::Answer, VerbError>> = JoinSet::new();
        let mut answers = Answers::default();
        let mut waiting = accounts.into_iter();
        loop {
            while asked.len() < AT_ONCE
                && let Some(account) = waiting.next()
            {
                let asking = self.clone();
                asked.spawn(async move { asking.of_owner(&account).await });
            }
            let Some(answer) = asked.join_next().await else { break };
            answers.add(answer.unwrap_or_else(|error| Err(VerbError::Died(error))));
        }
        answers.joined::<V>()
    }

    /// The other machines, each with what it serves, and the accounts that none does.
    fn machines(&self) -> (BTreeMap<MemberId, BTreeSet<AccountName>>, BTreeSet<AccountName>) {
        let view = self.door.view.borrow();
        let mut machines: BTreeMap<MemberId, BTreeSet<AccountName>> = BTreeMap::new();
        for (charge, owner) in view.owners.iter().filter(|(_, it)| Some(*it) != view.me.as_ref()) {
            let accounts = machines.entry(owner.clone()).or_default();
            accounts.extend(charge.account().cloned());
        }
        machines.retain(|_, accounts| !accounts.is_empty());
        let fleet = self.desk.links.fleet.borrow();
        let mut unserved: BTreeSet<AccountName> = fleet.elsewhere.keys().cloned().collect();
        unserved.retain(|name| !view.owners.contains_key(&Charge::Account(name.clone())));
        (machines, unserved)
    }

    async fn of_machine(&self, to: &MemberId, question: P) -> Result<P::Answer, VerbError> {
        let unreadable =
            |_| VerbError::Asked { node: to.node.clone(), error: AskError::Unreadable };
        let body = serde_json::to_value(&question).map_err(unreadable)?;
        let (status, body) = self.door.ask(to, P::PATH, body, P::WAITS_FOR).await?;
        if status == OK {
            return serde_json::from_value(body).map_err(unreadable);
        }
        let why = body.get("error").and_then(Value::as_str).unwrap_or("no reason was given");
        Err(VerbError::Told { node: to.node.clone(), status, why: why.to_owned() })
    }
}

impl MachinesDoor {
    /// Asks another machine, and gives the status and the body of its answer.
    async fn ask(
        &self,
        to: &MemberId,
        verb: &str,
        body: Value,
        waits_for: WaitsFor,
    ) -> Result<(u16, Value), VerbError> {
        static ASKED: AtomicU64 = AtomicU64::new(0);
        let from = self.view.borrow().me.clone().ok_or(VerbError::NoMemberYet)?;
        let id = format!("{:016x}", ASKED.fetch_add(1, Ordering::Relaxed));
        let patience = match waits_for {
            WaitsFor::Nothing => PATIENCE,
            WaitsFor::Zoho => LOOK_PATIENCE,
        };
        info!(verb, machine = to.node, "another machine is asked");
        let question = Question { verb: verb.to_owned(), body, from };
        let answer = self.asks.ask(to, &id, &question, patience).await;
        match answer {
            Ok(answer) => Ok((answer.status, answer.body)),
            Err(AskError::Gone) => Err(VerbError::Gone(to.node.clone())),
            Err(error) => Err(VerbError::Asked { node: to.node.clone(), error }),
        }
    }
}

/// The answers of several, and what went wrong.
struct Answers<A> {
    parts: Vec<A>,
    /// Names that mean nothing where they were looked for.
    unknown: Vec<VerbError>,
    failed: Vec<VerbError>,
}

impl<A> Default for Answers<A> {
    fn default() -> Answers<A> {
        Answers { parts: Vec::new(), unknown: Vec::new(), failed: Vec::new() }
    }
}

impl<A> Answers<A> {
    fn add(&mut self, answer: Result<A, VerbError>) {
        match answer {
            Ok(part) => self.parts.push(part),
            Err(error) if error.is_unknown_name() => self.unknown.push(error),
            Err(error) => self.failed.push(error),
        }
    }

    /// A name that one machine knows is known.
    fn joined<V: Spread<Answer = A>>(self) -> Result<A, VerbError> {
        let Answers { parts, unknown, failed } = self;
        let done = parts.len();
        match failed.into_iter().next() {
            Some(error) if done == 0 => Err(error),
            Some(error) => {
                let machine = error.machine().map(str::to_owned);
                Err(VerbError::InPart { done, machine, error: Box::new(error) })
            }
            None => match unknown.into_iter().next() {
                Some(error) if done == 0 => Err(error),
                Some(_) | None => Ok(V::joined(parts)),
            },
        }
    }
}

const OK: u16 = 200;
/// An account of a machine that died is taken over within fifteen seconds.
const OWNED_WITHIN: Duration = Duration::from_secs(20);
/// From one look for an owner to the next.
const AGAIN: Duration = Duration::from_millis(300);
/// An answer from memory is there within this.
const PATIENCE: Duration = Duration::from_secs(4);
/// A look at Zoho is waited for as long as the command line waits.
const LOOK_PATIENCE: Duration = Duration::from_secs(10 * 60);
/// The memory of an account is there within this, where its engine answers; whoever asks waits for
/// longer.
const HELD_WITHIN: Duration = Duration::from_secs(2);
/// Accounts that are asked for one by one, at once.
const AT_ONCE: usize = 16;
/// With more that no machine serves, the cluster is in trouble, and nothing is asked of it.
const UNSERVED_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::requests::GapsRequest;
    use crate::daemon::scheduler::chain;
    use crate::model::desired::{AccountDesired, Desired};

    fn joined(answers: Vec<Result<(), VerbError>>) -> Result<usize, String> {
        let mut all = Answers::default();
        for answer in answers {
            all.add(answer.map(|()| Vec::new()));
        }
        all.joined::<GapsRequest>().map(|gaps| gaps.len()).map_err(|error| chain(&error))
    }

    fn told(status: u16, why: &str) -> VerbError {
        VerbError::Told { node: "two".to_owned(), status, why: why.to_owned() }
    }

    /// Its claim comes before its memory, and stays behind it.
    #[test]
    fn whoever_owns_what_it_does_not_hold_is_waited_for() {
        let [one, two] =
            ["one", "two"].map(|node| MemberId { node: node.to_owned(), boot: "0".to_owned() });
        let acme = crate::zoho::testing::account();
        let charge = Charge::Account(acme.name.clone());
        let accounts = [(acme.name.clone(), AccountDesired::new(acme, BTreeMap::new()))].into();
        let declared = Desired { accounts, ..Desired::default() };
        let elsewhere = Fleet::declared(declared, BTreeMap::new());
        let held = Fleet::declared(Desired::default(), BTreeMap::new());
        let view = |owner: Option<&MemberId>| ClusterView {
            me: Some(one.clone()),
            owners: Arc::new(
                owner.map(|owner| (charge.clone(), owner.clone())).into_iter().collect(),
            ),
            ..ClusterView::default()
        };
        assert!(is_between(&view(Some(&one)), &elsewhere));
        assert!(!is_between(&view(Some(&one)), &held));
        assert!(!is_between(&view(Some(&two)), &elsewhere) && !is_between(&view(None), &elsewhere));
    }

    #[test]
    fn a_part_that_failed_is_told_with_its_machine_and_a_name_need_be_known_once() {
        let unknown = || told(actions::UNKNOWN, "no channel is named x");
        let failed = || told(500, "the store failed");
        let gone = || VerbError::Asked { node: "two".to_owned(), error: AskError::Late };
        assert_eq!(joined(vec![Ok(()), Err(unknown())]), Ok(0), "one machine knows the name");
        assert_eq!(joined(vec![Err(unknown()), Err(unknown())]), Err(chain(&unknown())));
        assert_eq!(joined(vec![Err(failed()), Err(unknown())]), Err(chain(&failed())));
        let of_two =
            "not everything was done: 1 of the machines' parts were, and that of two was not";
        assert_eq!(joined(vec![Ok(()), Err(failed())]), Err(format!("{of_two}: the store failed")));
        let late = format!("{of_two}: {}", chain(&gone()));
        assert_eq!(joined(vec![Err(gone()), Ok(())]), Err(late));
        let here = joined(vec![Ok(()), Err(VerbError::StoreFails("no room".to_owned()))]);
        assert!(here.unwrap_err().contains("that of this one was not: no room"));
    }
}
