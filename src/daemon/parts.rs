//! How each verb is divided among the machines of a cluster, and its answers joined.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cluster::generations::Occasion;
use crate::model::address::Address;
use crate::model::channel::AccountName;
use crate::model::desired::{AccountDesired, Desired};
use crate::plan::cause::CauseKind;
use crate::plan::explain::Explanation;
use crate::plan::render::{HeldView, PlanView, PlansView};
use crate::store::desired::published::Published;

use super::actions::{self, VerbError};
use super::desk::{Desk, Use, Verb, WaitsFor};
use super::emptied::Emptied;
use super::fleet::Fleet;
use super::generations::{Generations, Proposing};
use super::recoveries::{RecoverRequest, RecoveriesRequest, RecoveryView, SettleRequest};
use super::requests::{
    AckRequest, AdoptRequest, ApplyPartRequest, ApplyRequest, ExplainPartRequest, ExplainRequest,
    GapsRequest, PauseRequest, PlanPartRequest, PlanRequest, Proposal, RenewRequest, ResumeRequest,
    Which,
};
use super::spread::{Divided, Portion, Spread, Whom, own, whom_of, whom_of_channel};
use super::views::{Acked, Applied, GapReport, PauseView, Resumed};

impl Spread for GapsRequest {
    type Part = GapsRequest;

    async fn divided(&self, desk: &Desk) -> Result<Divided<GapsRequest>, VerbError> {
        Ok(Divided::alike(desk.whom_of(self.channel.as_ref()), self.clone(), desk))
    }

    fn joined(parts: Vec<Vec<GapReport>>) -> Vec<GapReport> {
        let mut all = parts.concat();
        let place = |it: &GapReport| (it.gap.account.clone(), it.gap.channel.clone(), it.gap.from);
        all.sort_by_key(place);
        all.dedup();
        all
    }
}

impl Spread for AckRequest {
    type Part = AckRequest;

    async fn divided(&self, desk: &Desk) -> Result<Divided<AckRequest>, VerbError> {
        Ok(Divided::alike(desk.whom_of(self.channel.as_ref()), self.clone(), desk))
    }

    fn joined(parts: Vec<Vec<Acked>>) -> Vec<Acked> {
        let mut all = parts.concat();
        all.sort_by(|one, other| {
            (&one.account, &one.channel).cmp(&(&other.account, &other.channel))
        });
        all
    }
}

impl Spread for RecoveriesRequest {
    type Part = RecoveriesRequest;

    async fn divided(&self, desk: &Desk) -> Result<Divided<RecoveriesRequest>, VerbError> {
        Ok(Divided::alike(Whom::Everybody, *self, desk))
    }

    fn joined(parts: Vec<Vec<RecoveryView>>) -> Vec<RecoveryView> {
        let mut all = parts.concat();
        // Each machine's are by number already.
        all.sort_by(|one, other| one.account.cmp(&other.account));
        all.dedup();
        all
    }
}

impl Spread for RecoverRequest {
    type Part = RecoverRequest;

    async fn divided(&self, desk: &Desk) -> Result<Divided<RecoverRequest>, VerbError> {
        Ok(Divided::alike(desk.whom_of(Some(&self.channel)), self.clone(), desk))
    }

    fn joined(_parts: Vec<()>) {}
}

impl Spread for SettleRequest {
    type Part = SettleRequest;

    async fn divided(&self, desk: &Desk) -> Result<Divided<SettleRequest>, VerbError> {
        let account = self.id.split_once('/').map(|(account, _)| account.to_owned());
        let which = Which { account, channel: None };
        Ok(Divided::alike(whom_of(&which, &desk.links.fleet.borrow()), self.clone(), desk))
    }

    fn joined(_parts: Vec<()>) {}
}

impl Spread for RenewRequest {
    type Part = RenewRequest;

    async fn divided(&self, desk: &Desk) -> Result<Divided<RenewRequest>, VerbError> {
        let (which, whom) = (self.0.clone(), whom_of(&self.0, &desk.links.fleet.borrow()));
        let part = Arc::new(move |portion: Portion<'_>| RenewRequest(portion.of(&which)));
        Ok(Divided { whom, part, own: own(self.clone(), desk) })
    }

    fn joined(parts: Vec<Vec<Applied>>) -> Vec<Applied> {
        Applied::joined(parts)
    }
}

impl Spread for AdoptRequest {
    type Part = AdoptRequest;

    async fn divided(&self, desk: &Desk) -> Result<Divided<AdoptRequest>, VerbError> {
        Ok(Divided::alike(desk.whom_of(Some(&self.channel)), self.clone(), desk))
    }

