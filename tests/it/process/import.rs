//! An account's channels become a config that leaves them as they are.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::daemon::Daemon;
use super::declared::channel;
use super::http::authorized;
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

/// As a connector enables it: without an expiry, without a token.
fn enabled_by_a_connector(zoho: &Simulator, id: &str, event: &str, url: &str) {
    let granted = zoho.tell(
        "POST",
        "/oauth/v2/token?grant_type=refresh_token&client_id=1000.SIMSIM1\
         &client_secret=secret-sim1&refresh_token=1000.refresh-sim1",
        &json!({}),
    );
    let bearer = format!("Zoho-oauthtoken {}", granted["access_token"].as_str().unwrap());
    let watch = json!({ "watch": [{ "channel_id": id, "events": [event], "notify_url": url }] });
    let path = "/bigin/v2/actions/watch";
    let made = authorized(&zoho.address, "POST", path, &bearer, &watch.to_string());
    assert_eq!(made.status, 201, "{made:?}");
    let listed = authorized(&zoho.address, "GET", path, &bearer, "").json();
    let is_it = |row: &&Value| row["channel_id"] == id;
    let mut row = listed["watch"].as_array().unwrap().iter().find(is_it).unwrap().clone();
    let module = event.split_once('.').unwrap().0;
    for (key, shown) in [("channel_expiry", ":"), ("resource_uri", "/bigin/v1/")] {
        let taken = row.as_object_mut().unwrap().remove(key).unwrap();
        assert!(taken.as_str().unwrap().contains(shown), "{key}: {taken}");
    }
    assert!(row["resource_id"].as_str().unwrap().starts_with("3652397000000002"), "{row}");
    // The row of a list that was recorded on 2026-10-09, less what differs from org to org.
    let recorded = json!({
        "notify_on_related_action": false,
        "return_affected_field_values": false,
        "resource_id": row["resource_id"],
        "notify_url": url,
        "resource_name": module,
        "fields": null,
        "channel_id": id,
        "events": [event],
        "token": null,
    });
    assert_eq!(row, recorded);
}

#[test]
fn what_connectors_left_at_bigin_is_imported_taken_over_and_then_nothing_is_planned() {
    let zoho = Simulator::of_product("bigin");
    // Ids as Nango, Activepieces (milliseconds) and Automatisch (the org's id) choose them.
    let left = [
        ("9876543210123", "Contacts.create", "https://example.com/nango-webhook"),
        ("1760036865000", "Pipelines.edit", "https://cloud.example.com/api/v1/webhooks/abc"),
        ("7618134000000002001", "Accounts.delete", "https://flows.example.com/webhooks/7?x=1"),
    ];
    for (id, event, url) in left {
        enabled_by_a_connector(&zoho, id, event, url);
    }
    let writes = zoho.writes();
    let place = Place::new(zoho.account());
    let secrets = place.path().join("secrets");
    let import = ["import", "--account", "sim1", "--secrets-dir", secrets.to_str().unwrap()];
    let imported = place.done(&import).out;
    for (id, event, url) in left {
        let lines = format!("id = \"{id}\"\nevents = [\"{event}\"]\nnotify_url = \"{url}\"\n");
        assert!(imported.contains(&lines), "{lines} in {imported}");
    }
    assert!(!imported.contains("token") && !imported.contains("notify_on"), "{imported}");
    place.write(&(zoho.account().to_owned() + &imported));
    place.done(&["check"]);

    let plan = place.verb(&["plan", "--json"]).json();
    let steps = plan["accounts"][0]["steps"].as_array().unwrap();
    let mut told: Vec<(&str, &str)> = steps
        .iter()
        .map(|step| (step["step"].as_str().unwrap(), step["reason"].as_str().unwrap()))
        .collect();
    told.sort_unstable();
    let renewals = [("enable", "emergency"); 3];
    assert_eq!(told, [renewals, [("take-over", "taken-over"); 3]].concat(), "{plan:#}");
    assert_eq!(zoho.writes(), writes, "import and plan write nothing");

    place.done(&["apply"]);
    let after = place.done(&["plan", "--json"]).json();
    let account = &after["accounts"][0];
    assert_eq!((&account["kept"], &account["steps"]), (&json!(3), &json!([])), "{after:#}");
    let ids: Vec<_> = zoho.channels().into_keys().collect();
    assert_eq!(ids, ["1760036865000", "7618134000000002001", "9876543210123"]);
}
