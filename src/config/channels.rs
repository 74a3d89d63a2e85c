//! The channels: each checked against its account and made into a spec.

use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use super::accounts::{AccountFrame, Frames, LIFETIME, LIFETIME_MIN};
use super::check::Check;
use super::given::Given;
use super::modules;
use super::near::{nearest, suggestion};
use super::proof::Proof;
use super::raw::Channel;
use super::source::{At, Place};
use super::values;
use crate::model::backfill::BackfillRule;
use crate::model::channel::{BadName, ChannelId, ChannelName, NotifyUrl, Spec};
use crate::model::events::{BadEvent, Events};
use crate::model::product::Product;
use crate::model::rotation::Rotation;
use crate::model::secret::Secret;
use crate::model::version::DAY;

/// A URL whose query says who keeps the channel. An owner is made of letters that need no encoding.
/// A URL that says so already, as `import` prints it, stays as it is.
fn marked(url: &str, owner: &str) -> String {
    if NotifyUrl::new(url).mark() == Some(owner) {
        return url.to_owned();
    }
    let (place, fragment) = url.split_at(url.find('#').unwrap_or(url.len()));
    let joint = match place.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    format!("{place}{joint}channelkeeper={owner}{fragment}")
}

impl Frames {
    /// Checks a channel and gives it to its account.
    pub(super) fn add(&mut self, channel: At<Channel>, owner: &str, check: &mut Check<'_>) {
        let channel = channel.value;
        let name = self.claim_name(&channel, check);
        let account = self.account_of(&channel, check);
        let Some(frame) = account.and_then(|account| self.by_name.get_mut(&account)) else {
            let mut stand_in = AccountFrame::stand_in(channel.place);
            stand_in.spec(&channel, name.as_ref(), owner, check);
            return;
        };
        frame.has_channels = true;
        let spec = frame.spec(&channel, name.as_ref(), owner, check);
        frame.claim_id(&channel, spec, check);
    }

    fn claim_name(&mut self, channel: &Channel, check: &mut Check<'_>) -> Option<ChannelName> {
        let at = channel.name.good()?;
        let Ok(name) = at.value.parse::<ChannelName>() else {
            let message = format!("\"{}\" is no name for a channel", at.value.escape_debug());
            check.problem(at.place, message, BadName.to_string());
            return None;
        };
        if let Some(first) = self.names.get(&at.value) {
            let message = format!("channel \"{name}\" is declared twice");
            check.problem(
                at.place,
                message,
                format!("the other one is at {}", check.locate(*first)),
            );
            return None;
        }
        self.names.insert(at.value.clone(), at.place);
        Some(name)
    }

    /// The account that is named, or the only one.
    fn account_of(&self, channel: &Channel, check: &mut Check<'_>) -> Option<String> {
        let known: Vec<&str> = self.by_name.keys().map(String::as_str).take(LISTED_MAX).collect();
        if channel.account.is_absent() {
            if let [only] = known[..] {
                return Some(only.to_owned());
            }
            if !self.are_all {
                return None;
            }
            let help = match known[..] {
                [] => "declare one with [accounts.NAME]".to_owned(),
                _ => format!("add account = \"...\": one of {}", known.join(", ")),
            };
            check.problem(channel.place, "this channel does not say whose it is", help);
            return None;
        }
        let at = channel.account.good()?;
        if self.by_name.contains_key(&at.value) {
            return Some(at.value.clone());
        }
        let help = match nearest(&at.value, &known) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if !self.are_all => return None,
            None => "declare it with [accounts.NAME]".to_owned(),
        };
        check.problem(at.place, format!("unknown account \"{}\"", at.value.escape_debug()), help);
        None
    }
}

impl AccountFrame {
    fn spec(
        &mut self,
        channel: &Channel,
        name: Option<&ChannelName>,
        owner: &str,
        check: &mut Check<'_>,
    ) -> Option<Spec> {
        let events = self.shared(events(&channel.events, self.api.product, check));
        let notify_url = self.notify_url(channel, owner, check);
        let (lifetime, renew_before) = self.life(channel, check);
        let (token, rotation) = self.token(channel, lifetime, check);
        let conditions = self.conditions(channel, &events, check);
        let return_affected_field_values = self.affected_values(channel, check);
        let related = self.related_actions(channel, check);
        let mode = channel
            .mode
            .value()
            .or(self.defaults.mode.value())
            .copied()
            .unwrap_or(self.policy.mode);
        let id = id(&channel.id, check);
        let written = channel.events.good().map_or(&[][..], |at| &at.value);
        let declared = check.declared(channel.place, written, &events);
        let name = name?.clone();
        Some(Spec {
            id: id.unwrap_or_else(|| ChannelId::derived(owner, &self.name, &name)),
            name,
            declared,
            events,
            notify_url: notify_url?,
            token,
            rotation,
            lifetime,
            renew_before,
            notify_on_related_action: related,
            return_affected_field_values,
            conditions,
            mode: mode.min(self.policy.mode),
            backfill: self.rule(channel),
        })
    }

