//! A config that cannot be used stops nothing that was fine.

use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::daemon::Daemon;
use super::declared::{AUDIT_ALWAYS, channel};
use super::place::Place;
use super::simulator::Simulator;

#[test]
fn a_broken_config_on_reload_is_named_with_its_line_while_the_old_state_goes_on_and_a_good_one_is_applied()
 {
    let zoho = Simulator::start();
    let good = zoho.account().to_owned() + AUDIT_ALWAYS + &channel("orders", 101, &["Deals.all"]);
    let place = Place::new(&good);
    let mut daemon = Daemon::start(&place);
    let broken = good.clone() + "evnts = [\"Deals.all\"]\n";
    let at = format!("config.toml:{}:", broken.lines().count());
    place.write(&broken);
    daemon.signal(Signal::HUP);
    daemon.hears("the config is not used; the last good one stays in force");
    daemon.until("health says which line is wrong", |daemon| {
        daemon.get("/healthz").body.contains(&at)
    });
    let health = daemon.get("/healthz");
    assert_eq!((health.status, &health.json()["status"]), (200, &json!("degraded")));
    let status = place.done(&["status"]).out;
    assert!(status.contains(&at) && status.contains("evnts"), "{status}");

    zoho.hand(&json!({"remove_event": {"channel": 101, "event": "Deals.edit"}}));
    daemon.hears_that("repair", |line| line["step"] == "update (drift)");

    place.write(&(good + &channel("more", 102, &["Leads.create"])));
    daemon.signal(Signal::HUP);
    let enabled = daemon.hears_that("grant", |line| line["step"] == "enable (missing)");
    assert_eq!(enabled["channel"], "more");
    daemon.until("health is good again", |daemon| daemon.get("/healthz").json()["status"] == "ok");
    daemon.stop();
}

#[test]
fn a_reload_names_the_keys_that_wait_for_a_restart_and_no_others() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let daemon = Daemon::start(&place);
    place.done(&["reload"]);
    place.write(&(zoho.config.clone() + "\n[http]\nlisten = \"127.0.0.1:9\"\n"));
    place.done(&["reload"]);
    place.done(&["reload"]);
    let log = daemon.stop();
    let waits = "this key takes effect with the next restart";
    let told: Vec<&String> = log.iter().filter(|line| line.contains(waits)).collect();
    assert!(matches!(&told[..], [only] if only.contains("http.listen")), "{told:#?}");
}

#[test]
fn the_verb_reload_waits_for_the_verdict_of_the_daemon_and_exits_by_it() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let none = place.verb(&["reload"]);
    assert_eq!(none.code, 1, "{none:#?}");
    assert!(none.err.contains("no daemon is running"), "{none:#?}");
    let daemon = Daemon::start(&place);
    let reloaded = place.done(&["reload"]);
    assert_eq!(reloaded.out, "the config was read again and is in force\n");
    place.write(&(zoho.config.clone() + "evnts = []\n"));
    let at = format!("config.toml:{}:", zoho.config.lines().count() + 1);
    let broken = place.verb(&["reload"]);
    assert_eq!((broken.code, broken.out.as_str()), (3, ""), "{broken:#?}");
    assert!(broken.err.contains(&at), "{broken:#?}");
    daemon.stop();
}

#[test]
fn a_table_that_only_a_restart_changes_is_named_on_reload() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let mut daemon = Daemon::start(&place);
    let cluster = "[cluster]\nname = \"prod\"\nengine = [\"https://etcd.example.com:2379\"]\n";
    place.write(&(zoho.config.clone() + cluster));
    daemon.signal(Signal::HUP);
    let told = daemon.hears("this key takes effect with the next restart");
    assert_eq!(told["key"], "cluster");
    daemon.stop();
}

