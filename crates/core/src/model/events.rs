//! Which operations of which modules a channel covers.
//!
//! Zoho writes an event as `{Module_API_Name}.{create|edit|delete|all}`. `.all` is short for the
//! three others and does not come back: a GET lists `Deals.edit`, `Deals.create`, `Deals.delete`
//! for what was enabled as `Deals.all` (v7 *Get Notification Details*). So a set is always kept
//! expanded, and only its way out is shortened.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The changes of a record that can notify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// `create`; a delivery calls it `insert`.
    Create,
    /// `edit`; a delivery calls it `update`.
    Edit,
    /// `delete`.
    Delete,
}

impl Operation {
    /// All three.
    pub const ALL: [Operation; 3] = [Operation::Create, Operation::Edit, Operation::Delete];

    /// The word for it in an event.
    pub const fn as_str(self) -> &'static str {
        match self {
            Operation::Create => "create",
            Operation::Edit => "edit",
            Operation::Delete => "delete",
        }
    }

    /// As a delivery names it (captured v7 traffic).
    pub const fn delivered_as(self) -> &'static str {
        match self {
            Operation::Create => "insert",
            Operation::Edit => "update",
            Operation::Delete => "delete",
        }
    }

    /// The operation that a delivery names so. Nobody has recorded Recruit's word, so those of
    /// events are read as well.
    pub fn delivered(word: &str) -> Option<Operation> {
        let mut all = Operation::ALL.into_iter();
        all.find(|known| known.delivered_as() == word || known.as_str() == word)
    }

    const fn bit(self) -> u8 {
        match self {
            Operation::Create => 1,
            Operation::Edit => 2,
            Operation::Delete => 4,
        }
    }
}

/// A set of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Operations(u8);

impl Operations {
    /// All three.
    pub const ALL: Operations = Operations(7);

    /// Returns whether it holds none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns whether it holds this one.
    pub const fn contains(self, operation: Operation) -> bool {
        self.0 & operation.bit() != 0
    }

    /// The set with this one added.
    #[must_use]
    pub const fn with(self, operation: Operation) -> Operations {
        Operations(self.0 | operation.bit())
    }

    /// The operations that are in either.
    #[must_use]
    pub const fn union(self, other: Operations) -> Operations {
        Operations(self.0 | other.0)
    }

    /// The operations that are in this and not in the other.
    #[must_use]
    pub const fn minus(self, other: Operations) -> Operations {
        Operations(self.0 & !other.0)
    }

    /// In the order create, edit, delete.
    pub fn iter(self) -> impl Iterator<Item = Operation> {
        Operation::ALL.into_iter().filter(move |operation| self.contains(*operation))
    }
}

/// Operations by module: never holds a module with no operation. A channel has one module or a few,
/// so they are a sorted list: a tree has room for eleven. Clones share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Events(Arc<[(Arc<str>, Operations)]>);

/// The reason why a text is no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadEvent {
    /// There is no dot, or nothing on one side of it.
    #[error("an event is written Module.operation, as in \"Deals.create\"")]
    Shape,
    /// The text behind the dot is no operation.
    #[error("\"{0}\" is no operation (one of create, edit, delete, all)")]
    Operation(String),
    /// The text before the dot cannot be a module's API name.
    #[error(
        "\"{0}\" is no module API name (letters, digits and underscores, as in \"Sales_Orders\")"
    )]
    Module(String),
}

