//! The life that a channel is granted.
//!
//! One hour when nothing is asked; what is asked up to the version's maximum; one hour again, and
//! still SUCCESS, for a second more than that (Kaizen #14; v7 *Enable Notifications*). Exactly the
//! maximum is granted in full (amp-labs/connectors #1602).

use jiff::Timestamp;

use super::knobs::{Fractions, Knobs, PastExpiry};
use super::operation::Write;
use crate::model::product::Product;
use crate::model::time;

/// The text is no expiry that Zoho takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadExpiry;

/// The instant of a `channel_expiry`: ISO 8601 with `Z` or a numeric offset.
pub(crate) fn parse(text: &str, knobs: &Knobs, now: Timestamp) -> Result<Timestamp, BadExpiry> {
    if text.contains('.') && knobs.fractions == Fractions::Refused {
        return Err(BadExpiry);
    }
    if text.contains('[') || !text.contains('T') {
        return Err(BadExpiry);
    }
    let asked = time::whole_seconds(text.parse::<Timestamp>().map_err(|_| BadExpiry)?);
    if asked <= now && knobs.past_expiry == PastExpiry::Refused {
        return Err(BadExpiry);
    }
    Ok(asked)
}

/// The end that a channel gets which asked for this one, or for none.
pub(crate) fn granted(asked: Option<Timestamp>, write: &Write<'_>) -> Timestamp {
    let Write { knobs, product, version, now, base: _, digits: _, faults: _ } = *write;
    let latest = time::after(now, knobs.lifetime_max(product, version));
    match asked {
        Some(asked) if asked > now && asked <= latest => asked,
        Some(_) | None => fallback(product, knobs, now),
    }
}

/// The default life from now on, in whole seconds.
pub(crate) fn fallback(product: Product, knobs: &Knobs, now: Timestamp) -> Timestamp {
    time::whole_seconds(time::after(now, knobs.fallback_lifetime_of(product).0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::version::ApiVersion;

    const NOW: &str = "2026-01-01T00:00:00Z";

    fn life(text: &str, version: ApiVersion, knobs: &Knobs) -> Result<u64, BadExpiry> {
        let now = NOW.parse().unwrap();
        let asked = parse(text, knobs, now)?;
        let (product, base, digits, faults) = (Product::Crm, "", "", &[]);
        let write = Write { knobs, product, version, base, digits, faults, now };
        Ok(time::span(now, granted(Some(asked), &write)).as_secs())
    }

    #[test]
    fn one_second_too_much_gives_one_hour() {
        let knobs = Knobs::default();
        let table = [
            ("2026-01-02T00:00:00Z", ApiVersion::V3, 86_400),
            ("2026-01-02T00:00:01Z", ApiVersion::V3, 3_600),
            ("2026-01-02T05:30:01+05:30", ApiVersion::V2, 3_600),
            ("2026-01-08T00:00:00+00:00", ApiVersion::V4, 604_800),
            ("2026-01-08T00:00:01+00:00", ApiVersion::V8, 3_600),
            ("2026-01-01T00:02:00Z", ApiVersion::V8, 120),
        ];
        for (text, version, seconds) in table {
            assert_eq!(life(text, version, &knobs), Ok(seconds), "{text} {version}");
        }
    }

    #[test]
    fn what_zoho_does_not_take_is_refused() {
        let knobs = Knobs { past_expiry: PastExpiry::Refused, ..Knobs::default() };
        let bad = [
            "2026-01-01T10:00:00.000Z",
            "2026-01-01T10:00:00",
            "2026-01-01",
            "soon",
            "2025-12-31T23:59:59Z",
        ];
        for text in bad {
            assert_eq!(life(text, ApiVersion::V8, &knobs), Err(BadExpiry), "{text}");
        }
        let lenient = Knobs { fractions: Fractions::Accepted, ..Knobs::default() };
        assert_eq!(life("2026-01-01T10:00:00.900Z", ApiVersion::V8, &lenient), Ok(36_000));
        assert_eq!(life("2025-12-31T23:59:59Z", ApiVersion::V8, &lenient), Ok(3_600));
    }
}
