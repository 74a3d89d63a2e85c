//! Stored shapes that are not those of the domain: a token's, whose secret is not printable, and
//! the part of a record that is read alone.
//!
//! Everything else is stored as it is. The layout's number says which shapes there are; a release
//! that changes one adds a step to `migrate`.

use serde::{Deserialize, Serialize};

use crate::model::record::Grant;
use crate::model::secret::{Fingerprint, Secret};
use crate::model::time::Timestamp;
use crate::model::token::{Denied, TokenState};

/// The granted part of a record, and nothing else.
#[derive(Deserialize)]
pub(super) struct GrantOnly {
    pub(super) grant: Option<Grant>,
}

/// The access token itself is stored: asking for a new one at each start would run into Zoho's
/// limit of ten in ten minutes. It lives one hour, and the directory is readable by its owner
/// alone.
#[derive(Serialize, Deserialize)]
pub(super) struct TokenValue {
    credentials: Fingerprint,
    access: Option<AccessValue>,
    fetches: Vec<Timestamp>,
    denied: Option<Denied>,
}

#[derive(Serialize, Deserialize)]
struct AccessValue {
    token: String,
    ends: Timestamp,
}

impl TokenValue {
    pub(super) fn of(state: &TokenState) -> TokenValue {
        let TokenState { credentials, access, fetches, denied } = state.clone();
        let access =
            access.map(|(secret, ends)| AccessValue { token: secret.expose().to_owned(), ends });
        TokenValue { credentials, access, fetches, denied }
    }

    pub(super) fn into_state(self) -> TokenState {
        let TokenValue { credentials, access, fetches, denied } = self;
        let access = access.map(|AccessValue { token, ends }| (Secret::new(token), ends));
        TokenState { credentials, access, fetches, denied }
    }
}

