//! `probe`: the check of a monitoring system, of a daemon here or, by its status file or over HTTP,
//! of one elsewhere.
//!
//! Its exit codes are those of such plugins and not those of the other verbs. Whatever goes wrong
//! is UNKNOWN, on stdout.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::clock::{Clock, SystemClock};
use crate::config::Surroundings;
use crate::config::secrets::fetch;
use crate::daemon::requests::SummaryRequest;
use crate::expose::probe::{Grade, Judgement, ProbeLimits, judge, read};
use crate::expose::summary::Summary;
use crate::files;
use crate::model::secret::Origin;

use super::connect::{self, ReplyBounds};
use super::{Common, Exit};

/// Check until when everything is covered, as a monitoring plugin.
///
/// It asks the daemon of this host, unless --file or --url names another source. It prints one line
/// with numbers for a graph, then what is not as it should be. Its exit codes are those of
/// monitoring plugins.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ProbeArgs {
    /// The status file of a daemon, or a copy of it
    #[arg(long, value_name = "PATH", conflicts_with = "url")]
    file: Option<PathBuf>,
    /// The health endpoints of a daemon (http://127.0.0.1:8470), or the whole URL of a copy of its
    /// status file
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// A file with the token that the health endpoints at --url ask for ([http] token)
    #[arg(long, value_name = "PATH", requires = "url")]
    token_file: Option<PathBuf>,
    /// Warn when everything is covered for less than this
    #[arg(long, value_name = "TIME", default_value = "6h", value_parser = humantime::parse_duration)]
    warning: Duration,
    /// Critical when it is less than this
    #[arg(long, value_name = "TIME", default_value = "3h", value_parser = humantime::parse_duration)]
    critical: Duration,
    /// Critical when the source is older than this; a status file is written every minute
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = humantime::parse_duration)]
    stale: Duration,
}

pub(super) async fn run(
    args: ProbeArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let ProbeArgs { file, url, token_file, warning, critical, stale } = args;
    let limits = ProbeLimits { warning, critical, stale };
    let source = match (file, url) {
        (Some(path), _) => ProbeSource::File(path),
        (None, Some(url)) => ProbeSource::Url(url, token_file),
        (None, None) => ProbeSource::Daemon,
    };
    let verdict = match source.summary(common).await {
        Ok(Some(summary)) => judge(&summary, &limits, SystemClock::new().now()),
        Ok(None) => Judgement::of(Grade::Critical, "no daemon is running, so nothing is renewed"),
        Err(error) => Judgement::of(Grade::Unknown, &format!("{error:#}")),
    };
    if common.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&verdict)?)?;
    } else {
        write!(stdout, "{}", verdict.to_text(&limits))?;
    }
    Ok(Exit::Probed(verdict.grade))
}

/// For a command line that cannot be read.
pub(super) fn misused(stdout: &mut (dyn Write + Send)) -> Exit {
    // There is nowhere to say that stdout is closed.
    let _printed = writeln!(
        stdout,
        "CHANNELKEEPER UNKNOWN - the command line cannot be used: see channelkeeper probe --help"
    );
    Exit::Probed(Grade::Unknown)
}

enum ProbeSource {
    File(PathBuf),
    /// With the file of the token for it.
    Url(String, Option<PathBuf>),
    Daemon,
}

impl ProbeSource {
    /// The summary; nothing when no daemon runs.
    async fn summary(&self, common: &Common) -> anyhow::Result<Option<Summary>> {
        match self {
            ProbeSource::File(path) => {
                let bytes = read_file(path)
                    .with_context(|| format!("{} cannot be read", path.display()))?;
                parsed(&bytes).with_context(|| path.display().to_string()).map(Some)
            }
            ProbeSource::Url(url, token_file) => {
                let token = token_file
                    .clone()
                    .map(|path| fetch(&Origin::File(path), &Surroundings::of_process()));
                let token = token.transpose()?;
                let bytes = connect::fetch(url, token.as_ref(), SUMMARY, BOUNDS).await?;
                parsed(&bytes).context("what it answered").map(Some)
            }
            ProbeSource::Daemon => {
                let Some(daemon) = connect::daemon(common).await? else { return Ok(None) };
                daemon.ask(SummaryRequest {}).await.map(Some)
            }
        }
    }
}

fn parsed(bytes: &[u8]) -> anyhow::Result<Summary> {
    read(bytes).map_err(anyhow::Error::msg)
}

fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    Ok(files::read(path, SIZE_MAX as u64 / 1024)?.bytes.to_vec())
}

/// Where the health endpoints show it.
const SUMMARY: &str = "/api/v1/summary";
/// How long a source may take to answer: less than monitoring systems wait for a plugin.
const BOUNDS: ReplyBounds = ReplyBounds { patience: Duration::from_secs(8), size_max: SIZE_MAX };
/// No summary is larger.
const SIZE_MAX: usize = 1024 * 1024;

const AFTER_HELP: &str = "\
Examples:
  channelkeeper probe
  channelkeeper probe --url http://127.0.0.1:8470 --warning 8h --critical 4h
  channelkeeper probe --url https://status.example.com --token-file token
  channelkeeper probe --file /var/spool/copied/status.json --stale 30m

Exit codes: 0 OK; 1 WARNING: degraded, or covered for less than --warning; 2 CRITICAL: failing, something is not covered,
covered for less than --critical, the source is stale, or no daemon is running; 3 UNKNOWN: the source cannot be read, or is
from the future.";
