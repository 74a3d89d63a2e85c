//! The conclusions from a good look for one event, given the facts before it.

use std::time::Duration;

use crate::model::time::{Timestamp, after};

use super::gap::{GapCause, GapKind};
use super::track::{Open, Stretch, Track, UnsureWrites};

/// The facts of one look that every track needs.
pub(super) struct Context {
    /// When the state before the look was last certain.
    pub(super) sure: Timestamp,
    pub(super) received: Timestamp,
    /// The end that was known, when it has passed.
    pub(super) ended: Option<Timestamp>,
    /// True when the channel ends when it was known to.
    pub(super) same_end: bool,
    pub(super) is_alive: bool,
    pub(super) doubt: Option<UnsureWrites>,
}

impl Context {
    /// `found` is `None` for covered.
    pub(super) fn apply(&self, track: &mut Track, found: Option<(GapKind, GapCause)>) -> bool {
        match (track.open, found) {
            (None, None) => self.still_covered(track),
            (None, Some((kind, cause))) => self.lost(track, kind, cause),
            (Some(open), None) => self.found_again(track, open),
            (Some(open), Some((kind, cause))) => self.still_not(track, open, kind, cause),
        }
    }

    fn still_covered(&self, track: &mut Track) -> bool {
        let cause = if self.doubt.is_some() { GapCause::UnsureWrite } else { GapCause::Restored };
        // When several writes are in doubt, some of them worked: the first may have made the life
        // shorter, and a later one long again.
        let several = self.doubt.filter(|doubt| doubt.first < doubt.last && !self.same_end);
        let shortened = several.map(|doubt| after(doubt.since, SHORTEST_GRANT));
        let Some(from) = self.ended.into_iter().chain(shortened).min() else { return false };
        track.add(Stretch { from, to: self.received, kind: GapKind::Unknown, cause });
        true
    }

    fn lost(&self, track: &mut Track, kind: GapKind, cause: GapCause) -> bool {
        match self.ended.filter(|_| !self.is_alive) {
            Some(end) => {
                let cause = GapCause::Expired;
                track.add(Stretch {
                    from: self.sure,
                    to: end,
                    kind: GapKind::Unknown,
                    cause: GapCause::Absent,
                });
                let possible = self.possible_end().unwrap_or(end).max(end);
                track.add(Stretch {
                    from: end,
                    to: possible,
                    kind: GapKind::Unknown,
                    cause: GapCause::UnsureWrite,
                });
                track.begin(Open { from: possible, kind: GapKind::Uncovered, cause });
            }
            None => {
                track.begin(Open { from: self.sure, kind: GapKind::Unknown, cause });
                if kind == GapKind::Uncovered {
                    track.begin(Open { from: self.received, kind, cause });
                }
            }
        }
        true
    }

    fn found_again(&self, track: &mut Track, open: Open) -> bool {
        // A list that left it out, or somebody who put it back as it was: it may have been there
        // all the time.
        let never_gone = self.same_end && open.cause == GapCause::Absent;
        if open.kind == GapKind::Uncovered {
            let cut = if never_gone { open.from } else { self.sure.max(open.from) };
            let cause =
                if self.doubt.is_some() { GapCause::UnsureWrite } else { GapCause::Restored };
            track.begin(Open { from: cut.min(self.received), kind: GapKind::Unknown, cause });
        }
        track.end(self.received);
        true
    }

    fn still_not(&self, track: &mut Track, open: Open, kind: GapKind, cause: GapCause) -> bool {
        if open.kind == GapKind::Unknown {
            track.begin(Open { from: self.received, kind, cause });
            return true;
        }
        if let (Some(doubt), Some(possible), false) =
            (self.doubt, self.possible_end(), self.is_alive)
        {
            let from = doubt.since.max(open.from);
            track.begin(Open { from, kind: GapKind::Unknown, cause: GapCause::UnsureWrite });
            let from = possible.max(from);
            track.begin(Open { from, kind: GapKind::Uncovered, cause: GapCause::Expired });
            return true;
        }
        if open.cause.has_channel() == self.is_alive {
            return false;
        }
        if self.is_alive || self.doubt.is_some() {
            let from = self.sure.max(open.from);
            track.begin(Open { from, kind: GapKind::Unknown, cause: GapCause::UnsureWrite });
        }
        track.begin(Open { from: self.received, kind, cause });
        true
    }

    /// Up to when a channel that is absent may have lived on the strength of writes in doubt;
    /// `None` when no such write worked, because it would still be there.
    fn possible_end(&self) -> Option<Timestamp> {
        let doubt = self.doubt.filter(|doubt| doubt.first <= self.received)?;
        Some(doubt.last.min(self.received))
    }
}

/// The least life that Zoho gives, whatever is asked: it gives it in silence when it does not like
/// the expiry.
pub(super) const SHORTEST_GRANT: Duration = Duration::from_secs(3600);
