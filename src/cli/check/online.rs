//! `check --online`: what Zoho says of each account, by calls that change nothing.
//!
//! A look shows whether the credentials are taken, and the channels. The modules need a scope of
//! their own. The scopes of the writes are known only where the token reply names them: no write is
//! tried for the sake of an answer.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;

use serde::Serialize;

use crate::config::near::nearest;
use crate::daemon::scheduler::chain;
use crate::model::channel::{ChannelId, Spec};
use crate::model::record::Record;
use crate::model::records::{List, Place, RecordsAsk};
use crate::model::time::brief;
use crate::plan::render::counted;
use crate::reconcile::subject::Subject;
use crate::zoho::error::Error;

/// The answers about one account.
#[derive(Debug, Serialize)]
pub(super) struct Answers {
    account: String,
    findings: Vec<Finding>,
}

/// One thing that was asked.
#[derive(Debug, Serialize)]
struct Finding {
    /// `credentials`, `channels`, `lives`, `scopes`, `records` or `modules`.
    about: &'static str,
    verdict: OnlineVerdict,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum OnlineVerdict {
    Good,
    /// Less than was asked for, which the daemon lives with.
    Less,
    /// It could not be asked, and the text says why.
    Unasked,
    Bad,
}

/// Asks about one account. `records` is what is remembered of its channels.
pub(super) async fn asked(subject: &Subject, records: &BTreeMap<ChannelId, Record>) -> Answers {
    let account = subject.name().to_string();
    let mut findings = Vec::new();
    let mut say = |about, verdict, text: String| findings.push(Finding { about, verdict, text });
    let listing = match subject.client.list().await {
        Ok(listing) => listing,
        Err(error) => {
            let verdict =
                if error.is_of_account() { OnlineVerdict::Bad } else { OnlineVerdict::Unasked };
            let about = if error.is_scope_mismatch() { "scopes" } else { "credentials" };
            say(about, verdict, chain(&error));
            for about in ["channels", "modules"] {
                say(about, OnlineVerdict::Unasked, "the look at Zoho failed".to_owned());
            }
            return Answers { account, findings };
        }
    };
    say("credentials", OnlineVerdict::Good, "Zoho takes them".to_owned());
    let declared = &subject.desired.specs;
    let there = declared.keys().filter(|id| listing.channels.contains_key(id)).count();
    let others = listing.channels.len() - there + listing.beside.strangers.len();
    let text = format!("{there} of {} declared are there, and {others} others", declared.len());
    say("channels", OnlineVerdict::Good, text);
    if let Some((verdict, text)) = lives(declared, records) {
        say("lives", verdict, text);
    }
    let (verdict, text) = scopes(subject);
    say("scopes", verdict, text);
    if let Some((verdict, text)) = readable(subject).await {
        say("records", verdict, text);
    }
    for (verdict, text) in modules(subject).await {
        say("modules", verdict, text);
    }
    Answers { account, findings }
}

/// The shortest life that Zoho gave a declared channel last: products and versions differ, and Zoho
/// cuts in silence what is too long.
fn lives(
    declared: &BTreeMap<ChannelId, Arc<Spec>>,
    records: &BTreeMap<ChannelId, Record>,
) -> Option<(OnlineVerdict, String)> {
    let given = declared.iter().filter_map(|(id, spec)| {
        let life = records.get(id)?.grant?.length();
        Some((life > spec.lifetime / 2, life, spec))
    });
    let (is_enough, life, spec) = given.min_by_key(|(is_enough, life, _)| (*is_enough, *life))?;
    let life = brief(life);
    Some(match is_enough {
        true => (OnlineVerdict::Good, format!("Zoho gives {life} or more")),
        false => {
            let asked = brief(spec.lifetime);
            (
                OnlineVerdict::Less,
                format!("Zoho gave {} {life}, and lifetime is {asked}", spec.name),
            )
        }
    })
}

fn scopes(subject: &Subject) -> (OnlineVerdict, String) {
    match subject.client.lacking_scopes() {
        None => {
            let text = "looking is allowed; Zoho does not say whether enabling, repairing and disabling are, and no write \
                        is tried for that";
            (OnlineVerdict::Unasked, text.to_owned())
        }
        Some(lacking) if lacking.is_empty() => {
            (OnlineVerdict::Good, "nothing is missing".to_owned())
        }
        Some(lacking) => {
            let text = format!(
                "the token lacks what is needed to {}: {}",
                lacking.join(", "),
                subject.desired.account.product.scope("ALL")
            );
            (OnlineVerdict::Bad, text)
        }
    }
}

/// Where missed events are handed over: the lists of a watched module show if they may be read.
async fn readable(subject: &Subject) -> Option<(OnlineVerdict, String)> {
    let needed = subject.desired.read_scopes();
    let specs = subject.desired.specs.values().filter(|spec| spec.backfill.is_some());
    let mut modules = specs.flat_map(|spec| spec.events.iter()).map(|(module, _)| module);
    let module = modules.find(|module| !module.eq_ignore_ascii_case("users"))?.to_owned();
    let since = subject.client.zoho_now();
    let ask = RecordsAsk { module, list: List::Changed, since, place: Place::Page(1) };
    Some(match subject.client.records(&ask).await {
        Ok(_) => (OnlineVerdict::Good, format!("{} can be read", ask.module)),
        Err(error) if error.is_scope_mismatch() => {
            let needed = needed.into_iter().collect::<Vec<_>>().join(", ");
            (OnlineVerdict::Bad, format!("missed events cannot be read; the token needs {needed}"))
        }
        Err(error) => (OnlineVerdict::Bad, format!("{} cannot be read: {error}", ask.module)),
    })
}

async fn modules(subject: &Subject) -> Vec<(OnlineVerdict, String)> {
    let known = match subject.client.modules().await {
        Ok(known) => known,
        Err(error) => return vec![(OnlineVerdict::Unasked, unasked(&error, subject))],
    };
    let specs = subject.desired.specs.values();
    let missing: Vec<_> = specs
        .flat_map(|spec| unknown(spec, &known))
        .map(|text| (OnlineVerdict::Bad, text))
        .collect();
    if missing.is_empty() {
        let text = format!("all that are declared are among the org's {}", known.len());
        return vec![(OnlineVerdict::Good, text)];
    }
    missing
}

fn unasked(error: &Error, subject: &Subject) -> String {
    if error.is_scope_mismatch() {
        let scope = subject.desired.account.product.settings_scope("modules.READ");
        return format!("the token lacks {scope}, which nothing else needs");
    }
    chain(error)
}

/// A line for each module of a channel that the org does not have.
fn unknown(spec: &Spec, known: &BTreeSet<String>) -> Vec<String> {
    let names: Vec<&str> = known.iter().map(String::as_str).collect();
    let modules = spec.events.iter().map(|(module, _)| module);
    let unknown = modules.filter(|module| *module != USERS && !known.contains(*module));
    let line = |module: &str| {
        let events = [format!("{module}.all").as_str()].into_iter().collect();
        let place = spec.declared.events(&events).map(|place| format!("{place}: "));
        let near = nearest(module, &names).map(|near| format!(" (did you mean {near}?)"));
        format!(
            "{}channel {}: the org has no module {module}{}",
            place.unwrap_or_default(),
            spec.name,
            near.unwrap_or_default()
        )
    };
    unknown.map(line).collect()
}

impl Answers {
    /// The worst of the answers.
    pub(super) fn verdict(&self) -> OnlineVerdict {
        self.findings.iter().map(|finding| finding.verdict).max().unwrap_or(OnlineVerdict::Good)
    }

    /// True when Zoho said nothing at all about the account.
    pub(super) fn is_unheard(&self) -> bool {
        self.findings.iter().all(|finding| finding.verdict == OnlineVerdict::Unasked)
    }

    /// A line for each answer.
    pub(super) fn print(&self, stdout: &mut (dyn Write + Send)) -> std::io::Result<()> {
        let Answers { account, findings } = self;
        writeln!(stdout, "  {account}, asked online ({}):", counted(findings.len(), "answer"))?;
        for Finding { about, verdict, text } in findings {
            let word = match verdict {
                OnlineVerdict::Good => "good",
                OnlineVerdict::Less => "less",
                OnlineVerdict::Unasked => "not asked",
                OnlineVerdict::Bad => "bad",
            };
            writeln!(stdout, "    {word:<9}  {about}: {text}")?;
        }
        Ok(())
    }
}

/// Events of users are sent, although no list of modules has them.
const USERS: &str = "users";
