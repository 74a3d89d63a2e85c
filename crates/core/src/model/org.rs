//! Whose answers these are: what is known of an account's org, to notice another one.
//!
//! A module has an id in each org, which rows of Zoho's list show as `resource_id`. Two looks that
//! show the same module with different ids were at different orgs. Where they show no module in
//! common, the ids say nothing, and only the credentials are left as a sign.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::secret::Fingerprint;

/// The org as one look showed it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct OrgShown {
    /// The ids of its modules, by API name.
    pub ids: BTreeMap<String, String>,
    /// The credentials of the look.
    pub credentials: Option<Fingerprint>,
}

/// The org as it was when a running channel of ours was last seen there.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OrgKnown {
    /// The ids of its modules, by API name.
    pub ids: BTreeMap<String, String>,
    /// The credentials of that look.
    pub credentials: Option<Fingerprint>,
    /// True when another org answered the last look.
    pub is_other: bool,
}

/// The org of a look, beside the known one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhichOrg {
    /// A module has the same id in both.
    Same,
    /// A module has another id.
    Other,
    /// No module is in both, and the credentials are others.
    OtherCredentials,
    /// No module is in both, and the credentials are the same, or not remembered.
    Unknown,
}

impl OrgKnown {
    /// Compares a look with what is known.
    pub fn compare(&self, shown: &OrgShown) -> WhichOrg {
        let both = self.ids.iter().filter_map(|(module, id)| Some((id, shown.ids.get(module)?)));
        let pairs: Vec<(&String, &String)> = both.collect();
        let has_changed =
            self.credentials.zip(shown.credentials).is_some_and(|(known, shown)| known != shown);
        match pairs.iter().all(|(known, shown)| known == shown) {
            false => WhichOrg::Other,
            true if !pairs.is_empty() => WhichOrg::Same,
            true if has_changed => WhichOrg::OtherCredentials,
            true => WhichOrg::Unknown,
        }
    }

    /// The knowledge of the org once a running channel of ours was seen in this look.
    #[must_use]
    pub fn seen(&self, shown: &OrgShown) -> OrgKnown {
        let earlier = match self.compare(shown) {
            WhichOrg::Other => BTreeMap::new(),
            WhichOrg::Same | WhichOrg::OtherCredentials | WhichOrg::Unknown => self.ids.clone(),
        };
        let ids = shown.ids.clone().into_iter().chain(earlier).take(MODULES_MAX).collect();
        OrgKnown { ids, credentials: shown.credentials.or(self.credentials), is_other: false }
    }
}

/// The most modules that are remembered.
const MODULES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(ids: &[(&str, &str)], credentials: u64) -> OrgShown {
        let ids = ids.iter().map(|(module, id)| ((*module).to_owned(), (*id).to_owned()));
        OrgShown { ids: ids.collect(), credentials: Some(Fingerprint(credentials)) }
    }

    #[test]
    fn a_module_s_id_tells_orgs_apart_and_the_credentials_only_where_there_is_none() {
        let known = OrgKnown::default().seen(&shown(&[("Deals", "1"), ("Leads", "2")], 1));
        let rows = [
            (shown(&[("Deals", "1")], 2), WhichOrg::Same),
            (shown(&[("Deals", "9"), ("Tasks", "3")], 1), WhichOrg::Other),
            (shown(&[("Tasks", "3")], 2), WhichOrg::OtherCredentials),
            (shown(&[], 2), WhichOrg::OtherCredentials),
            (shown(&[], 1), WhichOrg::Unknown),
        ];
        for (shown, which) in rows {
            assert_eq!(known.compare(&shown), which, "{shown:?}");
        }
        assert_eq!(OrgKnown::default().compare(&shown(&[], 1)), WhichOrg::Unknown);
    }

    #[test]
    fn ids_are_added_to_those_known_unless_it_is_another_org() {
        let known = OrgKnown::default().seen(&shown(&[("Deals", "1")], 1));
        let more = known.seen(&shown(&[("Leads", "2")], 1));
        assert_eq!(more.ids.len(), 2);
        let moved = more.seen(&shown(&[("Deals", "9")], 1));
        assert_eq!(moved.ids, BTreeMap::from([("Deals".to_owned(), "9".to_owned())]));
    }
}
