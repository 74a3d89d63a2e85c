//! A summary judged as monitoring plugins do: one line, an exit code, numbers for a graph. Pure.
//!
//! | summary | grade |
//! | --- | --- |
//! | cannot be had or read, or is of another schema | UNKNOWN |
//! | written in the future by more than [`CLOCKS_APART_MAX`] | UNKNOWN: one of two clocks is wrong |
//! | older than `stale` | CRITICAL: nobody says that anything is renewed |
//! | something is not covered, or will not be for `critical` | CRITICAL |
//! | covered for less than `warning` | WARNING |
//! | else | by the status, as the table in `health/severity.rs` says |
//!
//! The worse of two grades counts. A running daemon is asked for a summary of this instant; when no
//! daemon runs, the grade is CRITICAL. (The format is that of the *Monitoring Plugins Development
//! Guidelines*.)

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::time::{Timestamp, brief, span};

pub(crate) use super::health::Grade;
use super::one_line::line;
use super::summary::{SCHEMA, Summary};

/// The limits below which a guarantee is too short, and above which a summary is too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProbeLimits {
    /// A guarantee that is shorter is a warning.
    pub warning: Duration,
    /// A guarantee that is shorter is critical.
    pub critical: Duration,
    /// A summary that is older is critical.
    pub stale: Duration,
}

/// The judgement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Judgement {
    /// How it is.
    pub grade: Grade,
    /// In a sentence.
    pub text: String,
    /// The troubles, one line each, at most [`DETAILS_MAX`].
    pub details: Vec<String>,
    /// For how long everything is covered, in seconds.
    pub guaranteed_s: Option<u64>,
    /// How old the summary is, in seconds.
    pub age_s: Option<u64>,
}

/// Reads a summary.
///
/// # Errors
/// The fault of the summary, in a sentence.
pub(crate) fn read(bytes: &[u8]) -> Result<Summary, String> {
    #[derive(Deserialize)]
    struct Schema {
        schema: u32,
    }
    let damaged = |error: serde_json::Error| {
        format!("it is damaged, or no summary of channelkeeper's: {error}")
    };
    let Schema { schema } = serde_json::from_slice(bytes).map_err(damaged)?;
    if schema != SCHEMA {
        return Err(format!(
            "it is of schema {schema}, and this program reads schema {SCHEMA}: use the daemon's \
             version"
        ));
    }
    serde_json::from_slice(bytes).map_err(damaged)
}

/// Judges a summary at `now`.
pub(crate) fn judge(summary: &Summary, limits: &ProbeLimits, now: Timestamp) -> Judgement {
    let ahead = span(now, summary.written_at);
    if ahead > CLOCKS_APART_MAX {
        let text = format!(
            "it was written {} in the future: one of the two clocks is wrong",
            brief(ahead)
        );
        return Judgement::of(Grade::Unknown, &text);
    }
    let (age, left) = (span(summary.written_at, now), left(summary, now));
    let covered = covered(summary, now);
    let (grade, text) = if age > limits.stale {
        let (age, stale) = (brief(age), brief(limits.stale));
        let stopped = if summary.stopping { "; the daemon was being stopped" } else { "" };
        let text = format!(
            "last heard of {age} ago, {stale} at most: nobody says that anything is \
             renewed{stopped}"
        );
        (Grade::Critical, format!("{text}; {covered}"))
    } else {
        let grade = by_guarantee(left, limits).max(summary.status.severity().grade);
        let text = match summary.reasons.first() {
            Some(worst) => format!("{covered}; {}: {}", summary.status.word(), worst.line()),
            None => covered,
        };
        (grade, text)
    };
    let mut details: Vec<String> =
        summary.reasons.iter().take(DETAILS_MAX).map(|it| clean(&it.line())).collect();
    let more = summary.reasons_left_out + summary.reasons.len().saturating_sub(DETAILS_MAX);
    details.extend((more > 0).then(|| format!("and {more} more")));
    Judgement {
        details,
        guaranteed_s: left,
        age_s: Some(age.as_secs()),
        ..Judgement::of(grade, &text)
    }
}