    fn joined(parts: Vec<Vec<Applied>>) -> Vec<Applied> {
        Applied::joined(parts)
    }
}

impl Spread for PauseRequest {
    type Part = PauseRequest;

    async fn divided(&self, desk: &Desk) -> Result<Divided<PauseRequest>, VerbError> {
        let whom = desk.whom_of_target(self.target.as_ref())?;
        let PauseRequest { target, seconds } = self.clone();
        let part =
            move |portion: Portion<'_>| PauseRequest { target: portion.target(&target), seconds };
        Ok(Divided { whom, part: Arc::new(part), own: own(self.clone(), desk) })
    }

    fn joined(parts: Vec<Vec<PauseView>>) -> Vec<PauseView> {
        let mut all = parts.concat();
        all.sort_by(|one, other| one.account.cmp(&other.account));
        all.dedup_by(|one, other| one.account == other.account);
        all
    }
}

impl Spread for ResumeRequest {
    type Part = ResumeRequest;

    async fn divided(&self, desk: &Desk) -> Result<Divided<ResumeRequest>, VerbError> {
        let (target, whom) = (self.target.clone(), desk.whom_of_target(self.target.as_ref())?);
        let part = move |portion: Portion<'_>| ResumeRequest { target: portion.target(&target) };
        Ok(Divided { whom, part: Arc::new(part), own: own(self.clone(), desk) })
    }

    fn joined(parts: Vec<Resumed>) -> Resumed {
        let (mut resumed, mut applied) = (Vec::new(), Vec::new());
        for part in parts {
            resumed.extend(part.resumed);
            applied.push(part.applied);
        }
        resumed.sort();
        resumed.dedup();
        Resumed { resumed, applied: Applied::joined(applied) }
    }
}

impl Spread for PlanRequest {
    type Part = PlanPartRequest;

    async fn divided(&self, desk: &Desk) -> Result<Divided<PlanPartRequest>, VerbError> {
        let which = self.0.clone();
        let Proposed { proposal, fleet } = desk.proposed().await?;
        let unseen = desk.unseen(&which, &fleet);
        let whom = match &which.account {
            Some(_) if !unseen.is_empty() => Whom::Here,
            _ => whom_of(&which, &fleet),
        };
        let own = Box::pin(planned(fleet, which.clone(), unseen, desk.clone()));
        let part = move |portion: Portion<'_>| PlanPartRequest {
            which: portion.of(&which),
            proposal: proposal.about(portion),
        };
        Ok(Divided { whom, part: Arc::new(part), own })
    }

    fn joined(parts: Vec<PlansView>) -> PlansView {
        PlansView::joined(parts.into_iter().flat_map(|part| part.accounts).collect())
    }
}

/// The plan of the accounts that this machine serves, with those that only its file declares.
async fn planned(
    file: Fleet,
    which: Which,
    unseen: Vec<PlanView>,
    desk: Desk,
) -> Result<PlansView, VerbError> {
    let planned = actions::plan_views(&file, &desk.store, &which, &desk.links.window).await;
    let mut accounts = match planned {
        Ok(planned) => planned.accounts,
        Err(error) if error.is_for_another_machine() && !unseen.is_empty() => Vec::new(),
        Err(error) => return Err(error),
    };
    accounts.extend(unseen);
    Ok(PlansView::joined(accounts))
}

impl Spread for ExplainRequest {
    type Part = ExplainPartRequest;

    async fn divided(&self, desk: &Desk) -> Result<Divided<ExplainPartRequest>, VerbError> {
        let channel = self.channel.clone();
        let Proposed { proposal, fleet } = desk.proposed().await?;
        let whom = whom_of_channel(&channel, &fleet);
        let (store, asked) = (desk.store.clone(), channel.clone());
        let own = Box::pin(async move { actions::explain(&fleet, &store, &asked).await });
        let part = move |portion: Portion<'_>| ExplainPartRequest {
            channel: channel.clone(),
            proposal: proposal.about(portion),
        };
        Ok(Divided { whom, part: Arc::new(part), own })
    }

    /// It is asked for one channel, and the first that knows it says all.
    fn joined(mut parts: Vec<Explanation>) -> Explanation {
        parts.swap_remove(0)
    }
}

impl Spread for ApplyRequest {
    type Part = ApplyPartRequest;

