//! Tokens: giving them out, and looking at them.
//!
//! Errors come inside a 200 (`{"error": "invalid_code"}`), the throttle as a 400 with `Access Denied` (token-validity
//! page, and reported traffic). One refresh token gives ten access tokens in ten minutes, of which fifteen live.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::form;
use super::knobs::{ApiDomain, Knobs};
use super::org::{AccessToken, OrgState};
use super::reply::{bare, json_response};
use super::state::{Operation, Zoho};
use crate::model::exchange::{Request, Response};
use crate::model::secret::Fingerprint;
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
            state.refresh_tokens.retain(|known| known != refresh_token);
            state.tokens.retain(|token| token.source != refresh_token);
        }
    }

    /// Ends every access token of an org at once; its refresh tokens stay good.
    pub fn end_access_tokens(&mut self, org: &str, now: Timestamp) {
        for token in self.orgs.get_mut(org).into_iter().flat_map(|state| state.tokens.iter_mut()) {
            token.expires = token.expires.min(now);
        }
    }
}

/// `POST /oauth/v2/token`.
pub(crate) fn token(zoho: &mut Zoho, request: &Request, now: Timestamp) -> Response {
    if request.method != "POST" {
        return bare(405, "INVALID_REQUEST_METHOD", "The http request method type is not a valid one", &json!({}));
    }
    let mut params = form::pairs(&String::from_utf8_lossy(&request.body));
    params.extend(request.query.iter().cloned());
    let param = |name: &str| params.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str());
    let client = param("client_id");
    let Some(state) = zoho.orgs.values_mut().find(|state| state.org.client_id == client) else {
        return refused("invalid_client");
    };
    if state.org.client_secret != param("client_secret") {
        return refused("invalid_client_secret");
    }
    let knobs = &zoho.knobs;
    let grant = match param("grant_type") {
        "refresh_token" => state.refreshed(param("refresh_token"), knobs, now),
        "authorization_code" => state.exchanged(param("code"), knobs, now),
        "client_credentials" => state.credentialed(param("soid"), param("scope"), knobs, now),
        _ => Err(refused("unsupported_grant_type")),
    };
    match grant {
        Ok(grant) => json_response(200, &reply(&grant, knobs, &request.base)),
        Err(response) => response,
    }
}

/// The org that a watch call may act for.
pub(crate) fn admitted(
    zoho: &Zoho,
    request: &Request,
    operation: Operation,
    now: Timestamp,
) -> Result<String, Response> {
    let given = bearer(request).ok_or_else(invalid_token)?;
    let find = |state: &OrgState| {
        let token = state.tokens.iter().find(|token| token.value == given && token.expires > now)?;
        Some((state.org.name.clone(), token.scopes.clone()))
    };
    let (name, scopes) = zoho.orgs.values().find_map(find).ok_or_else(invalid_token)?;
    let suffices = |scope: &String| {
        scope.strip_prefix(SCOPE).is_some_and(|suffix| suffices(operation).contains(&suffix.to_uppercase().as_str()))
    };
    if scopes.iter().any(suffices) { Ok(name) } else { Err(scope_mismatch()) }
}

/// The access token that a call carries.
pub(crate) fn bearer(request: &Request) -> Option<&str> {
    request.header("authorization")?.strip_prefix("Zoho-oauthtoken ").map(str::trim)
}

/// When the call's access token ends, for `X-Accesstoken-Reset`.
pub(crate) fn ends(state: &OrgState, request: &Request, knobs: &Knobs) -> String {
    let given = bearer(request).unwrap_or_default();
    let token = state.tokens.iter().find(|token| token.value == given);
    token.map(|token| knobs.echo(token.expires)).unwrap_or_default()
}

/// 401 for a token that is unknown or over.
pub(crate) fn invalid_token() -> Response {
    bare(401, "INVALID_TOKEN", "invalid oauth token", &json!({}))
}

/// 401 for a token that may not do this.
pub(crate) fn scope_mismatch() -> Response {
    bare(401, "OAUTH_SCOPE_MISMATCH", "Unauthorized", &json!({}))
}

/// 400 for too many token requests.
pub(crate) fn access_denied() -> Response {
    let body = json!({
        "error_description": "You have made too many requests continuously. Please try again after some time.",
        "error": "Access Denied",
        "status": "failure",
    });
    json_response(400, &body)
}

struct Grant {
    access_token: String,
    refresh_token: Option<String>,
    scope: String,
}

impl OrgState {
    fn refreshed(&mut self, refresh_token: &str, knobs: &Knobs, now: Timestamp) -> Result<Grant, Response> {
        if !self.refresh_tokens.iter().any(|known| known == refresh_token) {
            return Err(refused("invalid_code"));
        }
        let scopes = self.org.scopes.clone();
        self.issue(refresh_token, scopes, knobs, now)
    }

