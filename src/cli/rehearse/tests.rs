//! Rehearsals of the example config. Their texts are golden, so they are also the same on every
//! machine.

use std::path::Path;
use std::sync::Arc;

use clap::Parser;
use expect_test::{Expect, expect};

use super::*;
use crate::cli::{Cli, VerbArgs};
use crate::config::{Commands, MissingCredentials};
use crate::model::backfill::{BackfillMode, BackfillRule};
use crate::model::channel::Spec;

fn rehearse(args: &[&str]) -> anyhow::Result<Rehearsal> {
    rehearse_with(None, args)
}

/// The same with this rule for every channel.
fn rehearse_with(rule: Option<BackfillRule>, args: &[&str]) -> anyhow::Result<Rehearsal> {
    let cli = Cli::try_parse_from(["channelkeeper", "rehearse"].iter().chain(args))?;
    let VerbArgs::Rehearse(args) = cli.verb else { panic!("{:?} is another verb", cli.verb) };
    let surroundings = Surroundings {
        env: Box::new(|_| None),
        credentials_dir: None,
        missing: MissingCredentials::FetchNone,
        commands: Commands::Refuse,
    };
    let loaded = config::load(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/config.example.toml")),
        &surroundings,
    );
    let mut desired = loaded.desired.expect("the example is good");
    for spec in desired.accounts.values_mut().flat_map(|held| held.specs.values_mut()) {
        *spec = Arc::new(Spec { backfill: rule, ..Spec::clone(spec) });
    }
    args.rehearse(desired, RehearsalProgress::default())
}

fn golden(args: &[&str], is_covered: bool, expected: &Expect) {
    let rehearsal = rehearse(args).unwrap();
    expected.assert_eq(&rehearsal.to_text());
    assert_eq!(rehearsal.is_covered(), is_covered);
}

