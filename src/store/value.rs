//! The stored shapes of records, account states and tokens.
//!
//! They are types of their own, so that the domain can change without changing what is on disk.
//! Each carries its version `v`; a later shape reads the earlier ones. Conversions name every
//! field, so that a new one breaks the build here and not the data.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::channel::{ChannelId, ChannelName};
use crate::model::credits::CreditsLeft;
use crate::model::learned::{Attempts, BatchLearned, Learned, LifetimeLearned, Refusing};
use crate::model::record::{AccountState, Grant, LastStep, Record, Refusal, Repairs, Trouble};
use crate::model::secret::{Fingerprint, Secret};
use crate::model::time::Timestamp;
use crate::model::token::{Denied, TokenState};

/// The version of every shape in this file.
const V: u32 = 1;

#[derive(Serialize, Deserialize)]
pub(super) struct RecordValue {
    v: u32,
    #[serde(with = "as_text")]
    id: ChannelId,
    #[serde(with = "as_text")]
    name: ChannelName,
    notify_url: u64,
    grant: Option<GrantValue>,
    refusal: Option<RefusalValue>,
    repairs: Option<RepairsValue>,
    #[serde(default)]
    renewal_answered: Option<Timestamp>,
    last: Option<LastStepValue>,
}

/// Of a record, only what was granted.
#[derive(Deserialize)]
pub(super) struct GrantOnly {
    grant: Option<GrantValue>,
}

impl GrantOnly {
    pub(super) fn into_grant(self) -> Option<Grant> {
        self.grant.map(|GrantValue { at, asked, expiry }| Grant { at, asked, expiry })
    }
}

