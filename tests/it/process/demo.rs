//! The first sights of a newcomer.

use std::process::Command;

use super::place::ran;

#[test]
fn a_day_of_the_demo_ends_well_and_says_so() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_channelkeeper"));
    command.args(["demo", "--days", "1"]).env_remove("RUST_LOG");
    let ran = ran(command);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(ran.out.lines().last(), Some("nothing lapsed that should not have"), "{}", ran.out);
    assert_eq!(ran.err, "");
}
