//! The command line: one file per verb.
//!
//! stdout is the result, stderr the log. `--json` prints the same value that the text is written
//! from. Exit codes: 0 done, or nothing to do; 1 failed; 2 changes are pending (`plan`), or gaps
//! that nobody has acknowledged (`gaps --exit-code`); 3 the config cannot be used. `probe` alone
//! has others: those of a monitoring plugin.
//!
//! A verb that needs the store goes to the running daemon, over its socket, or does the same in
//! this process when no daemon holds the store: see `connect`.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, FromArgMatches, Parser, Subcommand, ValueHint};

use crate::expose::probe::Grade;
use crate::model::sanitize::plain_lines;
use crate::telemetry::{self, Detail, LogFormat, LogWait};

pub use complete::completed;

mod adopt;
mod apply;
mod backfill;
mod check;
mod cluster;
mod complete;
mod completions;
pub(crate) mod connect;
#[cfg(feature = "simulator")]
pub(crate) mod demo;
mod explain;
mod gaps;
mod grammar;
mod import;
mod init;
mod listen;
mod login;
mod logout;
mod man;
#[cfg(feature = "simulator")]
mod narrate;
mod pause;
mod plan;
mod probe;
#[cfg(feature = "simulator")]
mod records;
#[cfg(feature = "simulator")]
mod rehearse;
mod reload;
mod renew;
mod run;
#[cfg(feature = "simulator")]
pub(crate) mod simulator;
mod status;
mod terminal;
mod token;

/// Keeps Zoho CRM notification channels alive.
#[derive(Debug, Parser)]
#[command(name = "channelkeeper", version, about, after_help = AFTER_HELP, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: VerbArgs,
}

/// The options of every verb.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// The config file
    #[arg(
        short, long, global = true, help_heading = grammar::GLOBAL, value_name = "FILE",
        default_value = CONFIG_DEFAULT, value_hint = ValueHint::FilePath
    )]
    pub config: PathBuf,
    /// Where the store is kept; else $STATE_DIRECTORY, else `state_dir` of `[daemon]`, else
    /// /var/lib/channelkeeper
    #[arg(
        long, global = true, help_heading = grammar::GLOBAL, value_name = "DIR",
        value_hint = ValueHint::DirPath
    )]
    pub state_dir: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long, global = true, help_heading = grammar::GLOBAL)]
    pub json: bool,
    /// Log more, whatever RUST_LOG says; twice or three times: more still
    #[arg(short, long, global = true, help_heading = grammar::GLOBAL, action = ArgAction::Count)]
    pub verbose: u8,
    /// Log only problems, whatever RUST_LOG says, and show no progress
    #[arg(
        short, long, global = true, help_heading = grammar::GLOBAL, conflicts_with = "verbose"
    )]
    pub quiet: bool,
    /// How log lines are written: text for people, or json with an object a line
    #[arg(
        long, global = true, help_heading = grammar::GLOBAL, value_enum, default_value_t,
        value_name = "FORMAT", hide_possible_values = true
    )]
    pub log_format: LogFormat,
}

impl Common {
    /// How much is logged by a verb that usually logs so much.
    fn detail(&self, usual: &'static str) -> Detail {
        match (self.quiet, self.verbose) {
            (false, 0) => Detail::Usual(usual),
            (true, _) if usual == "info" => Detail::Asked("warn"),
            (true, _) => Detail::Asked(usual),
            // The daemon tells its steps unasked.
            (false, more) => Detail::Asked(match more + u8::from(usual == "info") {
                1 => "info",
                2 => "debug",
                _ => "trace",
            }),
        }
    }
}

