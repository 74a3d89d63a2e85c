//! One machine's clock and its way to Zoho. Both stop when the process is stopped.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use channelkeeper::carrier::Carrier;
use channelkeeper::clock::{Clock, Sleep, VirtualClock};
use channelkeeper::engine::simulated::Gate;
use channelkeeper::leash::Leash;
use channelkeeper::model::exchange::{Request, Response};
use channelkeeper::model::time::{Timestamp, after, before, span};
use channelkeeper::simulator::Zoho;
use channelkeeper::zoho::transport::{Exchange, Transport, TransportError};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::judge::{Caller, Judge};

/// The time of one machine: near the world's by the wall, and with a rate of its own.
#[derive(Debug)]
pub struct SiteClock {
    world: Arc<VirtualClock>,
    /// How fast it goes, in thousandths.
    rate: u32,
    /// How far its wall clock is off, in milliseconds.
    off: i64,
    gate: Gate,
}

impl SiteClock {
    pub fn new(world: Arc<VirtualClock>, rate: u32, off: i64, gate: Gate) -> SiteClock {
        SiteClock { world, rate, off, gate }
    }
}

impl Clock for SiteClock {
    fn now(&self) -> Timestamp {
        let (now, off) = (self.world.now(), Duration::from_millis(self.off.unsigned_abs()));
        if self.off < 0 { before(now, off) } else { after(now, off) }
    }

    fn elapsed(&self) -> Duration {
        self.boot()
    }

    fn boot(&self) -> Duration {
        ORIGIN * self.rate + self.world.boot() * self.rate / 1000
    }

    fn sleep(&self, length: Duration) -> Sleep<'_> {
        Box::pin(async move {
            self.world.sleep(length * 1000 / self.rate).await;
            self.gate.passed().await;
        })
    }
}

/// The process is stopped as it writes this.
#[derive(Clone, Debug)]
pub struct Trap {
    /// A write of this method to Zoho's API, or of [`ANY`]; the fetch of a token, if none.
    pub method: Option<&'static str>,
    /// For so long.
    pub lasts: Duration,
}

/// The way of one process to Zoho. A request that was written is on its way, whoever still waits
/// for the reply; one that a stopped process was about to write is written when it goes on.
pub struct Way {
    pub gate: Gate,
    pub dead: CancellationToken,
    pub is_cut: AtomicBool,
    pub trap: Mutex<Option<Trap>>,
    /// A trap has sprung: for so long the process is to be stopped.
    pub sprung: Mutex<Option<Duration>>,
    number: usize,
    world: Arc<VirtualClock>,
    leash: Leash,
    zoho: Arc<Mutex<Zoho>>,
    carrier: Carrier,
    judge: Arc<Mutex<Judge>>,
}

impl Way {
    pub fn new(
        (number, gate): (usize, Gate),
        world: Arc<VirtualClock>,
        leash: Leash,
        zoho: Arc<Mutex<Zoho>>,
        judge: Arc<Mutex<Judge>>,
    ) -> Way {
        let carrier = Carrier::new(zoho.clone(), world.clone(), TIMEOUT, Arc::new(()));
        let (dead, is_cut, trap, sprung) = Default::default();
        Way { gate, dead, is_cut, trap, sprung, number, world, leash, zoho, carrier, judge }
    }

    fn springs(&self, request: &Request) {
        let is_fetch = request.path.contains("/oauth/");
        let mut trap = self.trap.lock().unwrap();
        let springs = trap.take_if(|trap| match trap.method {
            None => is_fetch,
            Some(ANY) => !is_fetch && request.method != "GET",
            Some(method) => !is_fetch && method == request.method,
        });
        if let Some(Trap { lasts, .. }) = springs {
            self.gate.close();
            *self.sprung.lock().unwrap() = Some(lasts);
            self.judge.lock().unwrap().frozen(self.number, true);
        }
    }

    async fn travels(&self, request: Request, mut caller: Caller) -> Answer {
        self.world.sleep(TRAVEL).await;
        if self.is_cut.load(Ordering::SeqCst) {
            return self.nothing().await;
        }
        if request.method != "GET" {
            caller.lives = self.lives();
        }
        self.judge.lock().unwrap().current = Some(caller);
        let answer = self.carrier.send(request).await;
        self.world.sleep(TRAVEL).await;
        if self.is_cut.load(Ordering::SeqCst) {
            return self.nothing().await;
        }
        self.gate.passed().await;
        answer
    }

    fn lives(&self) -> BTreeMap<i64, Duration> {
        let (zoho, now) = (self.zoho.lock().unwrap(), self.world.now());
        let orgs: Vec<String> = zoho.orgs().map(|org| org.name.clone()).collect();
        let all = orgs.iter().flat_map(|org| zoho.channels(org, now));
        all.map(|channel| (channel.id, span(now, channel.expiry))).collect()
    }

    async fn nothing(&self) -> Answer {
        self.world.sleep(TIMEOUT).await;
        self.gate.passed().await;
        Err(TransportError::Lost("timed out".to_owned()))
    }
}

type Answer = Result<Response, TransportError>;

/// One that is shared with what it has under way.
pub struct Shared(pub Arc<Way>);

impl Transport for Shared {
    fn send(&self, request: Request) -> Exchange<'_> {
        let way = self.0.clone();
        Box::pin(async move {
            let freezes = way.judge.lock().unwrap().freezes(way.number);
            let (lives, left) = (BTreeMap::new(), way.leash.left());
            let caller = Caller { number: way.number, lives, freezes, left };
            way.springs(&request);
            let (tell, told) = oneshot::channel();
            tokio::spawn(async move {
                tokio::select! {
                    biased;
                    () = way.dead.cancelled() => return,
                    () = way.gate.passed() => {}
                }
                // Whoever asked may have gone.
                let _told = tell.send(way.travels(request, caller).await);
            });
            match told.await {
                Ok(answer) => answer,
                Err(_) => std::future::pending().await,
            }
        })
    }
}

/// Every method that writes.
pub const ANY: &str = "*";
/// How long a request travels, each way.
const TRAVEL: Duration = Duration::from_millis(40);
/// How long the client waits for an answer that does not come.
pub const TIMEOUT: Duration = Duration::from_secs(30);
/// No two machines were started at the same time.
const ORIGIN: Duration = Duration::from_secs(97);
