//! The room that an engine has left, as a person should know of it.
//!
//! An engine that keeps its whole history fills itself: etcd compacts only where it is told to, and
//! a full one takes no writes until somebody has compacted, defragmented and disarmed it.
//!
//! | the engine | then |
//! | --- | --- |
//! | says an alarm | failing |
//! | has filled [`FAILING`] of its quota | failing |
//! | has filled [`DEGRADED`] of it | degraded |
//! | grows so fast that it is at [`FAILING`] within [`SOON`] | degraded: is its history compacted? |
//! | does not say its quota | measured by etcd's own default, and never failing for it |

use std::time::Duration;

use super::EngineStatus;

/// A word about the room of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomTrouble {
    /// True when writes fail, or are about to.
    pub is_failing: bool,
    /// The trouble, and the remedy.
    pub why: String,
}

/// How large an engine was, so long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// Its bytes.
    pub bytes: u64,
    /// How long ago.
    pub ago: Duration,
}

/// The troubles with the room of an engine; the worst comes first. `earlier` is a measure of
/// [`SPAN_MIN`] ago or more.
#[must_use]
pub fn troubles(status: &EngineStatus, earlier: Option<Earlier>) -> Vec<RoomTrouble> {
    let EngineStatus { version: _, endpoint: _, revision: _, bytes, quota, alarms } = status;
    let mut troubles = Vec::new();
    for alarm in alarms {
        troubles.push(RoomTrouble {
            is_failing: true,
            why: format!("the engine says {alarm}: {}", remedy(alarm)),
        });
    }
    let whole = quota.filter(|quota| *quota > 0).unwrap_or(QUOTA_UNSAID);
    let percent = bytes.saturating_mul(100) / whole;
    let named = match quota {
        Some(_) => format!("its quota of {}", size(whole)),
        None => format!("{}, etcd's own quota: it does not say another", size(whole)),
    };
    if percent >= DEGRADED {
        troubles.push(RoomTrouble {
            is_failing: percent >= FAILING && quota.is_some(),
            why: format!(
                "the engine has filled {percent} % of {named}; compact its history and defragment \
                 it, or raise the quota"
            ),
        });
    } else if let Some(days) = earlier.and_then(|earlier| days_left(*bytes, whole, earlier)) {
        troubles.push(RoomTrouble {
            is_failing: false,
            why: format!(
                "the engine grows so that it has filled {FAILING} % of {named} in {days} days; \
                 let it compact its history (--auto-compaction-retention)"
            ),
        });
    }
    troubles.sort_by_key(|trouble| !trouble.is_failing);
    troubles
}

fn remedy(alarm: &str) -> &'static str {
    match alarm {
        "NOSPACE" => "compact its history, defragment it and disarm the alarm",
        "CORRUPT" => "its members differ; restore the one that is wrong",
        _ => "its own documents say what that means",
    }
}

/// The whole days until it is failing, if they are few.
fn days_left(bytes: u64, whole: u64, earlier: Earlier) -> Option<u64> {
    let Earlier { bytes: before, ago } = earlier;
    let grown = bytes.checked_sub(before).filter(|grown| *grown > 0 && ago >= SPAN_MIN)?;
    let left = (whole / 100).saturating_mul(FAILING).saturating_sub(bytes);
    let seconds = u128::from(left) * u128::from(ago.as_secs()) / u128::from(grown);
    let left = Duration::from_secs(u64::try_from(seconds).ok()?);
    (left < SOON).then(|| left.as_secs() / DAY.as_secs())
}

fn size(bytes: u64) -> String {
    match bytes {
        GIB.. if bytes.is_multiple_of(GIB) => format!("{} GiB", bytes / GIB),
        _ => format!("{} MiB", bytes / MIB),
    }
}

/// Percent of the quota from which on a person should act.
pub const DEGRADED: u64 = 60;
/// Percent of the quota from which on it may be full any hour.
pub const FAILING: u64 = 80;
/// A measure of growth is of so long a time, or longer: an engine grows in steps.
pub const SPAN_MIN: Duration = Duration::from_secs(6 * 3600);
/// Growth that fills it later than this is none of today's.
pub const SOON: Duration = Duration::from_secs(14 * 24 * 3600);
/// etcd's default (<https://etcd.io/docs/v3.5/op-guide/maintenance/#space-quota>), where a release
/// before 3.6 does not say its own.
const QUOTA_UNSAID: u64 = 2 * GIB;
const DAY: Duration = Duration::from_secs(24 * 3600);
const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Revision;

    fn status(bytes: u64, quota: Option<u64>, alarms: &[&str]) -> EngineStatus {
        let alarms = alarms.iter().map(|alarm| (*alarm).to_owned()).collect();
        let (version, revision) = ("etcd 3.6.0".into(), Revision(9));
        EngineStatus { version, endpoint: None, revision, bytes, quota, alarms }
    }

    fn told(status: &EngineStatus, earlier: Option<Earlier>) -> Vec<String> {
        let line = |trouble: RoomTrouble| {
            let word = if trouble.is_failing { "failing" } else { "degraded" };
            format!("{word}: {}", trouble.why)
        };
        troubles(status, earlier).into_iter().map(line).collect()
    }

    #[test]
    fn a_filling_engine_is_told_of_at_sixty_and_fails_at_eighty_percent() {
        for (percent, word) in
            [(59, None), (60, Some("degraded")), (79, Some("degraded")), (80, Some("failing"))]
        {
            let told = told(&status(percent * MIB, Some(100 * MIB), &[]), None);
            assert_eq!(told.len(), usize::from(word.is_some()), "{told:?}");
            assert!(word.is_none_or(|word| told[0].starts_with(word)), "{told:?}");
        }
        assert_eq!(
            told(&status(61 * MIB, Some(100 * MIB), &[]), None),
            ["degraded: the engine has filled 61 % of its quota of 100 MiB; compact its history \
                 and defragment it, or raise the quota"]
        );
    }

    #[test]
    fn a_quota_that_is_not_said_is_taken_for_the_default_and_fails_nothing() {
        assert_eq!(told(&status(GIB, None, &[]), None), [""; 0]);
        let told = told(&status(3 * GIB, None, &[]), None);
        assert!(told[0].starts_with("degraded: the engine has filled 150 % of 2 GiB, etcd's own"));
    }

    #[test]
    fn an_alarm_fails_whatever_its_size_and_says_what_to_do() {
        let told = told(&status(70 * MIB, Some(100 * MIB), &["NOSPACE"]), None);
        assert_eq!(told.len(), 2);
        assert!(told[0].starts_with("failing: the engine says NOSPACE: compact"), "{told:?}");
    }

    #[test]
    fn growth_is_told_of_when_it_fills_the_engine_soon_and_was_measured_long_enough() {
        let day = |bytes| Some(Earlier { bytes, ago: DAY });
        let now = status(20 * MIB, Some(100 * MIB), &[]);
        assert_eq!(
            told(&now, day(10 * MIB)),
            ["degraded: the engine grows so that it has filled 80 % of its quota of 100 MiB in 6 \
                 days; let it compact its history (--auto-compaction-retention)"]
        );
        let brief = Some(Earlier { bytes: 10 * MIB, ago: SPAN_MIN - Duration::from_secs(1) });
        for earlier in [None, day(19 * MIB), day(20 * MIB), day(30 * MIB), brief] {
            assert_eq!(told(&now, earlier), [""; 0], "{earlier:?}");
        }
    }
}