/// Names and ids as they are written everywhere else.
pub(super) mod as_text {
    use std::borrow::Cow;
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in crate::store) fn serialize<T: Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(in crate::store) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr,
        T::Err: Display,
        D: Deserializer<'de>,
    {
        Text::deserialize(deserializer)?.0.parse().map_err(D::Error::custom)
    }

    /// A text that is not copied where it stands as it is.
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hours;
    use std::time::Duration;

    use crate::model::channel::ChannelId;
    use crate::model::credits::CreditsLeft;
    use crate::model::learned::{
        Attempts, BatchLearned, Learned, LifetimeLearned, Refusing, Scope, Unscoped,
    };
    use crate::model::record::{AccountState, LastStep, Record, Refusal, Repairs, Trouble};
    use crate::model::time::after;

    fn full_record() -> Record {
        Record {
            id: ChannelId::new(1_000_000_068_001).unwrap(),
            name: "deal-sync".parse().unwrap(),
            notify_url: Fingerprint(u64::MAX),
            grant: Some(Grant {
                at: hours(0),
                asked: hours(0),
                expiry: after(hours(0), Duration::from_secs(86_400)),
            }),
            refusal: Some(Refusal {
                code: "INVALID_DATA".into(),
                message: "invalid data".into(),
                json_path: Some("$.watch[0].events[1]".into()),
                spec: Fingerprint(7),
                attempts: 2,
                at: hours(0),
                events: ["Leads.all"].into_iter().collect(),
            }),
            life_refused: None,
            repairs: Some(Repairs { drift: Fingerprint(9), writes: 3, at: hours(0) }),
            renewal_answered: None,
            last: Some(LastStep {
                at: hours(0),
                step: "enable (renew)".into(),
                outcome: "done".into(),
            }),
        }
    }

    #[test]
    fn a_record_is_read_and_comes_back_as_it_was() {
        let stored = r#"{"id":"1000000068001","name":"deal-sync","notify_url":18446744073709551615,
            "grant":{"at":"2026-01-01T00:00:00Z","asked":"2026-01-01T00:00:00Z","expiry":"2026-01-02T00:00:00Z"},
            "refusal":{"code":"INVALID_DATA","message":"invalid data","json_path":"$.watch[0].events[1]","spec":7,
                "attempts":2,"at":"2026-01-01T00:00:00Z"},
            "repairs":{"drift":9,"writes":3,"at":"2026-01-01T00:00:00Z"},
            "last":{"at":"2026-01-01T00:00:00Z","step":"enable (renew)","outcome":"done"}}"#;
        let mut without_events = full_record();
        without_events.refusal.as_mut().unwrap().events = Default::default();
        assert_eq!(serde_json::from_str::<Record>(stored).unwrap(), without_events);
        let text = serde_json::to_string(&full_record()).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), full_record());
    }

    #[test]
    fn an_account_state_and_a_token_come_back_as_they_were() {
        let state = AccountState {
            skew_ms: Some(-120_000),
            looks: Trouble::default().again(hours(0), "HTTP 500", Some(Duration::from_secs(9))),
            writes: Trouble::default(),
            looked_at: Some(hours(0)),
            looked_from: Some(hours(0)),
            learned: Learned {
                lifetime: Some(LifetimeLearned {
                    max: Duration::from_secs(86_400),
                    asked: Duration::from_secs(604_770),
                    granted: Duration::from_millis(3_599_500),
                    configured: Duration::from_secs(604_800),
                    at: hours(0),
                }),
                post_refused: Some(hours(0)),
                batch: Some(BatchLearned { max: 6, refused: 12, configured: 50, at: hours(0) }),
                refusing: Some(Refusing { code: "INVALID_DATA".into(), at: hours(0) }),
                forbidden: Some(Refusing { code: "NO_PERMISSION".into(), at: hours(0) }),
                unscoped: [(Scope::Update, Unscoped { said: "no".into(), at: hours(0) })].into(),
                short_grants: Attempts { count: 1, since: Some(hours(0)) },
            },
            org: Default::default(),
            credentials: Some(Fingerprint(3)),
            credits: Some(CreditsLeft { remaining: 40, at: hours(0) }),
            at_rest: None,
            sending: None,
        };
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<AccountState>(&text).unwrap(), state);
        let token = TokenState {
            credentials: Fingerprint(1),
            access: Some((Secret::new("1000.token"), hours(0))),
            fetches: vec![hours(0)],
            denied: Some(Denied {
                attempts: 1,
                until: hours(0),
                what: "invalid_code".into(),
                throttled: false,
            }),
        };
        let text = serde_json::to_string(&TokenValue::of(&token)).unwrap();
        assert_eq!(serde_json::from_str::<TokenValue>(&text).unwrap().into_state(), token);
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(256))]

        #[test]
        fn whatever_zoho_says_comes_back_as_it_was(
            text in "(?s).{0,40}",
            number in 1..i64::MAX,
            hash in proptest::arbitrary::any::<u64>(),
            seconds in -60_000_000_000_i64..250_000_000_000,
            nanos in 0..1_000_000_000_i32,
            attempts in proptest::arbitrary::any::<u32>(),
        ) {
            let at = Timestamp::new(seconds, if seconds < 0 { -nanos } else { nanos }).unwrap();
            let mut record = full_record();
            record.id = ChannelId::new(number).unwrap();
            record.notify_url = Fingerprint(hash);
            record.grant = Some(Grant { at, asked: at, expiry: at });
            record.renewal_answered = Some(at);
            record.last = Some(LastStep { at, step: text.clone(), outcome: text.clone() });
            record.repairs = Some(Repairs { drift: Fingerprint(hash), writes: attempts, at });
            let stored = serde_json::to_vec(&record).unwrap();
            proptest::prop_assert_eq!(serde_json::from_slice::<Record>(&stored).unwrap(), record);
            let state = TokenState {
                credentials: Fingerprint(hash),
                access: Some((Secret::new(text.clone()), at)),
                fetches: vec![at; 3],
                denied: Some(Denied { attempts, until: at, what: text, throttled: true }),
            };
            let stored = serde_json::to_vec(&TokenValue::of(&state)).unwrap();
            let back: TokenValue = serde_json::from_slice(&stored).unwrap();
            proptest::prop_assert_eq!(back.into_state(), state);
        }
    }
}
