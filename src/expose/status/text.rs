//! The status as text: the answer first, then what is wrong, then an account and its channels, one
//! line each.

use crate::expose::health::{NO_DAEMON_RUNS, gaps_note, is_covered};
use crate::expose::overview::Overview;
use crate::model::channel::AccountName;
use crate::model::time::{Timestamp, brief, span};
use crate::plan::cause::CauseKind;
use crate::plan::credits::Credits;
use crate::plan::render::{not_ours, undeclarable};
use crate::reconcile::report::NOBODY_LOOKED;

use super::layout::{Layout, Rows, Tone, ago};
use super::table::{RowsShown, table};
use super::{
    AccountView, ChannelView, CreditsView, Guarantee, HeldView, NO_DAEMON, PassView, ReasonView,
    RecoveriesView, RenewalView, StatusView, counted,
};

impl StatusView {
    /// Renders it as text.
    pub fn to_text(&self, layout: &Layout) -> String {
        let shown = RowsShown::of(self, layout.rows);
        let mut lines = self.head(layout);
        let mut silent = 0;
        for (account, channels) in self.accounts.iter().zip(&shown.accounts) {
            if channels.is_empty() && account.is_well() && self.accounts.len() > ACCOUNTS_MAX {
                silent += usize::from(layout.rows == Rows::Worst);
                if layout.rows == Rows::Worst {
                    continue;
                }
            }
            lines.push(String::new());
            lines.extend(account.block(channels, self.now, layout));
        }
        lines.extend(self.foot(&shown, silent, layout));
        lines.join("\n") + "\n"
    }

    /// The answer, and what is wrong.
    fn head(&self, layout: &Layout) -> Vec<String> {
        let tone = Tone::of(self.health.status);
        let headline = match self.is_remembered() {
            true => format!("by what the store remembers, {}", self.headline),
            false => self.headline.clone(),
        };
        let headline = layout.prose("", tone, &headline).into_iter();
        let mut lines: Vec<String> = headline.map(|line| layout.ink(tone, &line)).collect();
        lines.extend(layout.prose("", tone, &self.summary()));
        if let Some(cluster) = &self.cluster {
            lines.extend(layout.prose("", tone, &cluster.to_string()));
        }
        for reason in &self.health.reasons {
            if reason.text.ends_with(NOBODY_LOOKED) {
                continue;
            }
            lines.extend(layout.prose("  ! ", Tone::of(reason.status), &reason.line()));
        }
        if self.health.reasons_left_out > 0 {
            lines.push(format!("  ! and {} more", self.health.reasons_left_out));
        }
        if let Some(note) = gaps_note(self.health.gaps) {
            lines.extend(layout.prose("  ! ", Tone::Odd, &note));
        }
        for warning in &self.config.warnings {
            lines.extend(layout.prose("  warning: ", Tone::Odd, warning));
        }
        lines
    }

    /// The rest that has no line, and how to see it.
    fn foot(&self, shown: &RowsShown<'_>, silent: usize, layout: &Layout) -> Vec<String> {
        let mut lines = Vec::new();
        if silent > 0 {
            lines.push(String::new());
            lines.push(format!("{}, all of them well", more(silent, "account")));
        }
        if shown.left_out > 0 {
            let all: usize = self.accounts.iter().map(|account| account.channels.len()).sum();
            let note = format!(
                "{} of {all} channels are shown, the worst first; `channelkeeper status --all` \
                 shows every one, and a name, --account, --state or --not-covered chooses",
                all - shown.left_out
            );
            lines.push(String::new());
            lines.extend(layout.prose("", Tone::Aside, &note));
        }
        lines
    }

    /// Returns whether no daemon is behind it.
    fn is_remembered(&self) -> bool {
        self.health.reasons.iter().any(|reason| reason.text == NO_DAEMON_RUNS)
    }

    fn summary(&self) -> String {
        let StatusView { version, health, .. } = self;
        let word = health.status.word();
        if self.is_remembered() {
            return format!(
                "health is {word}; changes at Zoho since the last look are not known (version \
                 {version})"
            );
        }
        let ready = match (&health.not_ready, health.live) {
            (Some(why), _) => format!("is not ready: {why}"),
            (None, true) => "is ready".to_owned(),
            (None, false) => "does not do its work".to_owned(),
        };
        let up = brief(span(self.started_at, self.now));
        format!("health is {word}; the daemon {ready} (running for {up}, version {version})")
    }
}

