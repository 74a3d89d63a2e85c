//! `login`: a person approves a code, or a self client's code is handed in, and the refresh token
//! stands where the config looks for it.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde::Serialize;

use crate::clock::Clock;
use crate::config::near::did_you_mean;
use crate::config::{self, Loaded, Surroundings};
use crate::daemon::assembly::network;
use crate::files;
use crate::model::account::Account;
use crate::model::data_center::DataCenter;
use crate::model::desired::{AccountDesired, Desired};
use crate::model::secret::{Origin, Secret};
use crate::zoho::auth::{Exchanged, exchange_code};
use crate::zoho::device::{self, DeviceError, Invitation, Location};
use crate::zoho::transport::Transport;

use super::connect::print_problems;
use super::{Common, Exit, command, complain, complete};

/// Get the refresh token: approve a code in a browser, anywhere.
///
/// It shows a page and a code, waits until somebody has approved it there, and writes the refresh
/// token, for its owner alone, into the file that `refresh_token = { file = ".." }` of the account
/// names; the token is never printed. The client has to be of the kind Non-browser Application. A
/// self client's grant code is taken with --code instead.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct LoginArgs {
    /// The account, which has to stand in the config; it may be left out when there is one
    #[arg(long, value_name = "NAME", add = complete::accounts())]
    account: Option<String>,
    /// Take a self client's grant code instead; with "-" it is read from stdin, because others can
    /// see the arguments of a process
    #[arg(long, env = "CHANNELKEEPER_GRANT_CODE", hide_env_values = true)]
    code: Option<String>,
    /// Where the refresh token goes, when it is not a file that the config names
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the org's data centre into the config without asking, if Zoho names another one
    #[arg(long, conflicts_with = "code")]
    accept_data_center: bool,
    /// Run the clock faster, against a simulator on this machine: SPEED@INSTANT
    #[cfg(feature = "simulator")]
    #[arg(long, value_name = "PACE", hide = true)]
    pace: Option<crate::clock::Pace>,
}

/// The result of the login.
#[derive(Debug, Serialize)]
struct LoggedIn {
    account: String,
    /// Where the refresh token is.
    file: String,
    /// The scopes, if Zoho said them.
    scope: Option<String>,
    /// The data centre that was written into the config, if it was another one.
    data_center: Option<&'static str>,
}

pub(super) async fn run(
    args: LoginArgs,
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
    let scopes = Scopes::of(&desired.accounts[&account.name]);
    let file = destination(account, args.out.clone())?;
    if account.credentials.client_secret.expose().is_empty() {
        bail!(
            "the client secret of account {} is not there yet: put it where the config says, and \
             try again",
            account.name
        );
    }
    let transport = network(&desired.settings)?;
    let accept = if args.accept_data_center { Accept::Unasked } else { Accept::Asked };
    let Got { exchanged, center } = match &args.code {
        Some(code) => {
            let exchanged =
                exchange_code(account, &grant_code(code, &scopes)?, &*transport).await?;
            Got { exchanged, center: None }
        }
        None => by_device(account, &scopes, accept, &*transport, &*args.clock(&loaded)?).await?,
    };
    files::replace(&file, exchanged.refresh_token.expose().as_bytes(), 0o600)
        .with_context(|| format!("{} cannot be written", file.display()))?;
    if let Some(center) = center {
        let set = config::set_data_center(&common.config, account.name.as_str(), center.key);
        set.map_err(|why| center_unwritten(&file, center, &why))?;
    }
    let done = LoggedIn {
        account: account.name.to_string(),
        file: file.display().to_string(),
        scope: exchanged.scope,
        data_center: center.map(|center| center.key),
    };
    told(&done, common, stdout)?;
    Ok(Exit::Done)
}

fn center_unwritten(file: &Path, center: DataCenter, why: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "the refresh token is in {}, and the config is as it was ({why}): write data_center = \
         \"{}\" there",
        file.display(),
        center.key
    )
}

