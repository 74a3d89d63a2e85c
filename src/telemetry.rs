//! Logs: to stderr, as text on a terminal, as JSON by flag, and without timestamps of our own under systemd, whose
//! journal has its own.
//!
//! `RUST_LOG` filters as usual; without it everything of ours is shown from `info` on, and of the libraries what needs a
//! person. The cron crate logs `Uninited` at info at each start, and reqwest's and hyper's finer levels would show URLs.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Begins to log. A second call changes nothing.
pub fn begin(format: LogFormat, default_level: &str) {
    let default = format!("warn,channelkeeper={default_level},tokio_cron_scheduler=warn");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let under_systemd = std::env::var_os("JOURNAL_STREAM").is_some();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_span_events(FmtSpan::NONE)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none());
    // An error only says that logging has begun already.
    let _already = match (format, under_systemd) {
        (LogFormat::Json, _) => builder.json().flatten_event(true).try_init().is_err(),
        (LogFormat::Text, true) => builder.without_time().try_init().is_err(),
        (LogFormat::Text, false) => builder.try_init().is_err(),
    };
}
