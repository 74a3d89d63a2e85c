//! The orgs of one simulated Zoho, and how a call is traced to its org.

use std::collections::BTreeMap;

use super::org::{Org, OrgState};
use crate::model::secret::Fingerprint;

/// All orgs, by name.
#[derive(Debug, Default)]
pub(crate) struct Orgs {
    states: BTreeMap<String, OrgState>,
    /// Names by the client's id, and by what an org's access tokens have in common: with thousands
    /// of orgs to look through, a call would take longer here than on its way.
    names: BTreeMap<String, String>,
}

impl Orgs {
    /// Adds an org, in the place of one of the same name.
    pub(crate) fn add(&mut self, org: Org) {
        for key in [org.client_id.clone(), mark(&org)] {
            self.names.insert(key, org.name.clone());
        }
        self.states.insert(org.name.clone(), OrgState::new(org));
    }

    pub(crate) fn get(&self, name: &str) -> Option<&OrgState> {
        self.states.get(name)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut OrgState> {
        self.states.get_mut(name)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &OrgState> {
        self.states.values()
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut OrgState> {
        self.states.values_mut()
    }

    /// The org that may have given out this access token.
    pub(crate) fn of_token(&self, token: &str) -> Option<&OrgState> {
        self.states.get(self.names.get(mark_of(token)?)?)
    }

    /// The org of a client.
    pub(crate) fn of_client(&mut self, client: &str) -> Option<&mut OrgState> {
        self.states.get_mut(self.names.get(client)?)
    }

    /// The name of a client's org.
    pub(crate) fn name_of_client(&self, client: &str) -> Option<&String> {
        self.names.get(client)
    }
}

impl OrgState {
    /// A token text that no other has.
    pub(crate) fn make(&mut self, what: &str) -> String {
        self.made += 1;
        let serial = self.made.to_string();
        let half = |part: &str| Fingerprint::of(&[what, &self.org.name, &serial, part]);
        format!("{PREFIX}{}{}.{}{}", mark(&self.org), half("b"), half("c"), half("d"))
    }
}

/// The beginning of every token of an org, behind [`PREFIX`].
fn mark(org: &Org) -> String {
    Fingerprint::of(&["org", &org.name]).to_string()
}

/// The mark of the org that a token is of, if it is one of ours.
fn mark_of(token: &str) -> Option<&str> {
    token.strip_prefix(PREFIX)?.get(..MARK_LENGTH)
}

const PREFIX: &str = "1000.";
const MARK_LENGTH: usize = 16;
