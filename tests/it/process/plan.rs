//! A plan looks and changes nothing.

use serde_json::{Value, json};

use super::daemon::Daemon;
use super::declared::channel;
use super::place::Place;
use super::simulator::Simulator;

#[test]
fn a_plan_needs_no_store_and_no_daemon_leaves_nothing_behind_and_says_by_its_exit_code_what_is_pending() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    assert_eq!(place.verb(&["plan"]).code, 2);
    assert_eq!(zoho.writes(), 0);
    assert!(!place.state().exists());
    place.done(&["apply"]);
    let writes = zoho.writes();
    let plan = place.done(&["plan"]);
    let lines: Vec<&str> = plan.out.lines().collect();
    assert_eq!((lines[0], lines[2]), ("account sim1: 0 steps, 0 held, 4 kept, 0 foreign", "nothing to do"));
    assert!(lines[1].starts_with("  sim1: about ") && lines[1].contains(" calls a day: "), "{}", lines[1]);
    assert_eq!(zoho.writes(), writes);
}

#[test]
fn the_text_of_a_plan_and_its_json_say_the_same() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let (text, json) = (place.verb(&["plan"]).out, place.verb(&["plan", "--json"]).json());
    let steps = json[0]["steps"].as_array().unwrap();
    let told: Vec<&str> = text.lines().filter(|line| line.starts_with("  + ")).collect();
    assert_eq!((steps.len(), told.len()), (4, 4), "{text}\n{json:#}");
    let renewals = json[0]["calls"]["renewals"].as_f64().unwrap();
    assert!(text.contains(&format!("{renewals:.1} renewals")), "{text}\n{json:#}");
    for (step, line) in steps.iter().zip(told) {
        for field in ["step", "channel", "reason"] {
            assert!(line.contains(step[field].as_str().unwrap()), "{field}: {line}\n{step:#}");
        }
    }
}

#[test]
fn with_a_daemon_running_a_plan_is_of_the_edited_file_and_puts_nothing_in_force() {
    let zoho = Simulator::start();
    let place = Place::new(&zoho.config);
    let mut daemon = Daemon::start(&place);
    let writes = zoho.writes();
    let edited = zoho.config.replace("\"Leads.create\"", "\"Leads.create\", \"Leads.edit\"");
    place.write(&(edited + &channel("new", 101, &["Calls.all"]).replace("\nevents", "\naccount = \"sim1\"\nevents")));

    let plan = place.verb(&["plan", "--json"]);
    assert_eq!(plan.code, 2, "{plan:#?}");
    let plan = plan.json();
    let mut steps: Vec<(&Value, &Value, &Value)> = Vec::new();
    for step in plan[0]["steps"].as_array().unwrap() {
        steps.push((&step["channel"], &step["reason"], &step["drift"]));
    }
    let (none, missing) = (Value::Null, json!(["events: missing Leads.edit"]));
    let expected = [(&json!("new"), &json!("missing"), &none), (&json!("leads-3"), &json!("drift"), &missing)];
    assert_eq!(steps, expected);
    assert_eq!(zoho.writes(), writes);
    let status = daemon.get("/api/v1/status").json();
    assert_eq!(status["accounts"][0]["channels"].as_array().map(Vec::len), Some(4), "{status:#}");

    place.done(&["apply"]);
    daemon.hears("the config was read again and is in force");
    assert_eq!(place.done(&["plan", "--json"]).json()[0]["kept"], 5);
    daemon.stop();
}
