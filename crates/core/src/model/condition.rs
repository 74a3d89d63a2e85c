//! `notification_condition`: notify only when one of some fields changed (v6 and later).
//!
//! Zoho writes a condition as a tree whose groups hold at most two entries and which names at most
//! ten fields in all (v7 *Enable Notifications*). A declaration is flatter than that: one module,
//! some fields, any or all of them. The tree is built on the way out and flattened on the way in,
//! by `zoho::wire`; a tree that mixes operators cannot be said here and is kept as
//! [`Seen::Opaque`], which differs from every declared condition.

use std::collections::BTreeSet;

/// How the fields of a condition go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Match {
    /// Any one of them changed (`or`).
    Any,
    /// All of them changed (`and`).
    All,
}

impl Match {
    /// Zoho's `group_operator`.
    pub const fn as_wire(self) -> &'static str {
        match self {
            Match::Any => "or",
            Match::All => "and",
        }
    }
}

/// One condition, on one module.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Condition {
    /// The module's API name.
    pub module: String,
    /// Any or all of the fields.
    pub matching: Match,
    /// The fields' API names, at least one, at most [`FIELDS_MAX`] over all conditions of a
    /// channel.
    pub fields: BTreeSet<String>,
}

impl Condition {
    /// As one line: `Deals: any of Amount, Stage`.
    pub fn describe(&self) -> String {
        let word = match self.matching {
            Match::Any => "any",
            Match::All => "all",
        };
        let fields: Vec<&str> = self.fields.iter().map(String::as_str).collect();
        format!("{}: {word} of {}", self.module, fields.join(", "))
    }

    /// With one field, any and all are the same: then it is `any`, so that both spellings compare
    /// equal.
    #[must_use]
    pub fn normal(mut self) -> Condition {
        if self.fields.len() < 2 {
            self.matching = Match::Any;
        }
        self
    }
}

/// The conditions as a row of Zoho's list shows them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Seen {
    /// The version does not speak of conditions.
    Unsaid,
    /// These, sorted; none when the key is null.
    Known(Vec<Condition>),
    /// A tree that cannot be declared here.
    Opaque,
}

/// The most fields in all conditions of a channel (v7 *Enable Notifications*).
pub const FIELDS_MAX: usize = 10;
/// The most conditions of a channel (zoho/crm-oas, v8.0).
pub const CONDITIONS_MAX: usize = 2;
