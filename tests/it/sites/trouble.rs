//! The troubles of machines, from a seed.

use std::time::Duration;

use channelkeeper::engine::simulated::Fault as Lost;
use channelkeeper::simulator::faults::Endpoint;
use channelkeeper::simulator::{Fault, Rule};

use super::way::{ANY, Trap};
use crate::simulation::Rng;

/// Something that happens. What lasts ends by itself.
#[derive(Clone, Debug)]
pub enum Act {
    /// The process ends where it stands, and another is started later.
    Kill(&'static str, Duration),
    /// The process is told to end, and another is started later.
    Terminate(&'static str, Duration),
    /// The process is stopped.
    Freeze(&'static str, Duration),
    /// The process is stopped as it makes a call.
    Trap(&'static str, Trap),
    CutFromEngine(&'static str, Duration),
    CutFromZoho(&'static str, Duration),
    /// Requests to the engine take so long.
    Slow(&'static str, Duration, Duration),
    /// The next commits of a machine fare so.
    Lost(&'static str, Lost, u64),
    /// Commits that were held up arrive.
    Land,
    NoQuorum(Duration),
    Full(Duration),
    Compact,
    /// The engine is copied.
    Keep,
    /// The engine is set back to the copy.
    Restore,
    Zoho(Rule, Duration),
    /// Somebody deletes a channel at Zoho.
    Hand,
    /// The config is edited on every machine.
    Edit,
}

impl Act {
    pub fn word(&self) -> &'static str {
        match self {
            Act::Kill(..) => "kill",
            Act::Terminate(..) => "terminate",
            Act::Freeze(..) => "freeze",
            Act::Trap(..) => "freeze in a call",
            Act::CutFromEngine(..) => "cut from the engine",
            Act::CutFromZoho(..) => "cut from Zoho",
            Act::Slow(..) => "slow",
            Act::Lost(..) => "lost commits",
            Act::Land => "late commits",
            Act::NoQuorum(_) => "no quorum",
            Act::Full(_) => "full",
            Act::Compact => "compacted",
            Act::Keep => "copied",
            Act::Restore => "set back",
            Act::Zoho(..) => "fault of Zoho",
            Act::Hand => "hand",
            Act::Edit => "edit",
        }
    }
}

/// How long until the next thing happens: much happens at once, or nothing for a while.
pub fn pause(rng: &mut Rng) -> Duration {
    Duration::from_millis(match rng.between(1, 10) {
        1..=3 => rng.between(10, 12_000),
        4..=8 => rng.between(12_000, 150_000),
        _ => rng.between(150_000, 1_500_000),
    })
}

/// The next thing.
pub fn act(rng: &mut Rng, machines: &[&'static str]) -> Act {
    let who = *rng.pick(machines).unwrap();
    match rng.between(1, 100) {
        1..=10 => Act::Kill(who, rng.seconds(0, 120)),
        11..=16 => Act::Terminate(who, rng.seconds(0, 60)),
        17..=26 => Act::Freeze(who, stop(rng)),
        27..=42 => Act::Trap(who, trap(rng)),
        43..=51 => Act::CutFromEngine(who, stop(rng)),
        52..=55 => Act::CutFromZoho(who, rng.seconds(5, 400)),
        56..=58 => Act::Slow(who, millis(rng, 50, 3000), rng.seconds(5, 120)),
        59..=66 => {
            let faults = [Lost::NotSent, Lost::LostBefore, Lost::LostAfter, Lost::Held];
            Act::Lost(who, *rng.pick(&faults).unwrap(), rng.between(1, 3))
        }
        67..=69 => Act::Land,
        70..=74 => Act::NoQuorum(stop(rng)),
        75..=77 => Act::Full(stop(rng)),
        78 | 79 => Act::Compact,
        80 | 81 => Act::Keep,
        82 | 83 => Act::Restore,
        84..=88 => Act::Zoho(rule(rng), rng.seconds(5, 300)),
        89..=93 => Act::Hand,
        _ => Act::Edit,
    }
}

/// Mostly about as long as a takeover.
fn stop(rng: &mut Rng) -> Duration {
    match rng.between(1, 10) {
        1..=4 => millis(rng, 100, 12_000),
        5..=8 => rng.seconds(12, 90),
        _ => rng.seconds(90, 900),
    }
}

fn trap(rng: &mut Rng) -> Trap {
    let methods = [Some(ANY), Some(ANY), Some("POST"), Some("DELETE"), None];
    Trap { method: *rng.pick(&methods).unwrap(), lasts: stop(rng) }
}

fn rule(rng: &mut Rng) -> Rule {
    let kind = match rng.between(1, 8) {
        1 => Fault::ServerErrorJson,
        2 => Fault::Unavailable,
        3 => Fault::InvalidToken,
        4 => Fault::ResetAfter,
        5 => Fault::HangBefore,
        6 => Fault::HangAfter,
        7 => Fault::TooManyRequests,
        _ => Fault::ResetBefore,
    };
    let method = rng.chance(40).then(|| (*rng.pick(&["GET", "POST"]).unwrap()).to_owned());
    let path = (method.is_none() && rng.chance(20)).then_some(Endpoint::Token);
    Rule { method, path, ..Rule::always(kind) }
}

fn millis(rng: &mut Rng, low: u64, high: u64) -> Duration {
    Duration::from_millis(rng.between(low, high))
}