    async fn divided(&self, desk: &Desk) -> Result<Divided<ApplyPartRequest>, VerbError> {
        let fresh = desk.read_fresh(self.proposing().emptied).await?;
        let whom = whom_of(&self.which, &fresh.fleet);
        let file = fresh.own.unwrap_or(fresh.desired);
        let hash = tokio::task::spawn_blocking(move || Generations::name_of(&file)).await?;
        let apply = self.clone();
        let part = move |portion: Portion<'_>| ApplyPartRequest {
            apply: ApplyRequest { which: portion.of(&apply.which), ..apply.clone() },
            hash: hash.clone(),
        };
        Ok(Divided { whom, part: Arc::new(part), own: own(self.clone(), desk) })
    }

    fn joined(parts: Vec<Vec<Applied>>) -> Vec<Applied> {
        Applied::joined(parts)
    }
}

impl Verb for PlanPartRequest {
    type Answer = PlansView;
    const PATH: &'static str = "/part/plan";
    const USE: Use = Use::Look;
    const WAITS_FOR: WaitsFor = WaitsFor::Zoho;

    async fn answer(self, desk: &Desk) -> Result<PlansView, VerbError> {
        let PlanPartRequest { which, proposal } = self;
        let fleet = desk.with_proposal(proposal).await?;
        actions::plan_views(&fleet, &desk.store, &which, &desk.links.window).await
    }
}

impl Verb for ExplainPartRequest {
    type Answer = Explanation;
    const PATH: &'static str = "/part/explain";
    const USE: Use = Use::Look;
    const WAITS_FOR: WaitsFor = WaitsFor::Zoho;

    async fn answer(self, desk: &Desk) -> Result<Explanation, VerbError> {
        let ExplainPartRequest { channel, proposal } = self;
        actions::explain(&desk.with_proposal(proposal).await?, &desk.store, &channel).await
    }
}

impl Verb for ApplyPartRequest {
    type Answer = Vec<Applied>;
    const PATH: &'static str = "/part/apply";
    const USE: Use = Use::Write;
    const WAITS_FOR: WaitsFor = WaitsFor::Zoho;

    async fn answer(self, desk: &Desk) -> Result<Vec<Applied>, VerbError> {
        let ApplyPartRequest { apply, hash } = self;
        let door = desk.machines.as_ref().ok_or(VerbError::NoCluster)?;
        // The passes that the config leads to are heard as well.
        let heard = desk.listen().await?;
        if !door.generations.until_in_force(&hash).await {
            return Err(VerbError::NotFollowed(door.node()));
        }
        desk.carry_out(&apply, &heard).await
    }
}

impl ApplyRequest {
    /// How the file is proposed.
    pub(super) fn proposing(&self) -> Proposing {
        let emptied = if self.allow_removals { Emptied::Allowed } else { Emptied::Refused };
        let occasion = if self.rollback { Occasion::Rollback } else { Occasion::Asked };
        Proposing { occasion, emptied }
    }
}

/// This machine's file beside what is in force.
struct Proposed {
    proposal: Arc<Proposal>,
    fleet: Fleet,
}

impl Desk {
    fn whom_of(&self, channel: Option<&Address>) -> Whom {
        channel.map_or(Whom::Everybody, |it| whom_of_channel(it, &self.links.fleet.borrow()))
    }

    /// The place of an account or a channel.
    fn whom_of_target(&self, target: Option<&Address>) -> Result<Whom, VerbError> {
        let fleet = self.links.fleet.borrow();
        let Some(target) = target else { return Ok(Whom::Everybody) };
        let name = target.channel.as_str().parse().ok().filter(|name| fleet.declares(name));
        Ok(match name.filter(|_| target.account.is_none()) {
            Some(account) if fleet.is_account(target)? => Whom::Owner(account),
            Some(_) | None => whom_of_channel(target, &fleet),
        })
    }

    /// How this machine's file declares what is in force otherwise.
    async fn proposed(&self) -> Result<Proposed, VerbError> {
        let fleet = self.read().await?;
        let in_force = self.fleet();
        let compared = tokio::task::spawn_blocking(move || {
            let proposal = Proposal::between(&in_force, &fleet);
            Proposed { proposal: Arc::new(proposal), fleet }
        });
        Ok(compared.await?)
    }

