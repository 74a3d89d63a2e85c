//! From what Zoho says of channels to declarations that say the same; pure.
//!
//! A channel is declared only when its declaration would have no drift. Everything else is left out
//! with the reason: left alone, it stays what it is, foreign and untouched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use crate::config::check_notify_url;
use crate::model::channel::{AccountName, ChannelId, ChannelName, NotifyUrl, Spec};
use crate::model::condition::{Condition, Match, Seen, Selection};
use crate::model::observed::Stranger;
use crate::model::observed::{Observed, TokenSeen};
use crate::model::oddity::Oddity;
use crate::model::record::Record;
use crate::model::secret::Fingerprint;
use crate::model::small_set::SmallSet;
use crate::model::time::Timestamp;

/// The facts that declarations are made from.
pub(super) struct ImportFound<'a> {
    pub(super) account: &'a AccountName,
    /// Part of every derived id.
    pub(super) owner: &'a str,
    pub(super) channels: &'a BTreeMap<ChannelId, Observed>,
    pub(super) strangers: &'a [Stranger],
    pub(super) records: &'a BTreeMap<ChannelId, Record>,
    /// The channels that this account already declares.
    pub(super) declared: &'a BTreeMap<ChannelId, Arc<Spec>>,
    /// The names that are taken, over all accounts.
    pub(super) names: BTreeSet<ChannelName>,
    /// `channel_defaults` of the account, if the config file has it.
    pub(super) defaults: Option<toml::Table>,
    pub(super) zoho_now: Timestamp,
}

/// The declarations.
#[derive(Debug, Serialize)]
pub(super) struct Imported {
    pub(super) account: String,
    /// For `channel_defaults`: the URL that most of them share, if the account has no defaults
    /// yet.
    pub(super) default_notify_url: Option<String>,
    pub(super) channels: Vec<Declaration>,
    pub(super) left_out: Vec<LeftOut>,
    /// How many are declared already.
    pub(super) declared_already: usize,
}

/// One channel, with what its declaration has to say.
#[derive(Debug, Serialize)]
pub(super) struct Declaration {
    #[serde(skip)]
    pub(super) channel_id: ChannelId,
    pub(super) name: String,
    /// Left out when it is the one that is derived from the name.
    pub(super) id: Option<String>,
    pub(super) events: Vec<String>,
    /// Left out when it is the default.
    pub(super) notify_url: Option<String>,
    /// The file that the reference names.
    pub(super) token_file: Option<String>,
    pub(super) notify_on_related_action: Option<bool>,
    pub(super) return_affected_field_values: Option<bool>,
    pub(super) conditions: Vec<ConditionDeclared>,
}

/// One condition.
#[derive(Debug, Serialize)]
pub(super) struct ConditionDeclared {
    pub(super) module: String,
    #[serde(flatten)]
    pub(super) group: GroupDeclared,
}

/// Fields that go together.
#[derive(Debug, Serialize)]
pub(super) struct GroupDeclared {
    /// `any_of` or `all_of`.
    pub(super) matching: &'static str,
    pub(super) fields: Vec<EntryDeclared>,
}

/// A field or a group inside a group.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum EntryDeclared {
    Field(String),
    Group(GroupDeclared),
}

/// A channel that cannot be declared.
#[derive(Debug, Serialize)]
pub(super) struct LeftOut {
    pub(super) id: String,
    pub(super) events: Vec<String>,
    pub(super) why: String,
}

/// Declares what can be declared. `token_file` says where a token is, by the first channel that has
/// it.
pub(super) fn declare(
    found: &ImportFound<'_>,
    token_file: &dyn Fn(&ChannelName) -> String,
) -> Imported {
    let mut imported = Imported {
        account: found.account.to_string(),
        default_notify_url: default_notify_url(found),
        channels: Vec::new(),
        left_out: Vec::new(),
        declared_already: 0,
    };
    let default_url = match &found.defaults {
        Some(defaults) => {
            defaults.get("notify_url").and_then(|url| url.as_str()).map(str::to_owned)
        }
        None => imported.default_notify_url.clone(),
    };
    let (mut names, mut files) = (found.names.clone(), BTreeMap::new());
    for (id, observed) in found.channels {
        if found.declared.contains_key(id) {
            imported.declared_already += 1;
            continue;
        }
        match said(found, observed) {
            Ok(said) => {
                let name = name(found, *id, observed, &names);
                names.insert(name.clone());
                let file = |token| files.entry(token).or_insert_with(|| token_file(&name)).clone();
                let token_file = said.token.map(file);
                imported.channels.push(declaration(
                    found,
                    (*id, &name),
                    observed,
                    said,
                    (token_file, &default_url),
                ));
            }
            Err(why) => {
                let (id, events) = (id.to_string(), observed.events.to_wire());
                imported.left_out.push(LeftOut { id, events, why });
            }
        }
    }
    imported.left_out.extend(found.strangers.iter().map(LeftOut::of));
    imported
}