impl Grade {
    /// The exit code.
    pub const fn code(self) -> u8 {
        match self {
            Grade::Ok => 0,
            Grade::Warning => 1,
            Grade::Critical => 2,
            Grade::Unknown => 3,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Grade::Ok => "OK",
            Grade::Warning => "WARNING",
            Grade::Critical => "CRITICAL",
            Grade::Unknown => "UNKNOWN",
        }
    }
}

impl Judgement {
    /// When there is no summary to judge.
    pub(crate) fn of(grade: Grade, text: &str) -> Judgement {
        Judgement { grade, text: clean(text), details: Vec::new(), guaranteed_s: None, age_s: None }
    }

    /// As a plugin prints it: the line with its numbers, then the details.
    pub(crate) fn to_text(&self, limits: &ProbeLimits) -> String {
        let Judgement { grade, text, details, guaranteed_s, age_s } = self;
        let ProbeLimits { warning, critical, stale } = limits;
        let number =
            |seconds: &Option<u64>| seconds.map_or("U".to_owned(), |seconds| format!("{seconds}s"));
        // "6:" is an alert below 6, "6" is one above.
        let numbers = format!(
            "guaranteed_seconds={};{}:;{}:;0; age_seconds={};;{};0;",
            number(guaranteed_s),
            warning.as_secs(),
            critical.as_secs(),
            number(age_s),
            stale.as_secs()
        );
        let details: String = details.iter().map(|detail| format!("\n{detail}")).collect();
        format!("CHANNELKEEPER {} - {text} | {numbers}{details}\n", grade.word())
    }
}

/// For how many seconds everything is covered; nothing when there is no news about it.
fn left(summary: &Summary, now: Timestamp) -> Option<u64> {
    let epoch = summary.guaranteed_until_epoch?;
    Some(u64::try_from(epoch.saturating_sub(now.as_second())).unwrap_or(0))
}

fn covered(summary: &Summary, now: Timestamp) -> String {
    match summary.guaranteed_until {
        Some(until) if until > now => {
            format!("everything is covered until {until} ({} left)", brief(span(now, until)))
        }
        Some(until) => {
            format!("everything was covered until {until}, {} ago", brief(span(until, now)))
        }
        None => summary.headline.clone(),
    }
}

fn by_guarantee(left: Option<u64>, limits: &ProbeLimits) -> Grade {
    match left.map(Duration::from_secs) {
        Some(left) if left.is_zero() || left < limits.critical => Grade::Critical,
        Some(left) if left < limits.warning => Grade::Warning,
        // When there is no guarantee at all, the status decides if that is as it should be.
        Some(_) | None => Grade::Ok,
    }
}

/// On one line, bounded, and without the sign behind which numbers stand.
fn clean(text: &str) -> String {
    line(text).replace('|', "/")
}

