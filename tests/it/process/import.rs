//! An account's channels become a config that leaves them as they are.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::daemon::Daemon;
use super::declared::channel;
use super::place::Place;
use super::simulator::Simulator;

#[test]
fn an_imported_account_plans_empty_and_is_taken_over_without_a_write() {
    let zoho = Simulator::start();
    let events = ["Deals.all", "Contacts.create", "Leads.edit"];
    let mut declared: String =
        (1..=148).map(|n| channel(&format!("many-{n}"), 1000 + n, &events)).collect();
    for n in 100..=148 {
        declared = declared.replace(&format!("example.com/many-{n}\""), "example.com/shared\"");
        declared = declared.replace(&format!("\"token-many-{n}\""), "\"token-shared\"");
    }
    let flags = "notify_on_related_action = false\nreturn_affected_field_values = true\n";
    let condition = "conditions = [{ module = \"Deals\", all_of = [\"Stage\", { any_of = [\"Amount\", \"Owner\"] }] }]\n";
    declared += &(channel("flags", 2001, &events) + flags);
    declared += &(channel("picky", 2002, &events) + condition);
    Place::new(&(zoho.account().to_owned() + &declared)).done(&["apply"]);
    let (writes, before) = (zoho.writes(), zoho.channels());

    let place = Place::new(zoho.account());
    let secrets = place.path().join("secrets");
    let import = ["import", "--account", "sim1", "--secrets-dir", secrets.to_str().unwrap()];
    let imported = place.done(&import).out;
    assert!(
        !imported.contains("token-many-") && !imported.contains("token-shared"),
        "a token is printed"
    );
    assert_eq!(imported.matches("[[channels]]").count(), 150);
    assert!(
        imported.contains("events = [\"Contacts.create\", \"Deals.all\", \"Leads.edit\"]"),
        "{imported}"
    );
    assert!(imported.contains(
        "[accounts.sim1.channel_defaults]\nnotify_url = \"https://hooks.example.com/shared\""
    ));
    let files: Vec<_> = fs::read_dir(&secrets).unwrap().map(|entry| entry.unwrap()).collect();
    assert_eq!(files.len(), 102, "one file a token");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
    assert_eq!(place.done(&import).out, imported, "again is the same");

    place.write(&(zoho.account().to_owned() + &imported));
    let plan = place.done(&["plan", "--json"]).json();
    let steps = plan["accounts"][0]["steps"].as_array().unwrap();
    assert!(steps.len() == 150 && steps.iter().all(|step| step["step"] == "take-over"), "{plan:#}");
    assert!(
        place
            .done(&["plan"])
            .out
            .contains("nothing to write at Zoho; `channelkeeper apply` takes 150 steps")
    );
    place.done(&["apply"]);
    assert_eq!(place.done(&["plan", "--json"]).json()["accounts"][0]["kept"], 150);
    assert_eq!((zoho.writes(), zoho.channels()), (writes, before));
    let again = place.done(&["import"]).out;
    assert!(
        again.contains("# 150 channels are declared already") && !again.contains("[[channels]]"),
        "{again}"
    );
}

#[test]
fn without_a_directory_the_files_are_named_and_it_is_said_that_they_are_not_there() {
    let zoho = Simulator::start();
    Place::new(&(zoho.account().to_owned() + &channel("one", 101, &["Deals.all"])))
        .done(&["apply"]);
    zoho.hand(&json!({"create": {
        "channel": 7, "events": ["Calls.all"], "notify_url": "http://other.example.com/", "token": null,
        "expiry": "2100-01-01T00:00:00Z",
    }}));
    let place = Place::new(zoho.account());
    let daemon = Daemon::start(&place);
    let imported = place.done(&["import"]);
    assert!(
        imported.out.contains("token = { file = \"secrets/deals-101-token\" }"),
        "{imported:#?}"
    );
    assert!(
        imported.err.contains("--secrets-dir")
            && imported.out.contains("# The tokens were not written")
    );
    assert!(
        imported.out.contains("# channel 7 (Calls.all) cannot be declared: this URL is not https"),
        "{imported:#?}"
    );
    let json = place.done(&["import", "--json"]).json();
    assert_eq!(
        (&json["channels"][0]["id"], &json["left_out"][0]["id"]),
        (&json!("101"), &json!("7")),
        "{json:#}"
    );
    assert_eq!(place.verb(&["import", "--account", "nobody"]).code, 1);
    daemon.stop();
}

#[test]
fn what_the_config_would_refuse_is_left_out_with_its_words() {
    let zoho = Simulator::start();
    let create = |id: u64, events: &[String]| {
        zoho.hand(&json!({"create": {
            "channel": id, "events": events, "notify_url": "https://other.example.com/", "token": null,
            "expiry": "2100-01-01T00:00:00Z",
        }}));
    };
    create(7, &(0..51).map(|n| format!("M{n}.create")).collect::<Vec<_>>());
    create(8, &["Deals.all".to_owned()]);
    let place = Place::new(zoho.account());
    let json = place.done(&["import", "--json"]).json();
    let (kept, out) = (&json["channels"], &json["left_out"]);
    assert_eq!((&kept[0]["id"], kept.as_array().unwrap().len()), (&json!("8"), 1), "{json:#}");
    assert_eq!(out[0]["id"], "7");
    assert_eq!(out[0]["why"], "51 events, Zoho takes 50 at most");
    let imported = place.done(&["import"]).out;
    assert!(imported.contains("cannot be declared: 51 events"), "{imported}");
    place.write(&(zoho.account().to_owned() + &imported));
    place.done(&["check"]);
}

#[test]
fn under_mark_owner_marked_and_unmarked_channels_are_taken_over() {
    let zoho = Simulator::start();
    let url = "https://other.example.com/";
    for (id, url) in [(8, url.to_owned()), (9, format!("{url}?channelkeeper=channelkeeper"))] {
        zoho.hand(&json!({"create": {
            "channel": id, "events": ["Deals.all"], "notify_url": url, "token": null,
            "expiry": "2100-01-01T00:00:00Z",
        }}));
    }
    let defaults = "\n[accounts.sim1.channel_defaults]\nmark_owner = true\n";
    let account = zoho.account().to_owned() + defaults;
    let place = Place::new(&account);
    let imported = place.done(&["import"]).out;
    assert_eq!(imported.matches("[[channels]]").count(), 2, "{imported}");
    place.write(&(account + &imported));
    let plan = place.verb(&["plan", "--json"]).json();
    let steps = plan["accounts"][0]["steps"].as_array().unwrap();
    let words: Vec<&str> = steps.iter().filter_map(|step| step["step"].as_str()).collect();
    assert_eq!(words, ["take-over", "take-over", "update"], "{plan:#}");
}