fn told(done: &LoggedIn, common: &Common, stdout: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    if common.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(done)?)?;
        return Ok(());
    }
    let LoggedIn { account, file, scope, data_center } = done;
    let scope = scope.as_ref().map(|scope| format!(", good for {scope}")).unwrap_or_default();
    writeln!(stdout, "account {account}: the refresh token is in {file}{scope}")?;
    if let Some(center) = data_center {
        writeln!(stdout, "account {account}: data_center is \"{center}\" in the config")?;
    }
    writeln!(stdout, "next: {}", command(&common.config, "check --online"))?;
    let reload = command(&common.config, "reload");
    writeln!(stdout, "a running daemon takes it up at once with: {reload}")?;
    Ok(())
}

impl LoginArgs {
    #[cfg(feature = "simulator")]
    fn clock(&self, loaded: &Loaded) -> anyhow::Result<Arc<dyn Clock>> {
        super::run::paced(self.pace, loaded)
    }

    #[cfg(not(feature = "simulator"))]
    fn clock(&self, _loaded: &Loaded) -> anyhow::Result<Arc<dyn Clock>> {
        Ok(Arc::new(crate::clock::SystemClock::new()))
    }
}

/// The account that is meant.
pub(super) fn chosen<'a>(desired: &'a Desired, name: Option<&str>) -> anyhow::Result<&'a Account> {
    let names = || desired.accounts.keys().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    let mut found = desired
        .accounts
        .values()
        .filter(|held| name.is_none_or(|name| held.account.name.as_str() == name));
    match (found.next(), found.next(), name) {
        (Some(only), None, _) => Ok(&only.account),
        (Some(_), Some(_), _) => bail!("say which account: --account with one of {}", names()),
        (None, _, Some(name)) => Err(no_account(desired, name)),
        (None, _, None) => {
            bail!(
                "the config declares no account: add [accounts.NAME] with client_id and \
                 client_secret"
            )
        }
    }
}

/// No account has this name; the near one may have been meant.
pub(super) fn no_account(desired: &Desired, name: &str) -> anyhow::Error {
    let names: Vec<&str> = desired.accounts.keys().map(|name| name.as_str()).collect();
    let hint =
        did_you_mean(name, &names).unwrap_or_else(|| format!(" (accounts: {})", names.join(", ")));
    anyhow::anyhow!("no account is named {}{hint}", name.escape_debug())
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
        (None, origin @ (Origin::Env(_) | Origin::Credential(_) | Origin::Command(_))) => bail!(
            "the refresh token of account {} is {origin}, which cannot be written here; say where \
             it goes with --out FILE",
            account.name
        ),
    }
}

/// The scopes that everything the daemon does needs, as Zoho's console takes them.
struct Scopes {
    all: String,
    /// The same where Zoho does not know the scope `ALL`.
    single: Option<String>,
}

impl Scopes {
    fn of(desired: &AccountDesired) -> Scopes {
        let product = desired.account.product;
        let with_records = |scope: String| {
            let mut scopes = vec![scope];
            scopes.extend(desired.read_scopes());
            scopes.join(",")
        };
        Scopes {
            all: with_records(product.scope("ALL")),
            single: product.single_scopes().map(with_records),
        }
    }
}

/// The code as it was given; "-" is asked for on stdin.
fn grant_code(given: &str, scopes: &Scopes) -> anyhow::Result<Secret> {
    let code = if given == "-" { asked(scopes)? } else { given.to_owned() };
    if code.trim().is_empty() {
        bail!(
            "there is no code: make one in Zoho's API console (self client, Generate Code) and \
             type or pipe it in"
        );
    }
    Ok(Secret::new(code.trim()))
}

/// The code from stdin; a person is asked for it.
fn asked(scopes: &Scopes) -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let or = scopes.single.as_ref().map(|single| format!(", or {single}")).unwrap_or_default();
        complain(&format!(
            "the code from Zoho's API console (self client, Generate Code, scope {}{or}):",
            scopes.all
        ));
    }
    let mut line = String::new();
    stdin.lock().read_line(&mut line).context("the code cannot be read from stdin")?;
    Ok(line)
}

