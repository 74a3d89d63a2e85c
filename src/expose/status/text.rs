//! The status as text: the answer first, then what is wrong, then an account and its channels, one
//! line each.

use std::fmt::Write as _;

use crate::expose::health::{gaps_note, is_covered, usable};
use crate::expose::overview::Overview;
use crate::model::channel::AccountName;
use crate::model::time::{Timestamp, brief, span};
use crate::plan::cause::CauseKind;
use crate::plan::render::undeclarable;

use super::{
    AccountView, ChannelView, CreditsView, Guarantee, HeldView, NO_DAEMON, PassView, ReasonView,
    RenewalView, StatusView, counted,
};

impl StatusView {
    /// Renders it as text. Lines are cut to `width` characters, if there is a width; there is no
    /// colour in it.
    pub fn to_text(&self, width: Option<usize>) -> String {
        let mut lines = vec![self.headline.clone(), self.summary()];
        lines.extend(self.health.reasons.iter().map(|reason| format!("  ! {}", reason.line())));
        if self.health.reasons_left_out > 0 {
            lines.push(format!("  ! and {} more", self.health.reasons_left_out));
        }
        lines.extend(gaps_note(self.health.gaps).map(|note| format!("  ! {note}")));
        lines.extend(self.config.warnings.iter().map(|warning| format!("  warning: {warning}")));
        for account in &self.accounts {
            lines.push(String::new());
            lines.push(account.line(self.now));
            lines.extend(account.overlaps.iter().map(|overlap| format!("  note: {overlap}")));
            lines.extend(undeclarable(&account.foreign_ids).map(|note| format!("  note: {note}")));
            lines.extend(table(account, self.now));
            // The account's health says once which removals wait, with all their names.
            let is_said = |held: &&HeldView| {
                [CauseKind::RemovalGuard.word(), CauseKind::Vanished.word()]
                    .contains(&held.cause.as_str())
            };
            let held = account.held.iter().filter(|held| !is_said(held));
            lines.extend(
                held.map(|held| format!("  {} {}: {}", held.channel, held.cause, held.detail)),
            );
        }
        let mut text = String::new();
        for line in lines {
            writeln!(text, "{}", cut(&line, width)).expect("writing to a String cannot fail");
        }
        text
    }

    fn summary(&self) -> String {
        let health = &self.health;
        let ready =
            health.not_ready.as_ref().map_or("ready".to_owned(), |why| format!("not ready: {why}"));
        let live = if health.live { "live" } else { "not live" };
        let up = brief(span(self.started_at, self.now));
        format!("{}, {live}, {ready}; up {up}, version {}", health.status.word(), self.version)
    }
}

/// The answer in one sentence: up to when everything stays covered, or what is not covered.
pub(in crate::expose) fn headline(
    guarantee: Guarantee,
    overview: &Overview,
    now: Timestamp,
) -> String {
    match guarantee {
        Guarantee::Nothing => "nothing is declared".to_owned(),
        Guarantee::Unknown => {
            let waiting = usable(overview)
                .filter(|(_, report)| report.is_none())
                .map(|(name, _)| name.as_str());
            format!(
                "not known yet: no pass has ended for {}",
                first_of(&waiting.collect::<Vec<_>>())
            )
        }
        Guarantee::Until(until) => format!(
            "everything is covered until {until} (in {}), even if nothing succeeds any more",
            brief(span(now, until))
        ),
        Guarantee::Broken => broken(overview, now),
    }
}