impl Events {
    /// One event as it is written in the config and on the wire.
    pub fn parse(text: &str) -> Result<(&str, Operations), BadEvent> {
        let (module, operation) = text.rsplit_once('.').ok_or(BadEvent::Shape)?;
        if module.is_empty() || operation.is_empty() {
            return Err(BadEvent::Shape);
        }
        if !module.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(BadEvent::Module(module.to_owned()));
        }
        let operations = match operation {
            "all" => Operations::ALL,
            "create" => Operations::default().with(Operation::Create),
            "edit" => Operations::default().with(Operation::Edit),
            "delete" => Operations::default().with(Operation::Delete),
            other => return Err(BadEvent::Operation(other.to_owned())),
        };
        Ok((module, operations))
    }

    /// Adds operations of a module.
    pub fn insert(&mut self, module: impl AsRef<str> + Into<Arc<str>>, operations: Operations) {
        if operations.is_empty() {
            return;
        }
        match self.place(module.as_ref()) {
            Ok(at) => {
                let held = &mut Arc::make_mut(&mut self.0)[at].1;
                *held = held.union(operations);
            }
            Err(at) => {
                let (before, after) = self.0.split_at(at);
                let new = std::iter::once((module.into(), operations));
                self.0 = before.iter().cloned().chain(new).chain(after.iter().cloned()).collect();
            }
        }
    }

    /// Where a module is, or belongs.
    fn place(&self, module: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(held, _)| (**held).cmp(module))
    }

    /// Returns whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many single (module, operation) pairs it holds.
    pub fn len(&self) -> usize {
        self.iter().map(|(_, operations)| operations.iter().count()).sum()
    }

    /// The events that are in this and not in the other.
    #[must_use]
    pub fn minus(&self, other: &Events) -> Events {
        let mut left = Events::default();
        for (module, operations) in &*self.0 {
            left.insert(module.clone(), operations.minus(other.of(module)));
        }
        left
    }

    /// The events that are in either.
    #[must_use]
    pub fn plus(&self, other: &Events) -> Events {
        let mut both = self.clone();
        for (module, operations) in &*other.0 {
            both.insert(module.clone(), *operations);
        }
        both
    }

    /// The operations of one module.
    pub fn of(&self, module: &str) -> Operations {
        self.place(module).map(|at| self.0[at].1).unwrap_or_default()
    }

    /// The name of a module that it holds, shared.
    pub(super) fn module(&self, module: &str) -> Option<Arc<str>> {
        Some(self.0[self.place(module).ok()?].0.clone())
    }

    /// Modules with their operations, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Operations)> {
        self.0.iter().map(|(module, operations)| (&**module, *operations))
    }

    /// The events as they go out, `.all` for all three: `["Contacts.create", "Deals.all"]`.
    pub fn to_wire(&self) -> Vec<String> {
        let mut texts = Vec::with_capacity(self.len());
        let event = |module: &str, word: &str| [module, ".", word].concat();
        for (module, operations) in &*self.0 {
            if *operations == Operations::ALL {
                texts.push(event(module, "all"));
            } else {
                texts.extend(operations.iter().map(|operation| event(module, operation.as_str())));
            }
        }
        texts
    }
}

impl<'a> FromIterator<&'a str> for Events {
    /// From well-formed events; anything else is passed over. For tests and examples: the config
    /// and the wire parse with [`Events::parse`] and report what they refuse.
    fn from_iter<I: IntoIterator<Item = &'a str>>(texts: I) -> Events {
        let mut events = Events::default();
        for (module, operations) in texts.into_iter().filter_map(|text| Events::parse(text).ok()) {
            events.insert(module, operations);
        }
        events
    }
}

impl Serialize for Events {
    /// As they go out: `["Deals.all"]`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_wire().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Events {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Events, D::Error> {
        let mut events = Events::default();
        for Event(text) in Vec::deserialize(deserializer)? {
            let (module, operations) = Events::parse(&text).map_err(serde::de::Error::custom)?;
            events.insert(module, operations);
        }
        Ok(events)
    }
}

/// An event as it is written, not copied where it stands as it is.
#[derive(Deserialize)]
struct Event<'a>(#[serde(borrow)] Cow<'a, str>);

impl fmt::Display for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_wire().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_the_three_others() {
        let all: Events = ["Deals.all"].into_iter().collect();
        let three: Events = ["Deals.edit", "Deals.create", "Deals.delete"].into_iter().collect();
        assert_eq!(all, three);
        assert_eq!(three.to_wire(), ["Deals.all"]);
        assert_eq!(all.len(), 3);
    }

    #[test]
    fn minus_names_what_is_missing() {
        let wanted: Events = ["Deals.all", "Contacts.create"].into_iter().collect();
        let seen: Events = ["Deals.create", "Leads.edit"].into_iter().collect();
        assert_eq!(wanted.minus(&seen).to_string(), "Contacts.create, Deals.edit, Deals.delete");
        assert_eq!(seen.minus(&wanted).to_string(), "Leads.edit");
        assert!(wanted.minus(&wanted).is_empty());
    }

    #[test]
    fn what_is_no_event_says_why() {
        assert_eq!(Events::parse("Deals"), Err(BadEvent::Shape));
        assert_eq!(Events::parse(".create"), Err(BadEvent::Shape));
        assert_eq!(Events::parse("Deals.update"), Err(BadEvent::Operation("update".into())));
        assert_eq!(
            Events::parse("Price Books.create"),
            Err(BadEvent::Module("Price Books".into()))
        );
    }
}