/// Two hosts whose clocks differ by more than this are not to be compared.
pub(crate) const CLOCKS_APART_MAX: Duration = Duration::from_secs(5 * 60);
/// The most lines of details.
pub(crate) const DETAILS_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::super::testing::{
        TURNING, converged, empty, hold, hours, lose, minutes, now, rejected,
    };
    use super::*;
    use crate::expose::overview::Overview;

    const LIMITS: ProbeLimits = ProbeLimits {
        warning: Duration::from_secs(6 * 3600),
        critical: Duration::from_secs(3 * 3600),
        stale: Duration::from_secs(15 * 60),
    };

    /// Written at one instant, judged at another.
    fn check(overview: &Overview, written: Timestamp, judged: Timestamp, expected: &Expect) {
        let summary = Summary::of(overview, TURNING, written);
        let summary = read(&serde_json::to_vec(&summary).unwrap()).unwrap();
        let verdict = judge(&summary, &LIMITS, judged);
        expected.assert_eq(&format!("{}{}", verdict.to_text(&LIMITS), verdict.grade.code()));
    }

    #[test]
    fn covered_for_long_is_ok() {
        check(
            &converged(2),
            now(),
            now(),
            &expect![[r#"
            CHANNELKEEPER OK - everything is covered until 2026-01-02T00:00:00Z (23h left) | guaranteed_seconds=82800s;21600:;10800:;0; age_seconds=0s;;900;0;
            0"#]],
        );
    }

    #[test]
    fn a_short_guarantee_is_a_warning_and_a_shorter_one_critical() {
        check(
            &converged(2),
            hours(18),
            minutes(18 * 60 + 1),
            &expect![[r#"
            CHANNELKEEPER WARNING - everything is covered until 2026-01-02T00:00:00Z (5h 59m left); degraded: pass-overdue: account acme: the next pass is due for 6h | guaranteed_seconds=21540s;21600:;10800:;0; age_seconds=60s;;900;0;
            pass-overdue: account acme: the next pass is due for 6h
            1"#]],
        );
        let mut renewed_late = converged(2);
        super::super::testing::change(&mut renewed_late, |report| report.next_wake = hours(30));
        check(
            &renewed_late,
            minutes(21 * 60 - 1),
            minutes(21 * 60 + 1),
            &expect![[r#"
            CHANNELKEEPER CRITICAL - everything is covered until 2026-01-02T00:00:00Z (2h 59m left) | guaranteed_seconds=10740s;21600:;10800:;0; age_seconds=120s;;900;0;
            2"#]],
        );
        check(
            &renewed_late,
            minutes(24 * 60 - 1),
            hours(24),
            &expect![[r#"
                CHANNELKEEPER CRITICAL - everything was covered until 2026-01-02T00:00:00Z, 0s ago; failing: emergency: account acme: channel c1: not renewed yet, and ends in 1m | guaranteed_seconds=0s;21600:;10800:;0; age_seconds=60s;;900;0;
                emergency: account acme: channel c1: not renewed yet, and ends in 1m
                emergency: account acme: channel c2: not renewed yet, and ends in 1m
                2"#]],
        );
    }

    #[test]
    fn one_refused_channel_is_critical_because_its_events_are_missed() {
        let mut overview = converged(50);
        lose(&mut overview, 7);
        hold(&mut overview, 7, rejected());
        check(
            &overview,
            now(),
            now(),
            &expect![[r#"
                CHANNELKEEPER CRITICAL - NOT covered: 1 of 50 channels: c7; failing: uncovered: account acme: channel c7: not covered | guaranteed_seconds=0s;21600:;10800:;0; age_seconds=0s;;900;0;
                uncovered: account acme: channel c7: not covered
                rejected: account acme: channel c7: Zoho refused it with INVALID_DATA at $.watch[0].events[0]: invalid module
                2"#]],
        );
    }

    #[test]
    fn degraded_and_covered_is_a_warning() {
        let mut overview = converged(2);
        overview.config.problems = vec!["config.toml:3: a | b\u{1b}[31m\nc".to_owned()];
        check(
            &overview,
            now(),
            now(),
            &expect![[r#"
            CHANNELKEEPER WARNING - everything is covered until 2026-01-02T00:00:00Z (23h left); degraded: config: the last good desired state is in force: config.toml:3: a / b [31m c | guaranteed_seconds=82800s;21600:;10800:;0; age_seconds=0s;;900;0;
            config: the last good desired state is in force: config.toml:3: a / b [31m c
            1"#]],
        );
        check(
            &empty(),
            now(),
            now(),
            &expect![[r#"
            CHANNELKEEPER WARNING - nothing is declared; degraded: nothing-declared: no channel is declared | guaranteed_seconds=U;21600:;10800:;0; age_seconds=0s;;900;0;
            nothing-declared: no channel is declared
            1"#]],
        );
    }

    #[test]
    fn failing_is_critical() {
        let mut overview = converged(2);
        overview.store_failed = Some("no room".to_owned());
        check(
            &overview,
            now(),
            now(),
            &expect![[r#"
            CHANNELKEEPER CRITICAL - everything is covered until 2026-01-02T00:00:00Z (23h left); failing: store-failed: the store failed: no room | guaranteed_seconds=82800s;21600:;10800:;0; age_seconds=0s;;900;0;
            store-failed: the store failed: no room
            2"#]],
        );
    }

    #[test]
    fn an_old_summary_is_critical_whatever_it_says_and_one_of_the_future_is_unknown() {
        let mut overview = converged(2);
        check(
            &overview,
            now(),
            minutes(75),
            &expect![[r#"
            CHANNELKEEPER OK - everything is covered until 2026-01-02T00:00:00Z (22h 45m left) | guaranteed_seconds=81900s;21600:;10800:;0; age_seconds=900s;;900;0;
            0"#]],
        );
        check(
            &overview,
            now(),
            minutes(76),
            &expect![[r#"
            CHANNELKEEPER CRITICAL - last heard of 16m ago, 15m at most: nobody says that anything is renewed; everything is covered until 2026-01-02T00:00:00Z (22h 44m left) | guaranteed_seconds=81840s;21600:;10800:;0; age_seconds=960s;;900;0;
            2"#]],
        );
        overview.stopping = true;
        check(
            &overview,
            now(),
            hours(30),
            &expect![[r#"
            CHANNELKEEPER CRITICAL - last heard of 1d 5h ago, 15m at most: nobody says that anything is renewed; the daemon was being stopped; everything was covered until 2026-01-02T00:00:00Z, 6h ago | guaranteed_seconds=0s;21600:;10800:;0; age_seconds=104400s;;900;0;
            2"#]],
        );
        check(
            &overview,
            minutes(65),
            now(),
            &expect![[r#"
            CHANNELKEEPER OK - everything is covered until 2026-01-02T00:00:00Z (23h left) | guaranteed_seconds=82800s;21600:;10800:;0; age_seconds=0s;;900;0;
            0"#]],
        );
        check(
            &overview,
            minutes(66),
            now(),
            &expect![[r#"
            CHANNELKEEPER UNKNOWN - it was written 6m in the future: one of the two clocks is wrong | guaranteed_seconds=U;21600:;10800:;0; age_seconds=U;;900;0;
            3"#]],
        );
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let told = |bytes: &[u8]| read(bytes).unwrap_err();
        let whole = serde_json::to_string(&Summary::of(&converged(1), TURNING, now())).unwrap();
        assert!(told(b"").starts_with("it is damaged"));
        assert!(told(&whole.as_bytes()[..whole.len() / 2]).starts_with("it is damaged"));
        assert!(told(b"{\"schema\":1}").contains("missing field"));
        assert!(
            told(b"{\"schema\":2,\"anything\":[]}")
                .contains("schema 2, and this program reads schema 1")
        );
        let more = whole.replacen('{', "{\"added\":\"later\",", 1);
        assert!(read(more.as_bytes()).is_ok(), "a key that is added is no other schema");
    }

    #[test]
    fn it_is_bounded() {
        let mut overview = converged(50);
        (1..=50).for_each(|number| lose(&mut overview, number));
        overview.config.problems = vec!["x".repeat(10_000); 100];
        let summary = Summary::of(&overview, TURNING, now());
        let text = judge(&summary, &LIMITS, now()).to_text(&LIMITS);
        assert!(text.len() < 8 * 1024 && text.lines().count() == 1 + DETAILS_MAX + 1, "{text}");
        assert!(text.lines().all(|line| line.matches('|').count() <= 1));
    }
}