    /// Accounts that only this machine's file declares. Nobody may look at them before somebody
    /// serves them.
    fn unseen(&self, which: &Which, file: &Fleet) -> Vec<PlanView> {
        let in_force = self.fleet();
        let is_asked =
            |name: &AccountName| which.account.as_ref().is_none_or(|it| it == name.as_str());
        let new = file.declared_accounts().filter(|(name, _)| !in_force.declares(name));
        let view = |(name, desired): (&AccountName, &AccountDesired)| {
            let declared = [(name.clone(), desired.clone())].into();
            let declared = published(file, declared).accounts.remove(name);
            let held = desired.specs.values().map(|spec| HeldView {
                channel: spec.name.to_string(),
                id: spec.id.to_string(),
                cause: CauseKind::Unknown.word().to_owned(),
                detail: UNSEEN.to_owned(),
                until: None,
            });
            let name_of_it = declared.map(|declared| declared.hash).unwrap_or_default();
            PlanView::unseen(name.as_str(), &name_of_it, self.clock.now(), held.collect())
        };
        new.filter(|(name, _)| is_asked(name)).map(view).collect()
    }

    async fn with_proposal(&self, proposal: Proposal) -> Result<Fleet, VerbError> {
        let proposed = self.reader.clone().proposed(self.fleet(), proposal).await;
        proposed.map_err(VerbError::BadConfig)
    }
}

impl Proposal {
    /// How a file declares accounts otherwise than they are in force.
    fn between(in_force: &Fleet, file: &Fleet) -> Proposal {
        let known: BTreeMap<&AccountName, &AccountDesired> = in_force.declared_accounts().collect();
        let is_same = |name: &AccountName, desired: &AccountDesired| {
            let known = known.get(name);
            known.is_some_and(|it| it.account == desired.account && it.specs == desired.specs)
        };
        let others = file.declared_accounts().filter(|(name, desired)| !is_same(name, desired));
        let others: BTreeMap<_, _> =
            others.map(|(name, desired)| (name.clone(), desired.clone())).collect();
        let of_known =
            others.keys().filter_map(|name| Some((name.clone(), (*known.get(name)?).clone())));
        let before = published(file, of_known.collect());
        let after = published(file, others);
        let text = |(name, declaration): (AccountName, _)| {
            if before.accounts.get(&name) == Some(&declaration) {
                return None;
            }
            Some((name, declaration.text().ok()?))
        };
        let is_left = |name: &&AccountName| !file.declares(name);
        Proposal {
            declared: after.accounts.into_iter().filter_map(text).collect(),
            left_out: known.into_keys().filter(is_left).cloned().collect(),
        }
    }

    /// The part of it about a portion.
    fn about(&self, portion: Portion<'_>) -> Proposal {
        let is_in = |name: &AccountName| match portion {
            Portion::Account(account) => account == name,
            Portion::Machine(accounts) => accounts.contains(name),
        };
        let declared = self.declared.iter().filter(|(name, _)| is_in(name));
        Proposal {
            declared: declared.map(|(name, text)| (name.clone(), text.clone())).collect(),
            left_out: self.left_out.iter().filter(|name| is_in(name)).cloned().collect(),
        }
    }
}

fn published(fleet: &Fleet, accounts: BTreeMap<AccountName, AccountDesired>) -> Published {
    Published::of(&Desired { settings: fleet.settings.clone(), accounts })
}

impl Portion<'_> {
    /// The accounts of a request that are in this portion.
    fn of(self, which: &Which) -> Which {
        match self {
            Portion::Account(account) if which.channel.is_none() => {
                Which { account: Some(account.to_string()), channel: None }
            }
            Portion::Account(_) | Portion::Machine(_) => which.clone(),
        }
    }

    /// The part of a target that is in this portion: of everything, this account.
    fn target(self, target: &Option<Address>) -> Option<Address> {
        match (target, self) {
            (None, Portion::Account(account)) => account.as_str().parse().ok(),
            (target, _) => target.clone(),
        }
    }
}

impl Applied {
    /// The work of several machines, by account. What two machines did for the same one, one after
    /// the other, is told together.
    fn joined(parts: Vec<Vec<Applied>>) -> Vec<Applied> {
        let mut all: BTreeMap<String, Applied> = BTreeMap::new();
        for one in parts.into_iter().flatten() {
            match all.get_mut(&one.account) {
                Some(known) => {
                    let done = std::mem::take(&mut known.done);
                    *known = Applied { done: [done, one.done].concat(), ..one };
                }
                None => drop(all.insert(one.account.clone(), one)),
            }
        }
        all.into_values().collect()
    }
}

