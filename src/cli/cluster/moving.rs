//! `cluster import` and `cluster export`: from one machine to many, and back.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;

use anyhow::{bail, ensure};
use clap::Args;

use crate::clock::{Clock, SystemClock};
use crate::cluster::Keys;
use crate::config::{self, Surroundings};
use crate::daemon::moving::{Direction, Existing, Moving};
use crate::daemon::{member, run};
use crate::model::channel::AccountName;
use crate::model::cluster::Layouts;
use crate::store::Store;

use super::super::connect::BadConfig;
use super::super::{Common, Exit, complete, connect};

/// Bring the accounts of this machine's store into the engine.
///
/// For a daemon that was alone and becomes one of several: stop it, add [cluster] to its config,
/// and run this before any daemon is started. Everything that is remembered of an account goes
/// along: its records, ledgers, wishes, acknowledgements, canaries and recoveries, and its access
/// token, sealed. The store keeps it as it was. Nothing is written at Zoho.
///
/// It refuses while a machine serves accounts, and where the engine has something else of an
/// account already: then nothing is moved. What was moved before is passed over, so it is right to
/// begin again after a failure.
#[derive(Clone, Debug, Args)]
#[command(after_help = IMPORT_AFTER_HELP)]
pub(super) struct ImportArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Take what the store has in the place of what the engine has
    #[arg(long)]
    replace: bool,
}

/// Bring the accounts in the engine back into this machine's store.
///
/// For several machines that become one: stop the daemon on each, run this on the one that goes on,
/// and take [cluster] out of its config. The engine keeps everything as it was. Nothing is written
/// at Zoho.
///
/// It refuses while a machine serves accounts. What the store has of an account and is older is
/// replaced; what may be newer is not, and then nothing is moved. What was moved before is passed
/// over, so it is right to begin again after a failure.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXPORT_AFTER_HELP)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// Take what the engine has in the place of what the store has and may be newer
    #[arg(long)]
    replace: bool,
}

#[derive(Clone, Debug, Args)]
struct WhichArgs {
    /// Say what would be moved, and move nothing
    #[arg(long)]
    dry_run: bool,
    /// This account only; may be repeated
    #[arg(long = "account", value_name = "ACCOUNT", add = complete::accounts())]
    accounts: Vec<AccountName>,
}

pub(super) async fn import(
    args: ImportArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let ImportArgs { which, replace } = args;
    moved(Direction::Import, which, existing(replace), common, stdout).await
}

pub(super) async fn export(
    args: ExportArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let ExportArgs { which, replace } = args;
    moved(Direction::Export, which, existing(replace), common, stdout).await
}

fn existing(replace: bool) -> Existing {
    if replace { Existing::Replaced } else { Existing::Refused }
}

async fn moved(
    direction: Direction,
    which: WhichArgs,
    existing: Existing,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let WhichArgs { dry_run, accounts } = which;
    let accounts = (!accounts.is_empty()).then(|| accounts.into_iter().collect());
    let moving = Arc::new(prepared(direction, accounts, existing, common).await?);
    let plan = moving.plan().await?;
    let refused = plan.refused();
    let goes = !dry_run && refused == 0;
    let told = if goes { moving.carry_out(plan).await? } else { plan };
    if common.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&told)?)?;
    } else {
        write!(stdout, "{}", told.to_text(goes))?;
    }
    if refused > 0 {
        bail!(crate::daemon::moving::MoveError::Refused(refused));
    }
    Ok(Exit::Done)
}

/// Everything that a move needs. The store is locked from here on, so no daemon starts on it.
async fn prepared(
    direction: Direction,
    accounts: Option<BTreeSet<AccountName>>,
    existing: Existing,
    common: &Common,
) -> anyhow::Result<Moving> {
    let state_dir = connect::state_dir(common);
    if connect::daemon(common).await?.is_some() {
        bail!("a daemon is running in {}; stop it first", state_dir.display());
    }
    let loaded = config::load(&common.config, &Surroundings::of_process());
    connect::print_problems(&loaded);
    let desired = loaded.desired.ok_or(BadConfig::Said)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let cluster = desired.settings.cluster.as_ref();
    let Some((cluster, engine)) = cluster.zip(run::engine(&desired.settings, &clock)?) else {
        bail!(BadConfig::Daemon(NO_CLUSTER.to_owned()));
    };
    let is_there = direction == Direction::Export || Store::exists(&state_dir);
    ensure!(is_there, "there is no store in {} to be imported", state_dir.display());
    let store = connect::open(&state_dir, &*clock)?;
    let credentials = desired
        .accounts
        .values()
        .map(|declared| (declared.account.name.clone(), declared.account.credentials.clone()));
    Ok(Moving {
        store: member::shared(store, engine.clone(), &cluster.name, Layouts::OWN),
        engine,
        keys: Keys::new(&cluster.name),
        clock,
        noted: member::noted(state_dir.join(run::NOTES), &cluster.name),
        credentials: credentials.collect(),
        accounts,
        direction,
        existing,
    })
}

const NO_CLUSTER: &str = "the config has no [cluster], so it names no engine";
const IMPORT_AFTER_HELP: &str = "\
Examples:
  channelkeeper cluster import --dry-run
  channelkeeper cluster import

Exit codes: 0 everything is in the engine; 1 failed, or an account was refused and nothing was moved; 3 the config cannot be used, or has no [cluster].";
const EXPORT_AFTER_HELP: &str = "\
Examples:
  channelkeeper cluster export --dry-run
  channelkeeper cluster export

Exit codes: 0 everything is in the store; 1 failed, or an account was refused and nothing was moved; 3 the config cannot be used, or has no [cluster].";
