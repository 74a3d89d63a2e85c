//! The memory: the only place that knows sled.
//!
//! Layout. Values are JSON, whose shapes the layout's number governs; keys are text, names holding
//! no `/`. Each value has one writer, for whom it is in the last column:
//!
//! | tree | key | value | written by |
//! | --- | --- | --- | --- |
//! | `meta` | `schema` | the layout's number | whoever opens |
//! | `meta` | `desired` | which generation of `desired` is the current one, and over what | whoever puts a config in force |
//! | `meta` | `told` | what the alert webhook was told to be bad and is not over | the task that sends alerts |
//! | `desired` | `GENERATION/settings`, `GENERATION/account/NAME`, `GENERATION/channel/ACCOUNT/ID` | the last good desired state; secrets as reference and fingerprint, never as value | whoever puts a config in force |
//! | `asked` | `NAME` | what people asked for of an account: pauses, renewals, removals, adoptions | commands |
//! | `records` | `ACCOUNT/ID` | what is remembered of a channel: being there means that it is ours | the account's pass |
//! | `accounts` | `NAME` | what is remembered of an account | the account's pass |
//! | `ledger` | `ACCOUNT/ID` | what was covered of a channel and what was not: gaps only; outlives the channel's record | the account's pass |
//! | `acks` | `ACCOUNT/ID` | which gaps of its ledger somebody has acknowledged | `gaps ack`; goes with the ledger |
//! | `canaries` | `ACCOUNT/FINGERPRINT` | what became of the canaries to one `notify_url` | the task that sends canaries |
//! | `recoveries`, `items`, `reads`, `rows`, `rules` | see [`recoveries`] | what was missed, from reading it to handing it over | the task that recovers |
//! | `tokens` | `NAME` | the cached access token and when tokens were asked for | the account's client |
//!
//! IDs in keys have 19 digits and fingerprints 20, so that they sort as numbers do.
//!
//! The entries of `desired`, `records` and `ledger` lie in leaves, deflated, some fifty of one
//! account or generation together: see `disk`. A change rewrites the leaf around it, and a leaf is
//! written whole or not at all. So what is damaged in one loses that leaf.
//!
//! Write order and crash story:
//! - A new database gets its layout first, and until that is flushed `db.begun` lies beside it: a
//!   crash in between is told from a database that lost everything.
//! - A desired state is written under a new generation and flushed; then `meta/desired` is set to
//!   it and flushed; then the old generation is dropped. A crash leaves the old or the new one,
//!   whole. Leftovers of another generation are dropped at the next write.
//! - A record is written and flushed *before* the first POST of its channel, so a crash in between
//!   leaves a record of something that may not exist, which the next pass settles, and never a
//!   channel that nobody knows.
//! - Outcomes are written after each batch of a pass, and flushed before the next batch is sent, or
//!   with the end of the pass. A crash before that flush loses what Zoho answered; the next look
//!   finds it.
//! - A ledger is changed and flushed before a write is sent (from now on it may have been applied),
//!   and changed after its reply came, each time with the records of the same channels; what a good
//!   look says goes with the first of these, or with the end of a pass that sends nothing. A crash
//!   between the two trees of one flush leaves a ledger that is ahead of its record: of a write
//!   that was not sent, or of a reply whose channel the next look finds. All of it is on the disk
//!   before the account's `looked_from`, which says up to where the ledgers are certain. A crash in
//!   between makes a stretch unknown that somebody knew for a moment, and hides none: a write whose
//!   reply was lost is in doubt until the next look, and a look that was not written down is made
//!   again, with the one before it as the last certainty.
//! - What became of a canary is written when it was answered, by the task that sends them. A crash
//!   before that sends it again; one between it and the pass that takes it into the ledgers loses
//!   nothing, as the next pass does.
//! - What a look of a daemon says of an account beside what is in its ledgers (when it was, how the
//!   clocks differ, what is left of the day's credits) is held for at most [`HELD_MAX`] and then
//!   written, of all accounts in one batch: looks are many, and each says what the one before it
//!   said. A clean stop writes it. A crash loses it, and then the stretch that nobody knows begins
//!   up to so much earlier, for a channel whose next look finds something else than its ledger
//!   says, and for no other. It hides nothing. Whatever else changes of an account is written at
//!   once.
//! - A token fetch is remembered and flushed before it is made.
//! - A page that was read is written before the place behind it, so a crash in between reads it
//!   again. Deliveries are written before the recovery that says that they are frozen, and a
//!   reading ends after all that it serves are. What became of a delivery is written and flushed
//!   before the next is sent, so a crash in between repeats one, with the same bytes. Deliveries are
//!   dropped before their recovery is over, and a recovery whose last one was taken needs none.
//!   While the disk fails nothing is read and nothing handed over.
//! - What somebody asked for is changed in one step, which nothing comes between, and flushed before
//!   the command is answered. A pass reads it and writes what it answered into its records, so a
//!   crash leaves a wish with its answer or one that is answered again.
//!
//! A flush is of the one log that all trees share, so those who wait for one at the same time share
//! it ([`Store::commit`]): each of the promises above says *flushed before*, and none says by whom.
//! For the same reason the changes of many passes go in common batches, in the order of the
//! promises above: see `unwritten`.
//!
//! A write is made in batches of at most [`BATCH_MAX`] entries of one tree, because sled's memory
//! grows with the size of a batch. With its leaves such a batch is at most some MB before they are
//! deflated, and they are made one after the other. sled applies each batch whole or not at all; of
//! several batches, and of several trees, a crash may leave the first ones.
//!
//! sled is opened with a cache of 4 MiB (its default is 1 GiB) and segments of 256 KiB (512): see
//! `docs/performance.md`. The directory is made 0700 and its files 0600.
//!
//! A database of an earlier release is brought to this layout and kept as it was; a newer one is
//! refused. See `migrate`.
//!
//! A database that cannot be opened, or at which sled panics, is moved aside as `db.corrupt-TIME`,
//! and a new one is begun. The desired state comes back from the config, and the channels are taken
//! over from Zoho's list. See `open`.
//!
//! A daemon whose disk fails in mid-life (full, read-only, broken) goes on with the whole store in
//! memory, so that nothing lapses for want of a disk. Facts that are in memory only are lost with
//! the process. The next start knows the facts of the last good write, and the looks that follow
//! find the rest, as after a crash.
//!
//! # Accounts in an engine
//!
//! Where several machines share accounts ([`Store::shared`]), `meta` and `desired` stay in the
//! database of each machine. The other trees live in an engine, and what of them is held here is in
//! memory, deflated between passes. Layout, below the cluster's prefix:
//!
//! | key | value |
//! | --- | --- |
//! | `meta/schema` | the number of the layout that everybody may write: see `cluster/gate.rs` |
//! | `accounts/ACCOUNT` | which commit wrote it, and the account's state; each commit writes it. An account of which parts are there and others on their way is said to arrive. From layout 2 on it names the newest one in which something of the account was written |
//! | `tokens/ACCOUNT` | the account's token, sealed: see `sealer` |
//! | `TREE/ACCOUNT/PAGE` | entries of another tree, deflated: see `pages` |
//!
//! Whoever [takes](Store::take) an account reads all of it at one revision, at which his fence
//! holds. From then on nobody else's commit is applied, so it is what was committed last.
//!
//! A commit is one transaction of all that changed of one account, and each *flushed* of the crash
//! story above is such a commit. So more is whole than on a disk: a ledger and its record, a record
//! and its account's state. A change that one transaction does not hold is divided in the order of
//! the promises: the token, what was asked for, ledgers, deliveries before their recoveries,
//! records, and the state with the last part. Each part is fenced, and the parts before the last
//! carry the state as it was. A loss in between leaves what a crash between two trees leaves.
//!
//! Whatever is lost, nothing is written twice or over something newer: see `shared`. A commit that
//! fails leaves its changes in memory and says so, and the next one brings them. Such an error ends
//! a pass before anything is sent. An account that is lost to another machine is forgotten here;
//! what of it was not written is lost, as in a crash, and the looks of its owner find the rest.
//!
//! Deliberately absent: any interpretation. The interface speaks of accounts, records and desired
//! states, so that another store could stand in for it.

mod acks;
mod alert_state;
mod canaries;
mod database;
pub(crate) mod desired;
mod disk;
mod keys;
pub(crate) mod ledger;
mod migrate;
pub(crate) mod open;
mod pages;
mod pending_states;
pub mod recoveries;
mod sealer;
mod shared;
mod tree;
mod unwritten;
mod value;
mod wishes;

pub use database::Store;
pub use migrate::Migrated;
pub use open::{OpenError, Opened, SCHEMA};
pub use pending_states::HELD_MAX;
pub use sealer::Sealer;
pub use shared::{Compared, Contents, Taken};
pub use tree::{BATCH_MAX, Gate, StoreError};