fn broken(overview: &Overview, now: Timestamp) -> String {
    let unusable = first_of(&overview.unusable.keys().map(AccountName::as_str).collect::<Vec<_>>());
    let (mut uncovered, mut channels) = (Vec::new(), 0);
    for report in usable(overview).filter_map(|(_, report)| report) {
        let lost = report.channels.values().filter(|channel| !is_covered(report, channel, now));
        let mut names: Vec<&str> = lost.map(|channel| channel.spec.name.as_str()).collect();
        names.sort_unstable();
        uncovered.extend(names);
        channels += report.channels.len();
    }
    if uncovered.is_empty() {
        return format!("NOT known: cannot be worked on: {unusable}");
    }
    let of = format!("{} of {}", uncovered.len(), counted(channels, "channel"));
    let also = if unusable.is_empty() {
        String::new()
    } else {
        format!("; cannot be worked on: {unusable}")
    };
    format!("NOT covered: {of}: {}{also}", first_of(&uncovered))
}

fn first_of(names: &[&str]) -> String {
    let listed = names.iter().take(NAMES_MAX).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => listed,
        more => format!("{listed} and {more} more"),
    }
}

impl ReasonView {
    /// As `rejected: account acme: channel deal-sync: ...`.
    pub fn line(&self) -> String {
        let account =
            self.account.as_ref().map(|name| format!("account {name}: ")).unwrap_or_default();
        let channel =
            self.channel.as_ref().map(|name| format!("channel {name}: ")).unwrap_or_default();
        format!("{}: {account}{channel}{}", self.word, self.text)
    }
}

impl AccountView {
    /// In one line: how many channels in which state, and its last pass.
    pub fn line(&self, now: Timestamp) -> String {
        let AccountView { name, unusable, pass, counts, channels, foreign, credits, .. } = self;
        if let Some(why) = unusable {
            return format!("account {name}: cannot be worked on: {why}");
        }
        let Some(pass) = pass else { return format!("account {name}: no pass has ended yet") };
        let states = counts.iter().filter(|(_, number)| **number > 0);
        let states: Vec<String> =
            states.map(|(state, number)| format!("{number} {state}")).collect();
        let states =
            if states.is_empty() { String::new() } else { format!(" ({})", states.join(", ")) };
        let foreign = if *foreign > 0 { format!(", {foreign} foreign") } else { String::new() };
        let credits = credits.as_ref().map(|credits| credits.words(now)).unwrap_or_default();
        format!(
            "account {name}: {}{states}{foreign}; {}{credits}",
            counted(channels.len(), "channel"),
            pass.line(now)
        )
    }
}

impl CreditsView {
    fn words(&self, now: Timestamp) -> String {
        let CreditsView { remaining, told_at, until: _, reserve, per_day, tight } = self;
        let of = per_day.map(|all| format!(" of {all}")).unwrap_or_default();
        let kept = if *tight { format!(" (kept for renewals: {reserve})") } else { String::new() };
        format!(", {remaining}{of} API credits left {} ago{kept}", ago(*told_at, now))
    }
}

impl PassView {
    fn line(&self, now: Timestamp) -> String {
        let looked = self
            .looked_at
            .map_or("never looked".to_owned(), |at| format!("looked {} ago", ago(at, now)));
        let renewal = self.next_renewal.as_ref().map(|next| next.words(now));
        if self.wake == NO_DAEMON {
            let due = renewal.map(|words| format!(" ({words})")).unwrap_or_default();
            return format!(
                "{looked}, no daemon is running: nothing is renewed{due}, \
                 and the next look is not known"
            );
        }
        let failed = if self.look_failed.is_some() { " (the last look failed)" } else { "" };
        let look = self.next_look.map(|at| format!("next look {}", ahead(at, now)));
        let next: Vec<String> = renewal.into_iter().chain(look).collect();
        format!(
            "{looked}{failed}, last pass {} ago ({}), {}",
            ago(self.at, now),
            self.wake,
            next.join(", ")
        )
    }
}

impl RenewalView {
    /// As `next renewal of deal-sync in 11h`.
    pub(in crate::expose) fn words(&self, now: Timestamp) -> String {
        format!("next renewal of {} {}", self.channel, ahead(self.at, now))
    }
}

/// `in 11h 58m`, or `is due`.
pub(in crate::expose) fn ahead(instant: Timestamp, now: Timestamp) -> String {
    if instant > now { format!("in {}", brief(span(now, instant))) } else { "is due".to_owned() }
}

