//! Worlds of every kind, for the laws.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::model::codes::{NOT_SUBSCRIBED, SCOPE_MISMATCH};
use crate::model::condition::{Condition, Match, Seen, Selection};
use crate::model::events::Events;
use crate::model::observed::TokenSeen;
use crate::model::oddity::Oddity;
use crate::model::record::Repairs;
use crate::model::secret::Fingerprint;
use crate::model::small_set::SmallSet;
use crate::plan::drift;

/// Worlds as they may come to be: clocks that are wrong by hours at most, lifetimes that a config
/// allows.
pub(super) fn worlds() -> impl Strategy<Value = World> {
    let skew = option::of(-7_200_000_i64..7_200_000);
    worlds_of(near().boxed(), skew.boxed(), lifetimes().boxed())
}

/// Worlds as they should not come to be.
pub(super) fn odd_worlds() -> impl Strategy<Value = World> {
    let instants = prop_oneof![
        2 => near(),
        1 => select(vec![Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH]),
    ];
    let skew =
        option::of(prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX), -1000_i64..1000]);
    let lengths = prop_oneof![
        lifetimes(),
        select(vec![Duration::ZERO, Duration::from_nanos(1), Duration::MAX])
    ];
    worlds_of(instants.boxed(), skew.boxed(), lengths.boxed())
}

fn worlds_of(
    instants: BoxedStrategy<Timestamp>,
    skew: BoxedStrategy<Option<i64>>,
    lengths: BoxedStrategy<Duration>,
) -> impl Strategy<Value = World> {
    let ids = || (1..=8_i64).prop_map(id);
    let specs = btree_map(ids(), specs(lengths.clone()), 0..8);
    let records = btree_map(ids(), records(instants.clone()), 0..8);
    let channels = btree_map(ids(), observed(instants.clone()), 0..8);
    let state = (skew, troubles(instants.clone()), troubles(instants.clone()));
    (policies(lengths), specs, records, channels, state, instants, any::<u64>()).prop_map(
        |(policy, specs, records, channels, (skew_ms, looks, writes), now, dice)| {
            let mut world =
                World { policy, specs: BTreeMap::new(), records, now, ..World::empty() };
            world.specs = specs
                .into_iter()
                .map(|(id, spec)| (id, Arc::new(Spec { id, name: of(id), ..spec })))
                .collect();
            world.state = AccountState { skew_ms, looks, writes, ..AccountState::default() };
            world.look = Look::Seen { channels, at: now, beside: Default::default() };
            for (id, record) in &mut world.records {
                (record.id, record.name) = (*id, of(*id));
            }
            world.settle_some(dice);
            if dice % 11 == 0 {
                world.look_fails()
            }
            world
        },
    )
}

impl World {
    /// Makes some channels agree, so that not all worlds are nothing but chaos: by dice they are as
    /// declared, end when it was granted, were refused as they are declared, or were repaired
    /// before.
    fn settle_some(&mut self, dice: u64) {
        let Look::Seen { channels, .. } = &mut self.look else { return };
        for (id, spec) in &self.specs {
            let dice = dice >> (id.number() * 6);
            let record = self.records.get_mut(id);
            if let Some(seen) = channels.get_mut(id).filter(|_| dice & 1 == 0) {
                *seen = Observed::as_declared(spec, seen.expiry);
            }
            if let (Some(seen), Some(record)) = (channels.get_mut(id), record) {
                if let Some(grant) = record.grant.filter(|_| dice & 6 != 0) {
                    seen.expiry = Some(grant.expiry);
                }
                if let Some(refusal) = record.refusal.as_mut().filter(|_| dice & 8 == 0) {
                    refusal.spec = spec.fingerprint();
                }
                if let Some(repairs) = record.repairs.as_mut().filter(|_| dice & 16 == 0) {
                    repairs.drift = drift::fingerprint(spec, &drift::drift(spec, seen));
                }
            }
        }
    }
}

fn of(id: ChannelId) -> ChannelName {
    name(id.number())
}

fn near() -> impl Strategy<Value = Timestamp> {
    (0..400 * 3600_u32).prop_map(|seconds| before(hours(300), SECOND * seconds))
}

fn lifetimes() -> impl Strategy<Value = Duration> {
    prop_oneof![Just(DAY), Just(WEEK), (3600..700_000_u32).prop_map(|seconds| SECOND * seconds)]
}

fn policies(lengths: BoxedStrategy<Duration>) -> impl Strategy<Value = Policy> {
    let mode = select(vec![Mode::Sync, Mode::Sync, Mode::NoDisable, Mode::Observe]);
    (mode, select(vec![Removed::Disable, Removed::Expire]), 0..5_usize, lengths).prop_map(
        |(mode, removed, batch_max, lifetime_max)| Policy {
            mode,
            removed,
            batch_max,
            lifetime_max,
            credits_per_day: None,
        },
    )
}

