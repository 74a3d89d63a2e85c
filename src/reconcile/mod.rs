//! One pass: observe, plan, execute, record, report, for one account.
//!
//! [`pass::pass`] is the only way in which anything is ever written at Zoho. It takes no
//! instruction. Every cause that wakes an account (its timer, the audit, a reload, an operator, the
//! start of the process) gets the same pass over the whole account. The next pass finds again the
//! work that this one could not do.
//!
//! - [`subject`]: the account, as a pass needs it;
//! - `observe`: one look, which is `Seen` or `Unknown`, never half of either;
//! - [`execute`]: the steps of a plan, in batches, in order, with what became of each;
//! - [`outcome`]: the outcome of one step;
//! - `remember`: outcomes into records, written before and after each batch;
//! - `cover`: facts into the coverage ledgers, likewise;
//! - `look_kept`: what is kept of a look until the next one;
//! - [`report`]: what health, status and metrics are computed from.
//!
//! Deliberately absent: a decision about a channel (that is `plan`), a retry (that is the next
//! pass), and any clock read but the one `now` at the top of a pass.

pub(crate) mod cover;
pub mod execute;
pub(crate) mod look_kept;
pub(crate) mod observe;
pub mod outcome;
pub mod pass;
pub(crate) mod remember;
pub mod report;
pub mod subject;
