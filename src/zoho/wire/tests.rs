//! The bytes that go out, and the documented and captured bodies that are read.

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::model::channel::Spec;
use crate::model::observed::merge;
use crate::model::product::Product;
use crate::model::version::ApiVersion;
use crate::testing::{self, events, id};

fn spec() -> Spec {
    Spec {
        id: id(1_745_564_708_612_968_000),
        events: events(&["Deals.edit", "Deals.create", "Deals.delete", "Contacts.create"]),
        notify_url: NotifyUrl::new("https://hooks.example.com/zoho?key=a%20b&x=\"y\""),
        token: Some(Secret::new("t\u{f6}ken")),
        notify_on_related_action: false,
        return_affected_field_values: true,
        conditions: vec![any_of(&["Stage"])],
        ..testing::spec(1)
    }
}

fn any_of(fields: &[&str]) -> Condition {
    of_fields(Match::Any, fields)
}

fn of_fields(matching: Match, fields: &[&str]) -> Condition {
    let fields = fields.iter().map(|field| (*field).to_owned());
    on_deals(Selection::of_fields(matching, fields).unwrap())
}

fn on_deals(selection: Selection) -> Condition {
    Condition { module: "Deals".to_owned(), selection }
}

/// `Stage`, or `Account_Name` and `Lead_Source`.
fn mixed() -> Condition {
    let both = of_fields(Match::All, &["Account_Name", "Lead_Source"]).selection;
    let stage = Selection::Field("Stage".to_owned());
    on_deals(Selection::group(Match::Any, [both, stage]).unwrap())
}

fn ask(spec: Spec) -> Ask {
    Ask::new(std::sync::Arc::new(spec), "2026-11-24T16:00:00Z".parse().unwrap())
}

fn sent(spec: Spec, version: ApiVersion) -> String {
    String::from_utf8(write_body(&[&ask(spec)], version.limits())).unwrap()
}

#[test]
fn a_write_holds_the_whole_channel_in_the_keys_of_its_version() {
    let check = |versions: &[ApiVersion], expected: &Expect| {
        for version in versions {
            expected.assert_eq(&sent(spec(), *version));
        }
    };
    check(
        &[ApiVersion::V2, ApiVersion::V2_1],
        &expect![[
            r#"{"watch":[{"channel_expiry":"2026-11-24T16:00:00+00:00","channel_id":"1745564708612968000","events":["Contacts.create","Deals.all"],"notify_on_related_action":false,"notify_url":"https://hooks.example.com/zoho?key=a%20b&x=\"y\"","token":"töken"}]}"#
        ]],
    );
    check(
        &[ApiVersion::V3, ApiVersion::V4, ApiVersion::V5],
        &expect![[
            r#"{"watch":[{"channel_expiry":"2026-11-24T16:00:00+00:00","channel_id":"1745564708612968000","events":["Contacts.create","Deals.all"],"notify_on_related_action":false,"notify_url":"https://hooks.example.com/zoho?key=a%20b&x=\"y\"","return_affected_field_values":true,"token":"töken"}]}"#
        ]],
    );
    check(
        &[ApiVersion::V6, ApiVersion::V7, ApiVersion::V8],
        &expect![[
            r#"{"watch":[{"channel_expiry":"2026-11-24T16:00:00+00:00","channel_id":"1745564708612968000","events":["Contacts.create","Deals.all"],"notification_condition":[{"field_selection":{"field":{"api_name":"Stage"}},"module":{"api_name":"Deals"},"type":"field_selection"}],"notify_on_related_action":false,"notify_url":"https://hooks.example.com/zoho?key=a%20b&x=\"y\"","return_affected_field_values":true,"token":"töken"}]}"#
        ]],
    );
}

