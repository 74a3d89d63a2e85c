//! Which events a channel goes on without, when Zoho refuses it.
//!
//! One bad event takes the whole channel down, because Zoho refuses a channel whole. So that the
//! others stay covered, the next write leaves out what is at fault:
//!
//! | Zoho's refusal | what the next write leaves out |
//! | --- | --- |
//! | names an event of the request | that event, beside those that were left out of the refused write |
//! | names another key, or has a code that is about no event | nothing: the channel waits |
//! | names nothing, and has a code that no source lists | nothing before the third refusal: the channel waits |
//! | names nothing | what is known to be at fault from before; else one guess after the other |
//!
//! The guesses are, in this order: what Zoho does not have yet, each event alone, the first and the
//! second half, all but one. A guess that is accepted stays in use until the wanted set is
//! accepted; that set is tried on the cadence of every refusal.
//!
//! A code that no source lists is no proof that an event is at fault, nor that nothing was written.
//! A guess would then take events away that Zoho still delivers. Hence the whole is asked for
//! again first.

use crate::model::channel::Spec;
use crate::model::codes::{LIMIT_REACHED, NOT_SUBSCRIBED, SCOPE_MISMATCH, is_documented, is_taken};
use crate::model::events::Events;
use crate::model::life_refused::names_expiry;

/// A write of a channel that Zoho refused.
#[derive(Clone, Copy, Debug)]
pub struct RefusedWrite<'a> {
    /// The channel as declared.
    pub spec: &'a Spec,
    /// The events that were written.
    pub written: &'a Events,
    /// The events that Zoho has of it.
    pub seen: &'a Events,
    /// The events that earlier refusals of the same spec blamed.
    pub earlier: &'a Events,
    /// The refusals in a row, this one included.
    pub attempts: u32,
    /// Zoho's code.
    pub code: &'a str,
    /// Zoho's message.
    pub message: &'a str,
    /// The place in the request, if Zoho said so.
    pub json_path: Option<&'a str>,
}

impl RefusedWrite<'_> {
    /// The declared events that the next write leaves out; none when the channel has to wait.
    pub fn left_out(&self) -> Events {
        let before = self.spec.events.minus(self.written);
        let left_out = match self.json_path.map(|path| self.named(path)) {
            Some(Some(event)) => before.plus(&event),
            Some(None) if self.json_path.is_some_and(is_of_another_key) => Events::default(),
            Some(None) | None if self.is_about_no_event() => Events::default(),
            Some(None) | None if self.may_mean_anything() => Events::default(),
            Some(None) | None if before.is_empty() && !self.earlier.is_empty() => {
                self.earlier.clone()
            }
            Some(None) | None => self.next_guess(&before),
        };
        let leaves_some = !self.spec.events.minus(&left_out).is_empty();
        if leaves_some { left_out } else { Events::default() }
    }

    /// The event at `$.watch[0].events[1]` of the refused write.
    fn named(&self, path: &str) -> Option<Events> {
        let index = path.split_once(".events[")?.1.split(']').next()?.parse::<usize>().ok()?;
        self.written.to_wire().get(index).map(|event| [event.as_str()].into_iter().collect())
    }

    fn is_about_no_event(&self) -> bool {
        names_expiry(self.message, self.json_path)
            || is_taken(self.code)
            || [NOT_SUBSCRIBED, LIMIT_REACHED, SCOPE_MISMATCH].contains(&self.code)
    }

    /// An unknown code says little, until it has come again and again.
    fn may_mean_anything(&self) -> bool {
        !is_documented(self.code) && self.attempts < BELIEVED_FROM
    }

    fn next_guess(&self, before: &Events) -> Events {
        let guesses = guesses(&self.spec.events, self.seen);
        let next = match guesses.iter().position(|guess| guess == before) {
            Some(place) => guesses.get(place + 1),
            None if before.is_empty() => guesses.first(),
            None => None,
        };
        next.cloned().unwrap_or_default()
    }
}

/// From so many refusals in a row on, an unknown code counts as any other.
const BELIEVED_FROM: u32 = 3;

fn is_of_another_key(path: &str) -> bool {
    let last = path.rsplit('.').next().unwrap_or(path);
    !last.starts_with("events") && !last.starts_with("watch")
}

