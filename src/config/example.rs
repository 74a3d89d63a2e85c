//! The example is the documentation of the keys, so it is held to the code: it loads, it shows
//! every key, and what it calls a default is one.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use expect_test::expect;

use super::secrets::{Commands, MissingCredentials, Surroundings};
use super::tests::lines;
use super::{Loaded, load, schema};
use crate::model::declared::Declared;
use crate::model::desired::Desired;

const EXAMPLE: &str = include_str!("../../config.example.toml");

#[test]
fn the_example_loads_as_it_stands() {
    let loaded = loaded(EXAMPLE);
    assert_eq!(lines(&loaded.warnings), "");
    let desired = loaded.desired.unwrap();
    let account = &desired.accounts[&"acme".parse().unwrap()];
    let specs: Vec<_> = account.specs.values().collect();
    expect![[r#"
        Settings {
            owner: "channelkeeper",
            listen: Some(
                127.0.0.1:8470,
            ),
            http: Http {
                public: false,
                hosts: [],
                token: None,
            },
            audit: "0 */15 * * * *",
            passes_max: 1024,
            request_timeout: 30s,
            connect_timeout: 10s,
            ca_file: None,
            status_file: None,
            alerts: Alerts {
                webhook: None,
                grace: 600s,
                repeat: 21600s,
                heartbeat: None,
                heartbeat_interval: 300s,
            },
            canary_every: None,
            hooks: Hooks {
                on: {
                    Renewed,
                    Refused,
                    GapBegun,
                    GapEnded,
                    Recovered,
                    TokenChanged,
                    ConfigChanged,
                },
                run: [],
                timeout: 30s,
                url: None,
            },
            cluster: None,
        }
        Account {
            name: "acme",
            product: Crm,
            version: V8,
            api_url: "https://www.zohoapis.eu",
            accounts_url: "https://accounts.zoho.eu",
            credentials: Credentials {
                client_id: "1000.EXAMPLECLIENTID",
                client_secret: [redacted],
                refresh_token: [redacted],
            },
            policy: Policy {
                mode: Sync,
                removed: Disable,
                batch_max: 50,
                lifetime_max: 604800s,
                credits_per_day: None,
            },
        }
        [
            Spec {
                id: 1494649041044012,
                name: "deal-sync",
                declared: on line 77,
                events: Events(
                    [
                        (
                            "Contacts",
                            Operations(
                                1,
                            ),
                        ),
                        (
                            "Deals",
                            Operations(
                                7,
                            ),
                        ),
                    ],
                ),
                notify_url: https://hooks.example.com/zoho,
                token: Some(
                    [redacted],
                ),
                rotation: None,
                lifetime: 86400s,
                renew_before: None,
                notify_on_related_action: true,
                return_affected_field_values: false,
                conditions: [],
                mode: Sync,
                backfill: None,
            },
            Spec {
                id: 4150958758436190,
                name: "closing-deals",
                declared: on line 87,
                events: Events(
                    [
                        (
                            "Deals",
                            Operations(
                                2,
                            ),
                        ),
                    ],
                ),
                notify_url: https://hooks.example.com/zoho/closing,
                token: Some(
                    [redacted],
                ),
                rotation: None,
                lifetime: 604800s,
                renew_before: Some(
                    259200s,
                ),
                notify_on_related_action: false,
                return_affected_field_values: true,
                conditions: [
                    Condition {
                        module: "Deals",
                        selection: Group(
                            Group {
                                matching: Any,
                                entries: {
                                    Field(
                                        "Amount",
                                    ),
                                    Field(
                                        "Stage",
                                    ),
                                },
                            },
                        ),
                    },
                ],
                mode: Observe,
                backfill: None,
            },
        ]"#]]
    .assert_eq(&format!("{:#?}\n{:#?}\n{specs:#?}", desired.settings, account.account));
}

#[test]
fn what_the_example_calls_a_default_is_one() {
    let uncommented: String =
        EXAMPLE.lines().map(|line| format!("{}\n", default_of(line).unwrap_or(line))).collect();
    assert!(EXAMPLE.lines().filter_map(default_of).count() > 20);
    let (plain, spelt_out) = (loaded(EXAMPLE), loaded(&uncommented));
    assert_eq!(spelt_out.state_dir.as_deref(), Some(Path::new(super::STATE_DIR_DEFAULT)));
    assert_eq!(without_lines(plain), without_lines(spelt_out));
}

/// The desired state without the lines that it stands on.
fn without_lines(loaded: Loaded) -> Desired {
    let mut desired = loaded.desired.unwrap();
    for spec in desired.accounts.values_mut().flat_map(|held| held.specs.values_mut()) {
        Arc::make_mut(spec).declared = Declared::default();
    }
    desired
}

#[test]
fn what_the_example_suggests_can_be_set() {
    let suggestions: Vec<&str> =
        EXAMPLE.lines().filter(|line| line.starts_with("# e.g. ")).collect();
    assert!(suggestions.len() > 3);
    for suggestion in suggestions {
        let set = EXAMPLE.replacen(suggestion, &suggestion["# e.g. ".len()..], 1);
        assert_ne!(set, EXAMPLE);
        loaded(&set);
    }
    let mirror = EXAMPLE.replace(
        "data_center = \"eu\"\n",
        "api_url = \"https://www.zohoapis.uk\"\naccounts_url = \"https://accounts.zoho.uk\"\n",
    );
    loaded(&mirror);
}

#[test]
fn the_example_shows_every_key() {
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    let mut keys = BTreeSet::new();
    gather(&schema, &mut keys);
    assert!(keys.contains("renew_before") && keys.contains("credential"), "{keys:?}");
    let missing: Vec<&String> = keys.iter().filter(|key| !shows(key)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_defaults_of_the_schema_are_those_of_the_example() {
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    let defs = schema["$defs"].as_object().unwrap();
    for (key, property) in defs.values().filter_map(|def| def["properties"].as_object()).flatten() {
        let default = &property["default"];
        if default.is_string() || default.is_boolean() || default.is_number() {
            let line = format!("#{key} = {default}");
            assert!(EXAMPLE.lines().any(|shown| shown == line), "{line}");
        }
    }
}

fn shows(key: &str) -> bool {
    let key = format!("{key} = ");
    let is_header = |line: &str| {
        let line = line.strip_prefix("# ").unwrap_or(line);
        line.starts_with('[') && line.contains(key.trim_end_matches(" = "))
    };
    EXAMPLE.lines().any(|line| line.contains(&key) || is_header(line))
        || key == "all_of = " && EXAMPLE.contains("`all_of`")
}

fn gather(schema: &serde_json::Value, keys: &mut BTreeSet<String>) {
    match schema {
        serde_json::Value::Object(map) => {
            if let Some(serde_json::Value::Object(properties)) = map.get("properties") {
                keys.extend(properties.keys().cloned());
            }
            map.values().for_each(|value| gather(value, keys));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| gather(item, keys)),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => {}
    }
}

/// `#key = value` without its sign.
fn default_of(line: &str) -> Option<&str> {
    line.strip_prefix('#')
        .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()) && rest.contains(" = "))
}

fn loaded(text: &str) -> Loaded {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("config.toml", text);
    write("acme-channel-token", "channel\n");
    write("acme-closing-token", "closing\n");
    write("alert-webhook", "https://hooks.example.com/alerts\n");
    write("alert-heartbeat", "https://heartbeat.example.com/abc\n");
    write("acme-client-secret", "s\n");
    write("hook-url", "https://hooks.example.com/told\n");
    write("http-token", "0123456789abcdef\n");
    write("acme-refresh-token", "r\n");
    write("proxy-ca.pem", "-----BEGIN CERTIFICATE-----\n");
    let surroundings = Surroundings {
        env: Box::new(|_| None),
        credentials_dir: Some(folder.path().to_owned()),
        missing: MissingCredentials::Refuse,
        commands: Commands::Refuse,
    };
    let loaded = load(&folder.path().join("config.toml"), &surroundings);
    assert_eq!(lines(&loaded.problems), "");
    loaded
}
