//! The answers that `init` needs: from flags, from a running simulator, or by asking.
//!
//! A flag that means nothing ends the command; a person is told why, and asked again.

use std::io::{BufRead, IsTerminal, Read};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;

use super::InitArgs;
use super::hidden::Hidden;
use crate::cli::complain;
use crate::cli::connect::{ReplyBounds, fetch};
use crate::config;
use crate::files;
use crate::model::channel::AccountName;
use crate::model::data_center::DataCenter;
use crate::model::events::Events;
use crate::model::product::Product;
use crate::model::secret::Secret;

/// Everything that the config is written from.
#[derive(Debug)]
pub(super) struct InitAnswers {
    pub(super) account: AccountName,
    pub(super) product: Product,
    /// The portal, for an app of Vertical Solutions at Zoho.
    pub(super) portal: Option<String>,
    pub(super) server: ServerChosen,
    pub(super) client_id: String,
    pub(super) client_secret: Secret,
    /// By name, with the events of each.
    pub(super) channels: Vec<(String, Vec<String>)>,
    pub(super) notify_url: String,
}

/// Where the account is.
#[derive(Debug)]
pub(super) enum ServerChosen {
    /// At Zoho.
    Center(DataCenter),
    /// At a simulator with this address.
    Simulator(String),
}

/// Who is asked.
pub(super) struct Terminal<'t> {
    pub(super) input: &'t mut (dyn BufRead + Send),
    /// True when somebody is there.
    pub(super) is_asked: bool,
}

impl InitAnswers {
    pub(super) async fn get(
        args: InitArgs,
        terminal: &mut Terminal<'_>,
    ) -> anyhow::Result<InitAnswers> {
        let InitArgs {
            account,
            product,
            portal,
            data_center,
            client_id,
            client_secret_file,
            watch,
            notify_url,
            from_simulator,
        } = args;
        if let Some(url) = from_simulator {
            return playground(&url, account, &watch, notify_url).await;
        }
        let account = account.or_else(|| (!terminal.is_asked).then(|| "main".to_owned()));
        let account = terminal.get(&ACCOUNT, account, |text| {
            text.parse::<AccountName>().map_err(|error| error.to_string())
        })?;
        let product = product.or_else(|| (!terminal.is_asked).then(|| "crm".to_owned()));
        let product = terminal.get(&PRODUCT, product, self::product)?;
        let portal = terminal.portal(product, portal)?;
        let center = terminal.get(&DATA_CENTER, data_center, center)?;
        if terminal.is_asked && client_id.is_none() {
            complain(&client_words(center));
        }
        let client_id = terminal.get(&CLIENT_ID, client_id, one_word)?;
        let client_secret = match client_secret_file {
            Some(path) => terminal.secret_of(&path)?,
            None => terminal.get(&CLIENT_SECRET, None, one_word)?,
        };
        let watch = (!watch.is_empty()).then(|| watch.join(","));
        let channels = terminal.get(&watch_question(product), watch, channels)?;
        let notify_url = terminal.get(&NOTIFY_URL, notify_url, url)?;
        let (server, client_secret) = (ServerChosen::Center(center), Secret::new(client_secret));
        Ok(InitAnswers {
            account,
            product,
            portal,
            server,
            client_id,
            client_secret,
            channels,
            notify_url,
        })
    }
}

/// One question.
struct Question {
    flag: &'static str,
    words: &'static str,
    /// The answer of whoever only presses Enter.
    usual: &'static str,
    /// True when nobody may read the answer over a shoulder.
    is_secret: bool,
}

