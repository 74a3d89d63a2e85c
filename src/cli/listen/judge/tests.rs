//! The table of verdicts, and hostile bodies.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use crate::cli::listen::summary::DeliveryCounts;
use crate::model::rotation::Rotation;
use crate::model::secret::Secret;
use crate::model::time::{after, before};
use crate::testing::{events, spec};

use super::*;

/// `acme/deals` (7) with a token, `acme/bare` (8) without one, `acme/locked` (9) whose token could
/// not be fetched.
pub(in crate::cli::listen) fn declared() -> Expected {
    let mut by_id: BTreeMap<ChannelId, Vec<ExpectedChannel>> = BTreeMap::new();
    for (id, name, token) in
        [(7, "deals", Some("t-deals")), (8, "bare", None), (9, "locked", Some(""))]
    {
        let id = ChannelId::new(id).unwrap();
        by_id.insert(id, vec![channel("acme", name, id, token)]);
    }
    Expected { by_id }
}

fn channel(account: &str, name: &str, id: ChannelId, token: Option<&str>) -> ExpectedChannel {
    let spec = Spec {
        id,
        name: name.parse().unwrap(),
        events: events(&["Deals.create", "Deals.edit", "Contacts.all"]),
        token: token.map(Secret::from),
        ..spec(1)
    };
    ExpectedChannel { account: account.parse().unwrap(), spec: Arc::new(spec) }
}

pub(in crate::cli::listen) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_449_600 + second).unwrap()
}

fn line(body: &Value) -> String {
    declared().judge(body.to_string().as_bytes(), at(0)).unwrap().to_string()
}

#[test]
fn each_verdict_has_its_line() {
    let sent = |id: Value, token: Value, module: &str, operation: &str| {
        line(
            &json!({"channel_id": id, "token": token, "module": module, "operation": operation, "ids": ["1", 2]}),
        )
    };
    let table = [
        (
            sent(json!("7"), json!("t-deals"), "Deals", "update"),
            "acme/deals  Deals  update (Deals.edit)  ids 1 2  verified",
        ),
        (
            sent(json!(7), json!("t-deals"), "Contacts", "delete"),
            "acme/deals  Contacts  delete (Contacts.delete)  ids 1 2  verified",
        ),
        (
            sent(json!("7"), json!("t-deals"), "Deals", "delete"),
            "acme/deals  Deals  delete  ids 1 2  not declared for this module",
        ),
        (
            sent(json!("7"), json!("t-deals"), "Leads", "insert"),
            "acme/deals  Leads  insert  ids 1 2  not declared for this module",
        ),
        (
            sent(json!("7"), json!("t-deals"), "Deals", "edit"),
            "acme/deals  Deals  edit (Deals.edit)  ids 1 2  verified",
        ),
        (
            sent(json!("7"), json!("t-deals"), "Deals", "upsert"),
            "acme/deals  Deals  upsert  ids 1 2  not declared for this module",
        ),
        (
            sent(json!("7"), json!("t-deal"), "Deals", "insert"),
            "acme/deals  Deals  insert (Deals.create)  ids 1 2  token wrong",
        ),
        (
            sent(json!("7"), json!("other"), "Leads", "insert"),
            "acme/deals  Leads  insert  ids 1 2  token wrong",
        ),
        (
            sent(json!("7"), Value::Null, "Deals", "insert"),
            "acme/deals  Deals  insert (Deals.create)  ids 1 2  no token",
        ),
        (
            sent(json!("7"), json!(["t-deals"]), "Deals", "insert"),
            "acme/deals  Deals  insert (Deals.create)  ids 1 2  no token",
        ),
        (
            sent(json!("7"), json!(""), "Deals", "insert"),
            "acme/deals  Deals  insert (Deals.create)  ids 1 2  no token",
        ),
        (
            sent(json!("8"), Value::Null, "Deals", "insert"),
            "acme/bare  Deals  insert (Deals.create)  ids 1 2  matched by channel_id only",
        ),
        (
            sent(json!("8"), json!("any"), "Leads", "insert"),
            "acme/bare  Leads  insert  ids 1 2  not declared for this module",
        ),
        (
            sent(json!("9"), json!("any"), "Deals", "insert"),
            "acme/locked  Deals  insert (Deals.create)  ids 1 2  matched by channel_id only",
        ),
        (
            sent(json!("9"), json!(""), "Deals", "insert"),
            "acme/locked  Deals  insert (Deals.create)  ids 1 2  matched by channel_id only",
        ),
        (
            sent(json!("10"), json!("t-deals"), "Deals", "insert"),
            "channel_id 10  Deals  insert  ids 1 2  unknown channel",
        ),
        (
            sent(json!("7.0"), json!("t-deals"), "Deals", "insert"),
            "channel_id 7.0  Deals  insert  ids 1 2  unknown channel",
        ),
    ];
    for (line, expected) in table {
        assert_eq!(line, format!("2026-11-23T16:00:00Z  {expected}"));
    }
    assert_eq!(
        line(&json!({})),
        "2026-11-23T16:00:00Z  channel_id none  none  none  ids none  unknown channel"
    );
}