#[test]
fn what_is_not_declared_is_left_out() {
    let bare = Spec { token: None, conditions: Vec::new(), ..spec() };
    expect![[r#"{"watch":[{"channel_expiry":"2026-11-24T16:00:00+00:00","channel_id":"1745564708612968000","events":["Contacts.create","Deals.all"],"notify_on_related_action":false,"notify_url":"https://hooks.example.com/zoho?key=a%20b&x=\"y\"","return_affected_field_values":true}]}"#]]
        .assert_eq(&sent(bare, ApiVersion::V8));
}

#[test]
fn events_are_dropped_by_name() {
    let events: Events = ["Contacts.create", "Deals.all"].into_iter().collect();
    let body = remove_events_body(&[(ChannelId::new(7).unwrap(), &events)]);
    expect![[r#"{"watch":[{"_delete_events":true,"channel_id":"7","events":["Contacts.create","Deals.all"]}]}"#]]
        .assert_eq(std::str::from_utf8(&body).unwrap());
}

#[test]
fn a_condition_is_a_tree_of_pairs() {
    let check = |condition: &Condition, expected: &Expect| {
        expected.assert_eq(&super::condition(condition)["field_selection"].to_string());
    };
    check(&any_of(&["A"]), &expect![[r#"{"field":{"api_name":"A"}}"#]]);
    check(
        &any_of(&["A", "B"]),
        &expect![[
            r#"{"group":[{"field":{"api_name":"A"}},{"field":{"api_name":"B"}}],"group_operator":"or"}"#
        ]],
    );
    check(
        &of_fields(Match::All, &["A", "B", "C"]),
        &expect![[
            r#"{"group":[{"field":{"api_name":"A"}},{"group":[{"field":{"api_name":"B"}},{"field":{"api_name":"C"}}],"group_operator":"and"}],"group_operator":"and"}"#
        ]],
    );
    check(
        &mixed(),
        &expect![[
            r#"{"group":[{"field":{"api_name":"Stage"}},{"group":[{"field":{"api_name":"Account_Name"}},{"field":{"api_name":"Lead_Source"}}],"group_operator":"and"}],"group_operator":"or"}"#
        ]],
    );
    let ten = any_of(&["A", "B", "C", "D", "E", "F", "G", "H", "I", "J"]);
    let tree = super::condition(&ten);
    let pairs = tree.to_string().matches("\"group\":").count();
    assert_eq!(pairs, 9);
    assert_eq!(conditions(&json!([tree])), Ok(vec![ten]));
}

/// The conditions in a reply with this value.
fn conditions(value: &Value) -> Result<Vec<Condition>, Oddity> {
    read_conditions(&serde_json::from_str(&value.to_string()).unwrap())
}

/// A list of Bigin v2, and the reply to a POST without an expiry, as recorded on 2026-10-09
/// (NangoHQ/integration-templates, `integrations/zoho-bigin`).
const BIGIN_LISTED: &str = r#"{"watch":[{"notify_on_related_action":false,"channel_expiry":"2026-10-10T00:07:04+03:00","return_affected_field_values":false,"resource_uri":"https://www.zohoapis.com/bigin/v1/Contacts","resource_id":"7618134000000002179","notify_url":"https://example.com/nango-webhook","resource_name":"Contacts","fields":null,"channel_id":"9876543210123","events":["Contacts.create"],"token":null}],"info":{"per_page":200,"count":1,"page":1,"more_records":false}}"#;
const BIGIN_ENABLED: &str = r#"{"watch":[{"code":"SUCCESS","details":{"events":[{"channel_expiry":"2026-10-10T00:07:45+03:00","resource_uri":"https://www.zohoapis.com/bigin/v1/Contacts","resource_id":"7618134000000002179","resource_name":"Contacts","channel_id":"90210"}]},"message":"Successfully subscribed for actions-watch of the given module","status":"success"}]}"#;

#[test]
fn a_key_that_a_product_does_not_have_is_neither_sent_nor_compared() {
    let limits = Product::Bigin.limits(ApiVersion::V2);
    let body = String::from_utf8(write_body(&[&ask(spec())], limits)).unwrap();
    expect![[r#"{"watch":[{"channel_expiry":"2026-11-24T16:00:00+00:00","channel_id":"1745564708612968000","events":["Contacts.create","Deals.all"],"notify_url":"https://hooks.example.com/zoho?key=a%20b&x=\"y\"","token":"töken"}]}"#]]
        .assert_eq(&body);
    let flags = |limits: Limits| {
        let rows = read_page(BIGIN_LISTED.as_bytes()).unwrap().rows;
        let channels = merge(rows.into_iter().map(|row| row.within(limits)));
        let observed = &channels[&ChannelId::new(9_876_543_210_123).unwrap()];
        let related = observed.notify_on_related_action.len();
        (related, observed.return_affected_field_values.len())
    };
    assert_eq!(flags(limits), (0, 0));
    assert_eq!(flags(ApiVersion::V8.limits()), (1, 1), "where the keys are known they count");
}

#[test]
fn bigin_is_believed_in_what_it_grants() {
    let answer = read_answer(BIGIN_ENABLED.as_bytes(), &Veil::default()).unwrap();
    let WriteAnswer::Items(items) = answer else { panic!("no items") };
    let ItemVerdict::Accepted(Some(granted)) = items[0].verdict else { panic!("{:?}", items[0]) };
    assert_eq!(granted.to_string(), "2026-10-09T21:07:45Z");
}

/// The v7 page *Get Notification Details*, less its prose.
const LISTED: &str = r#"{"watch":[
{"notify_on_related_action":false,"channel_expiry":"2025-11-02T10:30:00-11:00","resource_uri":"https://www.zohoapis.com/crm/v2/Contacts","resource_id":"3652397000000002179","notify_url":"https://www.zoho.com/callback?key=value","resource_name":"Contacts","fields":null,"notification_condition":null,"channel_id":"10000","events":["Contacts.edit","Contacts.create","Contacts.delete"],"token":"TOKEN_FOR_VERIFICATION_OF_10000"},
{"notify_on_related_action":false,"channel_expiry":"2025-11-02T10:30:00-11:00","return_affected_field_values":true,"resource_uri":"https://www.zohoapis.com/crm/v2/Deals","resource_id":"3652397000000002181","notify_url":"https://www.zoho.com/callback?key=value","resource_name":"Deals","fields":null,"notification_condition":[{"type":"field_selection","module":{"api_name":"Deals","id":"3652397000000002181"},"field_selection":{"group_operator":"or","group":[{"field":{"api_name":"Stage","id":"1"},"group_operator":null,"group":null},{"group_operator":"OR","field":null,"group":[{"field":{"api_name":"Account_Name"},"group_operator":null,"group":null},{"field":{"api_name":"Lead_Source"}}]}]}}],"channel_id":"10000","events":["Deals.edit","Deals.create"],"token":"TOKEN_FOR_VERIFICATION_OF_10000"},
{"channel_expiry":"2025-11-02T10:30:00-11:00","notify_url":"https://www.zoho.com/callback","resource_name":"Leads","channel_id":9223372036854775807,"events":["Leads.delete"],"token":null,"and":{"something":"new"}}
],"info":{"per_page":200,"count":3,"page":1,"more_records":false}}"#;

#[test]
fn a_list_has_a_row_for_each_channel_and_module() {
    let page = read_page(LISTED.as_bytes()).unwrap();
    assert_eq!((page.rows.len(), page.count, page.more), (3, 3, false));
    let channels = merge(page.rows);
    let first = &channels[&ChannelId::new(10_000).unwrap()];
    assert_eq!(first.events.to_wire(), ["Contacts.all", "Deals.create", "Deals.edit"]);
    assert_eq!(first.expiry, Some("2025-11-02T21:30:00Z".parse().unwrap()));
    let token = TokenSeen::Set(Secret::new("TOKEN_FOR_VERIFICATION_OF_10000").fingerprint());
    assert_eq!(first.tokens, [token].into());
    let condition = any_of(&["Stage", "Account_Name", "Lead_Source"]);
    assert_eq!(first.conditions, [Seen::Known(Vec::new()), Seen::Known(vec![condition])].into());
    assert_eq!(
        (first.notify_on_related_action.len(), first.return_affected_field_values.len()),
        (1, 1)
    );
    let second = &channels[&ChannelId::new(i64::MAX).unwrap()];
    assert_eq!(
        (second.tokens.clone(), second.conditions.clone()),
        ([TokenSeen::Null].into(), [Seen::Unsaid].into())
    );
    assert!(second.notify_on_related_action.is_empty());
}

fn row(keys: &str) -> Option<Row> {
    let body = format!(r#"{{"watch":[{{{keys}}}]}}"#);
    read_page(body.as_bytes()).unwrap().rows.into_iter().next()
}

#[test]
fn an_id_is_a_string_or_a_number_and_a_row_without_one_is_passed_over() {
    let id = |text: &str| row(&format!(r#""channel_id":{text}"#)).map(|row| row.id.number());
    assert_eq!(id("\"2542271027018545353\""), Some(2_542_271_027_018_545_353));
    assert_eq!(id("2542271027018545353"), Some(2_542_271_027_018_545_353));
    for odd in
        ["null", "\"abc\"", "\"\"", "-1", "0", "1.5", "9223372036854775808", "{}", "[]", "true"]
    {
        assert_eq!(id(odd), None, "{odd}");
    }
    assert_eq!(row(""), None);
    let page = read_page(br#"{"watch":[null,1,"x",[],{"channel_id":"1"}],"info":null}"#).unwrap();
    assert_eq!((page.rows.len(), page.count), (1, 5));
}

#[test]
fn an_expiry_is_read_with_any_offset() {
    let expiry =
        |text: &str| row(&format!(r#""channel_id":"1","channel_expiry":{text}"#)).unwrap().expiry;
    let expected = Some("2026-11-24T16:00:00Z".parse().unwrap());
    for same in [
        "\"2026-11-24T16:00:00Z\"",
        "\"2026-11-24T21:30:00+05:30\"",
        "\"2026-11-24T08:00:00.000-08:00\"",
    ] {
        assert_eq!(expiry(same), expected, "{same}");
    }
    for odd in ["\"soon\"", "\"\"", "null", "1732464000", "\"2026-11-24T16:00:00\"", "{}"] {
        assert_eq!(expiry(odd), None, "{odd}");
    }
}

#[test]
fn one_odd_row_hides_no_other() {
    let odd = r#"{"channel_id":"2","events":"Deals.all","notify_url":7,"token":7828,"channel_expiry":0,
        "notify_on_related_action":"yes","return_affected_field_values":[],"notification_condition":"all"}"#;
    let body = LISTED.replacen("[\n", &format!("[{odd},\n"), 1);
    let page = read_page(body.as_bytes()).unwrap();
    assert_eq!(page.rows.len(), 4);
    let row = &page.rows[0];
    assert_eq!(row.token, TokenSeen::Set(Secret::new("7828").fingerprint()));
    assert_eq!((row.operations.is_empty(), row.notify_url.clone(), row.expiry), (true, None, None));
    assert_eq!(row.conditions, Seen::Opaque);
}

#[test]
fn a_token_is_set_null_or_not_spoken_of() {
    let token = |text: &str| row(&format!(r#""channel_id":"1"{text}"#)).unwrap().token;
    assert_eq!(token(""), TokenSeen::Unsaid);
    assert_eq!(token(r#","token":null"#), TokenSeen::Null);
    assert_eq!(token(r#","token":"""#), TokenSeen::Null);
    assert_eq!(token(r#","token":"a""#), TokenSeen::Set(Secret::new("a").fingerprint()));
}

#[test]
fn a_condition_that_cannot_be_declared_is_opaque() {
    let leaf = |name: &str| json!({ "field": { "api_name": name }, "group_operator": null, "group": null });
    let read = |tree: Value| {
        conditions(&json!([{ "module": { "api_name": "Deals" }, "field_selection": tree }]))
    };
    assert_eq!(read(leaf("A")), Ok(vec![any_of(&["A"])]));
    assert_eq!(read(json!({ "api_name": "A" })), Ok(vec![any_of(&["A"])]));
    let documented = json!({ "group_operator": "OR", "group": [leaf("Stage"), { "group_operator": "And", "field": null, "group": [leaf("Lead_Source"), leaf("Account_Name")] }] });
    assert_eq!(read(documented), Ok(vec![mixed()]));
    let alone = json!({ "group_operator": null, "group": [leaf("A")] });
    assert_eq!(read(alone), Ok(vec![any_of(&["A"])]));
    let by_id = json!({ "group_operator": "or", "group": [leaf("A"), { "field": { "id": "7" } }] });
    assert_eq!(read(by_id), Err(Oddity::FieldById));
    assert_eq!(
        read(json!({ "group_operator": null, "group": [leaf("A"), leaf("B")] })),
        Err(Oddity::Condition)
    );
    assert_eq!(read(json!({})), Err(Oddity::Condition));
    assert_eq!(conditions(&json!([{}])), Err(Oddity::Condition));
    assert_eq!(conditions(&json!([])), Ok(Vec::new()));
    let by_id = json!([{ "module": { "id": "131" }, "field_selection": leaf("A") }]);
    assert_eq!(conditions(&by_id), Err(Oddity::ModuleById));
}

#[test]
fn what_no_declaration_can_say_of_a_row_is_named() {
    let odd = |text: &str| row(&format!(r#""channel_id":"1",{text}"#)).unwrap().odd;
    let all_known = r#""events":["Deals.edit"],"fields":null,"notification_condition":null"#;
    assert!(odd(all_known).is_empty());
    assert!(odd(r#""events":["Deals.edit"],"fields":[]"#).is_empty());
    assert_eq!(odd(r#""events":["Deals.edit"],"fields":["Stage"]"#), [Oddity::Fields]);
    assert_eq!(odd(r#""events":["Deals.edit","Deals.merge"]"#), [Oddity::Event]);
    assert_eq!(odd(r#""events":[7]"#), [Oddity::Event]);
}

#[test]
fn rows_without_a_readable_id_are_kept_apart() {
    let ids = ["\"mysite\"", "\"-51\"", "\"18446744073709551610\"", "null", "7"];
    let rows = ids.map(|id| format!(r#"{{"channel_id":{id},"events":["Deals.edit"]}}"#)).join(",");
    let page = read_page(format!(r#"{{"watch":[{rows}]}}"#).as_bytes()).unwrap();
    let strangers: Vec<&str> = page.strangers.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(strangers, ["mysite", "-51", "18446744073709551610", "null"]);
    assert_eq!((page.rows.len(), page.count), (1, 5));
}

#[test]
fn a_module_is_known_by_an_id_that_can_be_one() {
    let row = |name: &str, id: &str| {
        format!(r#"{{"channel_id":"1","resource_name":"{name}","resource_id":"{id}"}}"#)
    };
    let long = "7".repeat(ID_MAX + 1);
    let rows = [row("Deals", "55"), row("Leads", ""), row("Contacts", &long), row(&long, "56")];
    let page = read_page(format!(r#"{{"watch":[{}]}}"#, rows.join(",")).as_bytes()).unwrap();
    assert_eq!(page.modules, [("Deals".to_owned(), "55".to_owned())].into());
}

#[test]
fn the_tokens_of_a_page_are_those_that_say_something() {
    let body = br#"{"watch":[{"channel_id":"1","token":"kept"},{"channel_id":"2","token":""},
        {"channel_id":"3","token":null},{"channel_id":"4"},{"token":"nobody's"}]}"#;
    let tokens = read_tokens(body).unwrap();
    let said: Vec<_> = tokens.iter().map(|(id, token)| (id.number(), token.expose())).collect();
    assert_eq!(said, [(1, "kept")]);
}

#[test]
fn a_full_page_that_does_not_say_is_followed_by_another() {
    let page = |rows: usize, info: &str| {
        let rows = vec![r#"{"channel_id":"1"}"#; rows].join(",");
        read_page(format!(r#"{{"watch":[{rows}]{info}}}"#).as_bytes()).unwrap().more
    };
    assert!(
        page(200, "")
            && page(200, r#","info":null"#)
            && page(200, r#","info":{"more_records":null}"#)
    );
    assert!(!page(199, "") && !page(200, r#","info":{"more_records":false}"#));
    assert!(page(1, r#","info":{"more_records":true}"#));
}

/// Every verdict of an answer, a line each.
fn verdicts(body: &str) -> String {
    match read_answer(body.as_bytes(), &Veil::default()) {
        Err(why) => format!("unreadable: {why}"),
        Ok(WriteAnswer::Bare(refused)) => format!("bare {}: {}", refused.code, refused.message),
        Ok(WriteAnswer::BareSuccess) => "bare success".to_owned(),
        Ok(WriteAnswer::Items(items)) => {
            let line = |item: &Item| {
                let id = item.id.map_or("?".to_owned(), |id| id.to_string());
                match &item.verdict {
                    ItemVerdict::Accepted(expiry) => {
                        format!(
                            "{id} accepted {}",
                            expiry.map_or("-".to_owned(), |expiry| expiry.to_string())
                        )
                    }
                    ItemVerdict::Refused(refused) => {
                        format!(
                            "{id} {} {}: {}",
                            refused.code,
                            refused.json_path.as_deref().unwrap_or("-"),
                            refused.message
                        )
                    }
                    ItemVerdict::Unsure(why) => format!("{id} unsure: {why}"),
                }
            };
            items.iter().map(line).collect::<Vec<_>>().join("\n")
        }
    }
}

/// Kaizen #14, its reply to POST.
const ENABLED: &str = r#"{"watch":[{"code":"SUCCESS","details":{"events":[
{"channel_expiry":"2020-01-10T19:20:23+05:30","resource_uri":"{{api-domain}}/crm/v2/Contacts","resource_id":"3652397000000002179","resource_name":"Contacts","channel_id":"10000007828"},
{"channel_expiry":"2020-01-10T19:20:23+05:30","resource_uri":"{{api-domain}}/crm/v2/Deals","resource_id":"3652397000000002181","resource_name":"Deals","channel_id":"10000007828"},
{"channel_expiry":"2020-01-10T19:20:22+05:30","resource_uri":"{{api-domain}}/crm/v2/Accounts","resource_id":"3652397000000002177","resource_name":"Accounts","channel_id":"10000007828"}]},
"message":"Successfully subscribed for actions-watch of the given module","status":"success"}]}"#;

#[test]
fn an_accepted_item_grants_the_earliest_expiry_of_its_modules() {
    expect!["10000007828 accepted 2020-01-10T13:50:22Z"].assert_eq(&verdicts(ENABLED));
}

#[test]
fn a_mixed_reply_is_read_item_by_item() {
    let ok = r#"{"code":"SUCCESS","details":{"events":[{"channel_expiry":"2026-11-24T16:00:00Z","channel_id":7}]},"status":"success"}"#;
    let removed = r#"{"code":"SUCCESS","details":{"events":[{"resource_id":"1","channel_id":"8"}]},"message":"Successfully removed the subscribe details","status":"success"}"#;
    let disabled = r#"{"code":"SUCCESS","details":{"resource_uri":"u","resource_id":"1","channel_id":"9"},"message":"Successfully un-subscribed from actions-watch","status":"success"}"#;
    let missing = r#"{"code":"MANDATORY_NOT_FOUND","details":{"api_name":"channel_id","json_path":"$.watch[1].channel_id"},"message":"required field not found","status":"error"}"#;
    let gone = r#"{"code":"NOT_SUBSCRIBED","details":{},"message":"Not subscribed for actions-watch of the given channel","status":"error"}"#;
    let bare = r#"{"code":"NOT_SUBSCRIBED","message":"m","status":"error"}"#;
    let odd = r#"{"code":"SUCCESS","status":"error"},{"code":"INVALID_DATA","status":"success"},{"status":"error"},{},null,7"#;
    let body = format!(r#"{{"watch":[{ok},{removed},{disabled},{missing},{gone},{bare},{odd}]}}"#);
    expect![[r#"
        7 accepted 2026-11-24T16:00:00Z
        8 accepted -
        9 accepted -
        ? MANDATORY_NOT_FOUND $.watch[1].channel_id: required field not found {"api_name":"channel_id"}
        ? NOT_SUBSCRIBED -: Not subscribed for actions-watch of the given channel
        ? NOT_SUBSCRIBED -: m
        ? unsure: its item in the reply contradicts itself
        ? unsure: its item in the reply contradicts itself
        ? UNKNOWN -: no message
        ? unsure: its item in the reply has neither code nor status
        ? unsure: its item in the reply has neither code nor status
        ? unsure: its item in the reply has neither code nor status"#]]
    .assert_eq(&verdicts(&body));
}

#[test]
fn what_is_no_list_of_items_is_a_bare_error_or_unreadable() {
    let rows = [
        (
            r#"{"code":"INVALID_TOKEN","details":{},"message":"invalid oauth token","status":"error"}"#,
            "bare INVALID_TOKEN: invalid oauth token",
        ),
        (r#"{"error":"Access Denied","error_description":"wait"}"#, "bare Access Denied: wait"),
        (r#"{"code":7}"#, "bare UNKNOWN: no message"),
        (r#"{"code":"SUCCESS","status":"success"}"#, "bare success"),
        (r#"{"watch":{}}"#, "unreadable: it has neither `watch` nor `code`"),
        ("[]", "unreadable: it has neither `watch` nor `code`"),
        ("", "unreadable: EOF while parsing a value at line 1 column 0"),
    ];
    for (body, expected) in rows {
        assert_eq!(verdicts(body), expected, "{body}");
    }
}

#[test]
fn what_zoho_says_is_bounded_and_has_no_control_characters() {
    let message = format!("a\nb\u{1b}[31m{}", "\u{e9}".repeat(1000));
    let body = json!({ "code": "X".repeat(1000), "message": message }).to_string();
    let Ok(WriteAnswer::Bare(refused)) = read_answer(body.as_bytes(), &Veil::default()) else {
        panic!("not bare")
    };
    assert!(
        refused.message.starts_with("a b [31m\u{e9}") && refused.message.chars().count() == 303
    );
    assert_eq!(refused.code.len(), 303);
}

/// Any JSON, with the keys that replies have among its keys.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop_oneof![
            Just("SUCCESS"),
            Just("success"),
            Just("error"),
            Just("Deals.all"),
            Just("$.watch[1]"),
            Just("22")
        ]
        .prop_map(Value::from),
    ];
    let key = prop_oneof![
        "[a-z_]{1,8}".boxed(),
        proptest::sample::select(vec![
            "watch",
            "info",
            "more_records",
            "code",
            "status",
            "details",
            "events",
            "channel_id",
            "channel_expiry",
            "json_path",
            "message",
            "error",
            "token",
            "notification_condition",
            "module",
            "api_name",
            "field_selection",
            "group",
            "group_operator",
            "field",
            "access_token",
            "expires_in",
        ])
        .prop_map(str::to_owned)
        .boxed(),
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bytes_make_a_reader_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let _page = read_page(&body);
        let _answer = read_answer(&body, &Veil::default());
    }

    #[test]
    fn no_json_makes_a_reader_panic(value in any_json()) {
        let body = json!({ "watch": [value], "info": value }).to_string();
        let _page = read_page(body.as_bytes());
        let _answer = read_answer(body.as_bytes(), &Veil::default());
        let _answer = read_answer(value.to_string().as_bytes(), &Veil::default());
    }

    #[test]
    fn a_valid_list_with_one_byte_changed_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = LISTED.as_bytes().to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        let _page = read_page(&body);
    }

    /// Whatever one key of a refused item is set to, the item is not accepted.
    #[test]
    fn a_refused_item_with_one_key_changed_is_not_accepted(
        key in proptest::sample::select(vec!["code", "status", "details", "message", "channel_id", "events"]),
        value in any_json(),
    ) {
        let mut item = json!({ "code": "NOT_SUBSCRIBED", "details": {}, "message": "m", "status": "error" });
        item[key] = value;
        let text = item.to_string();
        let item_read = read_item(&serde_json::from_str(&text).unwrap(), &Veil::default());
        let is_accepted = matches!(item_read.verdict, ItemVerdict::Accepted(_));
        prop_assert!(!is_accepted);
    }

    #[test]
    fn any_declared_condition_comes_back_from_the_wire(
        selection in selections(),
    ) {
        let declared = on_deals(selection);
        prop_assert_eq!(conditions(&json!([super::condition(&declared)])), Ok(vec![declared]));
    }

    /// Neither a group's order nor a bracket around two of its entries makes another condition.
    #[test]
    fn a_condition_that_zoho_spells_otherwise_is_the_same(selection in selections()) {
        let declared = on_deals(selection);
        let mut sent = super::condition(&declared);
        turn(&mut sent["field_selection"]);
        prop_assert_eq!(conditions(&json!([sent])), Ok(vec![declared]));
    }
}

/// Conditions of up to some twenty fields, three groups deep.
fn selections() -> impl Strategy<Value = Selection> {
    let field = "[A-Z][a-z_]{0,3}".prop_map(Selection::Field);
    field.prop_recursive(3, 20, 4, |inner| {
        let matching = prop::sample::select(vec![Match::Any, Match::All]);
        (matching, prop::collection::vec(inner, 1..4))
            .prop_filter_map("it has entries", |(matching, entries)| {
                Selection::group(matching, entries)
            })
    })
}

/// Turns every group round, writes its operator in capitals and fills leaves as Zoho's list does.
fn turn(node: &mut Value) {
    if let Some(group) = node.get_mut("group").and_then(Value::as_array_mut) {
        group.iter_mut().for_each(turn);
        group.reverse();
        let operator = node["group_operator"].as_str().map(str::to_ascii_uppercase);
        node["group_operator"] = json!(operator);
        node["field"] = Value::Null;
    } else {
        node["group_operator"] = Value::Null;
        node["group"] = Value::Null;
    }
}
