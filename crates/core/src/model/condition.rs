//! `notification_condition`: notify only when some fields changed (v6 and later).
//!
//! Zoho writes a condition as a tree whose groups hold at most two entries and which names at most
//! ten fields in all (v7 *Enable Notifications*). A declaration is flatter than that: a group holds
//! any number of entries, and one inside another has the other operator. `zoho::wire` builds the
//! tree on the way out and reads it on the way in. What it cannot understand is kept as
//! [`Seen::Opaque`], which differs from every declared condition.

use std::collections::BTreeSet;
use std::fmt;

/// How the entries of a group go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Match {
    /// Any one of them (`or`).
    Any,
    /// All of them (`and`).
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

    /// The operator of a `group_operator`, in whatever case.
    pub fn of_wire(text: &str) -> Option<Match> {
        [Match::Any, Match::All].into_iter().find(|it| it.as_wire().eq_ignore_ascii_case(text))
    }

    /// The key of the config.
    pub const fn as_key(self) -> &'static str {
        match self {
            Match::Any => "any_of",
            Match::All => "all_of",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Match::Any => "any of",
            Match::All => "all of",
        }
    }
}

/// One condition, on one module.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Condition {
    /// The module's API name.
    pub module: String,
    /// The fields that must have changed.
    pub selection: Selection,
}

/// Fields that must have changed: one, or several that go together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Selection {
    /// The API name of a field.
    Field(String),
    /// At least two entries.
    Group(Group),
}

/// Entries that go together. No entry is a group with the same operator, so that selections are
/// equal when they differ in order and brackets alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    matching: Match,
    entries: BTreeSet<Selection>,
}

impl Condition {
    /// As one line: `Deals: any of Amount, Stage`.
    pub fn describe(&self) -> String {
        let Condition { module, selection } = self;
        match selection {
            Selection::Field(field) => format!("{module}: any of {field}"),
            Selection::Group(group) => format!("{module}: {group}"),
        }
    }
}

impl Selection {
    /// Entries that go together; `None` without entries. One entry stands for itself.
    pub fn group(
        matching: Match,
        entries: impl IntoIterator<Item = Selection>,
    ) -> Option<Selection> {
        let mut flat = BTreeSet::new();
        for entry in entries {
            match entry {
                Selection::Group(group) if group.matching == matching => flat.extend(group.entries),
                Selection::Field(_) | Selection::Group(_) => drop(flat.insert(entry)),
            }
        }
        if flat.len() > 1 {
            return Some(Selection::Group(Group { matching, entries: flat }));
        }
        flat.pop_first()
    }

    /// Fields that go together; `None` without fields.
    pub fn of_fields(
        matching: Match,
        fields: impl IntoIterator<Item = String>,
    ) -> Option<Selection> {
        Selection::group(matching, fields.into_iter().map(Selection::Field))
    }

    /// How many fields it names, as Zoho counts: one that is there twice is two.
    pub fn fields(&self) -> usize {
        match self {
            Selection::Field(_) => 1,
            Selection::Group(group) => group.entries.iter().map(Selection::fields).sum(),
        }
    }
}

impl Group {
    /// How the entries go together.
    pub const fn matching(&self) -> Match {
        self.matching
    }

    /// At least two, fields first.
    pub const fn entries(&self) -> &BTreeSet<Selection> {
        &self.entries
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries.iter().map(|entry| match entry {
            Selection::Field(field) => field.clone(),
            Selection::Group(group) => format!("({group})"),
        });
        write!(f, "{} {}", self.matching.word(), entries.collect::<Vec<_>>().join(", "))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str) -> Selection {
        Selection::Field(name.to_owned())
    }

    fn any(entries: &[Selection]) -> Selection {
        Selection::group(Match::Any, entries.iter().cloned()).unwrap()
    }

    fn all(entries: &[Selection]) -> Selection {
        Selection::group(Match::All, entries.iter().cloned()).unwrap()
    }

    #[test]
    fn order_brackets_and_repetition_make_no_difference() {
        let [a, b, c] = ["A", "B", "C"].map(field);
        let flat = any(&[a.clone(), b.clone(), c.clone()]);
        assert_eq!(any(&[any(&[c.clone(), b.clone()]), a.clone(), b.clone()]), flat);
        assert_eq!(any(&[all(std::slice::from_ref(&flat)), a.clone()]), flat);
        assert_eq!(all(std::slice::from_ref(&a)), any(std::slice::from_ref(&a)));
        assert_ne!(all(&[a.clone(), any(&[b.clone(), c.clone()])]), all(&[a, b, c]));
        assert_eq!(Selection::group(Match::Any, []), None);
    }

    #[test]
    fn a_condition_is_one_line() {
        let module = "Deals".to_owned();
        let nested = any(&[all(&[field("C"), field("B")]), field("A")]);
        let condition = Condition { module: module.clone(), selection: nested };
        assert_eq!(condition.describe(), "Deals: any of A, (all of B, C)");
        assert_eq!(condition.selection.fields(), 3);
        let condition = Condition { module, selection: field("A") };
        assert_eq!(condition.describe(), "Deals: any of A");
    }
}