#[derive(Debug, Subcommand)]
enum VerbArgs {
    Init(init::InitArgs),
    Run(run::RunArgs),
    Check(check::CheckArgs),
    Plan(plan::PlanArgs),
    Explain(explain::ExplainArgs),
    Apply(apply::ApplyArgs),
    Status(status::StatusArgs),
    Gaps(gaps::GapsArgs),
    Backfill(backfill::BackfillArgs),
    Cluster(cluster::ClusterArgs),
    Probe(probe::ProbeArgs),
    Reload(reload::ReloadArgs),
    Renew(renew::RenewArgs),
    Adopt(adopt::AdoptArgs),
    Import(import::ImportArgs),
    Listen(listen::ListenArgs),
    Token(token::TokenArgs),
    Login(login::LoginArgs),
    Logout(logout::LogoutArgs),
    Pause(pause::PauseArgs),
    Resume(pause::ResumeArgs),
    #[cfg(feature = "simulator")]
    Simulator(simulator::SimulatorArgs),
    #[cfg(feature = "simulator")]
    Demo(demo::DemoArgs),
    #[cfg(feature = "simulator")]
    Rehearse(rehearse::RehearseArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

/// The end of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do.
    Done,
    /// Failed.
    Failed,
    /// Changes are pending, or gaps that nobody has acknowledged.
    Pending,
    /// The config cannot be used.
    BadConfig,
    /// The grade that a monitoring plugin ends with.
    Probed(Grade),
}

impl Exit {
    /// The exit code.
    pub const fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Pending => 2,
            Exit::BadConfig => 3,
            Exit::Probed(grade) => grade.code(),
        }
    }
}

/// Runs a command line. What goes wrong is printed to stderr, with its causes.
pub async fn main(
    args: impl IntoIterator<Item = OsString>,
    stdout: &mut (dyn Write + Send),
) -> Exit {
    let args: Vec<OsString> = args.into_iter().collect();
    let is_probe = args.iter().any(|arg| arg == "probe");
    let parsed = grammar::command().try_get_matches_from(args);
    let cli = match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            let exit = usage(&error);
            return if is_probe && exit == Exit::Failed { probe::misused(stdout) } else { exit };
        }
    };
    let (level, wait) = cli.verb.logs();
    telemetry::begin(cli.common.log_format, cli.common.detail(level), wait);
    let mut stdout = Piped { to: stdout, is_closed: false };
    let exit = match cli.verb.run(&cli.common, &mut stdout).await {
        Ok(exit) => exit,
        // Whoever read it has seen enough, as `head` has.
        Err(_) if stdout.is_closed => Exit::Done,
        Err(error) => {
            let bad_config = error.downcast_ref::<connect::BadConfig>();
            if !matches!(bad_config, Some(connect::BadConfig::Said)) {
                complain(&format!("error: {error:#}"));
            }
            if bad_config.is_some() { Exit::BadConfig } else { Exit::Failed }
        }
    };
    telemetry::end();
    exit
}

/// stdout, and whether its reader has gone.
struct Piped<'a> {
    to: &'a mut (dyn Write + Send),
    is_closed: bool,
}

impl Piped<'_> {
    fn noted<T>(&mut self, result: std::io::Result<T>) -> std::io::Result<T> {
        let is_broken = |error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe;
        self.is_closed |= result.as_ref().is_err_and(is_broken);
        result
    }
}

impl Write for Piped<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.to.write(bytes);
        self.noted(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let flushed = self.to.flush();
        self.noted(flushed)
    }
}

impl VerbArgs {
    async fn run(self, common: &Common, stdout: &mut (dyn Write + Send)) -> anyhow::Result<Exit> {
        match self {
            VerbArgs::Init(args) => init::run(args, common, stdout).await,
            VerbArgs::Run(args) => run::run(args, common).await,
            VerbArgs::Check(args) => check::run(args, common, stdout).await,
            VerbArgs::Plan(args) => plan::run(args, common, stdout).await,
            VerbArgs::Explain(args) => explain::run(args, common, stdout).await,
            VerbArgs::Apply(args) => apply::run(args, common, stdout).await,
            VerbArgs::Status(args) => status::run(args, common, stdout).await,
            VerbArgs::Gaps(args) => gaps::run(args, common, stdout).await,
            VerbArgs::Backfill(args) => backfill::run(args, common, stdout).await,
            VerbArgs::Cluster(args) => cluster::run(args, common, stdout).await,
            VerbArgs::Probe(args) => probe::run(args, common, stdout).await,
            VerbArgs::Reload(args) => reload::run(args, common, stdout).await,
            VerbArgs::Renew(args) => renew::run(args, common, stdout).await,
            VerbArgs::Adopt(args) => adopt::run(args, common, stdout).await,
            VerbArgs::Import(args) => import::run(args, common, stdout).await,
            VerbArgs::Listen(args) => listen::run(args, common, stdout).await,
            VerbArgs::Token(args) => token::run(&args, common, stdout),
            VerbArgs::Login(args) => login::run(args, common, stdout).await,
            VerbArgs::Logout(args) => logout::run(args, common, stdout).await,
            VerbArgs::Pause(args) => pause::pause(args, common, stdout).await,
            VerbArgs::Resume(args) => pause::resume(args, common, stdout).await,
            #[cfg(feature = "simulator")]
            VerbArgs::Simulator(args) => simulate(args, stdout).await,
            #[cfg(feature = "simulator")]
            VerbArgs::Demo(args) => demo::run(args, stdout).await,
            #[cfg(feature = "simulator")]
            VerbArgs::Rehearse(args) => rehearse::run(args, common, stdout).await,
            VerbArgs::Completions(args) => completions::run(&args, stdout),
            VerbArgs::Man(args) => man::run(&args, stdout),
        }
    }