impl Terminal<'_> {
    /// The flag's value, or the answer to its question, as soon as it means something.
    fn get<T>(
        &mut self,
        question: &Question,
        given: Option<String>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> anyhow::Result<T> {
        let Question { flag, words: _, usual: _, is_secret: _ } = question;
        if let Some(given) = given {
            return read(given.trim()).map_err(|why| anyhow::anyhow!("{flag}: {why}"));
        }
        if !self.is_asked {
            bail!("{flag} is missing, and there is no terminal to ask on; nothing is written");
        }
        for _ in 0..ATTEMPTS_MAX {
            let answer = self.ask(question)?;
            match read(&answer) {
                Ok(value) => return Ok(value),
                Err(why) => complain(&why),
            }
        }
        bail!("{flag}: no answer of {ATTEMPTS_MAX} can be used; nothing is written")
    }

    fn portal(
        &mut self,
        product: Product,
        given: Option<String>,
    ) -> anyhow::Result<Option<String>> {
        match product {
            Product::Vertical => self.get(&PORTAL, given, config::check_portal).map(Some),
            Product::Crm | Product::Bigin | Product::Recruit if given.is_some() => {
                bail!("--portal goes with --product vertical")
            }
            Product::Crm | Product::Bigin | Product::Recruit => Ok(None),
        }
    }

    fn ask(&mut self, question: &Question) -> anyhow::Result<String> {
        let Question { flag: _, words, usual, is_secret } = question;
        let default = if usual.is_empty() { String::new() } else { format!(" [{usual}]") };
        // Before the question: whoever answers at once is not shown either.
        let hidden = (*is_secret && std::io::stdin().is_terminal()).then(Hidden::begin).flatten();
        complain(&format!("{words}{default}:"));
        let mut line = String::new();
        let read = (&mut *self.input).take(LINE_MAX).read_line(&mut line);
        drop(hidden);
        if read.context("the answer cannot be read")? == 0 {
            bail!("the answers end here; nothing is written");
        }
        let answer = line.trim();
        Ok(if answer.is_empty() { (*usual).to_owned() } else { answer.to_owned() })
    }

    /// The client's secret, from a file or from stdin.
    fn secret_of(&mut self, path: &Path) -> anyhow::Result<String> {
        let text = if path == Path::new("-") {
            let mut line = String::new();
            (&mut *self.input).take(LINE_MAX).read_line(&mut line).context("stdin")?;
            line
        } else {
            files::read_text(path, SECRET_KIB_MAX)
                .with_context(|| format!("{} cannot be read", path.display()))?
        };
        one_word(text.trim()).map_err(|why| anyhow::anyhow!("--client-secret-file: {why}"))
    }
}

/// An account of a simulator that runs.
async fn playground(
    url: &str,
    account: Option<String>,
    watch: &[String],
    notify_url: Option<String>,
) -> anyhow::Result<InitAnswers> {
    let url = url.trim_end_matches('/');
    let state = fetch(url, None, "/_sim/state", STATE_BOUNDS).await.with_context(|| {
        format!("no simulator answers at {url}: start one with `channelkeeper simulator`")
    })?;
    let SimulatorState { orgs } = serde_json::from_slice(&state)
        .with_context(|| format!("{url} is no simulator of channelkeeper"))?;
    let Some((name, org)) = orgs.into_iter().next() else { bail!("{url} has no org") };
    let account = account.unwrap_or(name);
    let product = org.product.parse().with_context(|| format!("the product of {url}"))?;
    let watch = if watch.is_empty() { examples(product).1.to_owned() } else { watch.join(",") };
    let notify_url = notify_url.unwrap_or_else(|| PLAYGROUND_URL.to_owned());
    let flag = |flag: &'static str| move |why: String| anyhow::anyhow!("{flag}: {why}");
    Ok(InitAnswers {
        account: account.parse().map_err(|error| anyhow::anyhow!("--account: {error}"))?,
        product,
        // The simulator is found by its URL.
        portal: None,
        server: ServerChosen::Simulator(url.to_owned()),
        client_id: org.client_id,
        client_secret: Secret::new(org.client_secret),
        channels: channels(&watch).map_err(flag("--watch"))?,
        notify_url: self::url(&notify_url).map_err(flag("--notify-url"))?,
    })
}

/// As much of the simulator's state as is needed.
#[derive(Deserialize)]
struct SimulatorState {
    orgs: std::collections::BTreeMap<String, SimulatorOrg>,
}

#[derive(Deserialize)]
struct SimulatorOrg {
    product: String,
    client_id: String,
    client_secret: String,
}

fn client_words(center: DataCenter) -> String {
    let domain = center.accounts_url.trim_start_matches("https://accounts.");
    format!(
        "In Zoho's API console, https://api-console.{domain}, add a client of the kind Non-browser \
         Application."
    )
}