    /// The same events as another channel has, once.
    fn shared(&mut self, events: Events) -> Events {
        if let Some(same) = self.events.get(&events) {
            return same.clone();
        }
        self.events.insert(events.clone());
        events
    }

    /// How its missed events are handed over.
    fn rule(&self, channel: &Channel) -> Option<BackfillRule> {
        let (backfill, of_account) = &self.backfill;
        let own = channel.backfill.value().or(self.defaults.backfill.value()).copied();
        backfill.rule(own.or(*of_account), self.policy.credits_per_day)
    }

    fn claim_id(&mut self, channel: &Channel, spec: Option<Spec>, check: &mut Check<'_>) {
        let Some(spec) = spec else {
            return;
        };
        match self.ids.entry(spec.id) {
            Entry::Occupied(first) => {
                let message =
                    format!("two channels of account \"{}\" have the id {}", self.name, spec.id);
                let other = check.locate(*first.get());
                let place = channel.id.good().map_or(channel.place, |at| at.place);
                check.problem(
                    place,
                    message,
                    format!("the other one is at {other}; give one of them another id"),
                );
            }
            Entry::Vacant(free) => {
                free.insert(channel.place);
                self.desired.specs.insert(spec.id, Arc::new(spec));
            }
        }
    }

    /// Where to deliver to, with the mark of its owner if there is to be one.
    fn notify_url(
        &mut self,
        channel: &Channel,
        owner: &str,
        check: &mut Check<'_>,
    ) -> Option<NotifyUrl> {
        let is_absent = channel.notify_url.is_absent() && self.defaults.notify_url.is_absent();
        if is_absent && self.is_declared {
            let help = format!("add it here or to [accounts.{}.channel_defaults]", self.name);
            check.problem(channel.place, "this channel has no \"notify_url\"", help);
        }
        if channel.notify_url == Given::Bad {
            return None;
        }
        let at = channel.notify_url.good().or(self.defaults.notify_url.good())?;
        let is_marked = channel
            .mark_owner
            .value()
            .or(self.defaults.mark_owner.value())
            .copied()
            .unwrap_or_default();
        let url = if is_marked { marked(&at.value, owner) } else { at.value.clone() };
        if let Some(last) = self.last_url.as_ref().filter(|last| last.full() == url) {
            return Some(last.clone());
        }
        match values::notify_url(&url) {
            Ok(()) => {
                self.last_url = Some(NotifyUrl::new(&url));
                self.last_url.clone()
            }
            Err(mistake) => {
                check.problem(at.place, mistake.message, mistake.help);
                None
            }
        }
    }

    /// The life to ask for, and how much of it must be left.
    fn life(&self, channel: &Channel, check: &mut Check<'_>) -> (Duration, Option<Duration>) {
        let given = channel.lifetime.good().or(self.lifetime.as_ref());
        let lifetime = given.map_or(LIFETIME, |at| at.value);
        let at = given.map_or(self.place, |at| at.place);
        let most = self.policy.lifetime_max;
        if lifetime < LIFETIME_MIN {
            check.problem(at, "a lifetime that is too short", "at least \"5m\"");
        } else if lifetime > most {
            let text = values::short(lifetime);
            let most = values::short(most);
            let message = format!(
                "a lifetime of {text} is more than the {most} that {} grants here",
                self.api
            );
            check.problem(
                at,
                message,
                format!(
                    "write \"{most}\" or less: Zoho would not refuse it, but silently give {}",
                    values::short(self.api.product.traits().default_lifetime)
                ),
            );
        }
        let renew = channel.renew_before.good().or(self.renew_before.as_ref());
        if let Some(before) = renew {
            // When two keys disagree, the one nearer to the channel is the one to mend.
            let own_life = channel.lifetime.good().filter(|_| channel.renew_before.is_absent());
            check_share(
                before.value,
                lifetime,
                own_life.map_or(before.place, |at| at.place),
                check,
            );
        }
        (lifetime, renew.map(|at| at.value))
    }

    /// The token, or how it is made.
    fn token(
        &self,
        channel: &Channel,
        lifetime: Duration,
        check: &mut Check<'_>,
    ) -> (Option<Secret>, Option<Rotation>) {
        let own = Proof::read(&channel.token, &channel.token_key, check);
        let key = match own.or_else(|| self.proof.clone()) {
            Some(Proof::Key(key)) => key,
            given => {
                if let Some(at) = channel.token_rotate.good() {
                    check.problem(
                        at.place,
                        "this channel's token does not rotate",
                        "token_rotate goes with token_key",
                    );
                }
                return (given.and_then(Proof::into_token), None);
            }
        };
        let rotate = channel.token_rotate.good().or(self.defaults.token_rotate.good());
        let every = rotate.map_or(ROTATE, |at| at.value);
        let least = lifetime.saturating_mul(2).max(DAY);
        if every < least || every > ROTATE_MAX {
            let (every, life) = (values::short(every), values::short(lifetime));
            let message = format!("token_rotate of {every} does not go with a lifetime of {life}");
            let (least, most) = (values::short(least), values::short(ROTATE_MAX));
            let help = format!(
                "from \"{least}\" to \"{most}\": at least a day and two lifetimes, so that no channel carries a token that receivers \
                 have ceased to accept"
            );
            check.problem(rotate.map_or(channel.place, |at| at.place), message, help);
        }
        (None, Some(Rotation::new(key, every)))
    }

