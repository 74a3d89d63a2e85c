//! One element of `watch` in a request, read and checked.
//!
//! A fault is said as Zoho says it: `MANDATORY_NOT_FOUND` or `INVALID_DATA` with `api_name` and a
//! `json_path` such as `$.watch[1].channel_id`. A key that is `null` counts as left out. A key that
//! the version does not know is passed over.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::channel::parse_id;
use super::condition;
use super::expiry;
use super::knobs::{PastMaximum, UndocumentedKeys};
use super::operation::Write;
use super::reply::{INVALID, MISSING, about, error, invalid};
use crate::model::events::Events;

/// The request of one item.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    pub(crate) channel_id: i64,
    pub(crate) events: Option<Events>,
    pub(crate) notify_url: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) expiry: Option<Timestamp>,
    pub(crate) related: Option<bool>,
    pub(crate) affected_values: Option<bool>,
    pub(crate) condition: Option<Value>,
    pub(crate) delete_events: bool,
}

/// One item under the reader's eye.
pub(crate) struct WriteItem<'a> {
    pub(crate) value: &'a Value,
    pub(crate) index: usize,
    pub(crate) write: &'a Write<'a>,
}

impl WriteItem<'_> {
    /// Reads every key, and insists on those that are mandatory.
    pub(crate) fn read(&self, mandatory: &[&str]) -> Result<Asked, Value> {
        if !self.value.is_object() {
            let path = format!("$.watch[{}]", self.index);
            return Err(invalid("watch", &path, "expected_data_type", &json!("jsonobject")));
        }
        for name in mandatory {
            if self.key(name).is_none() {
                return Err(error("MANDATORY_NOT_FOUND", MISSING, &about(name, &self.path(name))));
            }
        }
        let limits = self.write.product.limits(self.write.version);
        for (name, is_known) in [
            ("notify_on_related_action", limits.related_actions),
            ("return_affected_field_values", limits.affected_values),
            ("notification_condition", limits.conditions),
        ] {
            let is_refused = self.write.knobs.undocumented_keys == UndocumentedKeys::Refused;
            if is_refused && !is_known && self.key(name).is_some() {
                return Err(error("INVALID_DATA", INVALID, &about(name, &self.path(name))));
            }
        }
        Ok(Asked {
            channel_id: self.channel_id()?,
            events: self.events()?,
            notify_url: self.text("notify_url", self.write.knobs.notify_url_max)?,
            token: self.text("token", self.write.knobs.token_max)?,
            expiry: self.expiry()?,
            related: self.flag("notify_on_related_action")?.filter(|_| limits.related_actions),
            affected_values: self
                .flag("return_affected_field_values")?
                .filter(|_| limits.affected_values),
            condition: if limits.conditions { self.condition()? } else { None },
            delete_events: self.deletes_events()?,
        })
    }

    /// True when it is a PATCH that takes events away.
    pub(crate) fn deletes_events(&self) -> Result<bool, Value> {
        Ok(self.flag("_delete_events")?.unwrap_or(false))
    }

    /// The value of a key that is neither absent nor null.
    pub(crate) fn key(&self, name: &str) -> Option<&Value> {
        self.value.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn path(&self, name: &str) -> String {
        format!("$.watch[{}].{name}", self.index)
    }

    fn channel_id(&self) -> Result<i64, Value> {
        let Some(value) = self.key("channel_id") else {
            return Err(error(
                "MANDATORY_NOT_FOUND",
                MISSING,
                &about("channel_id", &self.path("channel_id")),
            ));
        };
        parse_id(value).ok_or_else(|| self.mistyped("channel_id", "long"))
    }

    fn events(&self) -> Result<Option<Events>, Value> {
        let Some(value) = self.key("events") else { return Ok(None) };
        let list = value.as_array().ok_or_else(|| self.mistyped("events", "jsonarray"))?;
        let mut events = Events::default();
        for (at, event) in list.iter().enumerate() {
            let path = format!("{}[{at}]", self.path("events"));
            let (module, operations) = event
                .as_str()
                .and_then(|text| Events::parse(text).ok())
                .filter(|(module, _)| self.write.knobs.watches(self.write.product, module))
                .ok_or_else(|| error("INVALID_DATA", INVALID, &about("events", &path)))?;
            events.insert(module, operations);
        }
        if events.is_empty() {
            return Err(error("INVALID_DATA", INVALID, &about("events", &self.path("events"))));
        }
        Ok(Some(events))
    }

    fn text(&self, name: &str, max: usize) -> Result<Option<String>, Value> {
        let Some(value) = self.key(name) else { return Ok(None) };
        let text = value.as_str().ok_or_else(|| self.mistyped(name, "text"))?;
        if text.is_empty() {
            return Err(self.mistyped(name, "text"));
        }
        if text.chars().count() > max {
            return Err(invalid(name, &self.path(name), "maximum_length", &json!(max)));
        }
        if name == "notify_url" && !(text.starts_with("https://") || text.starts_with("http://")) {
            return Err(invalid(name, &self.path(name), "regex", &json!("https?://.+")));
        }
        Ok(Some(text.to_owned()))
    }

    fn expiry(&self) -> Result<Option<Timestamp>, Value> {
        let Some(value) = self.key("channel_expiry") else { return Ok(None) };
        let parsed = value
            .as_str()
            .and_then(|text| expiry::parse(text, self.write.knobs, self.write.now).ok());
        let asked = parsed.ok_or_else(|| self.mistyped("channel_expiry", "datetime"))?;
        match self.write.refused_from(PastMaximum::Refused) {
            Some(latest) if asked > latest => {
                let (path, latest) = (self.path("channel_expiry"), self.write.knobs.echo(latest));
                Err(invalid("channel_expiry", &path, "maximum_value", &json!(latest)))
            }
            Some(_) | None => Ok(Some(asked)),
        }
    }

    /// True when the whole call is refused for the sake of this channel's expiry.
    pub(crate) fn refuses_all(&self) -> bool {
        let text = self.key("channel_expiry").and_then(Value::as_str);
        let asked = text.and_then(|text| text.parse::<Timestamp>().ok());
        let latest = self.write.refused_from(PastMaximum::RefusedWhole);
        asked.zip(latest).is_some_and(|(asked, latest)| asked > latest)
    }

    fn condition(&self) -> Result<Option<Value>, Value> {
        let Some(value) = self.key("notification_condition") else { return Ok(None) };
        let path = self.path("notification_condition");
        condition::checked(value, &path, self.write.knobs.condition_ids)
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, Value> {
        let Some(value) = self.key(name) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.mistyped(name, "boolean"))
    }

    fn mistyped(&self, name: &str, expected: &str) -> Value {
        invalid(name, &self.path(name), "expected_data_type", &json!(expected))
    }
}