impl LeftOut {
    fn of(stranger: &Stranger) -> LeftOut {
        let Stranger { id, events } = stranger.clone();
        let why = "its id is none that can be declared: a channel id is a whole number from 1 to \
             9223372036854775807";
        LeftOut { id, events, why: why.to_owned() }
    }
}

impl Imported {
    /// Leaves out what is refused, each with its reason.
    pub(super) fn leave_out(&mut self, refusals: &BTreeMap<ChannelId, String>) {
        let (out, kept) = std::mem::take(&mut self.channels)
            .into_iter()
            .partition(|channel: &Declaration| refusals.contains_key(&channel.channel_id));
        self.channels = kept;
        for Declaration { channel_id, events, .. } in out {
            let why = refusals.get(&channel_id).cloned().unwrap_or_default();
            self.left_out.push(LeftOut { id: channel_id.to_string(), events, why });
        }
    }
}

/// The facts that all rows of a channel agree on.
struct AgreedFacts<'a> {
    url: &'a NotifyUrl,
    token: Option<Fingerprint>,
    related: Option<bool>,
    values: Option<bool>,
    conditions: Vec<Condition>,
}

fn said<'a>(found: &ImportFound<'_>, observed: &'a Observed) -> Result<AgreedFacts<'a>, String> {
    let Observed {
        events,
        notify_urls,
        tokens,
        expiry,
        notify_on_related_action,
        return_affected_field_values,
        conditions,
        odd,
    } = observed;
    if expiry.is_some_and(|expiry| expiry <= found.zoho_now) {
        return Err("it has ended".to_owned());
    }
    if events.is_empty() || events.iter().any(|(module, _)| module.is_empty()) {
        return Err("Zoho does not say which events it covers".to_owned());
    }
    let url = only(notify_urls)
        .ok_or("its modules deliver to different URLs, or to one that is not said")?;
    check_notify_url(&url.encoded())?;
    let token = token_of(tokens)?;
    if let Some(odd) = odd.iter().next() {
        return Err(odd.why().to_owned());
    }
    let has_default =
        |key: &str| found.defaults.as_ref().is_some_and(|defaults| defaults.contains_key(key));
    if token.is_none() && has_default("token") {
        return Err(
            "it has no token, and channel_defaults of this account would give it one".to_owned()
        );
    }
    let flag = |flags: &SmallSet<bool>, key: &str| match flags.len() {
        0 => Ok(None),
        1 => Ok(only(flags).copied()),
        _ => Err(format!("its modules differ in {key}")),
    };
    Ok(AgreedFacts {
        url,
        token,
        related: flag(notify_on_related_action, "notify_on_related_action")?,
        values: flag(return_affected_field_values, "return_affected_field_values")?,
        conditions: conditions_of(conditions)?,
    })
}

fn token_of(tokens: &SmallSet<TokenSeen>) -> Result<Option<Fingerprint>, String> {
    match only(tokens) {
        Some(TokenSeen::Set(token)) => Ok(Some(*token)),
        Some(TokenSeen::Null) => Ok(None),
        Some(TokenSeen::Unsaid) => Err("Zoho does not say whether it has a token".to_owned()),
        None => Err("its modules have different tokens".to_owned()),
    }
}

fn conditions_of(conditions: &SmallSet<Seen>) -> Result<Vec<Condition>, String> {
    match only(conditions) {
        Some(Seen::Unsaid) => Ok(Vec::new()),
        Some(Seen::Known(conditions)) => Ok(conditions.clone()),
        Some(Seen::Opaque) => Err(Oddity::Condition.why().to_owned()),
        None => Err("its modules have different conditions".to_owned()),
    }
}

fn declaration(
    found: &ImportFound<'_>,
    (id, name): (ChannelId, &ChannelName),
    observed: &Observed,
    said: AgreedFacts<'_>,
    (token_file, default_url): (Option<String>, &Option<String>),
) -> Declaration {
    let AgreedFacts { url, token: _, related, values, conditions } = said;
    let is_derived = ChannelId::derived(found.owner, found.account, name) == id;
    let default = |key: &str, otherwise: bool| {
        let given = found.defaults.as_ref().and_then(|defaults| defaults.get(key)?.as_bool());
        given.unwrap_or(otherwise)
    };
    let related = related.filter(|said| *said != default("notify_on_related_action", true));
    let values = values.filter(|said| *said != default("return_affected_field_values", false));
    Declaration {
        channel_id: id,
        name: name.to_string(),
        id: (!is_derived).then(|| id.to_string()),
        events: observed.events.to_wire(),
        notify_url: Some(url.encoded()).filter(|url| default_url.as_ref() != Some(url)),
        token_file,
        notify_on_related_action: related,
        return_affected_field_values: values,
        conditions: conditions.into_iter().map(ConditionDeclared::of).collect(),
    }
}