fn product(text: &str) -> Result<Product, String> {
    let keys = Product::ALL.map(Product::as_str).join(", ");
    text.to_ascii_lowercase()
        .parse()
        .map_err(|_| format!("no product is called so; it is one of {keys}"))
}

/// Events of a product: one for whoever only presses Enter, and those of a playground.
fn examples(product: Product) -> (&'static str, &'static str) {
    match product {
        Product::Crm | Product::Vertical => ("Deals.all", "Deals.all,Contacts.create"),
        Product::Bigin => ("Pipelines.all", "Pipelines.all,Contacts.create"),
        Product::Recruit => ("Candidates.all", "Candidates.all,Job_Openings.create"),
    }
}

fn watch_question(product: Product) -> Question {
    Question { usual: examples(product).0, ..WATCH }
}

fn center(text: &str) -> Result<DataCenter, String> {
    let keys = DataCenter::ALL.map(|center| center.key).join(", ");
    let found = DataCenter::find(&text.to_ascii_lowercase());
    found.ok_or_else(|| format!("no data centre is called so; it is one of {keys}"))
}

fn one_word(text: &str) -> Result<String, String> {
    let is_word = !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    let word = is_word.then(|| text.to_owned());
    word.ok_or_else(|| "it is one word; copy it from Zoho's API console".to_owned())
}

/// A channel for each module, so that the coverage of each is told apart.
fn channels(text: &str) -> Result<Vec<(String, Vec<String>)>, String> {
    let mut channels: Vec<(String, Vec<String>)> = Vec::new();
    for event in text.split([',', ' ']).filter(|event| !event.is_empty()) {
        let (module, _) = Events::parse(event)
            .map_err(|error| format!("\"{}\": {error}; as in Deals.all", event.escape_debug()))?;
        let name = module.to_ascii_lowercase().replace('_', "-").trim_matches('-').to_owned();
        match channels.iter_mut().find(|(known, _)| *known == name) {
            Some((_, events)) => events.push(event.to_owned()),
            None => channels.push((name, vec![event.to_owned()])),
        }
    }
    match channels.is_empty() {
        true => Err("name at least one event, as Deals.all".to_owned()),
        false => Ok(channels),
    }
}

fn url(text: &str) -> Result<String, String> {
    config::check_notify_url(text).map(|()| text.to_owned())
}

const ACCOUNT: Question = Question {
    flag: "--account",
    words: "A name for the account, which log and status show",
    usual: "main",
    is_secret: false,
};
const PRODUCT: Question = Question {
    flag: "--product",
    words: "The product: crm, bigin, recruit, or vertical for an app of Vertical Solutions",
    usual: "crm",
    is_secret: false,
};
const PORTAL: Question = Question {
    flag: "--portal",
    words: "The portal of the app: acme for acme.zohoplatform.com",
    usual: "",
    is_secret: false,
};
const DATA_CENTER: Question = Question {
    flag: "--data-center",
    words: "The data centre, as in the address of your CRM: crm.zoho.com is us, crm.zoho.eu is eu, crm.zoho.in is in, \
            and so on",
    usual: "us",
    is_secret: false,
};
const CLIENT_ID: Question =
    Question { flag: "--client-id", words: "Its client id", usual: "", is_secret: false };
const CLIENT_SECRET: Question = Question {
    flag: "--client-secret-file",
    words: "Its client secret, which is not shown",
    usual: "",
    is_secret: true,
};
const WATCH: Question = Question {
    flag: "--watch",
    words: "The events to watch, as Contacts.create, with commas between; .all is every change",
    usual: "",
    is_secret: false,
};
const NOTIFY_URL: Question = Question {
    flag: "--notify-url",
    words: "The https URL to which Zoho delivers",
    usual: "",
    is_secret: false,
};
/// Somebody who has not found an answer by then looks elsewhere first.
const ATTEMPTS_MAX: usize = 5;
/// No answer is longer.
const LINE_MAX: u64 = 4096;
const SECRET_KIB_MAX: u64 = 64;
/// How long a simulator may take, and how much it may say.
const STATE_BOUNDS: ReplyBounds =
    ReplyBounds { patience: Duration::from_secs(5), size_max: 8 * 1024 * 1024 };
/// Where `channelkeeper listen` listens.
const PLAYGROUND_URL: &str = "http://127.0.0.1:8471/";
