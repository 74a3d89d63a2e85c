//! The properties that hold for any bytes from outside. Each property panics where it does not
//! hold.
//!
//! The same functions are driven by coverage (`tests/fuzz/run`) and, with a bounded number of
//! inputs, by `tests/it/arbitrary/readers.rs`.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use channelkeeper::config::{self, Commands, MissingCredentials, ProblemStyle, Surroundings};
use channelkeeper::coverage::Ledger;
use channelkeeper::daemon::requests::{
    AckRequest, AdoptRequest, ApplyRequest, ExplainRequest, GapsRequest, PauseRequest, PlanRequest,
    RenewRequest, ResumeRequest,
};
use channelkeeper::model::account::{Account, Credentials};
use channelkeeper::model::canary::Canaries;
use channelkeeper::model::channel::ChannelId;
use channelkeeper::model::exchange::Response;
use channelkeeper::model::policy::{Mode, Policy, Removed};
use channelkeeper::model::product::Product;
use channelkeeper::model::record::{AccountState, Record};
use channelkeeper::model::secret::Secret;
use channelkeeper::model::time::{Timestamp, after};
use channelkeeper::model::version::{ApiVersion, WEEK};
use channelkeeper::model::wishes::Wishes;
use channelkeeper::zoho::auth::token_of;
use channelkeeper::zoho::veil::Veil;
use channelkeeper::zoho::wire::{
    ItemVerdict, Refused, WriteAnswer, read_answer, read_page, read_tokens,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A property of bytes.
pub(crate) type Property = fn(&[u8]);

/// Each target.
pub(crate) const ALL: [(&str, Property); 6] = [
    ("page", page),
    ("answer", answer),
    ("config", config),
    ("requests", requests),
    ("stored", stored),
    ("tokens", tokens),
];

/// A page of Zoho's list. A row whose channel can be read is never lost, whatever else is odd in
/// it: else a channel that is there would look gone.
pub(crate) fn page(bytes: &[u8]) {
    let (page, tokens) = (read_page(bytes), read_tokens(bytes));
    assert_eq!(page.is_ok(), tokens.is_ok(), "one reader takes what the other does not");
    let (Ok(page), Ok(tokens)) = (page, tokens) else { return };
    // Keys that the readers pass over may hold half a surrogate pair, which no value can.
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    // A page may name a key twice, in which case two readers may differ.
    let Some(watch) = value.get("watch").and_then(Value::as_array) else {
        panic!("a page without rows was read as an empty list")
    };
    assert_eq!(page.count, watch.len());
    let named = |row: &Value| row.get("channel_id")?.as_str()?.parse::<ChannelId>().ok();
    let named: BTreeSet<ChannelId> = watch.iter().filter_map(named).collect();
    let read: BTreeSet<ChannelId> = page.rows.iter().map(|row| row.id).collect();
    assert!(named.is_subset(&read), "{named:?} were named, {read:?} were read");
    let shown = format!("{page:?} {tokens:?}");
    for (_, token) in &tokens {
        let token = token.expose();
        assert!(!is_telling(token) || !shown_outside(token, &shown, watch), "a token is shown");
    }
}

/// An answer to a write. Nothing is accepted that does not say so, and what is repeated of it is
/// short and plain.
pub(crate) fn answer(bytes: &[u8]) {
    let Ok(answer) = read_answer(bytes, &Veil::default()) else { return };
    let value: Value = serde_json::from_slice(bytes).expect("an answer is JSON");
    match answer {
        WriteAnswer::Bare(refused) => check_refused(&refused),
        WriteAnswer::BareSuccess => assert_eq!(value["code"], "SUCCESS"),
        WriteAnswer::Items(items) => {
            let said = value["watch"].as_array().expect("it has items");
            assert_eq!(items.len(), said.len());
            for (item, said) in items.iter().zip(said) {
                match &item.verdict {
                    ItemVerdict::Accepted(_) => {
                        let says = |key: &str| said.get(key).and_then(Value::as_str);
                        let is_said =
                            says("code") == Some("SUCCESS") || says("status") == Some("success");
                        assert!(is_said, "{said} was taken for a success");
                    }
                    ItemVerdict::Refused(refused) => check_refused(refused),
                    ItemVerdict::Unsure(_) => {}
                }
            }
        }
    }
}

/// A config. It is used or there are problems with it, never both and never neither; and a secret
/// is in neither.
pub(crate) fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // A path that leads elsewhere may name other files, or devices that never end.
    if ["include", "file", "/"].iter().any(|word| text.contains(word)) && text.contains("/dev") {
        return;
    }
    let surroundings = Surroundings {
        env: Box::new(|_| Some(SECRET.to_owned())),
        credentials_dir: None,
        missing: MissingCredentials::Refuse,
        commands: Commands::Refuse,
    };
    let loaded = config::load_text(Path::new("config.toml"), text.to_owned(), &surroundings);
    assert_eq!(loaded.desired.is_some(), loaded.problems.is_empty(), "{:?}", loaded.problems);
    let told: Vec<_> = loaded.problems.iter().chain(&loaded.warnings).cloned().collect();
    let shown = format!("{loaded:?} {}", config::render(&told, ProblemStyle::Plain));
    assert!(!shown.contains(SECRET) || text.contains(SECRET), "a secret is shown");
}

