//! The hands of people at Zoho's API console and consent page: they give out codes and refresh
//! tokens, and take them back.

use std::time::Duration;

use jiff::Timestamp;

use super::state::Zoho;
use crate::model::time;

impl Zoho {
    /// A grant code of an org, as its API console makes one: for one use, within three minutes.
    pub fn grant_code(&mut self, org: &str, now: Timestamp) -> Option<String> {
        let state = self.orgs.get_mut(org)?;
        let code = state.make("code");
        state.codes.insert(code.clone(), time::after(now, CODE_LIFE));
        Some(code)
    }

    /// Revokes a refresh token, and with it the access tokens it gave.
    pub fn revoke(&mut self, org: &str, refresh_token: &str) {
        if let Some(state) = self.orgs.get_mut(org) {
            state.revoke(refresh_token);
        }
    }

    /// Lets a refresh token in, as when somebody has gone through Zoho's consent once more.
    pub fn admit(&mut self, org: &str, refresh_token: &str) {
        if let Some(state) = self.orgs.get_mut(org) {
            state.refresh_tokens.push_back(refresh_token.to_owned());
        }
    }

    /// Gives other scopes to an org's tokens from here on: those that it has keep theirs.
    pub fn set_scopes(&mut self, org: &str, scopes: &[String]) {
        if let Some(state) = self.orgs.get_mut(org) {
            state.org.scopes = scopes.to_vec();
        }
    }

    /// Ends every access token of an org at once; its refresh tokens stay good.
    pub fn end_access_tokens(&mut self, org: &str, now: Timestamp) {
        for token in self.orgs.get_mut(org).into_iter().flat_map(|state| state.tokens.iter_mut()) {
            token.expires = token.expires.min(now);
        }
    }
}

const CODE_LIFE: Duration = Duration::from_secs(180);
