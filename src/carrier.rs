//! The simulator as a transport, within this process: a request goes straight into the state of a
//! [`Zoho`], and its reply comes back.
//!
//! Rehearsals and tests share it. It does what a network does: a request travels, an org has only
//! so many calls under way, a reply that does not come in time or breaks off is a
//! [`TransportError`]. Whoever needs more to happen on the way builds a [`Road`].
//!
//! Deliberately not here: a socket (`simulator::http` has one) and any bound of the real HTTP
//! client but the patience and the size of a reply.

use std::future::ready;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::model::exchange::{Request, Response};
use crate::model::time::Timestamp;
use crate::simulator::{Reply, TimedReply, Zoho};
use crate::zoho::transport::{Exchange, REPLY_MAX, Transport, TransportError};

/// A stop on the way, to be awaited.
pub type Halt<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// The way between the client and Zoho.
pub trait Road: Send + Sync {
    /// How long the next request travels, each way.
    fn travel(&self) -> Duration {
        Duration::ZERO
    }

    /// Zoho is about to see the request. What never goes on from here was never sent.
    fn arrives<'a>(&'a self, _request: &'a Request) -> Halt<'a> {
        Box::pin(ready(()))
    }

    /// Zoho has applied the request, and its reply sets out.
    fn answered<'a>(
        &'a self,
        _request: &'a Request,
        _reply: &'a Reply,
        _at: Timestamp,
    ) -> Halt<'a> {
        Box::pin(ready(()))
    }
}

/// A straight road: a request is there at once.
impl Road for () {}

/// Carries requests into the simulator's state.
pub struct Carrier {
    zoho: Arc<Mutex<Zoho>>,
    clock: Arc<dyn Clock>,
    timeout: Duration,
    road: Arc<dyn Road>,
}

impl Carrier {
    /// To this Zoho, by its clock. The client waits `timeout` for a reply.
    pub fn new(
        zoho: Arc<Mutex<Zoho>>,
        clock: Arc<dyn Clock>,
        timeout: Duration,
        road: Arc<dyn Road>,
    ) -> Carrier {
        Carrier { zoho, clock, timeout, road }
    }

    async fn carry(&self, request: Request) -> Result<Response, TransportError> {
        let travel = self.road.travel();
        self.wait(travel).await;
        self.road.arrives(&request).await;
        let now = self.clock.now();
        let under_way = UnderWay::enter(&self.zoho, &request);
        let TimedReply { reply, delay } = lock(&self.zoho).answer(&request, now);
        self.road.answered(&request, &reply, now).await;
        self.wait(delay.min(self.timeout) + travel).await;
        drop(under_way);
        match reply {
            _ if delay >= self.timeout => lost("timed out"),
            Reply::Response(response) if response.body.len() > REPLY_MAX => lost("too large"),
            Reply::Response(response) => Ok(response),
            Reply::Refused => Err(TransportError::NotSent("connection refused".to_owned())),
            Reply::Reset => lost("connection reset"),
            Reply::Truncated(..) => lost("the reply was cut short"),
            Reply::Hang => {
                self.wait(self.timeout).await;
                lost("timed out")
            }
        }
    }

    async fn wait(&self, length: Duration) {
        if !length.is_zero() {
            self.clock.sleep(length).await;
        }
    }
}

impl Transport for Carrier {
    fn send(&self, request: Request) -> Exchange<'_> {
        Box::pin(self.carry(request))
    }
}

/// A call that Zoho is at work on. It is over too when whoever made it goes away.
struct UnderWay<'a> {
    zoho: &'a Mutex<Zoho>,
    org: Option<String>,
}

impl UnderWay<'_> {
    fn enter<'a>(zoho: &'a Mutex<Zoho>, request: &Request) -> UnderWay<'a> {
        UnderWay { zoho, org: lock(zoho).enter(request) }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(org) = &self.org {
            lock(self.zoho).leave(org);
        }
    }
}

fn lost(why: &str) -> Result<Response, TransportError> {
    Err(TransportError::Lost(why.to_owned()))
}

fn lock(zoho: &Mutex<Zoho>) -> MutexGuard<'_, Zoho> {
    zoho.lock().unwrap_or_else(PoisonError::into_inner)
}
