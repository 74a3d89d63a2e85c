//! Credentials of another org, and the word that says they are meant.

use super::daemon::Daemon;
use super::declared::{AUDIT_ALWAYS, channel};
use super::place::Place;
use super::simulator::Simulator;
use rustix::process::Signal;

#[test]
fn another_org_s_credentials_are_held_until_they_are_accepted() {
    let zoho = Simulator::with(2, 2);
    let (account, _) = zoho.account().split_once("\n[accounts.sim2]").unwrap();
    let channels = channel("orders", 101, &["Deals.all"]) + &channel("people", 102, &["Leads.all"]);
    let right = account.to_owned() + AUDIT_ALWAYS + &channels;
    let place = Place::new(&right);
    let mut daemon = Daemon::start(&place);
    let live = |org: &str| zoho.channels_by_org()[org].len();
    daemon.until("both run", |_| live("sim1") == 2);

    let other =
        [("SIMSIM1", "SIMSIM2"), ("secret-sim1", "secret-sim2"), ("refresh-sim1", "refresh-sim2")];
    let wrong = other.iter().fold(right.clone(), |text, (one, two)| text.replace(one, two));
    place.write(&wrong);
    daemon.signal(Signal::HUP);
    daemon.hears("all running channels are gone at once, so nothing is written");
    daemon.until("health says so", |daemon| daemon.get("/healthz").body.contains("vanished"));
    assert_eq!(daemon.get("/healthz").status, 503);
    let plan = place.verb(&["plan"]);
    assert!(plan.code == 2 && plan.out.contains("! vanished"), "{plan:#?}");
    let refused = place.verb(&["apply"]);
    assert!(refused.code == 1 && refused.out.contains("--accept-vanished"), "{refused:#?}");
    assert_eq!((live("sim1"), live("sim2")), (2, 0), "nothing is written in the other org");

    place.write(&right);
    daemon.signal(Signal::HUP);
    daemon.until("the right org ends it", |daemon| {
        !daemon.get("/healthz").body.contains("vanished") && daemon.get("/healthz").status == 200
    });

    place.write(&wrong);
    daemon.signal(Signal::HUP);
    daemon.until("health says so", |daemon| daemon.get("/healthz").body.contains("vanished"));
    let accepted = place.done(&["apply", "--accept-vanished"]);
    assert!(accepted.out.contains("done     enable orders"), "{accepted:#?}");
    assert_eq!((live("sim1"), live("sim2")), (2, 2));
    daemon.until("all is well", |daemon| daemon.get("/healthz").status == 200);
    assert!(!daemon.get("/healthz").body.contains("vanished"));
    daemon.stop();
}