    /// The daemon tells what it does, and waits for nobody who reads it; a verb that prints its
    /// result need not tell it twice.
    fn logs(&self) -> (&'static str, LogWait) {
        match self {
            VerbArgs::Run(_) => ("info", LogWait::Never),
            VerbArgs::Check(_)
            | VerbArgs::Plan(_)
            | VerbArgs::Explain(_)
            | VerbArgs::Apply(_)
            | VerbArgs::Status(_)
            | VerbArgs::Gaps(_)
            | VerbArgs::Backfill(_)
            | VerbArgs::Cluster(_)
            | VerbArgs::Probe(_)
            | VerbArgs::Reload(_)
            | VerbArgs::Renew(_)
            | VerbArgs::Adopt(_)
            | VerbArgs::Import(_)
            | VerbArgs::Init(_)
            | VerbArgs::Listen(_)
            | VerbArgs::Token(_)
            | VerbArgs::Login(_)
            | VerbArgs::Logout(_)
            | VerbArgs::Pause(_)
            | VerbArgs::Resume(_)
            | VerbArgs::Completions(_)
            | VerbArgs::Man(_) => ("error", LogWait::ForReader),
            #[cfg(feature = "simulator")]
            VerbArgs::Simulator(_) => ("info", LogWait::Never),
            #[cfg(feature = "simulator")]
            VerbArgs::Demo(_) | VerbArgs::Rehearse(_) => ("off", LogWait::ForReader),
        }
    }
}

#[cfg(feature = "simulator")]
async fn simulate(
    args: simulator::SimulatorArgs,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    use crate::clock::{Clock, SystemClock};
    let clock = SystemClock::new();
    let mut signals = crate::daemon::signals::Incoming::listen()?;
    let stop = async move {
        signals.next().await;
    };
    simulator::run(args, stdout, std::sync::Arc::new(move || clock.now()), stop).await?;
    Ok(Exit::Done)
}

/// clap's own words: help and version are a result, everything else a mistake.
fn usage(error: &clap::Error) -> Exit {
    // There is nowhere to say that stdout is closed.
    let _printed = error.print();
    if error.use_stderr() { Exit::Failed } else { Exit::Done }
}

/// One line, or several, to stderr.
pub(crate) fn complain(text: &str) {
    complain_in_colour(&plain_lines(text));
}

/// The same for a text whose foreign parts are plain already, so that what steers the terminal in
/// it is ours.
pub(crate) fn complain_in_colour(text: &str) {
    telemetry::say(text);
}

/// A command line that can be pasted: the same config, another verb.
fn command(config: &Path, verb: &str) -> String {
    if config == Path::new(CONFIG_DEFAULT) {
        return format!("channelkeeper {verb}");
    }
    let path = config.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    match path.chars().all(is_plain) {
        true => format!("channelkeeper -c {path} {verb}"),
        false => format!("channelkeeper -c '{}' {verb}", path.replace('\'', "'\\''")),
    }
}

const CONFIG_DEFAULT: &str = "/etc/channelkeeper/config.toml";
const AFTER_HELP: &str = "\
Examples:
  channelkeeper demo --days 3                # try it without a Zoho account
  channelkeeper -c config.toml init          # begin with a config
  channelkeeper -c config.toml plan          # see what it would do
  channelkeeper -c config.toml rehearse      # see what it would survive
  channelkeeper -c config.toml run           # hold its channels

Exit codes: 0 done, or nothing to do; 1 failed; 2 changes are pending (plan), or gaps that nobody has
acknowledged (gaps --exit-code); 3 the config cannot be used.

Those of probe are a monitoring plugin's: see channelkeeper probe --help.";
