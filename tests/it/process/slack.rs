//! Channels whose renewal could not fail twice.

use super::daemon::Daemon;
use super::declared::channel;
use super::place::Place;
use super::simulator::Simulator;

#[test]
fn too_little_slack_is_refused_by_every_command_that_would_begin_with_it() {
    let zoho = Simulator::start();
    let thin = channel("thin", 1, &["Deals.all"]) + "lifetime = \"5m\"\nrenew_before = \"38s\"\n";
    let place = Place::new(&(zoho.account().to_owned() + &thin));
    for verb in ["check", "plan", "apply", "run"] {
        let ran = place.verb(&[verb]);
        assert_eq!(ran.code, 3, "{verb}: {ran:#?}");
        let told = format!("{}{}", ran.out, ran.err);
        assert!(told.contains("1 channel of account sim1, as thin: 5m of life"), "{verb}: {told}");
    }
    assert_eq!(zoho.writes(), 0);

    let good = zoho.account().to_owned() + &channel("good", 2, &["Deals.all"]);
    place.write(&good);
    let daemon = Daemon::start(&place);
    place.write(&(good + &thin));
    let reload = place.verb(&["reload"]);
    assert!(reload.code == 3 && reload.err.contains("as thin"), "{reload:#?}");
    assert_eq!(place.verb(&["check"]).code, 3);
    assert_eq!(zoho.channels().len(), 1);
    daemon.stop();
}