#[test]
fn an_outage_of_a_night_lets_nothing_lapse() {
    golden(
        &["--days", "4"],
        true,
        &expect![[r#"
            rehearsal: 1 account, 2 channels, 4 days from 2026-01-05T00:00:00Z (day 1, simulated), seed 1
              day 3 01:00 for 7h: an outage
              only observed, so not enabled here, and not counted: closing-deals
            [lines with ** are the world's doing, !! is what the alert webhook would be sent, reminders left out]

            before       !! channelkeeper: failing: 1 problem.
                            Not everything is covered.
                            - uncovered: account acme: channel closing-deals: not covered since 2026-01-04T09:38:55Z
                              since 2026-01-04T09:38:56Z. Next: `channelkeeper explain acme/closing-deals` says why; `channelkeeper gaps` lists what was missed.
            day 3 01:00  ** Zoho is down for 7h: no connection is accepted
            day 3 01:00     acme: cannot look at Zoho (list: could not connect: connection refused); something is uncovered
            day 3 01:10  !! channelkeeper: failing: 2 problems.
                            Not everything is covered.
                            - uncovered: account acme: channel closing-deals: not covered since 2026-01-04T09:38:55Z
                              since 2026-01-04T09:38:56Z. Next: `channelkeeper explain acme/closing-deals` says why; `channelkeeper gaps` lists what was missed.
                            - look-failed: account acme: the look at Zoho failed: list: could not connect: connection refused
                              since 2026-01-07T01:00:00Z. Next: nothing within the guaranteed time, if Zoho is down; otherwise look at the reason.
            day 3 08:00  ** Zoho is back
            day 3 08:00     acme: can look at Zoho again, after 32 failed passes

            account acme: 371 GET, 8 POST, 114 token (32 failed); expected were 400 looks, 8 renewal calls, 98 tokens; 8 renewals, at the least 12h 14m before the end; no gaps
            nothing would have lapsed
        "#]],
    );
}

#[test]
fn a_revoked_token_is_alarmed_and_what_lapses_until_there_is_another_is_a_gap() {
    let args = [
        "--outage",
        "day 3 01:00 for 7h",
        "--revoke-token",
        "day 5 00:00",
        "--restore-token",
        "day 6 00:00 of acme",
    ];
    golden(
        &args,
        false,
        &expect![[r#"
            rehearsal: 1 account, 2 channels, 14 days from 2026-01-05T00:00:00Z (day 1, simulated), seed 1
              day 3 01:00 for 7h: an outage
              day 5 00:00: the refresh token is revoked
              day 6 00:00 of acme: a new refresh token is put in place
              only observed, so not enabled here, and not counted: closing-deals
            [lines with ** are the world's doing, !! is what the alert webhook would be sent, reminders left out]

            before       !! channelkeeper: failing: 1 problem.
                            Not everything is covered.
                            - uncovered: account acme: channel closing-deals: not covered since 2026-01-04T09:38:55Z
                              since 2026-01-04T09:38:56Z. Next: `channelkeeper explain acme/closing-deals` says why; `channelkeeper gaps` lists what was missed.
            day 3 01:00  ** Zoho is down for 7h: no connection is accepted
            day 3 01:00     acme: cannot look at Zoho (list: could not connect: connection refused); something is uncovered
            day 3 01:10  !! channelkeeper: failing: 2 problems.
                            Not everything is covered.
                            - uncovered: account acme: channel closing-deals: not covered since 2026-01-04T09:38:55Z
                              since 2026-01-04T09:38:56Z. Next: `channelkeeper explain acme/closing-deals` says why; `channelkeeper gaps` lists what was missed.
                            - look-failed: account acme: the look at Zoho failed: list: could not connect: connection refused
                              since 2026-01-07T01:00:00Z. Next: nothing within the guaranteed time, if Zoho is down; otherwise look at the reason.
            day 3 08:00  ** Zoho is back
            day 3 08:00     acme: can look at Zoho again, after 32 failed passes
            day 5 00:00  ** the refresh token of acme is revoked: unless somebody acts, coverage is lost from day 5 19:28 on; `channelkeeper login --account acme` puts a new one in place
            day 5 00:00     acme: cannot look at Zoho (token: the OAuth server refuses the credentials: invalid_code (the refresh token was revoked, or belongs to another client: `channelkeeper login` gets a new one); it is tried again every hour, and at once when the config gives others); something is uncovered
            day 5 00:10  !! channelkeeper: failing: 2 problems.
                            Not everything is covered.
                            - needs-a-person: account acme: needs a person: the look at Zoho failed: token: the OAuth server refuses the credentials: invalid_code (the refresh token was revoked, or belongs to another client: `channelkeeper login` gets a new one); it is tried again every hour, and at once when the config gives others
                              since 2026-01-09T00:00:01Z. Next: check the account's client, refresh token and scopes; `channelkeeper login` gets a new refresh token, which the daemon takes up within the hour, or at once with `channelkeeper reload`.
                            - uncovered: account acme: channel closing-deals: not covered since 2026-01-04T09:38:55Z
                              since 2026-01-04T09:38:56Z. Next: `channelkeeper explain acme/closing-deals` says why; `channelkeeper gaps` lists what was missed.
            day 5 16:28     acme: renews in the last moment later: deal-sync
            day 5 16:38  !! channelkeeper: failing: 3 problems.
                            Not everything is covered.
                            - needs-a-person: account acme: needs a person: the look at Zoho failed: token: the OAuth server refuses the credentials: invalid_code (the refresh token was revoked, or belongs to another client: `channelkeeper login` gets a new one); it is tried again every hour, and at once when the config gives others; writes failed: token: the OAuth server refuses the credentials: invalid_code (the refresh token was revoked, or belongs to another client: `channelkeeper login` gets a new one); it is tried agai...
                              since 2026-01-09T00:00:01Z. Next: check the account's client, refresh token and scopes; `channelkeeper login` gets a new refresh token, which the daemon takes up within the hour, or at once with `channelkeeper reload`.
                            - uncovered: account acme: channel closing-deals: not covered since 2026-01-04T09:38:55Z
                              since 2026-01-04T09:38:56Z. Next: `channelkeeper explain acme/closing-deals` says why; `channelkeeper gaps` lists what was missed.
                            - emergency: account acme: channel deal-sync: not renewed yet, and ends in 2h 49m
                              since 2026-01-09T16:28:27Z. Next: `channelkeeper explain acme/deal-sync` says why it was not renewed.
            day 5 19:38  !! channelkeeper: failing: 4 problems.
                            Not everything is covered.
                            - needs-a-person: account acme: needs a person: the look at Zoho failed: token: the OAuth server refuses the credentials: invalid_code (the refresh token was revoked, or belongs to another client: `channelkeeper login` gets a new one); it is tried again every hour, and at once when the config gives others; writes failed: token: the OAuth server refuses the credentials: invalid_code (the refresh token was revoked, or belongs to another client: `channelkeeper login` gets a new one); it is tried agai...
                              since 2026-01-09T00:00:01Z. Next: check the account's client, refresh token and scopes; `channelkeeper login` gets a new refresh token, which the daemon takes up within the hour, or at once with `channelkeeper reload`.
                            - nothing-covered: account acme: none of 2 channels is covered
                              since 2026-01-09T19:28:31Z. Next: see the account's other reasons; `channelkeeper gaps` lists what was missed.
                            - uncovered: account acme: channel closing-deals: not covered since 2026-01-04T09:38:55Z
                              since 2026-01-04T09:38:56Z. Next: `channelkeeper explain acme/closing-deals` says why; `channelkeeper gaps` lists what was missed.
                            - uncovered: account acme: channel deal-sync: not covered since 2026-01-09T19:28:28Z
                              since 2026-01-09T19:28:31Z. Next: `channelkeeper explain acme/deal-sync` says why; `channelkeeper gaps` lists what was missed.
            day 6 00:00  ** acme has a new refresh token, and the config is read again
            day 6 00:00     acme: can look at Zoho again, after 974 failed passes
            day 6 00:00     acme: enables deal-sync, for 1d

            account acme: 1254 GET, 27 POST, 357 token (32 failed); expected were 1401 looks, 29 renewal calls, 342 tokens; 26 renewals, at the least 12h 14m before the end; 2 gaps
              unknown   deal-sync  day 4 23:45 to day 5 19:28 (19h 43m, absent): Contacts.create, Deals.all
              uncovered deal-sync  day 5 19:28 to day 6 00:00 (4h 31m, expired): Contacts.create, Deals.all
              missed 35 events, if 6 records of each module change in an hour: 35 lost: [backfill] is off, and could have recovered them
            1 channel would have been uncovered for 4h 31m at a stretch; 1 channel may have been uncovered for 19h 43m at a stretch; missed 35, recovered 0
        "#]],
    );
}

#[test]
fn an_outage_that_outlasts_a_life_is_a_gap_from_its_end_to_the_end_of_the_outage() {
    golden(
        &["--days", "4", "--outage", "day 2 00:00 for 30h", "--seed", "2"],
        false,
        &expect![[r#"
            rehearsal: 1 account, 2 channels, 4 days from 2026-01-05T00:00:00Z (day 1, simulated), seed 2
              day 2 00:00 for 1d 6h: an outage
              only observed, so not enabled here, and not counted: closing-deals
            [lines with ** are the world's doing, !! is what the alert webhook would be sent, reminders left out]

            before       !! channelkeeper: failing: 1 problem.
                            Not everything is covered.
                            - uncovered: account acme: channel closing-deals: not covered since 2026-01-04T13:24:50Z
                              since 2026-01-04T13:24:51Z. Next: `channelkeeper explain acme/closing-deals` says why; `channelkeeper gaps` lists what was missed.
            day 2 00:00  ** Zoho is down for 1d 6h: no call is answered
            day 2 00:00     acme: cannot look at Zoho (list: no usable reply: timed out); something is uncovered
            day 2 00:10  !! channelkeeper: failing: 2 problems.
                            Not everything is covered.
                            - uncovered: account acme: channel closing-deals: not covered since 2026-01-04T13:24:50Z
                              since 2026-01-04T13:24:51Z. Next: `channelkeeper explain acme/closing-deals` says why; `channelkeeper gaps` lists what was missed.
                            - look-failed: account acme: the look at Zoho failed: list: no usable reply: timed out
                              since 2026-01-06T00:00:30Z. Next: nothing within the guaranteed time, if Zoho is down; otherwise look at the reason.
            day 2 09:55     acme: renews in the last moment later: deal-sync
            day 2 10:06  !! channelkeeper: failing: 4 problems.
                            Not everything is covered.
                            - uncovered: account acme: channel closing-deals: not covered since 2026-01-04T13:24:50Z
                              since 2026-01-04T13:24:51Z. Next: `channelkeeper explain acme/closing-deals` says why; `channelkeeper gaps` lists what was missed.
                            - emergency: account acme: channel deal-sync: not renewed yet, and ends in 2h 49m
                              since 2026-01-06T09:55:51Z. Next: `channelkeeper explain acme/deal-sync` says why it was not renewed.
                            - look-failed: account acme: the look at Zoho failed: token: no access token before 2026-01-06T10:05:50.123Z: 8 tokens were asked for in 10 minutes
                              since 2026-01-06T00:00:30Z. Next: nothing within the guaranteed time, if Zoho is down; otherwise look at the reason.
                            - writes-failed: account acme: writes failed: token: no access token before 2026-01-06T10:05:50.123Z: 8 tokens were asked for in 10 minutes
                              since 2026-01-06T09:56:51Z. Next: nothing within the guaranteed time, if Zoho is down; otherwise look at the reason.
            day 2 13:06  !! channelkeeper: failing: 5 problems.
                            Not everything is covered.
                            - nothing-covered: account acme: none of 2 channels is covered
                              since 2026-01-06T12:56:03Z. Next: see the account's other reasons; `channelkeeper gaps` lists what was missed.
                            - uncovered: account acme: channel closing-deals: not covered since 2026-01-04T13:24:50Z
                              since 2026-01-04T13:24:51Z. Next: `channelkeeper explain acme/closing-deals` says why; `channelkeeper gaps` lists what was missed.
                            - uncovered: account acme: channel deal-sync: not covered since 2026-01-06T12:55:50Z
                              since 2026-01-06T12:56:03Z. Next: `channelkeeper explain acme/deal-sync` says why; `channelkeeper gaps` lists what was missed.
                            - look-failed: account acme: the look at Zoho failed: token: no access token before 2026-01-06T13:09:02.704Z: 8 tokens were asked for in 10 minutes
                              since 2026-01-06T00:00:30Z. Next: nothing within the guaranteed time, if Zoho is down; otherwise look at the reason.
                            - writes-failed: account acme: writes failed: token: no access token before 2026-01-06T13:09:02.704Z: 8 tokens were asked for in 10 minutes
                              since 2026-01-06T09:56:51Z. Next: nothing within the guaranteed time, if Zoho is down; otherwise look at the reason.
            day 3 06:00  ** Zoho is back
            day 3 06:00     acme: can look at Zoho again, after 2081 failed passes
            day 3 06:00     acme: enables deal-sync, for 23h 59m

            account acme: 275 GET, 6 POST, 1050 token (990 failed); expected were 400 looks, 8 renewal calls, 98 tokens; 5 renewals, at the least 12h 14m before the end; 2 gaps
              unknown   deal-sync  day 1 23:44 to day 2 12:55 (13h 10m, absent): Contacts.create, Deals.all
              uncovered deal-sync  day 2 12:55 to day 3 06:00 (17h 4m, expired): Contacts.create, Deals.all
              missed 128 events, if 6 records of each module change in an hour: 128 lost: [backfill] is off, and could have recovered them
            1 channel would have been uncovered for 17h 4m at a stretch; 1 channel may have been uncovered for 13h 10m at a stretch; missed 128, recovered 0
        "#]],
    );
}

#[test]
fn an_edit_is_a_gap_until_the_next_audit() {
    golden(
        &["--days", "2", "--edit", "day 1 12:05"],
        false,
        &expect![[r#"
            rehearsal: 1 account, 2 channels, 2 days from 2026-01-05T00:00:00Z (day 1, simulated), seed 1
              day 1 12:05: somebody takes an event from a channel
              only observed, so not enabled here, and not counted: closing-deals
            [lines with ** are the world's doing, !! is what the alert webhook would be sent, reminders left out]

            before       !! channelkeeper: failing: 1 problem.
                            Not everything is covered.
                            - uncovered: account acme: channel closing-deals: not covered since 2026-01-04T09:38:55Z
                              since 2026-01-04T09:38:56Z. Next: `channelkeeper explain acme/closing-deals` says why; `channelkeeper gaps` lists what was missed.
            day 1 12:05  ** somebody takes Contacts.create from deal-sync at Zoho
            day 1 12:15     acme: repairs (events: missing Contacts.create) deal-sync, for 20h 54m

            account acme: 196 GET, 1 PATCH, 4 POST, 48 token; expected were 200 looks, 4 renewal calls, 49 tokens; 4 renewals, at the least 12h 14m before the end; 1 gap
              unknown   deal-sync  day 1 12:00 to day 1 12:15 (15m, event-missing): Contacts.create
              missed 1 event, if 6 records of each module change in an hour: 1 lost: [backfill] is off, and could have recovered them
            1 channel may have been uncovered for 15m at a stretch; missed 1, recovered 0
        "#]],
    );
}

#[test]
fn the_same_seed_plays_the_same_and_another_one_does_not() {
    let play = |seed: &str| rehearse(&["--days", "2", "--seed", seed]).unwrap();
    let (first, again, other) = (play("5"), play("5"), play("6"));
    assert_eq!(serde_json::to_string(&first).unwrap(), serde_json::to_string(&again).unwrap());
    assert_ne!(first, other);
}

#[test]
fn trouble_that_would_never_come_to_pass_is_refused() {
    let refused = |args: &[&str]| rehearse(args).unwrap_err().to_string();
    assert_eq!(
        refused(&["--edit", "day 15 00:00"]),
        "day 15 00:00 is after the last of 14 days: give more --days"
    );
    assert_eq!(
        refused(&["--revoke-token", "day 1 00:00 of globex"]),
        "there is no account globex: the config has acme"
    );
    for bad in
        ["day 3", "3 01:00", "day 0 01:00", "day 1 24:00", "day 1 00:60", "day 1 00:00 or so"]
    {
        assert!(refused(&["--edit", bad]).contains("not of the form \"day 3 01:00\""), "{bad}");
    }
    assert!(
        refused(&["--outage", "day 1 00:00"]).contains("not of the form \"day 3 01:00 for 7h\"")
    );
    assert!(refused(&["--outage", "day 1 00:00 for ever"]).contains("as in \"for 7h\""));
}

/// The fate of the example's only account, as JSON has it.
fn fate(rehearsal: &Rehearsal) -> serde_json::Value {
    serde_json::to_value(rehearsal).unwrap()["accounts"]["acme"].clone()
}

/// Somebody takes Contacts.create away twice, just before fifty contacts are created.
const EDITS: [&str; 8] =
    ["--days", "1", "--edit", "day 1 12:05", "--edit", "day 1 12:46", "--changes", "300"];

#[test]
fn with_backfill_what_was_missed_is_recovered_and_the_cost_is_said() {
    let rehearsal = rehearse_with(Some(BackfillRule::new(BackfillMode::On)), &EDITS).unwrap();
    let (fate, text) = (fate(&rehearsal), rehearsal.to_text());
    let (missed, took) = (&fate["missed"], &fate["backfill_took"]);
    assert_eq!((&missed["missed"], &missed["recovered"]), (&100.into(), &100.into()), "{text}");
    assert_eq!((&missed["lost"], &fate["backfill_off"]), (&0.into(), &0.into()), "{text}");
    assert_eq!(took["deliveries"], 2, "{text}");
    assert!(took["calls"].as_u64() >= Some(2), "{text}");
    assert_eq!(fate["calls"]["read"], took["calls"], "{text}");
    assert_eq!(took["credits"], took["calls"], "each page of the list costs one: {text}");
    let told = "acme: has handed over what deal-sync may have missed of Contacts: 50 created";
    assert_eq!(text.matches(told).count(), 2, "{text}");
    assert!(text.contains(": 100 recovered in 2 POSTs; "), "{text}");
    assert!(text.ends_with("; missed 100, recovered 100\n"), "{text}");
    assert!(!rehearsal.is_covered(), "it was not covered all the same");
}

#[test]
fn without_backfill_it_stays_lost_and_with_plan_or_too_much_it_waits() {
    let off = rehearse(&EDITS).unwrap();
    let (fate_off, text) = (fate(&off), off.to_text());
    assert_eq!(fate_off["backfill_off"], 100, "{text}");
    assert!(text.contains(": 100 lost: [backfill] is off, and could have recovered"), "{text}");
    assert!(text.ends_with("; missed 100, recovered 0\n"), "{text}");
    assert!(fate_off["calls"]["read"].is_null(), "{text}");

    let plan = rehearse_with(Some(BackfillRule::new(BackfillMode::Plan)), &EDITS).unwrap();
    let few = BackfillRule { most: 10, ..BackfillRule::new(BackfillMode::On) };
    let few = rehearse_with(Some(few), &EDITS).unwrap();
    for (held, why) in [(plan, "the mode is plan"), (few, "more records than the config lets pass")]
    {
        let (fate, text) = (fate(&held), held.to_text());
        assert_eq!((&fate["missed"]["lost"], &fate["backfill_off"]), (&100.into(), &0.into()));
        assert!(text.contains(": 100 not recovered yet; "), "{text}");
        assert_eq!(text.matches("  waits     deal-sync  held, 50 records").count(), 2, "{text}");
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn without_changes_nothing_is_missed() {
    let args: Vec<&str> = EDITS[..6].iter().copied().chain(["--changes", "0"]).collect();
    let rehearsal = rehearse(&args).unwrap();
    assert_eq!(fate(&rehearsal)["missed"]["missed"], 0);
    assert!(!rehearsal.to_text().contains("missed 0"));
}
