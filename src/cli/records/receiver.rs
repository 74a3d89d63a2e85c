//! A receiver that takes every recovered delivery, and remembers what was in it.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;

use crate::backfill::freeze::HEADER;
use crate::clock::Clock;
use crate::model::events::Operation;
use crate::model::exchange::{Request, Response};
use crate::model::time::Timestamp;
use crate::zoho::transport::{Exchange, Transport};

/// The receiver of every channel.
pub(in crate::cli) struct PlayedReceiver {
    clock: Arc<dyn Clock>,
    taken: Mutex<Taken>,
    /// Is told each delivery.
    told: Box<dyn Fn(Handed) + Send + Sync>,
}

/// One delivery that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Handed {
    pub(in crate::cli) at: Timestamp,
    pub(in crate::cli) channel: i64,
    pub(in crate::cli) module: String,
    pub(in crate::cli) operation: Operation,
    pub(in crate::cli) records: usize,
}

/// Everything that was taken.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken {
    /// When each event was taken last, by channel, module, operation and record.
    pub(super) events: BTreeMap<TakenKey, Timestamp>,
    /// Their names by channel: one that comes twice counts once.
    names: BTreeMap<i64, BTreeSet<String>>,
}

pub(super) type TakenKey = (i64, String, Operation, u64);

/// The parts of a delivery that are read.
#[derive(Deserialize)]
struct DeliveryBody {
    channel_id: String,
    module: String,
    operation: String,
    ids: Vec<String>,
}

impl PlayedReceiver {
    /// One that tells each delivery.
    pub(in crate::cli) fn new(
        clock: Arc<dyn Clock>,
        told: impl Fn(Handed) + Send + Sync + 'static,
    ) -> PlayedReceiver {
        PlayedReceiver { clock, taken: Mutex::default(), told: Box::new(told) }
    }

    /// How many deliveries of a channel came.
    pub(in crate::cli) fn deliveries(&self, channel: i64) -> usize {
        self.held().names.get(&channel).map_or(0, BTreeSet::len)
    }

    pub(super) fn held(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, request: &Request) -> Option<Handed> {
        let name = request.header(HEADER)?.to_owned();
        let body: DeliveryBody = serde_json::from_slice(&request.body).ok()?;
        let DeliveryBody { channel_id, module, operation, ids } = body;
        let channel: i64 = channel_id.parse().ok()?;
        let operation = Operation::delivered(&operation)?;
        let (at, records) = (self.clock.now(), ids.len());
        let mut taken = self.held();
        taken.names.entry(channel).or_default().insert(name);
        for id in ids.iter().filter_map(|id| id.parse().ok()) {
            taken.events.insert((channel, module.clone(), operation, id), at);
        }
        drop(taken);
        Some(Handed { at, channel, module, operation, records })
    }
}

impl Transport for PlayedReceiver {
    fn send(&self, request: Request) -> Exchange<'_> {
        let status = match self.take(&request) {
            Some(handed) => {
                (self.told)(handed);
                200
            }
            None => 400,
        };
        Box::pin(ready(Ok(Response::empty(status))))
    }
}