    fn related_actions(&self, channel: &Channel, check: &mut Check<'_>) -> bool {
        let given = channel
            .notify_on_related_action
            .good()
            .or(self.defaults.notify_on_related_action.good());
        let Some(at) = given else { return true };
        if !self.api.limits().related_actions {
            let message = format!("{} does not know notify_on_related_action", self.api);
            check.problem(at.place, message, self.api.without("leave it out"));
        }
        at.value
    }

    fn affected_values(&self, channel: &Channel, check: &mut Check<'_>) -> bool {
        let given = channel
            .return_affected_field_values
            .good()
            .or(self.defaults.return_affected_field_values.good());
        let Some(at) = given else { return false };
        if at.value && !self.api.limits().affected_values {
            let message = format!("{} does not know return_affected_field_values", self.api);
            let help = self.api.without("it came with v3: raise api_version, or leave it out");
            check.problem(at.place, message, help);
        }
        at.value
    }
}

fn events(given: &Given<Vec<At<String>>>, product: Product, check: &mut Check<'_>) -> Events {
    let mut events = Events::default();
    let Some(list) = given.good() else { return events };
    if list.value.is_empty() {
        check.problem(list.place, "a channel without events", "add one, as in \"Deals.all\"");
    }
    if list.value.len() > EVENTS_MAX {
        let message = format!("{} events, Zoho takes {EVENTS_MAX} at most", list.value.len());
        check.problem(
            list.place,
            message,
            "write \".all\" for create, edit and delete, or make two channels of it",
        );
    }
    for at in &list.value {
        match Events::parse(&at.value) {
            Ok(_) if at.value.len() > EVENT_LENGTH_MAX => {
                let message = format!("this event is longer than {EVENT_LENGTH_MAX} characters");
                check.problem(at.place, message, "use the module's API name");
            }
            Ok((module, operations)) => {
                warn_of_near_miss(module, product, at.place, check);
                events.insert(module, operations);
            }
            Err(error) => {
                let (message, help) = event_mistake(&error);
                check.problem(at.place, message, help);
            }
        }
    }
    events
}

/// A module of one's own may have any name, so one that is not Zoho's is no mistake by itself.
fn warn_of_near_miss(module: &str, product: Product, place: Place, check: &mut Check<'_>) {
    if let Some(meant) = modules::meant(module, product) {
        let title = product.traits().title;
        let message = format!("\"{}\" is no standard module of {title}", module.escape_debug());
        check.notes.warning(place, message, format!("did you mean {meant}?"));
    }
}

fn event_mistake(error: &BadEvent) -> (String, String) {
    match error {
        BadEvent::Operation(operation) => {
            let help = match operation.as_str() {
                "update" | "change" | "modify" => "write \"edit\"".to_owned(),
                "insert" | "add" | "new" => "write \"create\"".to_owned(),
                "remove" => "write \"delete\"".to_owned(),
                other => suggestion(other, &["create", "edit", "delete", "all"]),
            };
            (format!("\"{}\" is no operation", operation.escape_debug()), help)
        }
        BadEvent::Shape => (
            "this is no event".to_owned(),
            "write Module.operation, as in \"Deals.create\"".to_owned(),
        ),
        BadEvent::Module(module) => {
            let help = "letters, digits and underscores, as in \"Sales_Orders\"";
            (format!("\"{}\" is no module API name", module.escape_debug()), help.to_owned())
        }
    }
}

fn id(given: &Given<String>, check: &mut Check<'_>) -> Option<ChannelId> {
    let at = given.good()?;
    match at.value.parse() {
        Ok(id) => Some(id),
        Err(error) => {
            let error: crate::model::channel::BadChannelId = error;
            check.problem(at.place, "a bad channel id", error.to_string());
            None
        }
    }
}

fn check_share(before: Duration, lifetime: Duration, place: Place, check: &mut Check<'_>) {
    let (least, most) = (lifetime / 8, lifetime / 4 * 3);
    if before >= least && before <= most {
        return;
    }
    let (before, life) = (values::short(before), values::short(lifetime));
    let message = format!("renew_before of {before} does not go with a lifetime of {life}");
    let (least, most) = (values::short(least), values::short(most));
    check.problem(
        place,
        message,
        format!("from one eighth to three quarters of it: {least} to {most}"),
    );
}

/// How long one derived token is written unless the config says otherwise, and at most.
const ROTATE: Duration = Duration::from_secs(30 * 86_400);
const ROTATE_MAX: Duration = Duration::from_secs(366 * 86_400);
const EVENTS_MAX: usize = 50;
const EVENT_LENGTH_MAX: usize = 128;
/// Accounts that a help text lists.
const LISTED_MAX: usize = 20;
