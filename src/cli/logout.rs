//! `logout`: the refresh token is revoked at Zoho, and its file is removed.

use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use crate::config::{self, Surroundings};
use crate::daemon::assembly::network;
use crate::model::secret::Origin;
use crate::zoho::auth::{Revoked, revoke};

use super::connect::print_problems;
use super::login::chosen;
use super::{Common, Exit, complete};

/// Revoke the refresh token at Zoho, and remove its file.
///
/// The account's channels live on at Zoho until they expire, and nobody renews them until the next
/// `channelkeeper login`.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct LogoutArgs {
    /// The account, which has to stand in the config; it may be left out when there is one
    #[arg(long, value_name = "NAME", add = complete::accounts())]
    account: Option<String>,
}

/// The result of the logout.
#[derive(Debug, Serialize)]
struct LoggedOut {
    account: String,
    /// True when this call revoked it; false when Zoho did not know it any more.
    revoked: bool,
    /// The file that was removed.
    removed: Option<String>,
    /// Where the worthless token still stands.
    left: Option<String>,
}

pub(super) async fn run(
    args: LogoutArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let loaded =
        config::load(&common.config, &Surroundings::of_process().tolerating_missing_secrets());
    let Some(desired) = &loaded.desired else {
        print_problems(&loaded);
        return Ok(Exit::BadConfig);
    };
    let account = chosen(desired, args.account.as_deref())?;
    let token = &account.credentials.refresh_token;
    let revoked = match token.expose().is_empty() {
        true => Revoked::Before,
        false => revoke(account, &*network(&desired.settings)?).await?,
    };
    let (removed, left) = match token.origin() {
        Origin::File(path) => {
            removed(path).with_context(|| {
                format!("the refresh token is revoked, and {} cannot be removed", path.display())
            })?;
            (Some(path.display().to_string()), None)
        }
        origin @ (Origin::Env(_) | Origin::Credential(_) | Origin::Command(_) | Origin::Plain) => {
            (None, Some(origin.to_string()))
        }
    };
    let done = LoggedOut {
        account: account.name.to_string(),
        revoked: revoked == Revoked::ByThisCall,
        removed,
        left,
    };
    told(&done, common, stdout)?;
    Ok(Exit::Done)
}

/// Removes a file that may be gone already.
fn removed(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn told(done: &LoggedOut, common: &Common, stdout: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    if common.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(done)?)?;
        return Ok(());
    }
    let LoggedOut { account, revoked, removed, left } = done;
    match revoked {
        true => writeln!(stdout, "account {account}: the refresh token is revoked at Zoho")?,
        false => writeln!(stdout, "account {account}: Zoho knows no refresh token to revoke")?,
    }
    if let Some(file) = removed {
        writeln!(stdout, "account {account}: {file} is removed")?;
    }
    if let Some(place) = left {
        writeln!(stdout, "account {account}: the worthless token still stands in {place}")?;
    }
    writeln!(
        stdout,
        "the channels live on at Zoho until they expire; `channelkeeper login` lets them be \
         renewed again"
    )?;
    Ok(())
}

const AFTER_HELP: &str = "\
Examples:
  channelkeeper -c config.toml logout --account acme

Exit codes: 0 the refresh token is good no more; 1 it may still be good; 3 the config cannot be used.";
