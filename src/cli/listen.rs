//! `listen`: a receiver for development and for proof.
//!
//! Module [`judge`] decides the worth of a delivery, and [`summary`] tells what came in all; here
//! is the server between them. It takes a POST on any path, because a proxy or tunnel in front may
//! have its own. It reads no more than a delivery can hold, and answers 200 to verified deliveries
//! alone.
//!
//! Deliberately absent: keeping deliveries, dropping doubles, or doing anything with them. It is no
//! receiver to run a business on: `docs/receivers.md` has those.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use clap::Args;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, SystemClock};
use crate::config::{self, Loaded, Surroundings};
use crate::daemon::signals;
use crate::expose::serve::{BRISK, serve};
use crate::model::time::Timestamp;

use super::connect::print_problems;
use super::{Common, Exit, complain};

mod judge;
mod summary;

use judge::{Expected, JudgedDelivery};
use summary::DeliveryCounts;

/// Receive deliveries, and judge each one.
///
/// It prints one line for each: whose channel it names, which declared event it matches, and
/// whether its token is the declared one. At the end a table says which declared module has never
/// delivered. Bodies and tokens are never shown. It asks neither Zoho nor a daemon; without a
/// channel's token its deliveries are matched by channel_id only, and not accepted.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ListenArgs {
    /// Where to listen, for a POST on any path; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8471")]
    listen: SocketAddr,
    /// Allow an address that other hosts can reach: there is no TLS, so put a proxy in front
    #[arg(long)]
    public: bool,
    /// End after this time, as in 10m
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    length: Option<Duration>,
    /// End after so many deliveries, whatever they are worth
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

pub(super) async fn run(
    args: ListenArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let ListenArgs { listen, public, length, count } = args;
    if !listen.ip().is_loopback() && !public {
        bail!(
            "other hosts can reach {listen}: listen on 127.0.0.1 behind a proxy, or give --public"
        );
    }
    let loaded = config::load(&common.config, &Surroundings::of_process().doing_without_secrets());
    // Only the warnings about tokens matter here, and those are told below.
    let loaded = Loaded { warnings: Vec::new(), ..loaded };
    print_problems(&loaded);
    let Some(desired) = loaded.desired else { return Ok(Exit::BadConfig) };
    let declared = Arc::new(Expected::of(&desired));
    let mut ends = signals::Incoming::listen()?;
    let listener =
        TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    tell_unverifiable(&declared);
    complain(&format!("listening on http://{}", listener.local_addr()?));

    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (heard, mut came) = mpsc::channel(WAITING_MAX);
    let door = ListenDoor { declared: declared.clone(), clock: clock.clone(), heard };
    let closing = CancellationToken::new();
    let router = Router::new().fallback(receive).with_state(door);
    let mut server = tokio::spawn(serve(listener, router, BRISK, |_| Some(()), closing.clone()));
    let _closed_on_the_way_out = closing.clone().drop_guard();

    let mut printer = Printer { summary: DeliveryCounts::of(&declared), json: common.json, stdout };
    let over = clock.sleep(length.unwrap_or(Duration::MAX));
    tokio::pin!(over);
    while count.is_none_or(|count| printer.summary.deliveries() < count) {
        tokio::select! {
            heard = came.recv() => match heard {
                Some(heard) => printer.take(&heard)?,
                None => break,
            },
            () = &mut over => break,
            _ = ends.next() => break,
        }
    }
    closing.cancel();
    drain(&mut came, &mut server, &mut printer).await?;
    printer.end()?;
    Ok(Exit::Done)
}

/// Prints each delivery that was answered, even one that came in while the door was closing.
async fn drain(
    came: &mut mpsc::Receiver<Received>,
    server: &mut JoinHandle<()>,
    printer: &mut Printer<'_>,
) -> anyhow::Result<()> {
    let ended = loop {
        tokio::select! {
            biased;
            Some(heard) = came.recv() => printer.take(&heard)?,
            ended = &mut *server => break ended,
        }
    };
    while let Ok(heard) = came.try_recv() {
        printer.take(&heard)?;
    }
    ended.context("the receiver's server broke off")
}

