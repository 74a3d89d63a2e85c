//! The first sights of a newcomer.

use std::process::Command;

use super::place::ran;
use super::systemd::Systemd;

#[test]
fn two_days_of_the_demo_end_well_and_what_the_outage_missed_is_recovered() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_channelkeeper"));
    command.args(["demo", "--days", "2", "--speed", "14400"]).env_remove("RUST_LOG");
    let folder = tempfile::tempdir().unwrap();
    let mut systemd = Systemd::in_folder(folder.path());
    let ran = ran(systemd.tells(command, None));
    assert_eq!(
        systemd.rest(),
        [""; 0],
        "the service that a demo is started from is not told of it"
    );
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(ran.out.lines().last(), Some("nothing lapsed that should not have"), "{}", ran.out);
    assert_eq!(ran.err, "");
    let mut after_outage = ran.out.lines().skip_while(|line| !line.contains("** Zoho is back"));
    let back = after_outage.next().unwrap_or_default();
    let is_handed = |line: &str| line.contains("hands over what deal-sync may have missed: ");
    assert!(back.contains(" of deal-sync meanwhile"), "{}", ran.out);
    assert!(after_outage.any(is_handed), "{}", ran.out);
    let counts = ran.out.lines().find_map(|line| line.strip_prefix("missed ")).unwrap_or_default();
    let (missed, rest) = counts.split_once(", recovered ").unwrap_or_default();
    let recovered = rest.split(", not recoverable 0: ").next();
    assert!(missed.parse().is_ok_and(|missed: u64| missed > 20), "{}", ran.out);
    assert_eq!(recovered, Some(missed), "{}", ran.out);
}