impl AccountView {
    /// Its line, and what belongs to it.
    fn block(&self, channels: &[&ChannelView], now: Timestamp, layout: &Layout) -> Vec<String> {
        let title = format!("account {}: ", self.name);
        let line = self.line(now);
        let line = line.strip_prefix(&title).unwrap_or(&line);
        let mut lines = layout.prose(&title, Tone::Title, line);
        let notes = self.overlaps.iter().cloned().chain(undeclarable(&self.foreign_ids));
        let notes = notes.chain(self.recoveries.as_ref().map(RecoveriesView::words));
        let machine = self.machine.as_ref();
        let notes = notes.chain(machine.map(|it| format!("machine {it} serves it")));
        for note in notes {
            lines.extend(layout.prose("  note: ", Tone::Aside, &note));
        }
        lines.extend(table(channels, now, layout));
        if let Some(more) = self.left_out(channels, now) {
            lines.push(layout.ink(Tone::Aside, &format!("  {more}")));
        }
        // The account's health says once which removals wait, with all their names.
        let is_said = |held: &&HeldView| {
            [CauseKind::RemovalGuard.word(), CauseKind::Vanished.word()]
                .contains(&held.cause.as_str())
        };
        for held in self.held.iter().filter(|held| !is_said(held)) {
            let text = format!("{} {}: {}", held.channel, held.cause, held.detail);
            lines.extend(layout.prose("  ", Tone::Aside, &text));
        }
        lines
    }

    /// Returns whether nothing has to be said of it.
    fn is_well(&self) -> bool {
        let has_looked = self.pass.as_ref().is_some_and(|pass| pass.look_failed.is_none());
        self.unusable.is_none() && self.guaranteed_until.is_some() && has_looked
    }
}

fn more(number: usize, noun: &str) -> String {
    counted(number, &format!("more {noun}"))
}