/// The events that may be at fault, the likeliest first. Each is a part of the events and not all
/// of them.
fn guesses(events: &Events, seen: &Events) -> Vec<Events> {
    let wire = events.to_wire();
    let of = |texts: &[String]| texts.iter().map(String::as_str).collect::<Events>();
    let mut all = vec![events.minus(seen)];
    all.extend(wire.chunks(1).map(of));
    let (first, second) = wire.split_at(wire.len() / 2);
    all.extend([of(first), of(second)]);
    all.extend(wire.chunks(1).map(|one| events.minus(&of(one))));
    let mut guesses: Vec<Events> = Vec::new();
    for guess in all {
        if !guess.is_empty() && guess != *events && !guesses.contains(&guess) {
            guesses.push(guess);
        }
    }
    guesses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{events, spec};

    fn left_out(
        declared: &[&str],
        written: &[&str],
        (seen, earlier): (&[&str], &[&str]),
        (code, json_path): (&str, Option<&str>),
    ) -> String {
        let (spec, written) = (Spec { events: events(declared), ..spec(1) }, events(written));
        let (seen, earlier) = (events(seen), events(earlier));
        let write = RefusedWrite {
            spec: &spec,
            written: &written,
            seen: &seen,
            earlier: &earlier,
            attempts: 1,
            code,
            message: "",
            json_path,
        };
        write.left_out().to_string()
    }

    #[test]
    fn the_event_that_zoho_names_is_left_out_and_the_next_one_as_well() {
        let all = ["Accounts.all", "Contacts.all", "Deals.all"];
        let first = ("INVALID_DATA", Some("$.watch[3].events[1]"));
        assert_eq!(left_out(&all, &all, (&[], &[]), first), "Contacts.all");
        let rest = ["Accounts.all", "Deals.all"];
        let both = left_out(&all, &rest, (&[], &["Contacts.all"]), first);
        assert_eq!(both, "Contacts.all, Deals.all");
        assert_eq!(
            left_out(&all, &["Deals.all"], (&[], &[]), ("X", Some("$.watch[0].events[0]"))),
            ""
        );
    }

    #[test]
    fn what_is_about_no_event_leaves_out_none() {
        let all = ["Accounts.all", "Deals.all"];
        for said in [
            ("INVALID_DATA", Some("$.watch[0].notify_url")),
            ("LIMIT_REACHED", None),
            ("DUPLICATE_DATA", None),
            ("NOT_SUBSCRIBED", Some("$.watch[0]")),
        ] {
            assert_eq!(left_out(&all, &all, (&[], &[]), said), "", "{said:?}");
        }
        assert_eq!(left_out(&["Deals.all"], &["Deals.all"], (&[], &[]), ("X", None)), "");
    }

    #[test]
    fn what_zoho_does_not_have_yet_is_guessed_first_and_each_event_once() {
        let all = ["Accounts.all", "Contacts.all", "Deals.all"];
        let seen: &[&str] = &["Accounts.all", "Contacts.all"];
        let mut guessed = vec![left_out(&all, &all, (seen, &[]), ("NO_PERMISSION", None))];
        while !guessed.last().unwrap().is_empty() && guessed.len() < 20 {
            let before: Vec<&str> = guessed.last().unwrap().split(", ").collect();
            let written: Vec<&str> =
                all.iter().filter(|event| !before.contains(event)).copied().collect();
            guessed.push(left_out(&all, &written, (seen, &[]), ("NO_PERMISSION", None)));
        }
        let expected = [
            "Deals.all",
            "Accounts.all",
            "Contacts.all",
            "Contacts.all, Deals.all",
            "Accounts.all, Deals.all",
            "Accounts.all, Contacts.all",
            "",
        ];
        assert_eq!(guessed, expected);
    }

    #[test]
    fn a_code_that_no_source_lists_blames_no_event_before_it_has_come_three_times() {
        let spec = Spec { events: events(&["Accounts.all", "Deals.all"]), ..spec(1) };
        let left_out = |attempts, json_path| {
            let write = RefusedWrite {
                spec: &spec,
                written: &spec.events,
                seen: &spec.events,
                earlier: &Events::default(),
                attempts,
                code: "SOLAR_FLARE",
                message: "",
                json_path,
            };
            write.left_out().to_string()
        };
        assert_eq!([1, 2, 3].map(|nth| left_out(nth, None)), ["", "", "Accounts.all"]);
        assert_eq!(left_out(1, Some("$.watch[0].events[1]")), "Deals.all", "that one is named");
    }

    #[test]
    fn what_was_at_fault_before_is_left_out_again_when_the_whole_is_refused_again() {
        let all = ["Accounts.all", "Contacts.all", "Deals.all"];
        let again = left_out(&all, &all, (&[], &["Contacts.all"]), ("NO_PERMISSION", None));
        assert_eq!(again, "Contacts.all");
    }
}
