//! A transport over the simulator's state: no socket, and time that a test lets pass.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::client::Client;
use crate::carrier::{Carrier, Halt, Road};
use crate::clock::{Clock, VirtualClock};
use crate::model::account::{Account, Credentials};
use crate::model::channel::{Ask, NotifyUrl, Spec};
use crate::model::exchange::Request;
use crate::model::product::Product;
use crate::model::secret::Secret;
use crate::model::time::{Timestamp, after, whole_seconds};
use crate::model::token::TokenState;
use crate::model::version::ApiVersion;
use crate::simulator::{Fault, Knobs, Org, Rule, Zoho};
pub(crate) use crate::testing::id;
use crate::testing::{self, policy};

/// Looks at a request before it leaves.
type Watch = Box<dyn Fn(&Request) + Send>;

/// The simulator with its clock, and every request that was sent to it.
pub(crate) struct Sim {
    zoho: Arc<Mutex<Zoho>>,
    pub(crate) clock: Arc<VirtualClock>,
    /// Zoho's clock, which may go wrong.
    pub(crate) zoho_clock: Arc<VirtualClock>,
    noted: Arc<Noted>,
    /// The way to it.
    pub(crate) carrier: Arc<Carrier>,
}

impl Sim {
    pub(crate) fn new(knobs: Knobs) -> Arc<Sim> {
        Sim::of(Product::Crm, knobs)
    }

    /// With an org of a product.
    pub(crate) fn of(product: Product, knobs: Knobs) -> Arc<Sim> {
        let mut zoho = Zoho::new(knobs);
        zoho.add_org(Org::of(product, "a"));
        let zoho = Arc::new(Mutex::new(zoho));
        let clock = || Arc::new(VirtualClock::new(START.parse().unwrap(), 1));
        let (clock, zoho_clock, noted) = (clock(), clock(), Arc::<Noted>::default());
        let carrier = Carrier::new(zoho.clone(), zoho_clock.clone(), TIMEOUT, noted.clone());
        Arc::new(Sim { zoho, clock, zoho_clock, noted, carrier: Arc::new(carrier) })
    }

    pub(crate) fn zoho(&self) -> MutexGuard<'_, Zoho> {
        self.zoho.lock().unwrap()
    }

    pub(crate) fn fault(&self, kind: Fault) {
        self.zoho().add_fault(Rule::always(kind));
    }

    pub(crate) fn fault_once(&self, kind: Fault) {
        self.zoho().add_fault(Rule::once(kind));
    }

    pub(crate) fn on_request(&self, watch: impl Fn(&Request) + Send + 'static) {
        *self.noted.watch.lock().unwrap() = Some(Box::new(watch));
    }

    /// Zoho's time.
    pub(crate) fn now(&self) -> Timestamp {
        self.zoho_clock.now()
    }

    /// The live channels at Zoho.
    pub(crate) fn live(&self) -> BTreeSet<i64> {
        let now = self.now();
        self.zoho().channels("a", now).iter().map(|channel| channel.id).collect()
    }

    /// The calls since this was last asked: `POST watch`, `POST token`.
    pub(crate) fn calls(&self) -> Vec<String> {
        let sent = std::mem::take(&mut *self.noted.sent.lock().unwrap());
        let word =
            |request: &Request| if request.path.contains("oauth") { "token" } else { "watch" };
        sent.iter().map(|request| format!("{} {}", request.method, word(request))).collect()
    }

    pub(crate) fn tokens_issued(&self) -> u64 {
        self.zoho().counters("a").unwrap().tokens_issued
    }

    /// A client that remembers nothing over its own end.
    pub(crate) fn client(self: &Arc<Sim>) -> Client {
        self.client_of(account(), None, |_| Ok(()))
    }

    pub(crate) fn client_of(
        self: &Arc<Sim>,
        account: Account,
        remembered: Option<TokenState>,
        remember: impl Fn(&TokenState) -> Result<(), String> + Send + Sync + 'static,
    ) -> Client {
        Client::new(
            account,
            self.carrier.clone(),
            self.clock.clone(),
            remembered,
            Arc::new(move |state| Box::pin(std::future::ready(remember(&state)))),
        )
    }
}

/// Notes every request that leaves.
#[derive(Default)]
struct Noted {
    sent: Mutex<Vec<Request>>,
    watch: Mutex<Option<Watch>>,
}

impl Road for Noted {
    fn arrives<'a>(&'a self, request: &'a Request) -> Halt<'a> {
        if let Some(watch) = &*self.watch.lock().unwrap() {
            watch(request);
        }
        self.sent.lock().unwrap().push(request.clone());
        Box::pin(std::future::ready(()))
    }
}

/// The simulator's org `a`.
pub(crate) fn account() -> Account {
    Account {
        name: "acme".parse().unwrap(),
        product: Product::Crm,
        version: ApiVersion::V8,
        api_url: "https://www.zohoapis.test".to_owned(),
        accounts_url: "https://accounts.zoho.test".to_owned(),
        credentials: Credentials {
            client_id: "1000.SIMA".to_owned(),
            client_secret: Secret::new("secret-a"),
            refresh_token: Secret::new("1000.refresh-a"),
        },
        policy: policy(),
    }
}

/// Channel `number`, named `c{number}`, for a day.
pub(crate) fn spec(number: i64, events: &[&str]) -> Spec {
    Spec {
        events: testing::events(events),
        notify_url: NotifyUrl::new("https://hooks.test/zoho"),
        token: Some(Secret::new("t0")),
        ..testing::spec(number)
    }
}

/// An ask for this spec at `now`.
pub(crate) fn ask(spec: Spec, now: Timestamp) -> Ask {
    let expiry = whole_seconds(after(now, spec.lifetime));
    Ask::new(Arc::new(spec), expiry)
}

pub(crate) const START: &str = "2026-11-23T16:00:00Z";
const TIMEOUT: Duration = Duration::from_secs(30);