    fn exchanged(&mut self, code: &str, knobs: &Knobs, now: Timestamp) -> Result<Grant, Response> {
        let ends = self.codes.remove(code).ok_or_else(|| refused("invalid_code"))?;
        if ends <= now {
            return Err(refused("invalid_code"));
        }
        let refresh_token = self.make("refresh");
        self.refresh_tokens.push_back(refresh_token.clone());
        if self.refresh_tokens.len() > knobs.refresh_tokens_max {
            self.refresh_tokens.pop_front();
        }
        let scopes = self.org.scopes.clone();
        let grant = self.issue(&refresh_token, scopes, knobs, now)?;
        Ok(Grant { refresh_token: Some(refresh_token), ..grant })
    }

    fn credentialed(&mut self, soid: &str, scope: &str, knobs: &Knobs, now: Timestamp) -> Result<Grant, Response> {
        if soid.strip_prefix("ZohoCRM.") != Some(self.org.org_id.as_str()) {
            return Err(refused("invalid_soid"));
        }
        let asked: Vec<String> = scope.split([',', ' ']).filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
        if asked.is_empty() || !asked.iter().all(|scope| self.org.scopes.iter().any(|held| covers(held, scope))) {
            return Err(refused("invalid_scope"));
        }
        self.issue("client_credentials", asked, knobs, now)
    }

    /// Gives out one access token, unless there were too many of late.
    fn issue(&mut self, source: &str, scopes: Vec<String>, knobs: &Knobs, now: Timestamp) -> Result<Grant, Response> {
        let asked = self.asked.entry(source.to_owned()).or_default();
        let horizon = time::before(now, THROTTLE_WINDOW);
        asked.retain(|at| *at > horizon);
        let too_many = asked.len() >= knobs.tokens_in_ten_minutes;
        if !too_many || knobs.throttle_prolonged {
            asked.push_back(now);
        }
        if too_many {
            return Err(access_denied());
        }
        let value = self.make("access");
        let token = AccessToken {
            value: value.clone(),
            source: source.to_owned(),
            expires: time::after(now, knobs.access_token_life.0),
            scopes,
        };
        self.keep(token, knobs.live_tokens_max, now);
        self.counters.tokens_issued += 1;
        Ok(Grant { access_token: value, refresh_token: None, scope: self.org.scopes.join(" ") })
    }

    /// Keeps a token; of those of the same source the oldest dies when there are too many.
    fn keep(&mut self, token: AccessToken, live_max: usize, now: Timestamp) {
        let dead_since = time::before(now, DEAD_TOKENS_KEPT);
        self.tokens.retain(|known| known.expires > dead_since);
        let live = self.tokens.iter().filter(|known| known.source == token.source && known.expires > now).count();
        if live >= live_max {
            let oldest = self.tokens.iter_mut().find(|known| known.source == token.source && known.expires > now);
            if let Some(oldest) = oldest {
                oldest.expires = now;
            }
        }
        self.tokens.push_back(token);
    }

    /// A token text that no other has.
    fn make(&mut self, what: &str) -> String {
        self.made += 1;
        let serial = self.made.to_string();
        let half = |part: &str| Fingerprint::of(&[what, &self.org.name, &serial, part]);
        format!("1000.{}{}.{}{}", half("a"), half("b"), half("c"), half("d"))
    }
}

fn reply(grant: &Grant, knobs: &Knobs, base: &str) -> Value {
    let mut body = json!({
        "access_token": grant.access_token,
        "token_type": "Bearer",
        "expires_in": knobs.access_token_life.0.as_secs(),
    });
    match &knobs.api_domain {
        ApiDomain::Own => body["api_domain"] = json!(base),
        ApiDomain::Omitted => {}
        ApiDomain::Fixed(domain) => body["api_domain"] = json!(domain),
    }
    if let Some(refresh_token) = &grant.refresh_token {
        body["refresh_token"] = json!(refresh_token);
    }
    if knobs.token_scope || grant.refresh_token.is_some() {
        body["scope"] = json!(grant.scope);
    }
    body
}

fn refused(error: &str) -> Response {
    json_response(200, &json!({ "error": error }))
}

/// Whether a held scope includes an asked one.
fn covers(held: &str, asked: &str) -> bool {
    held == asked || held.strip_suffix("ALL").is_some_and(|stem| stem.ends_with('.') && asked.starts_with(stem))
}

/// Which scopes let an operation through (v7 pages; Kaizen #14 for DELETE).
fn suffices(operation: Operation) -> &'static [&'static str] {
    match operation {
        Operation::List => &["ALL", "READ"],
        Operation::Enable => &["ALL", "CREATE", "WRITE"],
        Operation::Replace => &["ALL", "WRITE", "UPDATE"],
        Operation::Patch => &["ALL", "WRITE", "UPDATE"],
        Operation::Disable => &["ALL", "DELETE"],
    }
}

const SCOPE: &str = "ZohoCRM.notifications.";
const THROTTLE_WINDOW: Duration = Duration::from_secs(600);
const CODE_LIFE: Duration = Duration::from_secs(180);
const DEAD_TOKENS_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