#[test]
fn a_verb_that_asks_the_daemon_about_a_broken_config_exits_with_3_as_without_a_daemon() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let daemon = Daemon::start(&place);
    place.write(&(zoho.config.clone() + "evnts = []\n"));
    let at = format!("config.toml:{}:", zoho.config.lines().count() + 1);
    for verb in ["plan", "apply"] {
        let ran = place.verb(&[verb]);
        assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{verb}: {ran:#?}");
        assert!(ran.err.contains(&at), "{verb}: {ran:#?}");
    }
    daemon.stop();
    let ran = place.verb(&["plan"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains(&at), "{ran:#?}");
}

#[test]
fn a_start_with_a_broken_config_goes_on_with_the_last_good_state() {
    let zoho = Simulator::start();
    let account = zoho
        .account()
        .replace("\"secret-sim1\"", "{ env = \"A\" }")
        .replace("\"1000.refresh-sim1\"", "{ env = \"B\" }");
    let declared =
        channel("orders", 101, &["Deals.all"]).replace("\"token-orders\"", "{ env = \"C\" }");
    let good = account + AUDIT_ALWAYS + &declared;
    let place = Place::new(&good)
        .with_env("A", "secret-sim1")
        .with_env("B", "1000.refresh-sim1")
        .with_env("C", "t");
    Daemon::start(&place).stop();
    place.write("this is no config");

    let mut daemon = Daemon::start(&place);
    assert!(
        daemon.log.concat().contains("the last good state from the store is in force"),
        "{:#?}",
        daemon.log
    );
    zoho.hand(&json!({"set_token": {"channel": 101, "token": "another"}}));
    daemon.hears_that("repair", |line| line["step"] == "update (drift)");
    assert_eq!(zoho.channels()["101"]["token"], "t");
    let health = daemon.get("/healthz");
    assert_eq!((health.status, &health.json()["status"]), (200, &json!("degraded")));
    assert!(health.body.contains("config.toml:1:"), "{}", health.body);
    daemon.stop();
}

#[test]
fn a_pipe_in_place_of_a_file_holds_up_neither_the_daemon_nor_a_command() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let mut daemon = Daemon::start(&place);
    let pipe = place.state().join("pipe");
    mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
    let at = pipe.display();
    let secret = zoho.config.replace("\"secret-sim1\"", &format!("{{ file = \"{at}\" }}"));
    for odd in [
        secret,
        format!("include = [\"{at}\"]\n{}", zoho.config),
        format!("{}\n[client]\nca_file = \"{at}\"\n", zoho.config),
    ] {
        assert_ne!(odd, zoho.config);
        place.write(&odd);
        let ran = place.verb(&["check"]);
        assert_eq!(ran.code, 3, "{ran:#?}");
        assert!(ran.err.contains("it is a pipe, not a file"), "{ran:#?}");
        daemon.signal(Signal::HUP);
        daemon.hears("the config is not used; the last good one stays in force");
        assert_eq!(place.verb(&["plan"]).code, 3);
    }
    std::fs::remove_file(place.config()).unwrap();
    mkfifoat(CWD, place.config(), Mode::RUSR | Mode::WUSR).unwrap();
    daemon.signal(Signal::HUP);
    daemon.hears("the config is not used; the last good one stays in force");
    daemon.stop();
    let ran = place.verb(&["plan"]);
    assert_eq!(ran.code, 3, "{ran:#?}");
    assert!(ran.err.contains("it is a pipe, not a file"), "{ran:#?}");

    std::fs::remove_file(place.config()).unwrap();
    place.write(&zoho.config);
    let lock = place.state().join("db.lock");
    std::fs::remove_file(&lock).unwrap();
    mkfifoat(CWD, &lock, Mode::RUSR | Mode::WUSR).unwrap();
    let ran = place.verb(&["apply"]);
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.err.contains("db.lock") && ran.err.contains("it is a pipe"), "{ran:#?}");
}

#[test]
fn a_config_emptied_under_a_daemon_is_not_used_until_removals_are_allowed() {
    let zoho = Simulator::start();
    let account = zoho
        .account()
        .replace("\"secret-sim1\"", "{ env = \"A\" }")
        .replace("\"1000.refresh-sim1\"", "{ env = \"B\" }");
    let declared =
        channel("orders", 101, &["Deals.all"]).replace("\"token-orders\"", "{ env = \"C\" }");
    let place = Place::new(&(account + AUDIT_ALWAYS + &declared))
        .with_env("A", "secret-sim1")
        .with_env("B", "1000.refresh-sim1")
        .with_env("C", "t");
    let mut daemon = Daemon::start(&place);
    let said = "it declares no account, in place of 1 account with 1 channel";
    for emptied in ["", "# [accounts.acme]\n"] {
        place.write(emptied);
        daemon.signal(Signal::HUP);
        daemon.hears("the config is not used; the last good one stays in force");
        daemon.until("health says so", |daemon| daemon.get("/healthz").body.contains(said));
        let health = daemon.get("/healthz");
        assert_eq!((health.status, &health.json()["status"]), (200, &json!("degraded")));
        assert!(health.body.contains(said), "{}", health.body);
    }
    for verb in ["plan", "apply"] {
        let ran = place.verb(&[verb]);
        assert_eq!(ran.code, 3, "{verb}: {ran:#?}");
        assert!(ran.err.contains(said) && ran.err.contains("--allow-removals"), "{ran:#?}");
    }
    daemon.stop();

    let ran = place.verb(&["apply"]);
    assert_eq!(ran.code, 3, "{ran:#?}");
    assert!(ran.err.contains(said), "{ran:#?}");

    let mut daemon = Daemon::start(&place);
    let health = daemon.get("/healthz");
    assert_eq!((health.status, &health.json()["status"]), (200, &json!("degraded")));
    assert!(health.body.contains(said), "{}", health.body);
    zoho.hand(&json!({"set_token": {"channel": 101, "token": "another"}}));
    daemon.hears_that("repair", |line| line["step"] == "update (drift)");

    place.done(&["apply", "--allow-removals"]);
    daemon.until("nothing is held any more", |daemon| {
        daemon.get("/healthz").json()["accounts"].as_array().is_none_or(Vec::is_empty)
    });
    assert!(!daemon.get("/healthz").body.contains(said));
    daemon.stop();
}

