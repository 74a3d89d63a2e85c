//! TOML to values: what an operator wrote, read once, checked whole, and turned into a
//! [`Desired`](crate::model::desired::Desired) state.
//!
//! A config that is wrong is told in one go: every problem of every file, with its line, the text
//! underlined and a way to mend it. So the files are not read through serde, which stops at the
//! first thing it cannot place, but as a tree with positions that is walked key by key. The stages,
//! in the order a file goes through them:
//!
//! | file | what it does |
//! | --- | --- |
//! | `load` | finds and reads the files, follows `include`, runs the stages |
//! | `fields`, `given` | one table of the tree: takes known keys, reports wrong types and unknown keys |
//! | `raw` | every key there is, with its one sentence: the list to read when you wonder what a key does |
//! | `values` | one text to one value: durations, URLs, addresses, cron expressions |
//! | `settings`, `hooks`, `cluster`, `accounts`, `proof`, `channels`, `conditions` | what only shows between keys; builds the desired state |
//! | `check` | what each of these checks needs: problems, places, secrets |
//! | `modules`, `near` | what was meant by a word that is nearly another |
//! | `secrets`, `command` | fetches what a secret refers to; runs the command that prints it |
//! | `source`, `problem` | positions, masking, and how a problem is shown |
//! | `schema`, `reference` | the key set as a JSON Schema, and as a page for people |
//!
//! Invariant: no problem shows a secret. Only an allow list of a file is shown: keys, and the
//! values of keys that were read and are known to be harmless. Everything else on a shown line is
//! `***`.
//!
//! Deliberately absent: anything about Zoho's answers, and the store. A config that breaks does not
//! stop channels that were fine; going on with the last good state is the daemon's business.

mod accounts;
mod backfill;
mod channels;
mod check;
mod cluster;
mod command;
mod conditions;
mod fields;
mod given;
mod hooks;
mod load;
mod modules;
pub(crate) mod near;
mod problem;
mod proof;
mod raw;
mod reference;
mod schema;
pub(crate) mod secrets;
mod settings;
mod source;
mod values;

#[cfg(test)]
mod example;
#[cfg(test)]
mod tests;

pub use load::{Loaded, load, load_beside, load_text, set_data_center, state_dir};
pub use problem::{Problem, ProblemSeverity, ProblemStyle, render};
pub use raw::STATE_DIR_DEFAULT;
pub use reference::reference;
pub use schema::schema;
pub use secrets::{Commands, MissingCredentials, Surroundings};
pub use values::audits_per_day;
pub use values::{check_notify_url, check_portal};
