//! The simulator with its clock, and the config that leads to it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use channelkeeper::clock::{Clock, Pace, SystemClock};
use channelkeeper::model::channel::AccountName;
use channelkeeper::model::time::{Timestamp, before, span};
use channelkeeper::model::version::{ApiVersion, DAY};
use channelkeeper::plan::renewal::{Life, Phase};
use channelkeeper::simulator::http::{self, ClockFn};
use channelkeeper::simulator::knobs::PastExpiry;
use channelkeeper::simulator::{Endpoint, Fault, Knobs, Length, Org, Rule, Zoho};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::Args;
use super::script::Call;

/// A simulator that serves, and everything that is known of it.
pub(crate) struct World {
    pub(crate) accounts: usize,
    pub(crate) channels: usize,
    rtt: Duration,
    pub(crate) base: String,
    pub(crate) clock: SystemClock,
    zoho: Arc<Mutex<Zoho>>,
    calls: Arc<Mutex<Vec<Call>>>,
    shows: Arc<Mutex<Shows>>,
    /// Where every channel delivers to.
    notify_url: String,
    posts: Arc<AtomicUsize>,
    closing: CancellationToken,
}

/// The time that the simulator's clock shows.
#[derive(Clone, Copy)]
enum Shows {
    World,
    Paced(Pace),
    Always(Timestamp),
}

impl World {
    /// With `at`, its clock stands still there, no credential is refused and no expiry: for
    /// requests of another day.
    pub(crate) async fn new(args: &Args, at: Option<Timestamp>) -> anyhow::Result<World> {
        let knobs = match at {
            None => Knobs { calls_per_second_max: args.calls_per_second_max, ..Knobs::default() },
            Some(_) => Knobs {
                past_expiry: PastExpiry::OneHour,
                tokens_in_ten_minutes: usize::MAX,
                ..Knobs::default()
            },
        };
        let mut zoho = Zoho::new(knobs);
        for number in 0..args.accounts {
            zoho.add_org(Org { credits: Some(u64::MAX / 4), ..Org::new(&name(number)).reading() });
        }
        let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
        distance(args.rtt).into_iter().for_each(|rule| zoho.add_fault(rule));
        if at.is_none() {
            let calls = calls.clone();
            zoho.listen(move |heard| lock(&calls).push(Call::of(&heard)));
        }
        let zoho = Arc::new(Mutex::new(zoho));
        let shows = Arc::new(Mutex::new(at.map_or(Shows::World, Shows::Always)));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("http://{}", listener.local_addr()?);
        let (of_clock, system) = (shows.clone(), SystemClock::new());
        let clock: ClockFn = Arc::new(move || shown(*lock(&of_clock), &system));
        let closing = CancellationToken::new();
        tokio::spawn(http::serve(listener, zoho.clone(), clock, closing.clone().cancelled_owned()));
        let posts: Arc<AtomicUsize> = Arc::default();
        let notify_url = match (args.backfill, at) {
            (1.., None) => receiver(posts.clone(), closing.clone()).await?,
            (_, _) => NOTIFY_URL.to_owned(),
        };
        let Args { accounts, channels, rtt, .. } = *args;
        Ok(World {
            accounts,
            channels,
            rtt,
            base,
            clock: SystemClock::new(),
            zoho,
            calls,
            shows,
            notify_url,
            posts,
            closing,
        })
    }