#[derive(Serialize, Deserialize)]
struct GrantValue {
    at: Timestamp,
    asked: Timestamp,
    expiry: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct RefusalValue {
    code: String,
    message: String,
    json_path: Option<String>,
    spec: u64,
    attempts: u32,
    at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct RepairsValue {
    drift: u64,
    writes: u32,
    at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct LastStepValue {
    at: Timestamp,
    step: String,
    outcome: String,
}

impl RecordValue {
    pub(super) fn of(record: &Record) -> RecordValue {
        let Record { id, name, notify_url, grant, refusal, repairs, renewal_answered, last } =
            record.clone();
        RecordValue {
            v: V,
            id,
            name,
            notify_url: notify_url.0,
            grant: grant.map(|Grant { at, asked, expiry }| GrantValue { at, asked, expiry }),
            refusal: refusal.map(|Refusal { code, message, json_path, spec, attempts, at }| {
                RefusalValue { code, message, json_path, spec: spec.0, attempts, at }
            }),
            repairs: repairs.map(|Repairs { drift, writes, at }| RepairsValue {
                drift: drift.0,
                writes,
                at,
            }),
            renewal_answered,
            last: last.map(|LastStep { at, step, outcome }| LastStepValue { at, step, outcome }),
        }
    }

    pub(super) fn id(&self) -> ChannelId {
        self.id
    }

    pub(super) fn into_record(self) -> Record {
        let RecordValue {
            v: _,
            id,
            name,
            notify_url,
            grant,
            refusal,
            repairs,
            renewal_answered,
            last,
        } = self;
        Record {
            id,
            name,
            notify_url: Fingerprint(notify_url),
            grant: grant.map(|GrantValue { at, asked, expiry }| Grant { at, asked, expiry }),
            refusal: refusal.map(
                |RefusalValue { code, message, json_path, spec, attempts, at }| Refusal {
                    code,
                    message,
                    json_path,
                    spec: Fingerprint(spec),
                    attempts,
                    at,
                },
            ),
            repairs: repairs.map(|RepairsValue { drift, writes, at }| Repairs {
                drift: Fingerprint(drift),
                writes,
                at,
            }),
            renewal_answered,
            last: last.map(|LastStepValue { at, step, outcome }| LastStep { at, step, outcome }),
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct AccountValue {
    v: u32,
    skew_ms: Option<i64>,
    looks: TroubleValue,
    writes: TroubleValue,
    looked_at: Option<Timestamp>,
    #[serde(default)]
    looked_from: Option<Timestamp>,
    #[serde(default)]
    learned: LearnedValue,
    #[serde(default)]
    credits: Option<CreditsValue>,
}

#[derive(Serialize, Deserialize)]
struct CreditsValue {
    remaining: u64,
    at: Timestamp,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct LearnedValue {
    lifetime: Option<LifetimeLearnedValue>,
    post_refused: Option<Timestamp>,
    batch: Option<BatchLearnedValue>,
    refusing: Option<RefusingValue>,
    short_grants: AttemptsValue,
}

#[derive(Serialize, Deserialize)]
struct LifetimeLearnedValue {
    max: Duration,
    asked: Duration,
    granted: Duration,
    configured: Duration,
    at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct BatchLearnedValue {
    max: usize,
    #[serde(default)]
    refused: Option<usize>,
    configured: usize,
    at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct RefusingValue {
    code: String,
    at: Timestamp,
}

#[derive(Serialize, Deserialize, Default)]
struct AttemptsValue {
    count: u32,
    since: Option<Timestamp>,
}

impl LearnedValue {
    fn of(learned: &Learned) -> LearnedValue {
        let Learned { lifetime, post_refused, batch, refusing, short_grants } = learned.clone();
        let Attempts { count, since } = short_grants;
        let batch = batch.map(|BatchLearned { max, refused, configured, at }| BatchLearnedValue {
            max,
            refused: Some(refused),
            configured,
            at,
        });
        let refusing = refusing.map(|Refusing { code, at }| RefusingValue { code, at });
        let lifetime = lifetime.map(|LifetimeLearned { max, asked, granted, configured, at }| {
            LifetimeLearnedValue { max, asked, granted, configured, at }
        });
        LearnedValue {
            lifetime,
            post_refused,
            batch,
            refusing,
            short_grants: AttemptsValue { count, since },
        }
    }

    fn into_learned(self) -> Learned {
        let LearnedValue { lifetime, post_refused, batch, refusing, short_grants } = self;
        let AttemptsValue { count, since } = short_grants;
        let batch = batch.map(|BatchLearnedValue { max, refused, configured, at }| BatchLearned {
            max,
            refused: refused.unwrap_or(max.saturating_add(1)),
            configured,
            at,
        });
        let refusing = refusing.map(|RefusingValue { code, at }| Refusing { code, at });
        let lifetime =
            lifetime.map(|LifetimeLearnedValue { max, asked, granted, configured, at }| {
                LifetimeLearned { max, asked, granted, configured, at }
            });
        Learned { lifetime, post_refused, batch, refusing, short_grants: Attempts { count, since } }
    }
}

#[derive(Serialize, Deserialize)]
struct TroubleValue {
    attempts: u32,
    at: Option<Timestamp>,
    not_before: Option<Timestamp>,
    what: String,
}

impl TroubleValue {
    fn of(trouble: &Trouble) -> TroubleValue {
        let Trouble { attempts, at, not_before, what } = trouble.clone();
        TroubleValue { attempts, at, not_before, what }
    }

    fn into_trouble(self) -> Trouble {
        let TroubleValue { attempts, at, not_before, what } = self;
        Trouble { attempts, at, not_before, what }
    }
}

impl AccountValue {
    pub(super) fn of(state: &AccountState) -> AccountValue {
        let AccountState { skew_ms, looks, writes, looked_at, looked_from, learned, credits } =
            state;
        AccountValue {
            v: V,
            skew_ms: *skew_ms,
            looks: TroubleValue::of(looks),
            writes: TroubleValue::of(writes),
            looked_at: *looked_at,
            looked_from: *looked_from,
            learned: LearnedValue::of(learned),
            credits: credits.map(|CreditsLeft { remaining, at }| CreditsValue { remaining, at }),
        }
    }

    pub(super) fn into_state(self) -> AccountState {
        let AccountValue { v: _, skew_ms, looks, writes, looked_at, looked_from, learned, credits } =
            self;
        AccountState {
            skew_ms,
            looks: looks.into_trouble(),
            writes: writes.into_trouble(),
            looked_at,
            looked_from,
            learned: learned.into_learned(),
            credits: credits.map(|CreditsValue { remaining, at }| CreditsLeft { remaining, at }),
        }
    }
}

/// The access token itself is stored: asking for a new one at each start would run into Zoho's
/// limit of ten in ten minutes. It lives one hour, and the directory is readable by its owner
/// alone.
#[derive(Serialize, Deserialize)]
pub(super) struct TokenValue {
    v: u32,
    credentials: u64,
    access: Option<AccessValue>,
    fetches: Vec<Timestamp>,
    denied: Option<DeniedValue>,
}

#[derive(Serialize, Deserialize)]
struct AccessValue {
    token: String,
    ends: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct DeniedValue {
    attempts: u32,
    until: Timestamp,
    what: String,
    throttled: bool,
}

impl TokenValue {
    pub(super) fn of(state: &TokenState) -> TokenValue {
        let TokenState { credentials, access, fetches, denied } = state.clone();
        TokenValue {
            v: V,
            credentials: credentials.0,
            access: access
                .map(|(secret, ends)| AccessValue { token: secret.expose().to_owned(), ends }),
            fetches,
            denied: denied.map(|Denied { attempts, until, what, throttled }| DeniedValue {
                attempts,
                until,
                what,
                throttled,
            }),
        }
    }

    pub(super) fn into_state(self) -> TokenState {
        let TokenValue { v: _, credentials, access, fetches, denied } = self;
        TokenState {
            credentials: Fingerprint(credentials),
            access: access.map(|AccessValue { token, ends }| (Secret::new(token), ends)),
            fetches,
            denied: denied.map(|DeniedValue { attempts, until, what, throttled }| Denied {
                attempts,
                until,
                what,
                throttled,
            }),
        }
    }
}

/// Names and ids as they are written everywhere else.
pub(super) mod as_text {
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
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::after;

    fn at() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    fn full_record() -> Record {
        Record {
            id: ChannelId::new(1_000_000_068_001).unwrap(),
            name: "deal-sync".parse().unwrap(),
            notify_url: Fingerprint(u64::MAX),
            grant: Some(Grant {
                at: at(),
                asked: at(),
                expiry: after(at(), Duration::from_secs(86_400)),
            }),
            refusal: Some(Refusal {
                code: "INVALID_DATA".into(),
                message: "invalid data".into(),
                json_path: Some("$.watch[0].events[1]".into()),
                spec: Fingerprint(7),
                attempts: 2,
                at: at(),
            }),
            repairs: Some(Repairs { drift: Fingerprint(9), writes: 3, at: at() }),
            renewal_answered: None,
            last: Some(LastStep {
                at: at(),
                step: "enable (renew)".into(),
                outcome: "done".into(),
            }),
        }
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        let text = serde_json::to_string(&RecordValue::of(&full_record())).unwrap();
        let back: RecordValue = serde_json::from_str(&text).unwrap();
        assert_eq!(back.into_record(), full_record());
    }

    #[test]
    fn a_record_of_layout_1_is_read() {
        let stored = r#"{"v":1,"id":"1000000068001","name":"deal-sync","notify_url":18446744073709551615,
            "grant":{"at":"2026-01-01T00:00:00Z","asked":"2026-01-01T00:00:00Z","expiry":"2026-01-02T00:00:00Z"},
            "refusal":{"code":"INVALID_DATA","message":"invalid data","json_path":"$.watch[0].events[1]","spec":7,
                "attempts":2,"at":"2026-01-01T00:00:00Z"},
            "repairs":{"drift":9,"writes":3,"at":"2026-01-01T00:00:00Z"},
            "last":{"at":"2026-01-01T00:00:00Z","step":"enable (renew)","outcome":"done"}}"#;
        let value: RecordValue = serde_json::from_str(stored).unwrap();
        assert_eq!(value.into_record(), full_record());
    }

    #[test]
    fn an_account_state_and_a_token_come_back_as_they_were() {
        let state = AccountState {
            skew_ms: Some(-120_000),
            looks: Trouble::default().again(at(), "HTTP 500", Some(Duration::from_secs(9))),
            writes: Trouble::default(),
            looked_at: Some(at()),
            looked_from: Some(at()),
            learned: Learned {
                lifetime: Some(LifetimeLearned {
                    max: Duration::from_secs(86_400),
                    asked: Duration::from_secs(604_770),
                    granted: Duration::from_millis(3_599_500),
                    configured: Duration::from_secs(604_800),
                    at: at(),
                }),
                post_refused: Some(at()),
                batch: Some(BatchLearned { max: 6, refused: 12, configured: 50, at: at() }),
                refusing: Some(Refusing { code: "INVALID_DATA".into(), at: at() }),
                short_grants: Attempts { count: 1, since: Some(at()) },
            },
            credits: Some(CreditsLeft { remaining: 40, at: at() }),
        };
        let text = serde_json::to_string(&AccountValue::of(&state)).unwrap();
        assert_eq!(serde_json::from_str::<AccountValue>(&text).unwrap().into_state(), state);
        let stored = r#"{"v":1,"skew_ms":null,"looks":{"attempts":0,"at":null,"not_before":null,"what":""},
            "writes":{"attempts":0,"at":null,"not_before":null,"what":""},"looked_at":null,"removals_allowed":7,
            "learned":{"batch":{"max":6,"configured":50,"at":"2026-01-01T00:00:00Z"}}}"#;
        let early = serde_json::from_str::<AccountValue>(stored).unwrap().into_state();
        let batch = BatchLearned { max: 6, refused: 7, configured: 50, at: at() };
        assert_eq!(early.learned, Learned { batch: Some(batch), ..Learned::default() });
        let token = TokenState {
            credentials: Fingerprint(1),
            access: Some((Secret::new("1000.token"), at())),
            fetches: vec![at()],
            denied: Some(Denied {
                attempts: 1,
                until: at(),
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
            let stored = serde_json::to_vec(&RecordValue::of(&record)).unwrap();
            let back: RecordValue = serde_json::from_slice(&stored).unwrap();
            proptest::prop_assert_eq!(back.into_record(), record);
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
