//! `login`: a grant code becomes the refresh token that the config refers to.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use serde::Serialize;

use crate::config::{self, Surroundings};
use crate::daemon::run::network;
use crate::model::account::Account;
use crate::model::desired::Desired;
use crate::model::secret::{Origin, Secret};
use crate::zoho::auth::exchange_code;

use super::connect::print_problems;
use super::{Common, Exit, complain};

/// Exchange a self client's grant code for the refresh token.
///
/// The code is made in Zoho's API console, with the scope ZohoCRM.notifications.ALL, and asked for
/// on stdin. The refresh token goes, for its owner alone, into the file that `refresh_token = {
/// file = ".." }` of the account names; it is never printed.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct LoginArgs {
    /// The account, which has to stand in the config; it may be left out when there is one
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// The code; better on stdin, because others can see the arguments of a process
    #[arg(long, env = "CHANNELKEEPER_GRANT_CODE", hide_env_values = true)]
    code: Option<String>,
    /// Where the refresh token goes, when it is not a file that the config names
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// The result of the login.
#[derive(Debug, Serialize)]
struct LoggedIn {
    account: String,
    /// Where the refresh token is.
    file: String,
    /// The scopes, if Zoho said them.
    scope: Option<String>,
}

pub(super) async fn run(
    args: LoginArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let LoginArgs { account, code, out } = args;
    let loaded =
        config::load(&common.config, &Surroundings::of_process().tolerating_missing_secrets());
    let Some(desired) = &loaded.desired else {
        print_problems(&loaded);
        return Ok(Exit::BadConfig);
    };
    let account = chosen(desired, account.as_deref())?;
    let file = destination(account, out)?;
    if account.credentials.client_secret.expose().is_empty() {
        bail!(
            "the client secret of account {} is not there yet: put it where the config says, and try again",
            account.name
        );
    }
    let code = code.map_or_else(asked, Ok)?;
    let code = Secret::new(code.trim());
    if code.expose().is_empty() {
        bail!(
            "there is no code: make one in Zoho's API console (self client, Generate Code) and type or pipe it in"
        );
    }
    let transport = network(&desired.settings)?;
    let exchanged = exchange_code(account, &code, &*transport).await?;
    replace(&file, &exchanged.refresh_token)
        .with_context(|| format!("{} cannot be written", file.display()))?;
    let done = LoggedIn {
        account: account.name.to_string(),
        file: file.display().to_string(),
        scope: exchanged.scope,
    };
    if common.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&done)?)?;
    } else {
        let scope =
            done.scope.as_ref().map(|scope| format!(", good for {scope}")).unwrap_or_default();
        writeln!(stdout, "account {}: the refresh token is in {}{scope}", done.account, done.file)?;
        writeln!(
            stdout,
            "`channelkeeper plan` tries it; a running daemon takes it up when it is told to reload (HUP)"
        )?;
    }
    Ok(Exit::Done)
}

fn chosen<'a>(desired: &'a Desired, name: Option<&str>) -> anyhow::Result<&'a Account> {
    let names = || desired.accounts.keys().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    let mut found = desired
        .accounts
        .values()
        .filter(|held| name.is_none_or(|name| held.account.name.as_str() == name));
    match (found.next(), found.next(), name) {
        (Some(only), None, _) => Ok(&only.account),
        (Some(_), Some(_), _) => bail!("say which account: --account with one of {}", names()),
        (None, _, Some(name)) => bail!("no account is named {name} (accounts: {})", names()),
        (None, _, None) => {
            bail!(
                "the config declares no account: add [accounts.NAME] with client_id and client_secret"
            )
        }
    }
}

fn destination(account: &Account, out: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    match (out, account.credentials.refresh_token.origin()) {
        (Some(out), _) => Ok(out),
        (None, Origin::File(path)) => Ok(path.clone()),
        (None, Origin::Plain) => bail!(
            "the refresh token of account {} stands in the config itself; write refresh_token = {{ file = \"..\" }} there, or \
             say where it goes with --out FILE",
            account.name
        ),
        (None, origin @ (Origin::Env(_) | Origin::Credential(_))) => bail!(
            "the refresh token of account {} is {origin}, which cannot be written here; say where it goes with --out FILE",
            account.name
        ),
    }
}

/// The code from stdin; a person is asked for it.
fn asked() -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        complain(
            "the code from Zoho's API console (self client, Generate Code, scope ZohoCRM.notifications.ALL):",
        );
    }
    let mut line = String::new();
    stdin.lock().read_line(&mut line).context("the code cannot be read from stdin")?;
    Ok(line)
}

/// All of it or nothing: written beside, for its owner alone, and put in place by renaming.
fn replace(path: &Path, token: &Secret) -> std::io::Result<()> {
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(token.expose().as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    File::open(folder)?.sync_all()
}

const AFTER_HELP: &str = "\
Examples:
  channelkeeper -c config.toml login --account acme     # then paste the code
  channelkeeper -c config.toml login --out secrets/refresh-token < code.txt

Exit codes: 0 the refresh token is written; 1 failed, and nothing is written; 3 the config cannot be used.";
