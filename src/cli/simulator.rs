//! `channelkeeper simulator`: the in-memory Zoho as a program.
//!
//! stdout says where it listens. With `--print-config` it is a config file for the daemon, in which
//! everything else is a comment, so that it can be redirected to a file as it is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex};

use anyhow::{Context, ensure};
use jiff::Timestamp;
use tokio::net::TcpListener;

use crate::clock::Pace;
use crate::files;
use crate::model::product::Product;
use crate::simulator::http::{self, ClockFn};
use crate::simulator::knobs::{Length, is_version};
use crate::simulator::{Knobs, Org, Zoho};

/// Run an in-memory Zoho to test against.
///
/// It serves OAuth, the watch API, records, deliveries, quotas and faults over HTTP.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct SimulatorArgs {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8480")]
    pub listen: SocketAddr,
    /// Let other hosts reach it: whoever reaches it controls it.
    #[arg(long)]
    pub public: bool,
    /// How many orgs there are: sim1, sim2, and so on.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub accounts: u16,
    /// The products that the orgs are of, in turn: crm, bigin, recruit, vertical.
    #[arg(long, value_name = "PRODUCTS", value_delimiter = ',', default_value = "crm")]
    pub product: Vec<Product>,
    /// The zone in which expiries are echoed: a name, or an offset such as +05:30.
    #[arg(long, value_name = "ZONE", allow_hyphen_values = true)]
    pub zone: Option<String>,
    /// The longest life of a channel by version, where it is not the documented one:
    /// v6=1d,recruit/v2=23h.
    #[arg(long, value_name = "LIMITS", value_delimiter = ',')]
    pub version_limits: Vec<VersionLimit>,
    /// A JSON file that says how it behaves; GET /_sim/knobs shows every key.
    #[arg(long, value_name = "FILE")]
    pub knobs: Option<PathBuf>,
    /// How many channels the printed config declares.
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub channels: u16,
    /// Prints a config file for the daemon that leads here.
    #[arg(long)]
    pub print_config: bool,
    /// The time of its clock at the start; without it, the real time.
    #[arg(long, value_name = "TIME")]
    pub start: Option<Timestamp>,
    /// Run the clock faster, along with a daemon that is told the same: SPEED@INSTANT.
    #[arg(long, value_name = "PACE", hide = true, conflicts_with = "start")]
    pub pace: Option<Pace>,
}

/// `v6=1d`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VersionLimit {
    /// The version that it is for, with its product or without.
    pub version: String,
    /// The longest life that it grants.
    pub lifetime_max: Length,
}

impl FromStr for VersionLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<VersionLimit, String> {
        let (version, length) =
            text.split_once('=').ok_or("written VERSION=LENGTH, as in v6=1d")?;
        if !is_version(version) {
            return Err(format!("\"{version}\" is no API version"));
        }
        let version = version.to_owned();
        let lifetime_max =
            humantime::parse_duration(length).map(Length).map_err(|error| error.to_string())?;
        Ok(VersionLimit { version, lifetime_max })
    }
}

/// Serves until `shutdown`.
pub(crate) async fn run(
    args: SimulatorArgs,
    stdout: &mut (dyn Write + Send),
    clock: ClockFn,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let listen = args.listen;
    ensure!(
        listen.ip().is_loopback() || args.public,
        "other hosts can reach {listen}: listen on 127.0.0.1, or give --public"
    );
    let mut zoho = Zoho::new(Knobs::default());
    zoho.set_knobs(knobs(&args)?).context("bad knobs")?;
    orgs(&args).for_each(|org| zoho.add_org(org));
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    let base = format!("http://{}", listener.local_addr()?);
    if args.print_config {
        write!(stdout, "# listening on {base}\n{}", config(&base, &args))?;
    } else {
        writeln!(stdout, "listening on {base}")?;
    }
    stdout.flush()?;
    let clock = paced(started(clock, args.start), args.pace);
    http::serve(listener, Arc::new(Mutex::new(zoho)), clock, shutdown)
        .await
        .context("the simulator's server failed")
}