/// Says which channels' deliveries cannot be verified here.
fn tell_unverifiable(declared: &Expected) {
    let channels = declared.channels();
    let bare: Vec<String> = channels
        .iter()
        .filter(|channel| !channel.has_usable_token())
        .map(|channel| channel.to_string())
        .collect();
    if bare.is_empty() {
        return;
    }
    let shown = bare.iter().take(LISTED_MAX).cloned().collect::<Vec<_>>().join(", ");
    let more = bare.len().saturating_sub(LISTED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    complain(&format!(
        "note: without a token that can be read here, deliveries are matched by channel_id only, and answered with 401: \
         {shown}{more}"
    ));
}

/// The parts that every request is received with.
#[derive(Clone)]
struct ListenDoor {
    declared: Arc<Expected>,
    clock: Arc<dyn Clock>,
    heard: mpsc::Sender<Received>,
}

/// The result of a request.
enum Received {
    /// A delivery.
    Delivery(JudgedDelivery),
    /// No delivery, and its answer.
    Refused(Timestamp, StatusCode),
}

/// Judges one request, hands on what came of it, and then answers.
async fn receive(State(door): State<ListenDoor>, request: Request) -> StatusCode {
    let (parts, body) = request.into_parts();
    let read = if parts.method == Method::POST {
        read(body).await
    } else {
        Err(StatusCode::METHOD_NOT_ALLOWED)
    };
    let at = door.clock.now();
    let judged = read.and_then(|body| {
        door.declared.judge(&body, at).map_err(|judge::NoDelivery| StatusCode::BAD_REQUEST)
    });
    let (heard, answer) = match judged {
        Ok(judged) => {
            let answer =
                if judged.verdict.is_taken() { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
            (Received::Delivery(judged), answer)
        }
        Err(answer) => (Received::Refused(at, answer), answer),
    };
    // Nobody prints any more when stdout is closed: then nothing is taken either.
    door.heard.send(heard).await.map_or(StatusCode::SERVICE_UNAVAILABLE, |()| answer)
}

/// A whole body, if it is as short and as quick as a delivery is.
async fn read(body: Body) -> Result<Vec<u8>, StatusCode> {
    let whole = axum::body::to_bytes(body, BODY_MAX);
    match tokio::time::timeout(BODY_TIMEOUT, whole).await {
        Ok(Ok(body)) => Ok(body.to_vec()),
        Ok(Err(_too_long_or_broken_off)) => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Err(_elapsed) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

/// One line for whatever came, as it comes.
struct Printer<'o> {
    summary: DeliveryCounts,
    json: bool,
    stdout: &'o mut (dyn Write + Send),
}

impl Printer<'_> {
    fn take(&mut self, heard: &Received) -> anyhow::Result<()> {
        match heard {
            Received::Delivery(judged) => {
                self.summary.count(judged);
                if self.json {
                    writeln!(self.stdout, "{}", serde_json::to_string(judged)?)?;
                } else {
                    writeln!(self.stdout, "{judged}")?;
                }
            }
            Received::Refused(at, answer) => {
                self.summary.refuse();
                complain(&format!("{at:.0}  no delivery: answered with {answer}"));
            }
        }
        self.stdout.flush()?;
        Ok(())
    }

    fn end(self) -> anyhow::Result<()> {
        if self.json {
            writeln!(self.stdout, "{}", json!({ "summary": self.summary }))?;
        } else {
            write!(self.stdout, "\n{}", self.summary.to_text())?;
        }
        Ok(())
    }
}

/// No delivery is longer.
const BODY_MAX: usize = 1024 * 1024;
/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests that wait to be printed; those after them wait for their answer.
const WAITING_MAX: usize = 64;
/// Channels that a note names.
const LISTED_MAX: usize = 10;

const AFTER_HELP: &str = "\
Examples:
  channelkeeper -c config.toml listen --for 10m
  channelkeeper -c config.toml listen --count 1 --json

Exit codes: 0 ended by Ctrl-C, --for or --count; 1 failed; 3 the config cannot be used.";