/// A header and a line a channel, in columns as wide as they need to be.
fn table(account: &AccountView, now: Timestamp) -> Vec<String> {
    if account.channels.is_empty() {
        return Vec::new();
    }
    let header = ["CHANNEL", "STATE", "ENDS", "RENEWS", "LAST STEP", "NOTE"].map(ToOwned::to_owned);
    let rows: Vec<[String; 6]> = account.channels.iter().map(|channel| channel.row(now)).collect();
    let all = || std::iter::once(&header).chain(&rows);
    let widths: Vec<usize> = (0..header.len())
        .map(|column| all().map(|row| row[column].chars().count()).max().unwrap_or_default())
        .collect();
    let line = |row: &[String; 6]| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("  {}", cells.join("  ")).trim_end().to_owned()
    };
    all().map(line).collect()
}

impl ChannelView {
    fn row(&self, now: Timestamp) -> [String; 6] {
        let ends = self.expiry.map_or("-".to_owned(), |expiry| until(expiry, now));
        let renews = self.due_at.map_or("-".to_owned(), |due_at| until(due_at, now));
        let last = self.last.as_ref().map_or("-".to_owned(), |last| {
            format!("{} {} ago: {}", last.step, ago(last.at, now), last.outcome)
        });
        [self.name.clone(), self.state.clone(), ends, renews, last, self.note(now)]
    }

    /// The note beside the state, if there is one.
    pub fn note(&self, now: Timestamp) -> String {
        let emergency = self.covered && self.emergency_at.is_some_and(|at| at <= now);
        let short = self.short_grant.then(|| "short grant".to_owned());
        let held = self.held.iter().map(|held| match held.until {
            Some(until) if until > now => {
                format!("{}: {} (again in {})", held.cause, held.detail, brief(span(now, until)))
            }
            Some(_) | None => format!("{}: {}", held.cause, held.detail),
        });
        let gaps = (self.gaps > 0)
            .then(|| format!("{} (`channelkeeper gaps {}`)", counted(self.gaps, "gap"), self.name));
        let refused =
            self.undeliverable_since.map(|since| format!("undeliverable for {}", ago(since, now)));
        let notes = emergency
            .then(|| "emergency".to_owned())
            .into_iter()
            .chain(refused)
            .chain(short)
            .chain(gaps)
            .chain(held);
        notes.chain(self.drift.iter().cloned()).collect::<Vec<_>>().join("; ")
    }
}

/// `in 11h 58m`, or `2m ago`.
pub(in crate::expose) fn until(instant: Timestamp, now: Timestamp) -> String {
    if instant > now {
        format!("in {}", brief(span(now, instant)))
    } else {
        format!("{} ago", ago(instant, now))
    }
}

fn ago(instant: Timestamp, now: Timestamp) -> String {
    brief(span(instant, now))
}

fn cut(line: &str, width: Option<usize>) -> String {
    match width {
        Some(width) if line.chars().count() > width => {
            let kept: String = line.chars().take(width.saturating_sub(3)).collect();
            format!("{kept}...")
        }
        Some(_) | None => line.to_owned(),
    }
}