/// Bodies of requests at the control socket: what is read, written and read again is the same.
pub(crate) fn requests(bytes: &[u8]) {
    round_trip::<PlanRequest>(bytes);
    round_trip::<RenewRequest>(bytes);
    round_trip::<GapsRequest>(bytes);
    round_trip::<AckRequest>(bytes);
    round_trip::<AdoptRequest>(bytes);
    round_trip::<ApplyRequest>(bytes);
    round_trip::<ExplainRequest>(bytes);
    round_trip::<PauseRequest>(bytes);
    round_trip::<ResumeRequest>(bytes);
}

/// Values of the store. What is read and written again reads the same, and no ledger that can be
/// read is too odd to be asked for its gaps.
pub(crate) fn stored(bytes: &[u8]) {
    round_trip::<Canaries>(bytes);
    let Ok(kept) = serde_json::from_slice::<Kept>(bytes) else { return };
    let text = serde_json::to_string(&kept).expect("what was read can be written");
    let again: Kept = serde_json::from_str(&text).expect("what was written can be read");
    assert_eq!(serde_json::to_string(&again).expect("it can be written"), text);
    let Kept { record, state: _, wishes: _, mut ledger } = kept;
    let now = record.grant.map_or(Timestamp::UNIX_EPOCH, |grant| grant.at);
    ledger.retire(now, None);
    let gaps = ledger.gaps(now);
    assert!(gaps.len() <= bytes.len(), "a gap has no place in what was read");
}

/// The values that the store holds of one channel and its account.
#[derive(Serialize, Deserialize)]
struct Kept {
    record: Record,
    state: AccountState,
    wishes: Wishes,
    ledger: Ledger,
}

fn account() -> Account {
    Account {
        name: "acme".parse().expect("a name"),
        product: Product::Crm,
        version: ApiVersion::V8,
        api_url: String::new(),
        accounts_url: String::new(),
        credentials: Credentials {
            client_id: "1000.ID".to_owned(),
            client_secret: Secret::new(SECRET),
            refresh_token: Secret::new(SECRET),
        },
        policy: Policy {
            mode: Mode::Sync,
            removed: Removed::Disable,
            batch_max: 50,
            lifetime_max: WEEK,
            credits_per_day: None,
        },
    }
}

/// A reply of the OAuth server; its first byte says with which status it comes. A token can be
/// carried by a header and lives an hour at most, and an error quotes no secret.
pub(crate) fn tokens(bytes: &[u8]) {
    let Some((status, body)) = bytes.split_first() else { return };
    let status = [200, 400, 401, 429, 500][usize::from(*status) % 5];
    let response = Response { status, headers: Vec::new(), body: body.to_vec() };
    let now = Timestamp::UNIX_EPOCH;
    match token_of(&response, &Veil::of(&account()), now) {
        Ok((token, ends)) => {
            let value: Value = serde_json::from_slice(body).expect("a reply is JSON");
            assert_eq!(value["access_token"], token.expose());
            assert!(
                !token.expose().is_empty() && token.expose().bytes().all(|b| b.is_ascii_graphic())
            );
            assert!(status < 500 && ends <= after(now, Duration::from_secs(3600)));
        }
        Err(why) => {
            assert!(!why.contains(SECRET), "a secret is quoted");
            assert!(!why.chars().any(char::is_control), "{why:?} is not plain");
            assert!(why.chars().count() <= SHOWN_MAX + 200, "{why:?} is long");
        }
    }
}

fn round_trip<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    let Ok(read) = serde_json::from_slice::<T>(bytes) else { return };
    let written = serde_json::to_value(&read).expect("a request can be written");
    let again: T = serde_json::from_value(written.clone()).expect("what was written can be read");
    assert_eq!(serde_json::to_value(&again).expect("a request can be written"), written);
}

fn check_refused(refused: &Refused) {
    let Refused { code, message, json_path } = refused;
    for text in [code, message].into_iter().chain(json_path) {
        assert!(text.chars().count() <= SHOWN_MAX, "{text:?} is long");
        assert!(!text.chars().any(char::is_control), "{text:?} is not plain");
    }
}

/// Long enough that it is in no other text by chance.
fn is_telling(token: &str) -> bool {
    token.len() >= 8
}

/// True when a token is shown and nothing else in the rows can be why.
fn shown_outside(token: &str, shown: &str, rows: &[Value]) -> bool {
    let is_elsewhere = |row: &Value| {
        let Some(fields) = row.as_object() else { return false };
        fields.iter().any(|(key, value)| key != "token" && value.to_string().contains(token))
    };
    shown.contains(token) && !"[redacted]".contains(token) && !rows.iter().any(is_elsewhere)
}

const SECRET: &str = "hunter2-correct-horse-battery";
/// Three hundred and the dots.
const SHOWN_MAX: usize = 303;