const UNSEEN: &str = "only the file of this machine declares the account, and no machine serves it \
                      before that is in force: nothing was looked at";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expose::testing::report;
    use crate::testing::{id, spec};
    use crate::zoho::testing::account;

    /// Accounts with so many channels each, none of them held here.
    fn fleet(accounts: &[(&str, i64)]) -> Fleet {
        let mut desired = Desired::default();
        for (name, channels) in accounts {
            let mut account = account();
            account.name = name.parse().unwrap();
            let specs = (1..=*channels).map(|number| (id(number), Arc::new(spec(number))));
            let declared = AccountDesired::new(account, specs.collect());
            desired.accounts.insert(name.parse().unwrap(), declared);
        }
        Fleet::declared(desired, BTreeMap::new())
    }

    fn name(text: &str) -> AccountName {
        text.parse().unwrap()
    }

    #[test]
    fn a_proposal_has_what_a_file_declares_otherwise_and_each_machine_is_told_its_part() {
        let in_force = fleet(&[("acme", 1), ("beta", 1), ("gone", 1)]);
        let file = fleet(&[("acme", 2), ("beta", 1), ("new", 3)]);
        let proposal = Proposal::between(&in_force, &file);
        let declared: Vec<&str> = proposal.declared.keys().map(AccountName::as_str).collect();
        assert_eq!(declared, ["acme", "new"]);
        assert_eq!(proposal.left_out, [name("gone")].into());
        let of_one = proposal.about(Portion::Account(&name("acme")));
        assert!(of_one.declared.contains_key(&name("acme")) && of_one.left_out.is_empty());
        let machine = [name("beta"), name("gone")].into();
        let of_another = proposal.about(Portion::Machine(&machine));
        assert!(of_another.declared.is_empty() && of_another.left_out.contains(&name("gone")));
        assert_eq!(Proposal::between(&in_force, &in_force), Proposal::default());
        let text = serde_json::to_string(&proposal).unwrap();
        assert_eq!(serde_json::from_str::<Proposal>(&text).unwrap(), proposal);
    }

    #[test]
    fn a_name_leads_to_the_account_that_declares_it_wherever_it_is_served() {
        let fleet = fleet(&[("acme", 2), ("beta", 1)]);
        let owner = |text: &str| Whom::Owner(name(text));
        let of = |account: Option<&str>, channel: Option<&str>| {
            let account = account.map(str::to_owned);
            whom_of(&Which { account, channel: channel.map(|it| it.parse().unwrap()) }, &fleet)
        };
        assert_eq!(of(None, None), Whom::Everybody);
        assert_eq!(of(Some("beta"), None), owner("beta"));
        assert_eq!(of(Some("unknown"), None), Whom::Everybody);
        assert_eq!(of(None, Some("c2")), owner("acme"));
        assert_eq!(of(None, Some("beta/c1")), owner("beta"));
        // A channel that nobody declares may be remembered by whoever serves its account.
        assert_eq!(of(None, Some("beta/former")), owner("beta"));
        assert_eq!(of(None, Some("former")), Whom::Everybody);
    }

    #[test]
    fn a_portion_narrows_what_is_asked_for_and_nothing_that_is_narrow() {
        let acme = name("acme");
        let everything = Which::default();
        let one = Which { account: None, channel: Some("beta/c1".parse().unwrap()) };
        let narrowed = Portion::Account(&acme).of(&everything);
        assert_eq!(narrowed, Which { account: Some("acme".to_owned()), channel: None });
        assert_eq!(Portion::Account(&acme).of(&one), one);
        let all = [acme.clone()].into();
        assert_eq!(Portion::Machine(&all).of(&everything), everything);
        assert_eq!(Portion::Account(&acme).target(&None), Some("acme".parse().unwrap()));
        assert_eq!(Portion::Machine(&all).target(&None), None);
    }

    #[test]
    fn parts_are_joined_by_account_and_two_owners_of_one_are_told_together() {
        let applied = |account: &str| Applied::of(&[Arc::new(report(account, 1..=1))]).unwrap();
        let joined = Applied::joined(vec![
            vec![applied("beta"), applied("delta")],
            vec![applied("acme"), applied("beta")],
        ]);
        let names: Vec<&str> = joined.iter().map(|one| one.account.as_str()).collect();
        assert_eq!(names, ["acme", "beta", "delta"]);
        let plan =
            |account: &str| PlanView::unseen(account, "x", report(account, 1..=1).at, vec![]);
        let here = PlansView::joined(vec![plan("beta"), plan("acme")]);
        let there = PlansView::joined(vec![plan("acme"), plan("beta"), plan("acme")]);
        assert_eq!(here, there, "whoever is asked, the plan has the same checksum");
        assert_ne!(here.checksum, PlansView::joined(vec![plan("acme")]).checksum);
    }
}
