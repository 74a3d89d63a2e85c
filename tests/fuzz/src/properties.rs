//! The properties that hold for any bytes from outside. Each property panics where it does not
//! hold.
//!
//! The same functions are driven by coverage (`tests/fuzz/run`) and, with a bounded number of
//! inputs, by `tests/it/arbitrary/readers.rs`.

use std::collections::BTreeSet;
use std::fs;

use channelkeeper::config::{self, Commands, Look, MissingCredentials, Surroundings};
use channelkeeper::daemon::requests::{
    AckRequest, AdoptRequest, ApplyRequest, ExplainRequest, GapsRequest, PauseRequest, PlanRequest,
    RenewRequest, ResumeRequest,
};
use channelkeeper::model::channel::ChannelId;
use channelkeeper::zoho::veil::Veil;
use channelkeeper::zoho::wire::{
    Answer, ItemVerdict, Refused, read_answer, read_page, read_tokens,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A property of bytes.
pub(crate) type Property = fn(&[u8]);

/// Each target.
pub(crate) const ALL: [(&str, Property); 4] =
    [("page", page), ("answer", answer), ("config", config), ("requests", requests)];

/// A page of Zoho's list. A row whose channel can be read is never lost, whatever else is odd in
/// it: else a channel that is there would look gone.
pub(crate) fn page(bytes: &[u8]) {
    let (page, tokens) = (read_page(bytes), read_tokens(bytes));
    assert_eq!(page.is_ok(), tokens.is_ok(), "one reader takes what the other does not");
    let (Ok(page), Ok(tokens)) = (page, tokens) else { return };
    let value: Value = serde_json::from_slice(bytes).expect("a page is JSON");
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
        Answer::Bare(refused) => check_refused(&refused),
        Answer::BareSuccess => assert_eq!(value["code"], "SUCCESS"),
        Answer::Items(items) => {
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
    thread_local! {
        static DIR: tempfile::TempDir = tempfile::tempdir().expect("a directory");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // A path that leads elsewhere may name other files, or devices that never end.
    if ["include", "file", "/"].iter().any(|word| text.contains(word)) && text.contains("/dev") {
        return;
    }
    let path = DIR.with(|dir| dir.path().join("config.toml"));
    fs::write(&path, text).expect("room for a config");
    let surroundings = Surroundings {
        env: Box::new(|_| Some(SECRET.to_owned())),
        credentials_dir: None,
        missing: MissingCredentials::Refuse,
        commands: Commands::Refuse,
    };
    let loaded = config::load(&path, &surroundings);
    assert_eq!(loaded.desired.is_some(), loaded.problems.is_empty(), "{:?}", loaded.problems);
    let told: Vec<_> = loaded.problems.iter().chain(&loaded.warnings).cloned().collect();
    let shown = format!("{loaded:?} {}", config::render(&told, Look::Plain));
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