#[test]
fn of_two_accounts_with_one_id_the_token_tells_which() {
    let id = ChannelId::new(7).unwrap();
    let channels = vec![
        channel("acme", "deals", id, Some("one")),
        channel("other", "deals-2", id, Some("two")),
    ];
    let declared = Expected { by_id: BTreeMap::from([(id, channels)]) };
    let body = br#"{"channel_id": "7", "token": "two", "module": "Deals", "operation": "insert"}"#;
    let judged = declared.judge(body, at(0)).unwrap();
    assert_eq!(
        (judged.channel.as_deref(), judged.verdict),
        (Some("other/deals-2"), Worth::Verified)
    );
}

#[test]
fn both_generations_of_a_token_that_rotates_are_believed() {
    let id = ChannelId::new(7).unwrap();
    let week = Duration::from_secs(7 * 86_400);
    let rotation = Rotation::new(Secret::from("0123456789abcdef0123456789abcdef"), week);
    let mut rotating = channel("acme", "deals", id, None);
    rotating.spec = Arc::new(Spec { rotation: Some(rotation), ..Spec::clone(&rotating.spec) });
    let written = |at| rotating.spec.at(at).unwrap().token.unwrap();
    let table = [(0, true), (7, true), (15, false)];
    for (days, accepted) in table {
        let token = written(before(at(0), Duration::from_secs(days * 86_400)));
        let verdict =
            rotating.verdict(Some(token.expose()), Reported::Event("Deals", "insert"), at(0));
        assert_eq!(verdict == Worth::Verified, accepted, "{days} days old");
    }
    let future = written(after(at(0), 2 * week));
    assert_eq!(
        rotating.verdict(Some(future.expose()), Reported::Event("Deals", "insert"), at(0)),
        Worth::TokenWrong
    );
}

#[test]
fn a_canary_needs_the_token_and_says_of_no_module_that_it_delivers() {
    let canary = |id: &str, token: &str, mark: Value| {
        let body = json!({"channelkeeper_canary": mark, "channel_id": id, "token": token, "module": "",
            "operation": "", "ids": []});
        declared().judge(body.to_string().as_bytes(), at(0)).unwrap()
    };
    let good = canary("7", "t-deals", json!(true));
    assert_eq!(good.to_string(), "2026-11-23T16:00:00Z  acme/deals  none  none  ids none  canary");
    assert!(good.verdict.is_taken() && !good.verdict.counts());
    let verdict = |id, token, mark| canary(id, token, mark).verdict;
    assert_eq!(verdict("7", "wrong", json!(true)), Worth::TokenWrong);
    assert_eq!(verdict("7", "", json!(true)), Worth::NoToken);
    assert_eq!(verdict("8", "any", json!(true)), Worth::ByIdOnly);
    assert_eq!(verdict("99", "t-deals", json!(true)), Worth::UnknownChannel);
    assert_eq!(verdict("7", "t-deals", json!("true")), Worth::NotDeclared);
    let mut summary = DeliveryCounts::of(&declared());
    summary.count(&good);
    assert_eq!(summary.deliveries(), 0);
    assert!(summary.to_text().ends_with(
        "0 deliveries, 0 of them not accepted; 0 requests besides, refused; 1 canary\n"
    ));
}

#[test]
fn what_a_stranger_writes_cannot_look_like_something_else() {
    let forged = json!({
        "channel_id": "1\u{1b}[2J\n2026", "module": "Deals  insert  verified", "operation": "\u{202e}x",
        "ids": ["a b\r\n", {"deep": 1}], "token": "hush",
    });
    assert_eq!(
        line(&forged),
        "2026-11-23T16:00:00Z  channel_id 1??2J?2026  Deals??insert??verified  ?x  ids a?b??   unknown channel"
    );
    let many: Vec<u32> = (0..25).collect();
    let long = line(&json!({"channel_id": "x".repeat(10_000), "ids": many}));
    assert!(long.len() < 300 && long.contains("and 15 more"), "{long}");
}

#[test]
fn what_is_no_object_is_no_delivery() {
    for body in [
        &b""[..],
        b"{",
        b"[]",
        b"null",
        b"3",
        b"\"7\"",
        &[0xff, 0xfe],
        "[".repeat(100_000).as_bytes(),
    ] {
        assert_eq!(declared().judge(body, at(0)), Err(NoDelivery));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is sent without the token: it does not count, and its line is one line of plain text without values.
    #[test]
    fn nothing_without_the_token_counts(
        token in any::<String>(), module in any::<String>(), operation in any::<String>(), extra in any::<String>(),
    ) {
        prop_assume!(token != "t-deals");
        let body = json!({
            "channel_id": "7", "token": token, "module": module, "operation": operation,
            "affected_values": [{"values": {"Name": format!("VALUE{extra}")}}],
        });
        let mut summary = DeliveryCounts::of(&declared());
        let judged = declared().judge(body.to_string().as_bytes(), at(0)).unwrap();
        summary.count(&judged);
        let line = judged.to_string();
        prop_assert!(!judged.verdict.counts());
        prop_assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && !line.contains("VALUE"), "{line}");
        prop_assert!(summary.rows().all(|row| row.deliveries == 0));
    }
}