/// The file's knobs, and above them those of the command line.
fn knobs(args: &SimulatorArgs) -> anyhow::Result<Knobs> {
    let mut knobs = match &args.knobs {
        Some(path) => from_file(path)?,
        None => Knobs::default(),
    };
    if let Some(zone) = &args.zone {
        knobs.zone.clone_from(zone);
    }
    let given = args.version_limits.iter().map(|limit| (limit.version.clone(), limit.lifetime_max));
    knobs.version_limits.extend(given.collect::<BTreeMap<_, _>>());
    Ok(knobs)
}

fn from_file(path: &Path) -> anyhow::Result<Knobs> {
    let text = files::read_text(path, KNOBS_KIB_MAX)
        .with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no file of knobs", path.display()))
}

/// No file of knobs is larger.
const KNOBS_KIB_MAX: u64 = 1024;

/// The clock, moved so that it shows `start` at its first reading.
fn started(clock: ClockFn, start: Option<Timestamp>) -> ClockFn {
    let Some(start) = start else { return clock };
    let ahead = start.duration_since(clock());
    Arc::new(move || clock().checked_add(ahead).unwrap_or(Timestamp::MAX))
}

/// The clock at a pace.
fn paced(clock: ClockFn, pace: Option<Pace>) -> ClockFn {
    let Some(pace) = pace else { return clock };
    Arc::new(move || pace.shown(clock()))
}

/// The orgs, of the products in turn; each product has one.
fn orgs(args: &SimulatorArgs) -> impl Iterator<Item = Org> {
    let products = args.product.iter().copied().cycle();
    (1..=accounts(args))
        .zip(products)
        .map(|(n, product)| Org::of(product, &format!("sim{n}")).reading())
}

fn accounts(args: &SimulatorArgs) -> usize {
    usize::from(args.accounts).max(args.product.len())
}

/// A config file for the daemon, with made-up channels spread over the accounts.
fn config(base: &str, args: &SimulatorArgs) -> String {
    let mut text = String::new();
    let all: Vec<Org> = orgs(args).collect();
    for org in &all {
        let name = &org.name;
        let version = org.product.traits().version_default;
        let portal = org
            .portal()
            .map(|portal| format!(" # portal \"{portal}\", which api_url leads to"))
            .unwrap_or_default();
        let product = match org.product {
            Product::Crm => String::new(),
            product @ (Product::Bigin | Product::Recruit | Product::Vertical) => {
                format!("product = \"{product}\"{portal}\n")
            }
        };
        let refresh_token = org.refresh_tokens.first().map_or("", String::as_str);
        // Writing to a string cannot fail.
        let _infallible = write!(
            text,
            "\n[accounts.{name}]\n{product}api_url = \"{base}\"\naccounts_url = \"{base}\"\napi_version = \"{version}\"\n\
             client_id = \"{}\"\nclient_secret = \"{}\"\nrefresh_token = \"{refresh_token}\"\n",
            org.client_id, org.client_secret,
        );
    }
    for n in 0..args.channels {
        let Some(org) = all.get(usize::from(n) % all.len().max(1)) else { break };
        let examples = match org.product {
            Product::Crm | Product::Vertical => EXAMPLES,
            Product::Bigin => BIGIN_EXAMPLES,
            Product::Recruit => RECRUIT_EXAMPLES,
        };
        let (what, events) = examples[usize::from(n) / all.len() % examples.len()];
        let _infallible = write!(
            text,
            "\n[[channels]]\nname = \"{what}-{number}\"\naccount = \"{account}\"\nevents = [{events}]\n\
             notify_url = \"https://hooks.example.com/{what}-{number}\"\ntoken = \"token-{what}-{number}\"\n",
            number = n + 1,
            account = org.name,
        );
    }
    text
}