fn events() -> impl Strategy<Value = Events> {
    btree_set(select(vec!["Deals.all", "Deals.create", "Contacts.edit", "Leads.delete"]), 0..4)
        .prop_map(|texts| texts.into_iter().collect())
}

fn urls() -> impl Strategy<Value = NotifyUrl> {
    select(vec!["https://hooks.example.com/zoho", "https://theirs.example/in?key=s3cret"])
        .prop_map(NotifyUrl::new)
}

fn conditions() -> impl Strategy<Value = Vec<Condition>> {
    let fields = btree_set(select(vec!["Stage".to_owned(), "Amount".to_owned()]), 1..3);
    vec((fields, select(vec![Match::Any, Match::All])), 0..2).prop_map(|conditions| {
        let selections = conditions
            .into_iter()
            .filter_map(|(fields, matching)| Selection::of_fields(matching, fields));
        let condition = |selection| Condition { module: "Deals".to_owned(), selection };
        selections.map(condition).collect()
    })
}

fn tokens() -> impl Strategy<Value = Option<Secret>> {
    select(vec![None, Some("s3cret"), Some("another")]).prop_map(|token| token.map(Secret::from))
}

fn specs(lengths: BoxedStrategy<Duration>) -> impl Strategy<Value = Spec> {
    let flags = (any::<bool>(), any::<bool>());
    let mode = select(vec![Mode::Sync, Mode::Sync, Mode::NoDisable, Mode::Observe]);
    let lives = (lengths.clone(), option::of(lengths));
    (events(), urls(), tokens(), lives, flags, conditions(), mode).prop_map(
        |(
            events,
            notify_url,
            token,
            (lifetime, renew_before),
            (related, values),
            conditions,
            mode,
        )| Spec {
            events: if events.is_empty() { ["Deals.all"].into_iter().collect() } else { events },
            notify_url,
            token,
            rotation: None,
            lifetime,
            renew_before,
            notify_on_related_action: related,
            return_affected_field_values: values,
            conditions,
            mode,
            ..spec(1)
        },
    )
}

fn few<T: Ord + std::fmt::Debug>(
    member: impl Strategy<Value = T>,
) -> impl Strategy<Value = SmallSet<T>> {
    btree_set(member, 0..3).prop_map(SmallSet::from_iter)
}

fn observed(instants: BoxedStrategy<Timestamp>) -> impl Strategy<Value = Observed> {
    let token = prop_oneof![
        Just(TokenSeen::Unsaid),
        tokens().prop_map(
            |token| token.map_or(TokenSeen::Null, |token| TokenSeen::Set(token.fingerprint()))
        ),
    ];
    let condition =
        prop_oneof![Just(Seen::Unsaid), Just(Seen::Opaque), conditions().prop_map(Seen::Known)];
    let flags = || (few(any::<bool>()), few(any::<bool>()));
    let odd = select(vec![None, None, None, Some(Oddity::Fields)]);
    (events(), few(urls()), few(token), option::of(instants), flags(), few(condition), odd)
        .prop_map(|(events, notify_urls, tokens, expiry, (related, values), conditions, odd)| {
            Observed {
                events,
                notify_urls,
                tokens,
                expiry,
                notify_on_related_action: related,
                return_affected_field_values: values,
                conditions,
                odd: odd.into_iter().collect(),
            }
        })
}

fn records(instants: BoxedStrategy<Timestamp>) -> impl Strategy<Value = Record> {
    let grant = (instants.clone(), instants.clone(), instants.clone())
        .prop_map(|(at, asked, expiry)| Grant { at, asked, expiry });
    let code = select(vec!["INVALID_DATA", NOT_SUBSCRIBED, SCOPE_MISMATCH]);
    let refusal = (code, 0..9_u32, instants.clone(), events());
    let refusal = refusal.prop_map(|(code, attempts, at, events)| Refusal {
        code: code.to_owned(),
        message: "no".to_owned(),
        json_path: None,
        spec: Fingerprint(1),
        attempts,
        at,
        events,
    });
    let repairs =
        (0..9_u32, instants).prop_map(|(writes, at)| Repairs { drift: Fingerprint(1), writes, at });
    (urls(), option::of(grant), option::of(refusal), option::of(repairs)).prop_map(
        |(notify_url, grant, refusal, repairs)| Record {
            grant,
            refusal,
            repairs,
            ..Record::new(id(1), name(1), notify_url.fingerprint())
        },
    )
}

fn troubles(instants: BoxedStrategy<Timestamp>) -> impl Strategy<Value = Trouble> {
    (0..9_u32, option::of(instants.clone()), option::of(instants)).prop_map(
        |(attempts, at, not_before)| Trouble {
            attempts,
            at,
            not_before,
            what: "HTTP 429".to_owned(),
        },
    )
}
