//! Channels whose renewal could not fail twice.
//!
//! There is one rule for every command and for the daemon: such channels are refused as a mistake
//! of the config is. Where the last good desired state has them as they are, they are held all the
//! same, so that whatever runs can be reloaded: health is degraded then, and says why.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::channel::{AccountName, ChannelId, Spec};
use crate::model::desired::Desired;
use crate::model::time::brief;
use crate::plan::render::counted;
use crate::plan::renewal::{Slack, slack, slack_of};
use crate::store::desired::{ChannelLife, Lives};
use crate::store::{Store, StoreError};

/// Channels, each with its account.
pub(crate) type Channels = BTreeSet<(AccountName, ChannelId)>;

/// The channels of a desired state that have too little slack, one line for those that are alike.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Judged {
    /// Those that may not begin.
    pub refused: Vec<String>,
    /// Those that the last good desired state has so too.
    pub held: Vec<String>,
}

/// Judges a desired state by what is held already.
pub(crate) fn judged(desired: &Desired, held: &Channels) -> Judged {
    let mut refused: BTreeMap<Alike<'_>, Vec<(&Spec, Slack)>> = BTreeMap::new();
    let mut kept = refused.clone();
    for (account, spec, slack) in thin(desired) {
        let is_held = held.contains(&(account.clone(), spec.id));
        let lines = if is_held { &mut kept } else { &mut refused };
        let alike = Alike { account, lifetime: spec.lifetime, renew_before: spec.renew_before };
        lines.entry(alike).or_default().push((spec, slack));
    }
    Judged { refused: told(&refused), held: told(&kept) }
}

/// Judges a desired state by the last good one of the store.
///
/// # Errors
/// When the store fails.
pub(crate) fn judged_by_store(desired: &Desired, store: &Store) -> Result<Judged, StoreError> {
    if thin(desired).is_empty() {
        return Ok(Judged::default());
    }
    Ok(judged(desired, &held(store)?))
}

/// The channels of the last good desired state that have too little slack.
///
/// # Errors
/// When the store fails.
pub(crate) fn held(store: &Store) -> Result<Channels, StoreError> {
    let Lives { request_timeout, channels } = store.lives()?;
    let is_thin = |life: &ChannelLife| {
        slack_of(life.lifetime, life.renew_before, &life.account, request_timeout).is_thin()
    };
    let thin = channels.into_iter().filter(is_thin);
    Ok(thin.map(|life| (life.account, life.id)).collect())
}

fn thin(desired: &Desired) -> Vec<(&AccountName, &Spec, Slack)> {
    let mut thin = Vec::new();
    for (account, held) in &desired.accounts {
        // Most channels of an account ask for the same life.
        let mut known = BTreeMap::new();
        for spec in held.specs.values() {
            let slack = *known
                .entry((spec.lifetime, spec.renew_before))
                .or_insert_with(|| slack(spec, account, desired.settings.request_timeout));
            if slack.is_thin() {
                thin.push((account, &**spec, slack));
            }
        }
    }
    thin
}

/// Channels with the same slack.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Alike<'a> {
    account: &'a AccountName,
    lifetime: Duration,
    renew_before: Option<Duration>,
}

fn told(groups: &BTreeMap<Alike<'_>, Vec<(&Spec, Slack)>>) -> Vec<String> {
    let line = |(alike, channels): (&Alike<'_>, &Vec<(&Spec, Slack)>)| {
        let Alike { account, lifetime, renew_before: _ } = alike;
        let (first, slack) = channels.iter().min_by_key(|(spec, _)| &spec.name)?;
        let place = first.declared.channel().map(|place| format!("{place}: "));
        let failures =
            if slack.failed_passes == 0 { "not fail even once" } else { "fail only once" };
        Some(format!(
            "{}{} of account {account}, as {}: {} of life, renewed with {} left, so that a renewal \
             may {failures} (give a longer lifetime or renew_before)",
            place.unwrap_or_default(),
            counted(channels.len(), "channel"),
            first.name,
            brief(*lifetime),
            brief(slack.margin),
        ))
    };
    groups.iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Surroundings, load};

    fn desired(channels: &str) -> Desired {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let account = "[accounts.acme]\ndata_center = \"eu\"\nclient_id = \"c\"\nclient_secret = \"s\"\n\
                       refresh_token = \"r\"\n[accounts.acme.channel_defaults]\nnotify_url = \"https://h.example\"\n";
        std::fs::write(&path, format!("{account}{channels}")).unwrap();
        let loaded = load(&path, &Surroundings::of_process());
        loaded.desired.unwrap_or_else(|| panic!("{:?}", loaded.problems))
    }

    fn channel(name: &str, life: &str) -> String {
        format!("[[channels]]\nname = \"{name}\"\nevents = [\"Deals.all\"]\n{life}\n")
    }

    const THIN: &str = "lifetime = \"5m\"\nrenew_before = \"38s\"";

    #[test]
    fn it_is_said_how_often_a_renewal_may_fail() {
        let once = "lifetime = \"5m\"\nrenew_before = \"65s\"";
        let store = Store::temporary().unwrap();
        for (life, may) in [(THIN, "not fail even once"), (once, "fail only once")] {
            let judged = judged_by_store(&desired(&channel("a", life)), &store).unwrap();
            assert!(judged.refused[0].contains(&format!("may {may} ")), "{judged:?}");
        }
    }

    #[tokio::test]
    async fn too_little_slack_is_refused_at_first_and_held_where_the_store_has_it() {
        let wanted = desired(&(channel("a", THIN) + &channel("b", THIN) + &channel("c", "")));
        let store = Store::temporary().unwrap();
        let first = judged_by_store(&wanted, &store).unwrap();
        assert_eq!((first.refused.len(), first.held.len()), (1, 0), "{first:?}");
        assert!(
            first.refused[0].contains("2 channels of account acme, as a: 5m of life"),
            "{first:?}"
        );
        assert!(first.refused[0].contains("config.toml:9: "), "{first:?}");

        store.keep_desired(&desired(&(channel("a", THIN) + &channel("b", "")))).await.unwrap();
        let then = judged_by_store(&wanted, &store).unwrap();
        assert!(then.held[0].contains("1 channel of account acme, as a"), "{then:?}");
        assert!(then.refused[0].contains("1 channel of account acme, as b"), "{then:?}");

        store.keep_desired(&wanted).await.unwrap();
        let all = judged_by_store(&wanted, &store).unwrap();
        assert!(all.refused.is_empty() && all.held[0].contains("2 channels"), "{all:?}");
    }
}
