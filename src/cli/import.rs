//! `import`: the channels that an account has become declarations.
//!
//! Looks at Zoho by itself, also beside a running daemon: tokens do not travel over its socket.
//! [`declare`] decides the content of a declaration; [`toml`] writes it.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use crate::config::secrets::without_line_break;
use crate::daemon::requests::Which;
use crate::files;
use crate::model::channel::{ChannelId, ChannelName};
use crate::model::secret::Secret;

use super::connect;
use super::{Common, Exit, complain};

mod declare;
mod toml;

use declare::{Found, Imported};

/// Print the channels that an account has as declarations.
///
/// They are TOML to be appended to the config file in which the account stands. Declared so, the
/// channels are taken over as they are: `plan` has nothing to write. What is declared already is
/// left out, and what cannot be declared is said in a comment. A notify_url is printed whole, with
/// its query; a token never is. Looks at Zoho and changes nothing there.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ImportArgs {
    /// The account, which has to stand in the config; it may be left out when there is one
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Write the channels' tokens into files in this directory, for their owner alone; without it,
    /// the declarations name files that are still to be made
    #[arg(long, value_name = "DIR")]
    secrets_dir: Option<PathBuf>,
}

pub(super) async fn run(
    args: ImportArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let here = connect::beside(common).await?;
    let chosen = here.fleet.chosen(&Which { account: args.account, channel: None })?;
    let [subject] = chosen.values().collect::<Vec<_>>()[..] else {
        let names: Vec<&str> = chosen.keys().map(|name| name.as_str()).collect();
        bail!("say which account: --account with one of {}", names.join(", "));
    };
    let (listing, tokens) = subject.client.list_with_tokens().await?;
    let records = here.store.records(subject.name())?;
    let declared = here.fleet.subjects.values().flat_map(|subject| subject.desired.specs.values());
    let found = Found {
        account: subject.name(),
        owner: &here.fleet.settings.owner,
        channels: &listing.channels,
        strangers: &listing.strangers,
        records: &records,
        declared: &subject.desired.specs,
        names: declared.map(|spec| spec.name.clone()).collect(),
        defaults: defaults(common, subject.name().as_str()),
        zoho_now: subject.client.zoho_now(),
    };
    let dir = args.secrets_dir.as_deref().map(made).transpose()?;
    let folder = dir.clone().unwrap_or_else(|| PathBuf::from(PLACEHOLDER));
    let imported = declare::declare(&found, &|name| token_file(&folder, name));
    match &dir {
        Some(_) => write_tokens(&imported, &tokens)?,
        None if imported.channels.iter().any(|channel| channel.token_file.is_some()) => complain(
            "note: the tokens are not written anywhere; the files that the declarations name are still to be made, or \
             give --secrets-dir DIR",
        ),
        None => {}
    }
    if common.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(&imported)?)?;
    } else {
        write!(stdout, "{}", toml::text(&imported, dir.is_some()))?;
    }
    Ok(Exit::Done)
}

/// The `channel_defaults` of the account in the config file itself, which the declarations have to
/// go with.
fn defaults(common: &Common, account: &str) -> Option<::toml::Table> {
    let text = files::read_text(&common.config, 8 * 1024).ok()?;
    let file: ::toml::Table = text.parse().ok()?;
    file.get("accounts")?.get(account)?.get("channel_defaults")?.as_table().cloned()
}

/// A directory for its owner alone, as an absolute path: a reference that is relative counts from
/// the config file.
fn made(dir: &Path) -> anyhow::Result<PathBuf> {
    let unusable = || format!("{} cannot be used for secrets", dir.display());
    DirBuilder::new().recursive(true).mode(0o700).create(dir).with_context(unusable)?;
    dir.canonicalize().with_context(unusable)
}

/// Channels with the same token share a file, which is named after the first of them.
fn token_file(folder: &Path, first: &ChannelName) -> String {
    folder.join(format!("{first}-token")).display().to_string()
}

/// One file a token, for its owner alone. A file that is there already and says the same stays.
fn write_tokens(imported: &Imported, tokens: &BTreeMap<ChannelId, Secret>) -> anyhow::Result<()> {
    for channel in &imported.channels {
        let id = channel.channel_id;
        let (Some(file), Some(token)) = (&channel.token_file, tokens.get(&id)) else { continue };
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
            Ok(mut new) => {
                new.write_all(token.expose().as_bytes())
                    .with_context(|| format!("{file} cannot be written"))?;
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let held = files::read(Path::new(file), 64)
                    .with_context(|| format!("{file} cannot be read"))?;
                let held = held.text().with_context(|| format!("{file} cannot be read"))?;
                if without_line_break(&held) != token.expose() {
                    bail!(
                        "{file} is there already and holds something else; move it away, or give another directory"
                    );
                }
            }
            Err(error) => return Err(error).with_context(|| format!("{file} cannot be made")),
        }
    }
    Ok(())
}

/// Where tokens are said to be when they were not written.
const PLACEHOLDER: &str = "secrets";
const AFTER_HELP: &str = "\
Examples:
  channelkeeper import --account acme
  channelkeeper -c config.toml import --account acme --secrets-dir secrets > imported.toml
  cat imported.toml >> config.toml && channelkeeper -c config.toml plan

Exit codes: 0 printed; 1 failed, or Zoho could not be looked at; 3 the config cannot be used.";