const BIGIN_EXAMPLES: &[(&str, &str)] =
    &[("pipelines", r#""Pipelines.all""#), ("contacts", r#""Contacts.create", "Accounts.edit""#)];

const RECRUIT_EXAMPLES: &[(&str, &str)] =
    &[("candidates", r#""Candidates.all""#), ("jobs", r#""Job_Openings.create""#)];

const EXAMPLES: &[(&str, &str)] = &[
    ("deals", r#""Deals.all""#),
    ("contacts", r#""Contacts.create", "Contacts.edit""#),
    ("leads", r#""Leads.create""#),
    ("orders", r#""Sales_Orders.all", "Invoices.create""#),
];

const AFTER_HELP: &str = "\
Examples:
  channelkeeper simulator --print-config > config.toml
  channelkeeper simulator --accounts 3 --version-limits v8=12h
  channelkeeper simulator --product crm,bigin,recruit,vertical --print-config > config.toml

Exit codes: 0 stopped when told to; 1 failed.";

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: SimulatorArgs,
    }

    fn args(given: &[&str]) -> SimulatorArgs {
        let given = ["simulator"].into_iter().chain(given.iter().copied());
        <Cli as clap::Parser>::parse_from(given).args
    }

    #[test]
    fn the_printed_config_is_toml_with_the_credentials_of_each_org() {
        let text = format!(
            "# listening on x\n{}",
            config("http://127.0.0.1:1", &args(&["--accounts", "2", "--channels", "5"]))
        );
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["accounts"]["sim2"]["client_secret"].as_str(), Some("secret-sim2"));
        assert_eq!(table["channels"].as_array().map(Vec::len), Some(5));
        assert_eq!(table["channels"][1]["account"].as_str(), Some("sim2"));
    }

    #[test]
    fn products_take_turns_and_each_has_an_org() {
        let text = config("http://127.0.0.1:1", &args(&["--product", "bigin,recruit,vertical"]));
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["accounts"]["sim1"]["product"].as_str(), Some("bigin"));
        assert_eq!(table["accounts"]["sim2"]["api_version"].as_str(), Some("v2"));
        assert_eq!(table["accounts"]["sim3"]["product"].as_str(), Some("vertical"));
        assert!(text.contains("product = \"vertical\" # portal \"sim3\""), "{text}");
        assert_eq!(table["channels"][0]["events"][0].as_str(), Some("Pipelines.all"));
        assert_eq!(table["channels"][1]["events"][0].as_str(), Some("Candidates.all"));
    }

    #[test]
    fn limits_and_zone_of_the_command_line_are_above_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("knobs.json");
        std::fs::write(&file, r#"{"zone": "UTC", "version_limits": {"v6": "2d", "v7": "3d"}}"#)
            .unwrap();
        let file = file.to_str().unwrap();
        let knobs = knobs(&args(&[
            "--knobs",
            file,
            "--zone",
            "-08:00",
            "--version-limits",
            "v6=1d,v8=12h,recruit/v2=23h",
        ]))
        .unwrap();
        assert_eq!(knobs.zone, "-08:00");
        let limits: Vec<String> =
            knobs.version_limits.iter().map(|(v, l)| format!("{v}={l}")).collect();
        assert_eq!(limits, ["recruit/v2=23h", "v6=1day", "v7=3days", "v8=12h"]);
    }

    #[test]
    fn the_clock_starts_where_it_is_told_and_runs_on() {
        let ticks = std::sync::atomic::AtomicI64::new(1_000);
        let clock: ClockFn = Arc::new(move || {
            Timestamp::from_second(ticks.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                .unwrap_or(Timestamp::MAX)
        });
        let clock = started(clock, Timestamp::from_second(5_000).ok());
        assert_eq!((clock().as_second(), clock().as_second()), (5_001, 5_002));
    }

    #[tokio::test]
    async fn other_hosts_are_let_in_only_when_that_is_said() {
        let clock: ClockFn = Arc::new(|| Timestamp::UNIX_EPOCH);
        let (given, mut stdout) = (args(&["--listen", "0.0.0.0:0"]), Vec::new());
        let refused = run(given, &mut stdout, clock, std::future::ready(())).await.unwrap_err();
        assert!(refused.to_string().contains("give --public"), "{refused}");
        assert!(stdout.is_empty());
    }

    #[tokio::test]
    async fn it_says_where_it_listens_and_stops_when_told() {
        let mut stdout = Vec::new();
        let clock: ClockFn = Arc::new(|| Timestamp::UNIX_EPOCH);
        run(args(&["--listen", "127.0.0.1:0"]), &mut stdout, clock, std::future::ready(()))
            .await
            .unwrap();
        let text = String::from_utf8(stdout).unwrap();
        assert!(text.starts_with("listening on http://127.0.0.1:"), "{text}");
    }
}
