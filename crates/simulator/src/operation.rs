//! One operation of the watch path, and the circumstances in which it is carried out.

use jiff::Timestamp;

use super::faults::Fault;
use super::knobs::{Knobs, PastMaximum};
use crate::model::product::Product;
use crate::model::time;
use crate::model::version::ApiVersion;

/// The operation that a method asks of the watch path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WatchOperation {
    List,
    Enable,
    Replace,
    Patch,
    Disable,
}

impl WatchOperation {
    pub(crate) fn of(method: &str) -> Option<WatchOperation> {
        match method {
            "GET" => Some(WatchOperation::List),
            "POST" => Some(WatchOperation::Enable),
            "PUT" => Some(WatchOperation::Replace),
            "PATCH" => Some(WatchOperation::Patch),
            "DELETE" => Some(WatchOperation::Disable),
            _ => None,
        }
    }
}

/// The circumstances in which an operation is carried out.
pub(crate) struct Write<'a> {
    pub(crate) knobs: &'a Knobs,
    pub(crate) product: Product,
    pub(crate) version: ApiVersion,
    pub(crate) base: &'a str,
    /// How the ids of the org begin.
    pub(crate) digits: &'a str,
    pub(crate) faults: &'a [Fault],
    pub(crate) now: Timestamp,
}

impl Write<'_> {
    /// The latest expiry that is not refused, where one that is later is refused in this way.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are not about the expiry")]
    pub(crate) fn refused_from(&self, way: PastMaximum) -> Option<Timestamp> {
        let by_fault = self.faults.iter().find_map(|fault| match fault {
            Fault::RefuseExpiry { over } if way == PastMaximum::Refused => Some(over.0),
            _ => None,
        });
        let by_knob = (self.knobs.past_maximum == way)
            .then(|| self.knobs.lifetime_max(self.product, self.version));
        let longest = [by_fault, by_knob].into_iter().flatten().min()?;
        Some(time::after(self.now, longest))
    }
}