/// The most names in the headline.
const NAMES_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use expect_test::expect;

    use super::super::super::testing::{
        TURNING, account, change, change_channel, converged, empty, hold, hours, id, lose, minutes,
        now, rejected, report,
    };
    use super::*;
    use crate::plan::drift::Drift;
    use crate::plan::step::Cause;
    use crate::reconcile::report::ChannelState;

    #[test]
    fn gaps_that_nobody_has_acknowledged_stand_beside_ok_with_the_verb_to_type() {
        let mut overview = converged(2);
        change_channel(&mut overview, 2, |channel| channel.gaps = 8);
        let text = view(&overview, now()).to_text(None);
        assert!(text.contains("\nok, live, ready"), "{text}");
        for part in [
            "8 gaps that nobody has acknowledged",
            "`channelkeeper gaps ack`",
            "8 gaps (`channelkeeper gaps c2`)",
        ] {
            assert!(text.contains(part), "no {part} in {text}");
        }
        let summary = crate::expose::summary::Summary::of(&overview, TURNING, now());
        assert_eq!((summary.gaps, view(&overview, now()).health.gaps), (8, 8));
        let none = view(&converged(2), now()).to_text(None);
        assert!(!none.contains("gap"), "{none}");
    }

    fn view(overview: &Overview, now: Timestamp) -> StatusView {
        StatusView::of(overview, TURNING, now)
    }

    fn troubled() -> Overview {
        let mut overview = converged(4);
        lose(&mut overview, 2);
        hold(&mut overview, 2, rejected());
        change_channel(&mut overview, 3, |channel| {
            channel.state = ChannelState::Drifted;
            channel.drift = vec![Drift::NotifyOnRelatedAction { wanted: true }];
        });
        change_channel(&mut overview, 4, |channel| channel.short_grant = true);
        hold(&mut overview, 9, Cause::RemovalGuard { removals: 2, channels: 4, is_renewed: true });
        change(&mut overview, |report| report.after.foreign = vec![id(77)]);
        overview.accounts.insert(account("beta"), Some(Arc::new(report("beta", 10..=10))));
        overview.accounts.insert(account("gamma"), None);
        overview
            .unusable
            .insert(account("delta"), "the environment variable X is not set".to_owned());
        overview.config.warnings = vec!["config.toml can be read by others".to_owned()];
        overview
    }

    #[test]
    fn a_converged_status_says_until_when() {
        expect![[r#"
            everything is covered until 2026-01-02T00:00:00Z (in 22h 30m), even if nothing succeeds any more
            ok, live, ready; up 1h 30m, version 0.1.0

            account acme: 2 channels (2 covered); looked 30m ago, last pass 30m ago (timer), next renewal of c1 in 10h 30m, next look in 15m
              CHANNEL  STATE    ENDS        RENEWS      LAST STEP                                                     NOTE
              c1       covered  in 22h 30m  in 10h 30m  enable (missing) 1h 30m ago: done until 2026-01-02T00:00:00Z
              c2       covered  in 22h 30m  in 10h 30m  enable (missing) 1h 30m ago: done until 2026-01-02T00:00:00Z
        "#]].assert_eq(&view(&converged(2), minutes(90)).to_text(None));
    }

    #[test]
    fn a_troubled_status_says_what_is_not_covered() {
        expect![[r#"
            NOT covered: 1 of 5 channels: c2; cannot be worked on: delta
            failing, live, not ready: account gamma has not had its first pass; up 1h 30m, version 0.1.0
              ! unusable: account delta: cannot be worked on: the environment variable X is not set
              ! first-pass-overdue: account gamma: the first pass has not ended for 1h 30m
              ! uncovered: account acme: channel c2: not covered
              ! rejected: account acme: channel c2: Zoho refused it with INVALID_DATA at $.watch[0].events[0]: invalid module
              ! drifted: account acme: channel c3: not as declared: notify_on_related_action: false instead of true
              ! removal-guard: account acme: disabling 2 of 4 channels in one go needs a word: `channelkeeper apply --allow-removals` (renewed until then) (c9)
              ! short-grant: account acme: channel c4: Zoho gave far less life than was asked for
              warning: config.toml can be read by others

            account acme: 4 channels (2 covered, 1 drifted, 1 uncovered), 1 foreign; looked 30m ago, last pass 30m ago (timer), next renewal of c1 in 10h 30m, next look in 15m
              CHANNEL  STATE      ENDS        RENEWS      LAST STEP                                                     NOTE
              c1       covered    in 22h 30m  in 10h 30m  enable (missing) 1h 30m ago: done until 2026-01-02T00:00:00Z
              c2       uncovered  -           -           enable (missing) 1h 30m ago: done until 2026-01-02T00:00:00Z  rejected: Zoho refused it with INVALID_DATA at $.watch[0].events[0]: invalid module (again in 30m)
              c3       drifted    in 22h 30m  in 10h 30m  enable (missing) 1h 30m ago: done until 2026-01-02T00:00:00Z  notify_on_related_action: false instead of true
              c4       covered    in 22h 30m  in 10h 30m  enable (missing) 1h 30m ago: done until 2026-01-02T00:00:00Z  short grant

            account beta: 1 channel (1 covered); looked 30m ago, last pass 30m ago (timer), next renewal of c10 in 10h 30m, next look in 15m
              CHANNEL  STATE    ENDS        RENEWS      LAST STEP                                                     NOTE
              c10      covered  in 22h 30m  in 10h 30m  enable (missing) 1h 30m ago: done until 2026-01-02T00:00:00Z

            account delta: cannot be worked on: the environment variable X is not set

            account gamma: no pass has ended yet
        "#]].assert_eq(&view(&troubled(), minutes(90)).to_text(None));
    }

    #[test]
    fn lines_are_cut_to_the_width() {
        let text = view(&troubled(), minutes(90)).to_text(Some(60));
        assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
    }

    #[test]
    fn the_headline_tells_nothing_unknown_and_ended_apart() {
        let headline = |overview: &Overview, now| view(overview, now).headline;
        expect!["nothing is declared"].assert_eq(&headline(&empty(), now()));
        expect![
            "NOT covered: 12 of 12 channels: c1, c10, c11, c12, c2, c3, c4, c5, c6, c7 and 2 more"
        ]
        .assert_eq(&headline(&converged(12), hours(24)));
        let mut waiting = converged(1);
        waiting.accounts.insert(account("beta"), None);
        expect!["not known yet: no pass has ended for beta"].assert_eq(&headline(&waiting, now()));
        let mut unusable = converged(1);
        unusable.unusable.insert(account("beta"), "no secret".to_owned());
        expect!["NOT known: cannot be worked on: beta"].assert_eq(&headline(&unusable, now()));
    }

    #[test]
    fn a_status_survives_its_way_over_the_socket() {
        let sent = view(&troubled(), minutes(90));
        let json = serde_json::to_string(&sent).unwrap();
        assert_eq!(serde_json::from_str::<StatusView>(&json).unwrap(), sent);
        assert!(!json.contains("s3cret"), "{json}");
    }

    #[test]
    fn a_foreign_text_breaks_no_line_and_shows_no_query() {
        const FOUL: &str = "a\nb\r\u{1b}[2J\u{2028} https://h.example/?key=s3cret";
        let mut overview = converged(1);
        overview.config.file = FOUL.to_owned();
        overview.config.problems = vec![FOUL.to_owned()];
        overview.config.warnings = vec![FOUL.to_owned()];
        overview.unusable.insert(account("beta"), FOUL.to_owned());
        hold(&mut overview, 1, Cause::Unknown(FOUL.to_owned()));
        change_channel(&mut overview, 1, |channel| {
            let last = channel.last.as_mut().unwrap();
            (last.step, last.outcome) = (FOUL.to_owned(), FOUL.to_owned());
        });
        change(&mut overview, |report| {
            report.wake = FOUL.to_owned();
            (report.look_failed, report.writes_failed) =
                (Some(FOUL.to_owned()), Some(FOUL.to_owned()));
        });
        let view = view(&overview, now());
        let text = view.to_text(None);
        let breaks = |c: char| (c.is_control() && c != '\n') || c == '\u{2028}';
        assert!(!text.contains(breaks) && !text.contains("s3cret"), "{text:?}");
        assert!(text.lines().all(|line| !line.starts_with('b')), "{text}");
        let json = serde_json::to_string(&view).unwrap();
        assert!(
            !json.contains("\\n") && !json.contains("\\u001b") && !json.contains("s3cret"),
            "{json}"
        );
    }
}