    pub(crate) fn zoho(&self) -> MutexGuard<'_, Zoho> {
        lock(&self.zoho)
    }

    /// Zoho answers again, from as far away as before.
    pub(crate) fn end_faults(&self) {
        let mut zoho = self.zoho();
        zoho.clear_faults();
        distance(self.rtt).into_iter().for_each(|rule| zoho.add_fault(rule));
    }

    pub(crate) fn now(&self) -> Timestamp {
        shown(*lock(&self.shows), &self.clock)
    }

    /// Lets its clock leap ahead, and run so fast from there on.
    pub(crate) fn run_at(&self, leap: Duration, speed: u32) -> Pace {
        let now = self.clock.now();
        // Begun so long ago, it goes on from what it is to show.
        let ahead = (span(now, self.now()) + leap) / speed.saturating_sub(1).max(1);
        let pace = Pace { speed, since: before(now, ahead) };
        *lock(&self.shows) = Shows::Paced(pace);
        pace
    }

    /// The calls since this was asked last.
    pub(crate) fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut *lock(&self.calls))
    }

    /// The deliveries that were posted to the receiver.
    pub(crate) fn posts(&self) -> usize {
        self.posts.load(Ordering::Relaxed)
    }

    pub(crate) fn total(&self) -> usize {
        self.accounts * self.channels
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = String> + use<> {
        (0..self.accounts).map(name)
    }

    /// Channels that were ever created.
    pub(crate) fn created(&self) -> u64 {
        let zoho = self.zoho();
        self.names()
            .filter_map(|name| zoho.counters(&name))
            .map(|counters| counters.channels_created)
            .sum()
    }

    /// The channels that have at least so much of their life left.
    pub(crate) fn with_left(&self, left: Duration) -> usize {
        let (now, zoho) = (self.now(), self.zoho());
        let of_org = |name: String| {
            zoho.channels(&name, now)
                .into_iter()
                .filter(|channel| span(now, channel.expiry) >= left)
                .count()
        };
        self.names().map(of_org).sum()
    }

    /// The fewest writes that renew every channel of the account once.
    pub(crate) fn writes_once(&self) -> u64 {
        let calls = self.channels.div_ceil(ApiVersion::V8.limits().batch_max);
        (self.accounts * calls) as u64
    }

    /// The fewest reads that look at every channel once.
    pub(crate) fn reads_once(&self) -> u64 {
        let rows: usize = (0..self.channels).map(modules).sum();
        (self.accounts * rows.div_ceil(PAGE).max(1)) as u64
    }

    /// The fewest writes that hold every channel for so long.
    pub(crate) fn writes_for(&self, length: Duration) -> f64 {
        let periods =
            self.names().filter_map(|name| name.parse::<AccountName>().ok()).map(|account| {
                length.as_secs_f64() / Life::interval(DAY, None, Phase::of(&account)).as_secs_f64()
            });
        periods.sum::<f64>() * self.writes_once() as f64 / self.accounts as f64
    }

    /// Writes the config; `audit` is a cron expression. Accounts stand in files of their own, some
    /// in each.
    pub(crate) fn write_config(
        &self,
        place: &Place,
        (audit, passes_max): (&str, usize),
    ) -> anyhow::Result<()> {
        let reconcile = format!("[reconcile]\naudit = \"{audit}\"\npasses_max = {passes_max}\n");
        write_private(
            &place.file("config.toml"),
            &format!("include = [\"accounts/*.toml\"]\n{reconcile}"),
        )?;
        std::fs::create_dir_all(place.file("accounts"))?;
        let names: Vec<String> = self.names().collect();
        for (number, names) in names.chunks(CHANNELS_IN_FILE.div_ceil(self.channels)).enumerate() {
            let mut text = String::new();
            names.iter().try_for_each(|name| self.write_account(&mut text, name))?;
            write_private(&place.file(&format!("accounts/{number}.toml")), &text)?;
        }
        Ok(())
    }

    fn write_account(&self, text: &mut String, name: &str) -> std::fmt::Result {
        let Org { client_id, client_secret, refresh_tokens, .. } = Org::new(name);
        let World { base, notify_url, .. } = self;
        write!(
            text,
            "\n[accounts.{name}]\napi_url = \"{base}\"\naccounts_url = \"{base}\"\napi_version = \"v8\"\n\
             client_id = \"{client_id}\"\nclient_secret = \"{client_secret}\"\nrefresh_token = \"{}\"\n\
             \n[accounts.{name}.channel_defaults]\nnotify_url = \"{notify_url}\"\ntoken = \"token-{name}\"\n",
            refresh_tokens.first().map_or("", String::as_str),
        )?;
        for number in 0..self.channels {
            let events = EVENTS[..modules(number)].join("\", \"");
            write!(
                text,
                "\n[[channels]]\nname = \"{name}-c{number}\"\naccount = \"{name}\"\nevents = [\"{events}\"]\n"
            )?;
        }
        Ok(())
    }
}

/// Takes whatever is posted, and counts it; gives its URL.
async fn receiver(posts: Arc<AtomicUsize>, closing: CancellationToken) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/zoho", listener.local_addr()?);
    let take = move |_body: axum::body::Bytes| {
        posts.fetch_add(1, Ordering::Relaxed);
        std::future::ready(axum::http::StatusCode::NO_CONTENT)
    };
    let router = axum::Router::new().fallback(take);
    let until = closing.cancelled_owned();
    tokio::spawn(async move { axum::serve(listener, router).with_graceful_shutdown(until).await });
    Ok(url)
}

fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let mut opened = options.write(true).create(true).truncate(true).mode(0o600).open(file)?;
    std::io::Write::write_all(&mut opened, text.as_bytes())
}

impl Drop for World {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

/// Where its files are: on a disk, and gone with it.
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new() -> anyhow::Result<Place> {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fleet-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Place(path))
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A folder in it, which goes with it.
    pub(crate) fn below(&self, name: &str) -> anyhow::Result<Place> {
        let path = self.file(name);
        std::fs::create_dir_all(&path)?;
        Ok(Place(path))
    }

    /// The bytes of the files in the store.
    pub(crate) fn store_size(&self) -> u64 {
        size_of(&self.file("state"))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A folder that is left behind is below target/.
        let _removed = std::fs::remove_dir_all(&self.0);
    }
}

fn size_of(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => size_of(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    });
    sizes.sum()
}

fn shown(shows: Shows, clock: &SystemClock) -> Timestamp {
    match shows {
        Shows::World => clock.now(),
        Shows::Paced(pace) => pace.shown(clock.now()),
        Shows::Always(at) => at,
    }
}

/// Every answer comes so much later, a token's too.
fn distance(rtt: Duration) -> [Rule; 2] {
    [Endpoint::Token, Endpoint::Watch]
        .map(|path| Rule { path: Some(path), ..Rule::always(Fault::Delay { by: Length(rtt) }) })
}

fn name(number: usize) -> String {
    format!("sim{number}")
}

/// How many modules a channel has: one to three.
fn modules(number: usize) -> usize {
    number % EVENTS.len() + 1
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const EVENTS: [&str; 3] = ["Deals.all", "Contacts.create", "Leads.edit"];
/// An audit at midnight of the first of January.
pub(crate) const NEVER: &str = "0 0 0 1 1 *";
pub(crate) const NOTIFY_URL: &str = "https://hooks.example.com/zoho";
/// Channels that stand in one file of the config; a file is 8 MiB at most.
const CHANNELS_IN_FILE: usize = 10_000;
/// Rows on one page, which is what the daemon asks for.
const PAGE: usize = 200;