/// The answer in one sentence: up to when everything stays covered, or what is not covered.
pub(in crate::expose) fn headline(
    guarantee: Guarantee,
    overview: &Overview,
    now: Timestamp,
) -> String {
    match guarantee {
        Guarantee::Nothing => nothing(overview),
        Guarantee::Unknown => {
            let waiting = overview
                .everywhere()
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

/// The answer of a machine that has nothing to cover.
pub(crate) fn nothing(overview: &Overview) -> String {
    match overview.elsewhere {
        0 => "nothing is declared".to_owned(),
        elsewhere => format!("this machine serves none of {}", counted(elsewhere, "account")),
    }
}

fn broken(overview: &Overview, now: Timestamp) -> String {
    let unusable = first_of(&overview.unusable.keys().map(AccountName::as_str).collect::<Vec<_>>());
    let (mut uncovered, mut channels) = (Vec::new(), 0);
    for report in overview.everywhere().filter_map(|(_, report)| report) {
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
        let foreign =
            if *foreign > 0 { format!(", {}", not_ours(*foreign)) } else { String::new() };
        let credits = credits.as_ref().map(|credits| credits.words(now)).unwrap_or_default();
        format!(
            "account {name}: {}{states}{foreign}; {}{credits}",
            counted(channels.len(), "channel"),
            pass.line(now)
        )
    }
}

impl RecoveriesView {
    /// As `41 missed records recovered, 7 wait, 2 cannot be (1 held: `channelkeeper backfill`)`.
    fn words(&self) -> String {
        let RecoveriesView { states, recovered, waiting, not_recovered } = self;
        let recovered = counted(usize::try_from(*recovered).unwrap_or(usize::MAX), "missed record");
        let waiting = (*waiting > 0).then(|| format!(", {waiting} to be handed over"));
        let lost = (*not_recovered > 0).then(|| format!(", {not_recovered} not recovered"));
        let open = states.iter().filter(|(state, number)| {
            **number > 0 && !["done", "abandoned"].contains(&state.as_str())
        });
        let open: Vec<String> = open.map(|(state, number)| format!("{number} {state}")).collect();
        let open = if open.is_empty() { String::new() } else { format!("; {}", open.join(", ")) };
        format!(
            "{recovered} recovered{}{}{open} (`channelkeeper backfill --all`)",
            waiting.unwrap_or_default(),
            lost.unwrap_or_default(),
        )
    }
}

impl CreditsView {
    fn words(&self, now: Timestamp) -> String {
        let CreditsView { credits, tight } = self;
        let Credits { remaining, told_at, until: _, reserve, per_day } = credits;
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
                "{looked}, no daemon is running: nothing is renewed{due}, and the next look is not \
                 known"
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

/// The most names in the headline.
const NAMES_MAX: usize = 10;
/// With more accounts than this, those that are well have no line where the worst are shown.
const ACCOUNTS_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use expect_test::expect;

    use super::super::super::testing::{
        TURNING, account, change, change_channel, converged, empty, hold, hours, id, lose, minutes,
        now, rejected, report,
    };
    use super::super::layout::{Ink, columns};
    use super::*;
    use crate::backfill::Standing;
    use crate::backfill::standing::{Stuck, StuckWhy};
    use crate::expose::overview::{ClusterState, LoopAge};
    use crate::plan::drift::Drift;
    use crate::plan::step::Cause;
    use crate::reconcile::report::ChannelState;

    #[test]
    fn gaps_that_nobody_has_acknowledged_stand_beside_ok_with_the_verb_to_type() {
        let mut overview = converged(2);
        change_channel(&mut overview, 2, |channel| channel.gaps = 8);
        let text = view(&overview, now()).to_text(&Layout::PLAIN);
        assert!(text.contains("\nhealth is ok; the daemon is ready"), "{text}");
        for part in [
            "8 gaps that nobody has acknowledged",
            "`channelkeeper gaps ack --all`",
            "8 gaps (`channelkeeper gaps c2`)",
        ] {
            assert!(text.contains(part), "no {part} in {text}");
        }
        let summary = crate::expose::summary::Summary::of(&overview, TURNING, now());
        assert_eq!((summary.gaps, view(&overview, now()).health.gaps), (8, 8));
        let none = view(&converged(2), now()).to_text(&Layout::PLAIN);
        assert!(!none.contains("gap"), "{none}");
    }

    #[test]
    fn a_machine_among_others_says_how_it_stands_and_what_is_elsewhere() {
        let cluster = ClusterState {
            name: "prod".to_owned(),
            node: "host-1".to_owned(),
            is_active: true,
            is_well: true,
            standing: "serves accounts",
            unowned: [(account("beta"), now())].into(),
            ..ClusterState::default()
        };
        let overview = Overview { cluster: Some(cluster), elsewhere: 4, ..converged(2) };
        let shown = view(&overview, now());
        let line = "\nhost-1, one of 0 machines of cluster prod, serves accounts: 1 account here, \
                    3 elsewhere, 1 served by none\n";
        let text = shown.to_text(&Layout::PLAIN);
        assert!(text.contains(line), "{text}");
        let json = serde_json::to_value(&shown).unwrap();
        assert_eq!(
            (&json["cluster"]["elsewhere"], &json["cluster"]["unserved"]),
            (&3.into(), &1.into())
        );
        assert!(serde_json::to_value(view(&converged(2), now())).unwrap().get("cluster").is_none());
    }

    #[test]
    fn recoveries_are_counted_and_one_that_waits_for_a_person_is_a_reason_with_its_verb() {
        let mut overview = converged(2);
        let stuck = |number, why| Stuck { number, name: crate::testing::name(2), why };
        let no_scope = "the token lacks the scope ZohoCRM.modules.deals.READ".to_owned();
        let states = [("held", 1), ("unreadable", 1), ("done", 3)];
        let states = states.map(|(word, number)| (word.into(), number)).into();
        let standing = Standing {
            states,
            taken: 41,
            waiting: 12_000,
            lost: 2,
            stuck: vec![stuck(7, StuckWhy::Most(12_000)), stuck(8, StuckWhy::Unreadable(no_scope))],
        };
        overview.recoveries.insert(account("acme"), standing);
        let shown = view(&overview, now());
        let text = shown.to_text(&Layout::PLAIN);
        for part in [
            "\nhealth is degraded; the daemon is ready",
            "! recovery: account acme: channel c2: recovery acme/7 is held: 12000 records are more \
             than [backfill] most lets pass; `channelkeeper backfill release acme/7` hands them over\n",
            "recovery acme/8 cannot be read: the token lacks the scope ZohoCRM.modules.deals.READ; \
             `channelkeeper gaps c2`",
            "  note: 41 missed records recovered, 12000 to be handed over, 2 not recovered; 1 held, \
             1 unreadable (`channelkeeper backfill --all`)\n",
        ] {
            assert!(text.contains(part), "no {part} in {text}");
        }
        let json = serde_json::to_value(&shown).unwrap();
        assert_eq!(json["accounts"][0]["recoveries"]["waiting"], 12_000);
        let none = serde_json::to_value(view(&converged(2), now())).unwrap();
        assert!(none["accounts"][0].get("recoveries").is_none());
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
            health is ok; the daemon is ready (running for 1h 30m, version 0.1.0)

            account acme: 2 channels (2 covered); looked 30m ago, last pass 30m ago (timer), next renewal of c1 in 10h 30m, next look in 15m
              CHANNEL  STATE    ENDS        RENEWS      LAST STEP
              c1       covered  in 22h 30m  in 10h 30m  enable (missing) 1h 30m ago
              c2       covered  in 22h 30m  in 10h 30m  enable (missing) 1h 30m ago
        "#]].assert_eq(&view(&converged(2), minutes(90)).to_text(&Layout::PLAIN));
    }

    #[test]
    fn a_troubled_status_says_what_is_not_covered() {
        expect![[r#"
            NOT covered: 1 of 5 channels: c2; cannot be worked on: delta
            health is failing; the daemon is not ready: account gamma has not had its first pass (running for 1h 30m, version 0.1.0)
              ! unusable: account delta: cannot be worked on: the environment variable X is not set
              ! first-pass-overdue: account gamma: the first pass has not ended for 1h 30m
              ! uncovered: account acme: channel c2: not covered
              ! rejected: account acme: channel c2: Zoho refused it with INVALID_DATA at $.watch[0].events[0]: invalid module
              ! drifted: account acme: channel c3: not as declared: notify_on_related_action: false instead of true
              ! removal-guard: account acme: disabling 2 of 4 channels in one go has to be allowed: `channelkeeper apply --allow-removals` (renewed until then) (c9)
              ! short-grant: account acme: channel c4: Zoho gave far less life than was asked for
              warning: config.toml can be read by others

            account acme: 4 channels (2 covered, 1 drifted, 1 uncovered), 1 channel is not ours; looked 30m ago, last pass 30m ago (timer), next renewal of c1 in 10h 30m, next look in 15m
              CHANNEL  STATE      ENDS        RENEWS      LAST STEP                    NOTE
              c1       covered    in 22h 30m  in 10h 30m  enable (missing) 1h 30m ago
              c2       uncovered  -           -           enable (missing) 1h 30m ago  rejected: Zoho refused it with INVALID_DATA at $.watch[0].events[0]: invalid module (again in 30m)
              c3       drifted    in 22h 30m  in 10h 30m  enable (missing) 1h 30m ago  notify_on_related_action: false instead of true
              c4       covered    in 22h 30m  in 10h 30m  enable (missing) 1h 30m ago  Zoho gave far less life than was asked for

            account beta: 1 channel (1 covered); looked 30m ago, last pass 30m ago (timer), next renewal of c10 in 10h 30m, next look in 15m
              CHANNEL  STATE    ENDS        RENEWS      LAST STEP
              c10      covered  in 22h 30m  in 10h 30m  enable (missing) 1h 30m ago

            account delta: cannot be worked on: the environment variable X is not set

            account gamma: no pass has ended yet
        "#]].assert_eq(&view(&troubled(), minutes(90)).to_text(&Layout::PLAIN));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_nothing_of_what_is_wrong_is_cut() {
        for width in [60, 80, 120] {
            let layout = Layout { width: Some(width), ..Layout::PLAIN };
            let text = view(&troubled(), minutes(90)).to_text(&layout);
            assert!(text.lines().all(|line| columns(line) <= width), "{text}");
            let flowing = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(
                flowing
                    .contains("`channelkeeper apply --allow-removals` (renewed until then) (c9)"),
                "{text}"
            );
            assert!(flowing.contains("invalid module (again in 30m)"), "{text}");
        }
    }

    #[test]
    fn on_a_narrow_terminal_a_note_stands_below_its_channel() {
        let mut overview = converged(2);
        change_channel(&mut overview, 2, |channel| channel.gaps = 8);
        let layout = Layout { width: Some(72), ..Layout::PLAIN };
        expect![[r#"
            everything is covered until 2026-01-02T00:00:00Z (in 23h), even if
            nothing succeeds any more
            health is ok; the daemon is ready (running for 1h, version 0.1.0)
              ! 8 gaps that nobody has acknowledged: `channelkeeper gaps` lists what
                was missed, `channelkeeper gaps ack --all` acknowledges them

            account acme: 2 channels (2 covered); looked 0s ago, last pass 0s ago
                          (timer), next renewal of c1 in 11h, next look in 15m
              CHANNEL  STATE    ENDS    RENEWS  LAST STEP
              c1       covered  in 23h  in 11h  enable (missing) 1h ago
              c2       covered  in 23h  in 11h  enable (missing) 1h ago
                  8 gaps (`channelkeeper gaps c2`)
        "#]]
        .assert_eq(&view(&overview, now()).to_text(&layout));
    }

    #[test]
    fn of_many_channels_the_worst_have_a_line_and_the_rest_is_counted() {
        let worst = Layout { rows: Rows::Worst, ..Layout::PLAIN };
        let mut overview = converged(60);
        lose(&mut overview, 42);
        change_channel(&mut overview, 7, |channel| channel.gaps = 1);
        let text = view(&overview, now()).to_text(&worst);
        let names = |text: &str| {
            let rows = text.lines().filter(|line| line.starts_with("  c"));
            rows.map(|row| row.split_whitespace().next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(names(&text)[..3], ["c42", "c7", "c1"], "{text}");
        assert_eq!(names(&text).len(), 10, "{text}");
        assert!(text.contains("  and 50 more, all of them well\n"), "{text}");
        assert!(
            text.contains(
                "10 of 60 channels are shown, the worst first; `channelkeeper status --all`"
            ),
            "{text}"
        );
        (1..=60).for_each(|n| lose(&mut overview, n));
        let text = view(&overview, now()).to_text(&worst);
        assert!(text.contains("  and 10 more, 10 of them not well\n"), "{text}");
        let all = view(&overview, now()).to_text(&Layout::PLAIN);
        assert_eq!((names(&all).len(), names(&all)[9].as_str()), (60, "c10"), "{all}");
        assert_eq!(names(&view(&converged(50), now()).to_text(&worst)).len(), 50);
    }

    #[test]
    fn of_many_accounts_those_that_are_well_are_counted() {
        let mut overview = converged(1);
        for n in 10..40 {
            let name = format!("org{n}");
            overview
                .accounts
                .insert(account(&name), Some(Arc::new(report(&name, n * 100..=n * 100 + 9))));
        }
        let text = view(&overview, now()).to_text(&Layout { rows: Rows::Worst, ..Layout::PLAIN });
        assert!(text.contains("\n29 more accounts, all of them well\n"), "{text}");
    }

    #[test]
    fn without_a_daemon_it_says_that_it_is_a_memory() {
        let view = StatusView::of(&converged(1), LoopAge::NO_LOOP, now());
        let text = view.to_text(&Layout::PLAIN);
        assert!(
            text.starts_with("by what the store remembers, everything is covered until"),
            "{text}"
        );
        assert!(text.contains("changes at Zoho since the last look are not known"), "{text}");
    }

    #[test]
    fn colour_says_how_bad_it_is_and_changes_no_word() {
        let coloured = Layout { ink: Ink::Colour, ..Layout::PLAIN };
        let text = view(&troubled(), minutes(90)).to_text(&coloured);
        assert!(text.starts_with("\u{1b}[1;31mNOT covered"), "{text:?}");
        assert!(text.contains("\u{1b}[1;31muncovered\u{1b}[0m  -"), "{text:?}");
        let mut bare = text;
        for code in ["32", "33", "1;31", "1", "2", "0"] {
            bare = bare.replace(&format!("\u{1b}[{code}m"), "");
        }
        assert_eq!(bare, view(&troubled(), minutes(90)).to_text(&Layout::PLAIN));
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
            let last = Arc::make_mut(channel.last.as_mut().unwrap());
            (last.step, last.outcome) = (FOUL.to_owned(), FOUL.to_owned());
        });
        change(&mut overview, |report| {
            report.wake = FOUL.to_owned();
            (report.look_failed, report.writes_failed) =
                (Some(FOUL.to_owned()), Some(FOUL.to_owned()));
        });
        let view = view(&overview, now());
        let text = view.to_text(&Layout::PLAIN);
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