impl ConditionDeclared {
    fn of(condition: Condition) -> ConditionDeclared {
        let Condition { module, selection } = condition;
        ConditionDeclared { module, group: GroupDeclared::of(&selection) }
    }
}

impl GroupDeclared {
    fn of(selection: &Selection) -> GroupDeclared {
        match selection {
            Selection::Field(_) => GroupDeclared {
                matching: Match::Any.as_key(),
                fields: vec![EntryDeclared::of(selection)],
            },
            Selection::Group(group) => GroupDeclared {
                matching: group.matching().as_key(),
                fields: group.entries().iter().map(EntryDeclared::of).collect(),
            },
        }
    }
}

impl EntryDeclared {
    fn of(selection: &Selection) -> EntryDeclared {
        match selection {
            Selection::Field(field) => EntryDeclared::Field(field.clone()),
            Selection::Group(_) => EntryDeclared::Group(GroupDeclared::of(selection)),
        }
    }
}

/// The name that the store remembers, else the first module with the id; with the account before it
/// where that is taken.
fn name(
    found: &ImportFound<'_>,
    id: ChannelId,
    observed: &Observed,
    taken: &BTreeSet<ChannelName>,
) -> ChannelName {
    let remembered = found.records.get(&id).map(|record| record.name.clone());
    let module = observed.events.iter().next().map_or("channel", |(module, _)| module);
    let module: String =
        module.to_ascii_lowercase().chars().filter(char::is_ascii_alphanumeric).take(30).collect();
    let made = [
        format!("{module}-{id}"),
        format!("{:.12}-{module}-{id}", found.account.as_str()),
        format!("c{id}"),
    ];
    let made = made.iter().filter_map(|name| name.parse().ok());
    let mut free = remembered.into_iter().chain(made).filter(|name| !taken.contains(name));
    // Ids are unique in their account and names of this form are nobody else's, unless somebody
    // means to be funny.
    free.next().unwrap_or_else(|| format!("x{id}").parse().expect("a letter and digits are a name"))
}

/// The URL that most of the new channels share, if two do and the account has no defaults that it
/// could get into the way of.
fn default_notify_url(found: &ImportFound<'_>) -> Option<String> {
    let mut urls: BTreeMap<&NotifyUrl, usize> = BTreeMap::new();
    let new = found.channels.iter().filter(|(id, _)| !found.declared.contains_key(id));
    for url in new.filter_map(|(_, observed)| Some(said(found, observed).ok()?.url)) {
        *urls.entry(url).or_default() += 1;
    }
    let most = urls.into_iter().filter(|(_, count)| *count > 1).max_by_key(|(_, count)| *count)?.0;
    found.defaults.is_none().then(|| most.encoded())
}

