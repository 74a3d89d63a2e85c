//! Wiring and lifetime: what runs and what wakes it.
//!
//! - [`former`]: how channels were declared that the config has no more and that are still ours;
//! - `emptied`: a config that declares nothing, which is an accident until somebody says otherwise;
//! - `slack`: channels whose renewal could not fail twice, refused at first and held where they
//!   run;
//! - [`fleet`]: the accounts to hold, each with its way to Zoho;
//! - [`scheduler`]: one slot per account, bounded passes in flight, wall time polled;
//! - `queue`: which account's turn it is;
//! - `cron`: the audit, which only ever says "look for drift now";
//! - `alerts`: the webhook and the heartbeat;
//! - [`hooks`]: who is told of single events;
//! - `canaries`: whether receivers take what is posted to them;
//! - `backfill`: what was missed, read and handed over;
//! - `recoveries` and `recover`: what can be asked for about that, answered and done;
//! - [`requests`], [`actions`] and `views`: what can be asked for, what is done, what is answered;
//! - [`spread`]: verbs that the machines of a cluster answer together, and `parts` how each is
//!   divided;
//! - `asks`: what other machines ask, answered;
//! - `reports`: what machines tell each other of what is theirs;
//! - [`machines`]: the machines that share the accounts, shown and put out;
//! - [`moving`]: accounts from the store on this machine into the engine, and back;
//! - `choose`: which accounts and channels a request means by their names;
//! - [`desk`]: where it is answered, with or without a running daemon;
//! - `status_file`: how everything is, where another host can fetch it;
//! - `control`: the desk over a Unix socket;
//! - [`reload`]: the config, read again and put in force;
//! - [`generations`]: one config for several machines, and this one's file beside it;
//! - `refetch`: credentials that Zoho refuses, fetched once more from where they came from;
//! - `signals` and `notify`: TERM, INT and HUP; READY, RELOADING and STOPPING;
//! - [`watchdog`]: that the loop turns, told by the loop itself;
//! - `inherited`: the HTTP socket that systemd opened;
//! - [`assembly`]: the parts, made in one place, and the table of what runs;
//! - [`tasks`]: that table, spawned and joined;
//! - `doors`: the listeners;
//! - `wanted`: the desired state to start with;
//! - [`run`]: the order of starting and of stopping.
//!
//! Architecture invariant: a wake carries no instruction. An operator's wish is written into the
//! store, as a fact that the next pass reads. Then the account is woken as by any other cause.

pub mod actions;
pub(crate) mod alerts;
mod asks;
pub mod assembly;
pub(crate) mod backfill;
pub(crate) mod canaries;
pub(crate) mod choose;
pub(crate) mod control;
pub(crate) mod cron;
pub mod desk;
pub(crate) mod doors;
pub mod emptied;
pub mod fleet;
pub mod former;
pub mod generations;
pub mod hooks;
pub(crate) mod inherited;
pub mod machines;
pub mod member;
pub mod moving;
pub(crate) mod notify;
mod parts;
mod queue;
pub(crate) mod recover;
pub(crate) mod recoveries;
pub(crate) mod refetch;
pub mod reload;
mod reports;
pub mod requests;
pub mod run;
pub mod scheduler;
mod sharing;
pub(crate) mod signals;
pub(crate) mod slack;
pub mod spread;
pub(crate) mod status_file;
pub mod tasks;
pub(crate) mod views;
mod wanted;
pub mod watchdog;
