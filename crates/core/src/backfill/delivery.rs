//! One delivery, and a part of it: the unit that is frozen, sent, and answered.

use serde::{Deserialize, Serialize};

use crate::model::events::Operation;

/// The records of one delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The operation.
    pub operation: Operation,
    /// Their ids.
    pub ids: Vec<String>,
}

/// A part of a delivery: its records from here up to there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The delivery's number.
    pub delivery: u32,
    /// The first of its records.
    pub from: usize,
    /// The first that is not in it any more.
    pub to: usize,
}