fn only<T>(said: &SmallSet<T>) -> Option<&T> {
    said.iter().next().filter(|_| said.len() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::channel::NotifyUrl;
    use crate::model::events::Events;

    fn observed(change: impl FnOnce(&mut Observed)) -> Observed {
        let mut observed = Observed {
            events: ["Deals.all", "Leads.create"].into_iter().collect::<Events>(),
            notify_urls: [NotifyUrl::new("https://hooks.example.com/zoho?key=1")].into(),
            tokens: [TokenSeen::Set(Fingerprint(1))].into(),
            expiry: Some("2026-01-02T00:00:00Z".parse().unwrap()),
            notify_on_related_action: [true].into(),
            return_affected_field_values: [false].into(),
            conditions: [Seen::Known(Vec::new())].into(),
            odd: SmallSet::default(),
        };
        change(&mut observed);
        observed
    }

    fn imported(channels: Vec<Observed>, change: impl FnOnce(&mut ImportFound<'_>)) -> Imported {
        imported_beside(&[], channels, change)
    }

    fn imported_beside(
        strangers: &[Stranger],
        channels: Vec<Observed>,
        change: impl FnOnce(&mut ImportFound<'_>),
    ) -> Imported {
        let channels = (1..).map(|id| ChannelId::new(id).unwrap()).zip(channels).collect();
        let (account, records, declared) =
            ("acme".parse().unwrap(), BTreeMap::new(), BTreeMap::new());
        let mut found = ImportFound {
            account: &account,
            owner: "channelkeeper",
            channels: &channels,
            strangers,
            records: &records,
            declared: &declared,
            names: BTreeSet::new(),
            defaults: None,
            zoho_now: "2026-01-01T00:00:00Z".parse().unwrap(),
        };
        change(&mut found);
        declare(&found, &|name| format!("secrets/{name}"))
    }

    #[test]
    fn a_url_that_several_share_is_a_default_and_a_shared_token_is_one_file() {
        let other =
            observed(|it| it.notify_urls = [NotifyUrl::new("https://other.example.com/")].into());
        let all = imported(vec![observed(|_| {}), other, observed(|_| {})], |_| {});
        assert_eq!(all.default_notify_url.as_deref(), Some("https://hooks.example.com/zoho?key=1"));
        let urls: Vec<Option<&str>> =
            all.channels.iter().map(|channel| channel.notify_url.as_deref()).collect();
        assert_eq!(urls, [None, Some("https://other.example.com/"), None]);
        assert!(
            all.channels
                .iter()
                .all(|channel| channel.token_file.as_deref() == Some("secrets/deals-1"))
        );
        assert_eq!(all.channels[0].events, ["Deals.all", "Leads.create"]);
    }

    #[test]
    fn what_cannot_be_declared_is_left_out_with_the_reason() {
        let odd = vec![
            observed(|it| it.notify_urls.extend([NotifyUrl::new("https://b.example.com/")])),
            observed(|it| it.tokens.extend([TokenSeen::Null])),
            observed(|it| it.odd = [Oddity::FieldById].into()),
            observed(|it| it.odd = [Oddity::ModuleById].into()),
            observed(|it| it.return_affected_field_values = [false, true].into()),
            observed(|it| it.notify_urls = [NotifyUrl::new("http://plain.example.com/")].into()),
            observed(|it| it.expiry = Some("2025-12-31T00:00:00Z".parse().unwrap())),
            observed(|it| it.events = Events::default()),
        ];
        let odd_ones = odd.len();
        let all = imported(odd, |_| {});
        assert_eq!((all.channels.len(), all.left_out.len()), (0, odd_ones));
        assert_eq!(all.left_out[2].why, "a condition of it names a field by id alone");
        assert_eq!(all.left_out[3].why, "a condition of it names its module by id alone");
    }

    #[test]
    fn a_channel_whose_id_cannot_be_declared_is_named() {
        let stranger = Stranger { id: "mysite".to_owned(), events: vec!["Deals.all".to_owned()] };
        let all = imported_beside(&[stranger], vec![observed(|_| {})], |_| {});
        assert_eq!((all.channels.len(), all.left_out.len()), (1, 1));
        assert_eq!(all.left_out[0].id, "mysite");
        assert!(all.left_out[0].why.starts_with("its id is none that can be declared"));
    }

    #[test]
    fn a_url_with_a_space_is_declared_percent_encoded() {
        let raw = "https://hooks.example.com/zoho?authorization=Zoho-oauthtoken 1&a=b";
        let all =
            imported(vec![observed(|it| it.notify_urls = [NotifyUrl::new(raw)].into())], |_| {});
        let declared = all.channels[0].notify_url.as_deref().unwrap();
        assert_eq!(declared, raw.replace(' ', "%20"));
        assert_eq!(NotifyUrl::new(declared), NotifyUrl::new(raw));
    }

    #[test]
    fn a_name_that_the_store_remembers_and_derives_the_id_needs_no_id() {
        let (account, name): (AccountName, ChannelName) =
            ("acme".parse().unwrap(), "deal-sync".parse().unwrap());
        let id = ChannelId::derived("channelkeeper", &account, &name);
        let record = Record::new(id, name, Fingerprint(1));
        let (records, channels) = ([(id, record)].into(), [(id, observed(|_| {}))].into());
        let all = imported(Vec::new(), |_| {});
        assert!(all.channels.is_empty());
        let found = ImportFound {
            account: &account,
            owner: "channelkeeper",
            channels: &channels,
            strangers: &[],
            records: &records,
            declared: &BTreeMap::new(),
            names: BTreeSet::new(),
            defaults: None,
            zoho_now: "2026-01-01T00:00:00Z".parse().unwrap(),
        };
        let all = declare(&found, &|name| name.to_string());
        assert_eq!((all.channels[0].name.as_str(), &all.channels[0].id), ("deal-sync", &None));
    }

    #[test]
    fn defaults_that_stand_in_the_config_are_gone_with() {
        let defaults: toml::Table =
            "notify_url = \"https://other.example.com/\"\nnotify_on_related_action = false\n\
                                     token = { env = \"X\" }"
                .parse()
                .unwrap();
        let bare = observed(|it| it.tokens = [TokenSeen::Null].into());
        let all = imported(vec![observed(|_| {}), observed(|_| {}), bare], |found| {
            found.defaults = Some(defaults)
        });
        assert_eq!((all.default_notify_url, all.left_out.len()), (None, 1));
        assert_eq!(all.channels[0].notify_on_related_action, Some(true));
        assert_eq!(
            all.channels[0].notify_url.as_deref(),
            Some("https://hooks.example.com/zoho?key=1")
        );
    }
}
