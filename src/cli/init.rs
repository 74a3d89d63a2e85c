//! `init`: a config to begin with, the secrets that it refers to, and the command that comes next.
//!
//! Module [`wishes`] gets what it has to know, from flags or by asking; [`text`] writes the config.
//! Nothing is overwritten, and an `init` that fails leaves nothing behind.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use serde::Serialize;

use crate::config::{self, Surroundings};
use crate::files;

use super::connect::print_problems;
use super::{CONFIG_DEFAULT, Common, Exit, command};

mod hidden;
mod text;
mod wishes;

use wishes::{InitAnswers, Terminal};

/// Write a config to begin with, and its secrets.
///
/// It asks for whatever the flags leave out, if there is a terminal. The config goes where --config
/// says; the client secret and a random channel token go into the folder `secrets` beside it, for
/// their owner alone. Nothing is overwritten.
#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct InitArgs {
    /// The name of the account in the config
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// The product: crm, bigin, recruit or vertical; crm when it is left out
    #[arg(long, value_name = "PRODUCT", conflicts_with = "from_simulator")]
    product: Option<String>,
    /// The portal of an app of Vertical Solutions: acme for acme.zohoplatform.com
    #[arg(long, value_name = "NAME", conflicts_with = "from_simulator")]
    portal: Option<String>,
    /// Where the org lives: us, eu, in, au, cn, jp, ca or sa
    #[arg(long, value_name = "KEY", conflicts_with = "from_simulator")]
    data_center: Option<String>,
    /// The client's id, from Zoho's API console
    #[arg(long, value_name = "ID", conflicts_with = "from_simulator")]
    client_id: Option<String>,
    /// A file that holds the client's secret, or "-" for stdin; it is copied
    #[arg(long, value_name = "FILE", conflicts_with = "from_simulator")]
    client_secret_file: Option<PathBuf>,
    /// An event to watch, as Deals.all or, in Bigin, Pipelines.all; several with commas between
    #[arg(long, value_name = "EVENT", value_delimiter = ',')]
    watch: Vec<String>,
    /// Where Zoho delivers
    #[arg(long, value_name = "URL")]
    notify_url: Option<String>,
    /// Make a playground: an account of a simulator that runs, with its client
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = SIMULATOR_DEFAULT)]
    from_simulator: Option<String>,
}

/// The files that were made.
#[derive(Debug, Serialize)]
struct Made {
    config: String,
    secrets: Vec<String>,
    /// The command that comes next.
    next: String,
}

pub(super) async fn run(
    args: InitArgs,
    common: &Common,
    stdout: &mut (dyn Write + Send),
) -> anyhow::Result<Exit> {
    let place = InitPlaces::beside(&common.config);
    place.is_free()?;
    let stdin = std::io::stdin();
    let is_asked = stdin.is_terminal();
    let wishes = {
        let mut terminal = Terminal { input: &mut std::io::BufReader::new(stdin), is_asked };
        InitAnswers::get(args, &mut terminal).await?
    };
    let mut random = [0_u8; TOKEN_BYTES];
    getrandom::fill(&mut random).context("the system gives no random bytes")?;
    let token = URL_SAFE_NO_PAD.encode(random);
    let files = [
        (&place.client_secret, wishes.client_secret.expose().to_owned()),
        (&place.channel_token, token),
        (&place.config, text::config(&wishes, common.config != Path::new(CONFIG_DEFAULT))),
    ];
    write_all(&files)?;
    let loaded = config::load(&place.config, &Surroundings::of_process().fetching_no_secrets());
    print_problems(&loaded);
    if loaded.desired.is_none() {
        take_back(&files);
        bail!("such a config cannot be used; nothing is written");
    }
    let made = Made {
        config: place.config.display().to_string(),
        secrets: [&place.client_secret, &place.channel_token]
            .map(|path| path.display().to_string())
            .to_vec(),
        next: command(&common.config, "login"),
    };
    told(&made, common, stdout)?;
    Ok(Exit::Done)
}

fn told(made: &Made, common: &Common, stdout: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    if common.json {
        writeln!(stdout, "{}", serde_json::to_string_pretty(made)?)?;
        return Ok(());
    }
    let Made { config, secrets, next } = made;
    writeln!(stdout, "{config} is written; its secrets are in {}", secrets.join(" and "))?;
    writeln!(stdout, "next: {next}")?;
    Ok(())
}

/// Where everything goes.
struct InitPlaces {
    config: PathBuf,
    client_secret: PathBuf,
    channel_token: PathBuf,
}

impl InitPlaces {
    fn beside(config: &Path) -> InitPlaces {
        let secrets = config.parent().unwrap_or(Path::new("")).join("secrets");
        InitPlaces {
            config: config.to_owned(),
            client_secret: secrets.join("client-secret"),
            channel_token: secrets.join("channel-token"),
        }
    }

    /// Said before anybody is asked anything.
    fn is_free(&self) -> anyhow::Result<()> {
        let InitPlaces { config, client_secret, channel_token } = self;
        for path in [config, client_secret, channel_token] {
            if std::fs::symlink_metadata(path).is_ok() {
                bail!(
                    "{} is there already, and init overwrites nothing: name another config with --config FILE, in a \
                     folder of its own",
                    path.display()
                );
            }
        }
        Ok(())
    }
}

/// All of the files, or none.
fn write_all(files: &[(&PathBuf, String)]) -> anyhow::Result<()> {
    for (at, (path, content)) in files.iter().enumerate() {
        let Err(error) = files::create(path, content.as_bytes()) else { continue };
        take_back(&files[..at]);
        return Err(error).with_context(|| format!("{} cannot be written", path.display()));
    }
    Ok(())
}

fn take_back(files: &[(&PathBuf, String)]) {
    for (made, _) in files {
        // The next `init` finds a file that cannot be removed, and says so.
        let _left = std::fs::remove_file(made);
    }
}

/// 32 characters, of the 50 that Zoho takes.
const TOKEN_BYTES: usize = 24;
/// Where `channelkeeper simulator` listens.
const SIMULATOR_DEFAULT: &str = "http://127.0.0.1:8480";
const AFTER_HELP: &str = "\
Examples:
  channelkeeper -c config.toml init                     # asks
  channelkeeper -c config.toml init --data-center eu --client-id 1000.ABC --client-secret-file - \\
    --watch Deals.all,Contacts.create --notify-url https://hooks.example.com/zoho < secret.txt
  channelkeeper -c config.toml init --product bigin     # asks for the rest
  channelkeeper simulator &
  channelkeeper -c config.toml init --from-simulator    # a playground

Exit codes: 0 everything is written; 1 failed, and nothing is written.";

#[cfg(test)]
mod tests;