#[test]
fn an_account_that_the_config_leaves_out_is_kept_until_removals_are_allowed() {
    let zoho = Simulator::with(2, 2);
    let config = zoho
        .config
        .replace("\"secret-sim2\"", "{ env = \"A\" }")
        .replace("\"1000.refresh-sim2\"", "{ env = \"B\" }")
        .replace("\"token-deals-2\"", "{ env = \"C\" }");
    let place = Place::new(&config)
        .with_env("A", "secret-sim2")
        .with_env("B", "1000.refresh-sim2")
        .with_env("C", "t");
    let mut daemon = Daemon::start(&place);
    let (before, rest) = config.split_once("\n[accounts.sim2]").unwrap();
    let (_, channels) = rest.split_once("\n[[channels]]").unwrap();
    let (first, _) = channels.split_once("\n[[channels]]").unwrap();
    place.write(&format!("{before}\n[[channels]]{first}"));
    place.done(&["reload"]);
    let left = daemon.hears("the config leaves an account out");
    let said = "account sim2 is declared no longer and has 1 channel";
    assert!(left["warning"].as_str().unwrap().starts_with(said), "{left}");

    daemon.until("it is held", |daemon| daemon.get("/healthz").body.contains("removal-guard"));
    daemon.stop();
    let mut daemon = Daemon::start(&place);
    daemon.until("it is held", |daemon| daemon.get("/healthz").body.contains("removal-guard"));
    let status = place.verb(&["status"]);
    assert!(status.out.contains(said) && status.out.contains("--allow-removals"), "{status:#?}");
    assert!(status.out.contains("(renewed until then)"), "{status:#?}");
    assert_eq!(place.verb(&["plan"]).code, 2);

    place.done(&["apply", "--allow-removals"]);
    daemon.until("it is left", |daemon| daemon.get("/healthz").body.contains("left to expire"));
    assert!(!daemon.get("/healthz").body.contains("removal-guard"));
    assert_eq!(zoho.channels_by_org()["sim2"].len(), 1, "nothing is disabled");
    daemon.stop();
}

#[test]
fn a_start_with_a_broken_config_says_which_account_cannot_go_on_because_its_secrets_were_never_stored()
 {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    Daemon::start(&place).stop();
    let writes = zoho.writes();
    place.write("this is no config");

    let daemon = Daemon::start(&place);
    let told = daemon
        .log
        .iter()
        .find(|line| line.contains("the daemon cannot work on this account"))
        .cloned()
        .unwrap();
    for word in ["sim1", "plain string", "never stored"] {
        assert!(told.contains(word), "no {word:?} in {told}");
    }
    let health = daemon.get("/healthz");
    assert_eq!(
        (health.status, &health.json()["status"]),
        (503, &json!("failing")),
        "{}",
        health.body
    );
    assert!(health.body.contains("plain string"), "{}", health.body);
    assert_eq!(place.verb(&["status"]).code, 1);
    assert_eq!(zoho.writes(), writes);
    daemon.stop();

    // It is declared all the same: its ledgers go on, up to the look that finds what became of it.
    let id = zoho.channels().into_keys().next().unwrap();
    zoho.hand(&json!({"delete": {"channel": id.parse::<u64>().unwrap()}}));
    place.write(&zoho.config);
    place.done(&["apply"]);
    let gaps = place.done(&["gaps", "--json"]).json();
    let causes: Vec<&Value> = gaps.as_array().unwrap().iter().map(|gap| &gap["cause"]).collect();
    assert_eq!(causes, ["absent"], "{gaps:#?}");
}

#[test]
fn a_broken_config_and_nothing_to_go_on_with_is_exit_code_3() {
    let place = Place::new("this is no config");
    let ran = place.verb(&["run", "--listen", "127.0.0.1:0"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("the store holds no earlier state to go on with"), "{ran:#?}");
}
