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
use crate::config::{self, Surroundings};
use crate::daemon::requests::Which;
use crate::files;
use crate::model::channel::{ChannelId, ChannelName};
use crate::model::secret::Secret;
use crate::plan::drift::{Drift, drift};

use super::connect;
use super::{Common, Exit, complain, complete};

mod declare;
mod toml;

use declare::{ImportFound, Imported};

/// Print the channels of an account as declarations for the config.
///
/// They are TOML to be appended to the config file in which the account stands. Declared so, the
/// channels are taken over as they are: `plan` has nothing to write. Channels that are declared
/// already are left out; a comment names those that cannot be declared. A notify_url is printed
/// whole, with its query; a token never is. It looks at Zoho and changes nothing there.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ImportArgs {
    /// The account, which has to stand in the config; it may be left out when there is one
    #[arg(long, value_name = "NAME", add = complete::accounts())]
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
    let found = ImportFound {
        account: subject.name(),
        owner: &here.fleet.settings.owner,
        channels: &listing.channels,
        strangers: &listing.beside.strangers,
        records: &records,
        declared: &subject.desired.specs,
        names: declared.map(|spec| spec.name.clone()).collect(),
        defaults: defaults(common, subject.name().as_str()),
        zoho_now: subject.client.zoho_now(),
    };
    let dir = args.secrets_dir.as_deref().map(made).transpose()?;
    let folder = dir.clone().unwrap_or_else(|| PathBuf::from(PLACEHOLDER));
    let mut imported = declare::declare(&found, &|name| token_file(&folder, name));
    // A declaration may be refused because of another, as a name that is there twice.
    for _ in 0..CHECKS_MAX {
        let refusals = refusals(&imported, common, &found);
        if refusals.is_empty() {
            break;
        }
        imported.leave_out(&refusals);
    }
    match &dir {
        Some(_) => write_tokens(&imported, &tokens)?,
        None if imported.channels.iter().any(|channel| channel.token_file.is_some()) => complain(
            "note: the tokens are not written anywhere; the files that the declarations name are \
             still to be made, or give --secrets-dir DIR",
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

/// By id, why the config or the planner would not have a declaration as it is meant: to be taken
/// over, with nothing to write.
fn refusals(
    imported: &Imported,
    common: &Common,
    found: &ImportFound<'_>,
) -> BTreeMap<ChannelId, String> {
    let texts = imported.channels.iter().map(|channel| toml::alone(imported, channel)).collect();
    let surroundings = Surroundings::of_process().fetching_no_secrets();
    let (loaded, wrong) = config::load_beside(&common.config, &surroundings, texts);
    let ids = imported.channels.iter().map(|channel| channel.channel_id);
    let mut refusals: BTreeMap<ChannelId, String> =
        ids.zip(wrong).filter_map(|(id, wrong)| Some((id, wrong?))).collect();
    let Some(desired) = loaded.desired else { return refusals };
    let Some(account) = desired.accounts.get(found.account) else { return refusals };
    for channel in &imported.channels {
        let id = channel.channel_id;
        let (Some(spec), Some(observed)) = (account.specs.get(&id), found.channels.get(&id)) else {
            continue;
        };
        let differing = drift(spec, observed);
        let differs = differing.iter().find(|drift| !is_taken_over(drift));
        if let Some(differs) = differs {
            refusals.insert(id, format!("declared so, its {} would be changed", differs.field()));
        }
    }
    refusals
}

/// True for what the take-over of a channel may change: its URL gets the mark of its owner where
/// `mark_owner` is set. Of tokens nothing is known here, because no secret was fetched.
fn is_taken_over(drift: &Drift) -> bool {
    match drift {
        Drift::Token { .. } => true,
        Drift::NotifyUrl { seen, wanted } => seen.iter().all(|url| wanted.claims(url)),
        Drift::Events { .. }
        | Drift::NotifyOnRelatedAction { .. }
        | Drift::ReturnAffectedFieldValues { .. }
        | Drift::Conditions { .. } => false,
    }
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
                        "{file} is there already and holds something else; move it away, or give \
                         another directory"
                    );
                }
            }
            Err(error) => return Err(error).with_context(|| format!("{file} cannot be made")),
        }
    }
    Ok(())
}

/// More rounds find nothing new: each leaves something out.
const CHECKS_MAX: usize = 8;
/// Where tokens are said to be when they were not written.
const PLACEHOLDER: &str = "secrets";
const AFTER_HELP: &str = "\
Examples:
  channelkeeper import --account acme
  channelkeeper -c config.toml import --account acme --secrets-dir secrets > imported.toml
  cat imported.toml >> config.toml && channelkeeper -c config.toml plan

Exit codes: 0 printed; 1 failed, or Zoho could not be looked at; 3 the config cannot be used.";
