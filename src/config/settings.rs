//! The faults that show only between keys, and the desired state that the config makes.
//!
//! A wrong value has been reported where it was read, and counts as left out from there on, so that
//! one mistake is reported once and the rest of the file is checked all the same. The state that is
//! built is used only when nothing was reported.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::accounts::{Frames, Shared};
use super::backfill::Backfill;
use super::check::{Check, told_url};
use super::cluster;
use super::given::Given;
use super::hooks;
use super::raw::{self, Client, Daemon, Document, Http, Reconcile};
use super::source::At;
use super::values::{self, Reference, is_hasty};
use crate::model::channel::ChannelName;
use crate::model::desired::{self, Alerts, Desired, Settings};
use crate::model::secret::Secret;

/// The desired state that all documents together declare.
pub(super) fn desired(mut documents: Vec<Document>, check: &mut Check<'_>) -> Desired {
    let accounts_misspelt = documents.iter().any(|document| document.accounts_misspelt);
    let accounts =
        documents.iter_mut().flat_map(|document| std::mem::take(&mut document.accounts)).collect();
    let (settings, mut frames) = match documents.first() {
        Some(main) => {
            let backfill = Backfill::check(&main.backfill.value, check);
            let shared = Shared { reconcile: &main.reconcile.value, backfill };
            (settings(main, check), Frames::check(accounts, shared, check))
        }
        None => (Settings::default(), Frames::none()),
    };
    frames.are_all &= !accounts_misspelt;
    // The document of a file is dropped with its last channel.
    for document in documents {
        let channels = match document.channels {
            Given::Is(at) => at.value,
            Given::Absent | Given::Bad => continue,
        };
        for channel in channels {
            frames.add(channel, &settings.owner, check);
        }
    }
    frames.into_desired(settings, check)
}

fn settings(document: &Document, check: &mut Check<'_>) -> Settings {
    let usual = Settings::default();
    let Daemon { state_dir, owner, status_file } = &document.daemon.value;
    let Http { listen, public, hosts, token } = &document.http.value;
    let Client { request_timeout, connect_timeout, ca_file } = &document.client.value;
    let Reconcile { audit, passes_max, mode: _, removed: _, lifetime: _, renew_before: _ } =
        &document.reconcile.value;
    if let Some(at) = state_dir.good().filter(|at| at.value.is_empty()) {
        check.problem(at.place, "an empty path", "leave the key out for the default");
    }
    if let Some(at) = status_file.good().filter(|at| Path::new(&at.value).file_name().is_none()) {
        check.problem(
            at.place,
            "no path of a file",
            "as in \"/run/channelkeeper/status.json\"; leave the key out for none",
        );
    }
    if let Some(at) = audit.good().filter(|at| is_hasty(&at.value)) {
        let help = "each looks at everything an account has: one a second is 86400 calls a day, for each account; name one \
                    second, renewals do not wait for it";
        check.notes.warning(at.place, "more than one audit a minute", help);
    }
    let request = request_timeout.value().copied().unwrap_or(usual.request_timeout);
    let connect = connect_timeout.value().copied().unwrap_or(usual.connect_timeout.min(request));
    if let Some(at) = connect_timeout.good().filter(|_| connect > request) {
        check.problem(
            at.place,
            "connecting may take longer than the whole call",
            "raise request_timeout",
        );
    }
    Settings {
        owner: owner_name(owner, check).unwrap_or(usual.owner),
        listen: address(listen, public, check).unwrap_or(usual.listen),
        http: desired::Http {
            public: public.value() == Some(&true),
            hosts: host_names(hosts, check),
            token: http_token(token, check),
        },
        audit: audit.value().cloned().unwrap_or(usual.audit),
        passes_max: passes_max.value().map_or(usual.passes_max, |passes| *passes as usize),
        request_timeout: request,
        connect_timeout: connect,
        ca_file: ca_file.good().map(|at| certificates(at, check)),
        status_file: status_file.good().map(|at| check.path(at)),
        alerts: alerts(&document.alerts.value, check),
        canary_every: canary_every(&document.canary.value),
        hooks: hooks::hooks(&document.hooks.value, check),
        cluster: cluster::cluster(&document.cluster.value, check),
    }
}

fn alerts(given: &raw::Alerts, check: &mut Check<'_>) -> Alerts {
    let raw::Alerts { webhook, grace, repeat, heartbeat, heartbeat_interval } = given;
    let usual = Alerts::default();
    Alerts {
        webhook: told_url("webhook", webhook, check),
        grace: grace.value().copied().unwrap_or(usual.grace),
        repeat: repeat.value().copied().unwrap_or(usual.repeat),
        heartbeat: told_url("heartbeat", heartbeat, check),
        heartbeat_interval: heartbeat_interval.value().copied().unwrap_or(usual.heartbeat_interval),
    }
}

fn canary_every(given: &raw::Canary) -> Option<Duration> {
    let raw::Canary { every } = given;
    every.value().copied()
}

fn owner_name(given: &Given<String>, check: &mut Check<'_>) -> Option<String> {
    let at = given.good()?;
    match at.value.parse::<ChannelName>() {
        Ok(name) => Some(name.as_str().to_owned()),
        Err(error) => {
            check.problem(at.place, "a bad name for an owner", error.to_string());
            None
        }
    }
}

fn address(
    listen: &Given<Option<SocketAddr>>,
    public: &Given<bool>,
    check: &mut Check<'_>,
) -> Option<Option<SocketAddr>> {
    let at = listen.good()?;
    let reachable = at.value.is_some_and(|address| !address.ip().is_loopback());
    if reachable && public.value() != Some(&true) {
        let help = "there is no TLS: listen on 127.0.0.1 behind a proxy, or set public = true, and better a token too";
        check.problem(at.place, "other hosts can reach this address", help);
    }
    Some(at.value)
}

fn host_names(given: &Given<Vec<At<String>>>, check: &mut Check<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for at in given.value().into_iter().flatten() {
        match values::host_name(&at.value) {
            Ok(name) => names.push(name),
            Err(mistake) => check.problem(at.place, mistake.message, mistake.help),
        }
    }
    names
}

/// A token that is sent in a header; one that was tolerated to be missing is empty, and asked of
/// nobody here.
fn http_token(given: &Given<Reference>, check: &mut Check<'_>) -> Option<Secret> {
    let at = check.secret("token", given)?;
    let token = at.value.expose();
    if token.is_empty() {
        return None;
    }
    if token.len() < TOKEN_MIN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        let help =
            format!("at least {TOKEN_MIN} characters of ASCII, as from: openssl rand -hex 32");
        check.problem(at.place, "\"token\" is too short, or cannot be sent in a header", help);
    }
    Some(at.value)
}

fn certificates(at: &At<String>, check: &mut Check<'_>) -> PathBuf {
    let path = check.path(at);
    if let Err(why) = holds_certificates(&path) {
        check.problem(at.place, format!("no certificates to trust in {}", path.display()), why);
    }
    path
}

fn holds_certificates(path: &Path) -> Result<(), String> {
    let content =
        crate::files::read_text(path, CERTIFICATES_KIB_MAX).map_err(|error| error.to_string())?;
    if content.contains("-----BEGIN CERTIFICATE-----") {
        return Ok(());
    }
    Err("the file must hold PEM: -----BEGIN CERTIFICATE-----".to_owned())
}

/// No bundle of certificates is larger.
const CERTIFICATES_KIB_MAX: u64 = 8 * 1024;
/// A token of this length cannot be guessed over the network.
const TOKEN_MIN: usize = 16;
