//! A place in a request that was sent, named by what stands there: nobody but this program saw the
//! request, so that `$.watch[1].events[4]` says nothing to anybody.

use serde_json::Value;

use super::error::{Error, Kind};
use super::veil::Veil;
use super::wire::Refused;

/// The same refusal, with its place named by what was sent there.
pub(super) fn named(refused: Refused, body: &[u8], veil: &Veil) -> Refused {
    let spot = refused.json_path.as_deref().and_then(|path| spot(path, body));
    let message = match spot {
        Some(spot) => veil.words(&format!("{spot}: {}", refused.message)),
        None => refused.message,
    };
    Refused { message, ..refused }
}

/// The same error, where it is a refusal of the request as a whole.
pub(super) fn named_error(mut error: Error, body: &[u8], veil: &Veil) -> Error {
    if let Kind::Refused { message, json_path: Some(path), .. } = &mut error.kind
        && let Some(spot) = spot(path, body)
    {
        *message = veil.words(&format!("{spot}: {message}"));
    }
    error
}

/// `the event Meetings.create` for `$.watch[1].events[4]`, `the key channel_expiry` for another
/// key: its value may be a secret.
fn spot(path: &str, body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let (channel, key) = path.strip_prefix("$.watch[")?.split_once("].")?;
    let sent = body.get("watch")?.get(channel.parse::<usize>().ok()?)?;
    let Some(place) = key.strip_prefix("events[") else {
        return Some(format!("the key {key}"));
    };
    let place: usize = place.strip_suffix(']')?.parse().ok()?;
    let event = sent.get("events")?.get(place)?.as_str()?;
    let hint = match event.split('.').next() {
        Some("Meetings") => " (the API name of Meetings is Events)",
        Some(_) | None => "",
    };
    Some(format!("the event {event}{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_named_by_what_was_sent_there() {
        let body = br#"{"watch":[{"events":["Deals.all"]},{"events":["Leads.edit","Meetings.create"],"token":"t0p"}]}"#;
        let rows = [
            ("$.watch[1].events[0]", "the event Leads.edit: invalid data"),
            (
                "$.watch[1].events[1]",
                "the event Meetings.create (the API name of Meetings is Events): invalid data",
            ),
            ("$.watch[1].token", "the key token: invalid data"),
            (
                "$.watch[0].notification_condition[0].module",
                "the key notification_condition[0].module: invalid data",
            ),
            ("$.watch[2].token", "invalid data"),
            ("$.watch[1].events[9]", "invalid data"),
            ("$.watch", "invalid data"),
        ];
        for (path, told) in rows {
            let (code, message) = ("INVALID_DATA".to_owned(), "invalid data".to_owned());
            let refused = Refused { code, message, json_path: Some(path.to_owned()) };
            assert_eq!(named(refused, body, &Veil::default()).message, told, "{path}");
        }
    }
}