/// Shows a code to be approved anywhere, and waits for it.
async fn by_device(
    account: &Account,
    scopes: &Scopes,
    accept: Accept,
    transport: &dyn Transport,
    clock: &dyn Clock,
) -> anyhow::Result<Got> {
    let invitation = invited(account, scopes, transport, clock).await?;
    complain(&words(account, &invitation, std::io::stderr().is_terminal()));
    match device::wait(account, &invitation, transport, clock).await {
        Ok(exchanged) => Ok(Got { exchanged, center: None }),
        Err(DeviceError::OtherCenter(location)) => {
            let center = accepted(account, &location, accept)?;
            complain(&format!("going on in the data centre {}", center.key));
            let accounts_url = center.accounts_url.to_owned();
            let there = Account { accounts_url, ..account.clone() };
            let exchanged = device::wait(&there, &invitation, transport, clock).await?;
            Ok(Got { exchanged, center: Some(center) })
        }
        Err(error) => Err(error.into()),
    }
}

/// A code for the scope `ALL`, or for the single ones where Zoho does not know it.
async fn invited(
    account: &Account,
    scopes: &Scopes,
    transport: &dyn Transport,
    clock: &dyn Clock,
) -> Result<Invitation, DeviceError> {
    let refused = match device::invite(account, &scopes.all, transport, clock).await {
        Err(refused) if refused.is_about_the_scope() => refused,
        answer => return answer,
    };
    let Some(single) = &scopes.single else { return Err(refused) };
    complain(&format!("Zoho does not know the scope {}: asking for {single}", scopes.all));
    device::invite(account, single, transport, clock).await
}

/// The words to whoever is to approve, with a QR code for a terminal.
fn words(account: &Account, invitation: &Invitation, is_terminal: bool) -> String {
    let Invitation { scope, url, user_code, direct_url, lives, .. } = invitation;
    let mut text = format!(
        "To let channelkeeper keep the channels of account {}:\n  1. open {url}\n  2. type the \
         code {user_code}\n  3. choose the org, and accept the scope {scope}\n",
        account.name
    );
    let direct = direct_url.as_ref().unwrap_or(url);
    if let Some(code) = QrCode::new(direct).ok().filter(|_| is_terminal) {
        // Light on dark: most terminals are dark, and whoever reads the code reads both.
        let mut drawn = code.render::<Dense1x2>();
        let drawn = drawn.dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
        text.push_str(&format!("or scan this:\n{drawn}\n"));
    } else if let Some(direct) = direct_url {
        text.push_str(&format!("or open {direct}\n"));
    }
    let minutes = lives.as_secs().div_ceil(60);
    text.push_str(&format!("Waiting for {minutes} minutes at most."));
    text
}

/// The data centre to go on in, if that may be.
fn accepted(account: &Account, location: &Location, accept: Accept) -> anyhow::Result<DataCenter> {
    let name = &account.name;
    let Some(center) = location.center else {
        bail!(
            "the org is in the data centre {location}, which is none of those that data_center \
             names; give account {name} its api_url and accounts_url"
        );
    };
    if !DataCenter::ALL.iter().any(|known| known.accounts_url == account.accounts_url) {
        bail!(
            "the org is in the data centre {location}; write data_center = \"{location}\" in place of api_url and \
             accounts_url of account {name}, and run login again"
        );
    }
    let question = format!(
        "the org is in the data centre {location}; write data_center = \"{location}\" for account \
             {name} into the config?"
    );
    match accept {
        Accept::Unasked => Ok(center),
        Accept::Asked if std::io::stdin().is_terminal() && says_yes(&question)? => Ok(center),
        Accept::Asked => bail!(
            "the org is in the data centre {location}; write data_center = \"{location}\" for account {name} into the \
             config, or let login do it with --accept-data-center"
        ),
    }
}

fn says_yes(question: &str) -> anyhow::Result<bool> {
    complain(&format!("{question} [y/N]"));
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("the answer cannot be read")?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

/// The permission to write another data centre into the config.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accept {
    /// Without a word.
    Unasked,
    /// When a person says so.
    Asked,
}

/// The outcome of one of the two ways.
struct Got {
    exchanged: Exchanged,
    /// The data centre of the org, when it is not that of the config.
    center: Option<DataCenter>,
}

const AFTER_HELP: &str = "\
Examples:
  channelkeeper -c config.toml login                     # shows a code, and waits
  channelkeeper -c config.toml login --account acme --accept-data-center
  channelkeeper -c config.toml login --code - < code.txt # a self client's code

Exit codes: 0 the refresh token is written; 1 failed: the message says if anything was written; 3 the config cannot be used.";

#[cfg(test)]
#[cfg(feature = "simulator")]
mod tests;
