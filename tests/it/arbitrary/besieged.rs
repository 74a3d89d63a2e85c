//! A daemon in this process, converged, over the simulator's state, with somebody else's channels
//! beside its own.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use channelkeeper::carrier::Carrier;
use channelkeeper::clock::{Clock, SystemClock};
use channelkeeper::config::{Commands, MissingCredentials, Surroundings};
use channelkeeper::daemon::assembly::Carriers;
use channelkeeper::daemon::run::{Daemon, Options, RunError, start};
use channelkeeper::model::time::after;
use channelkeeper::simulator::{Channel, Hand, Knobs, Org, Zoho};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::requests::{Sent, asked};

/// The daemon and its surroundings.
pub(super) struct Besieged {
    runtime: Runtime,
    zoho: Neighbours,
    dir: tempfile::TempDir,
    http: SocketAddr,
    stop: CancellationToken,
    ran: JoinHandle<Result<(), RunError>>,
    foreign: BTreeMap<i64, Channel>,
}

impl Besieged {
    /// Two channels of ours, two that are not.
    pub(super) fn new() -> Besieged {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config.toml");
        let mut file = std::fs::File::options()
            .write(true)
            .create(true)
            .mode(0o600)
            .truncate(true)
            .open(&config);
        file.as_mut().unwrap().write_all(config_text().as_bytes()).unwrap();
        let zoho = Neighbours::new();
        let options = options(config, dir.path().join("state"), zoho.carrier());
        let daemon: Daemon = runtime.block_on(start(options)).unwrap();
        let (http, stop) = (daemon.listening().unwrap(), daemon.stopper());
        let mut overview = daemon.links().overview.clone();
        let ran = runtime.spawn(daemon.run());
        runtime
            .block_on(async {
                let looked = overview
                    .wait_for(|overview| overview.accounts.values().all(Option::is_some))
                    .await;
                looked.map(|_| ())
            })
            .unwrap();
        let foreign = zoho.foreign();
        assert_eq!((zoho.writes(), foreign.len()), (1, 2));
        Besieged { runtime, zoho, dir, http, stop, ran, foreign }
    }

    /// Over the control socket.
    pub(super) fn control(&self, bytes: &[u8]) -> Option<(u16, String)> {
        let stream = UnixStream::connect(self.dir.path().join("state/control.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let other = stream.try_clone().unwrap();
        // It may have been closed from the other side.
        asked(stream, bytes, || drop(other.shutdown(Shutdown::Write)))
    }

    /// Over the health listener.
    pub(super) fn http(&self, bytes: &[u8]) -> Option<(u16, String)> {
        let stream = TcpStream::connect(self.http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let other = stream.try_clone().unwrap();
        asked(stream, bytes, || drop(other.shutdown(Shutdown::Write)))
    }

    /// Write calls so far.
    pub(super) fn writes(&self) -> u64 {
        self.zoho.writes()
    }

    /// True when every foreign channel is as it was.
    pub(super) fn leaves_the_foreign_alone(&self) -> bool {
        self.zoho.foreign() == self.foreign
    }

    /// It still works, and ends cleanly.
    pub(super) fn ends_well(self) {
        assert!(self.leaves_the_foreign_alone());
        let (status, answer) = self.control(&Sent::plain("GET", "/status").bytes()).unwrap();
        assert!(status == 200 && answer.contains("\"c2\""), "{answer}");
        assert_eq!(self.http(&Sent::plain("GET", "/healthz").bytes()).unwrap().0, 200);
        self.stop.cancel();
        self.runtime.block_on(self.ran).unwrap().unwrap();
    }
}

/// A Zoho that tells whether it was left alone.
struct Neighbours(Arc<Mutex<Zoho>>);

impl Neighbours {
    fn new() -> Neighbours {
        let mut zoho = Zoho::new(Knobs::default());
        zoho.add_org(Org::new("acme"));
        let now = SystemClock::new().now();
        for channel in [700, 701] {
            let theirs = Hand::Create {
                channel,
                events: vec!["Deals.all".to_owned()],
                notify_url: "https://other.example.com/".to_owned(),
                token: Some("theirs".to_owned()),
                expiry: after(now, Duration::from_secs(6 * 24 * 3600)),
            };
            zoho.hand("acme", &theirs, now).unwrap();
        }
        Neighbours(Arc::new(Mutex::new(zoho)))
    }

    fn zoho(&self) -> MutexGuard<'_, Zoho> {
        self.0.lock().unwrap()
    }

    fn carrier(&self) -> Arc<Carrier> {
        let clock = Arc::new(SystemClock::new());
        Arc::new(Carrier::new(self.0.clone(), clock, PATIENCE, Arc::new(())))
    }

    fn writes(&self) -> u64 {
        self.zoho().counters("acme").unwrap().writes
    }

    fn foreign(&self) -> BTreeMap<i64, Channel> {
        let zoho = self.zoho();
        let channels = zoho.channels("acme", SystemClock::new().now()).into_iter();
        channels
            .filter(|channel| channel.id >= 700)
            .map(|channel| (channel.id, channel.clone()))
            .collect()
    }
}

fn options(config: PathBuf, state_dir: PathBuf, transport: Arc<Carrier>) -> Options {
    Options {
        config,
        loaded: None,
        state_dir,
        listen: Some(([127, 0, 0, 1], 0).into()),
        clock: Arc::new(SystemClock::new()),
        surroundings: Surroundings {
            env: Box::new(|_: &str| None),
            credentials_dir: None,
            missing: MissingCredentials::Refuse,
            commands: Commands::Refuse,
        },
        carriers: Some(Carriers::all(transport)),
        owns_process: false,
        observer: None,
    }
}

fn config_text() -> String {
    let org = Org::new("acme");
    let mut text = format!(
        "[accounts.acme]\napi_url = \"https://zoho.test\"\naccounts_url = \"https://accounts.zoho.test\"\n\
         api_version = \"v8\"\nclient_id = \"{}\"\nclient_secret = \"{}\"\nrefresh_token = \"{}\"\n",
        org.client_id, org.client_secret, org.refresh_tokens[0]
    );
    for n in 1..=2 {
        text += &format!(
            "\n[[channels]]\nname = \"c{n}\"\nid = \"{n}\"\nevents = [\"Deals.all\"]\n\
             notify_url = \"https://hooks.example.com/c{n}?key={SECRET}\"\ntoken = \"{SECRET}\"\n"
        );
    }
    text
}

/// In every secret of the config.
pub(super) const SECRET: &str = "s3cret-of-ours";
/// Only a test that fails waits this long.
const PATIENCE: Duration = Duration::from_secs(30);
