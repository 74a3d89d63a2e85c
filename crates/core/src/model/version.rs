//! The API versions and what each of them allows: the one table.
//!
//! Maximum lifetimes: one day for v2 to v3, one week from v4 on (Kaizen #170, and the v7 and v8
//! pages of *Enable Notifications*). Batches: Zoho's prose says 100 channels a call (Kaizen #14),
//! its OpenAPI file for v8 says 50 (zoho/crm-oas, `v8.0/notifications`, read 2026-11-23). Keys: as
//! in the models of Zoho's own SDKs; a key that a version does not know is not sent.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A version of the API, as it stands in the path. Which of them a product has, its row in
/// [`product`](super::product) says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ApiVersion {
    /// `/bigin/v1`; CRM has none of it.
    V1,
    /// `/crm/v2`
    V2,
    /// `/crm/v2.1`
    V2_1,
    /// `/crm/v3`
    V3,
    /// `/crm/v4`
    V4,
    /// `/crm/v5`
    V5,
    /// `/crm/v6`
    V6,
    /// `/crm/v7`
    V7,
    /// `/crm/v8`
    V8,
}

/// The limits of one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest life a channel can be given. Asking for one second more is not an error: it
    /// silently gives a default life.
    pub lifetime_max: Duration,
    /// The most channels in one POST, PUT or PATCH.
    pub batch_max: usize,
    /// True when `notify_on_related_action` is a key of this version.
    pub related_actions: bool,
    /// True when `return_affected_field_values` is a key of this version.
    pub affected_values: bool,
    /// True when `notification_condition` is a key of this version.
    pub conditions: bool,
}

/// One day.
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// One week.
pub const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The life of a channel that asked for none, or for more than the maximum (Kaizen #14; v7 *Enable
/// Notifications*).
pub const FALLBACK_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// Rows on one page of a list, default and maximum (Kaizen #14; v7 *Get Notification Details*).
pub const PAGE_ROWS: usize = 200;

impl ApiVersion {
    /// Every version, oldest first.
    pub const ALL: [ApiVersion; 9] = [
        ApiVersion::V1,
        ApiVersion::V2,
        ApiVersion::V2_1,
        ApiVersion::V3,
        ApiVersion::V4,
        ApiVersion::V5,
        ApiVersion::V6,
        ApiVersion::V7,
        ApiVersion::V8,
    ];

    /// The table, for CRM.
    pub const fn limits(self) -> Limits {
        match self {
            //                               lifetime_max       batch_max       affected_values
            // conditions
            ApiVersion::V1 => row(DAY, 100, false, false),
            ApiVersion::V2 => row(DAY, 100, false, false),
            ApiVersion::V2_1 => row(DAY, 100, false, false),
            ApiVersion::V3 => row(DAY, 100, true, false),
            ApiVersion::V4 => row(WEEK, 100, true, false),
            ApiVersion::V5 => row(WEEK, 100, true, false),
            ApiVersion::V6 => row(WEEK, 100, true, true),
            ApiVersion::V7 => row(WEEK, 100, true, true),
            ApiVersion::V8 => row(WEEK, 50, true, true),
        }
    }

    /// The version as it stands in the path: `v2.1`.
    pub const fn as_str(self) -> &'static str {
        match self {
            ApiVersion::V1 => "v1",
            ApiVersion::V2 => "v2",
            ApiVersion::V2_1 => "v2.1",
            ApiVersion::V3 => "v3",
            ApiVersion::V4 => "v4",
            ApiVersion::V5 => "v5",
            ApiVersion::V6 => "v6",
            ApiVersion::V7 => "v7",
            ApiVersion::V8 => "v8",
        }
    }
}

const fn row(
    lifetime_max: Duration,
    batch_max: usize,
    affected_values: bool,
    conditions: bool,
) -> Limits {
    Limits { lifetime_max, batch_max, related_actions: true, affected_values, conditions }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is none of the versions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown API version (one of v1, v2, v2.1, v3, v4, v5, v6, v7, v8)")]
pub struct UnknownVersion;

impl FromStr for ApiVersion {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<ApiVersion, UnknownVersion> {
        ApiVersion::ALL.into_iter().find(|version| version.as_str() == text).ok_or(UnknownVersion)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_reads_back_and_weeks_begin_with_v4() {
        for version in ApiVersion::ALL {
            assert_eq!(version.to_string().parse(), Ok(version));
            let expected = if version >= ApiVersion::V4 { WEEK } else { DAY };
            assert_eq!(version.limits().lifetime_max, expected, "{version}");
        }
        assert_eq!("v9".parse::<ApiVersion>(), Err(UnknownVersion));
    }
}
