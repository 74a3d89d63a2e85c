//! Tokens: giving them out, and looking at them.
//!
//! Errors come inside a 200 (`{"error": "invalid_code"}`), the throttle as a 400 with `Access
//! Denied` (token-validity page, and reported traffic). One refresh token gives ten access tokens
//! in ten minutes, of which fifteen live.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::form;
use super::knobs::{ApiDomain, Knobs};
use super::operation::WatchOperation;
use super::org::{AccessToken, OrgState};
use super::orgs::Orgs;
use super::reply::{bare, json_response};
use crate::model::exchange::{Request, Response};
use crate::model::product::Product;
use crate::model::time;

/// `POST /oauth/v2/token`.
pub(crate) fn token(orgs: &mut Orgs, knobs: &Knobs, request: &Request, now: Timestamp) -> Response {
    if request.method != "POST" {
        return bare(
            405,
            "INVALID_REQUEST_METHOD",
            "The http request method type is not a valid one",
            &json!({}),
        );
    }
    let mut params = form::of(request);
    params.extend(request.query.iter().cloned());
    let param = |name: &str| {
        params.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
    };
    let client = param("client_id");
    let Some(state) = orgs.of_client(client) else {
        return refused("invalid_client");
    };
    if state.org.client_secret != param("client_secret") {
        return refused("invalid_client_secret");
    }
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

/// The live access token that a call carries, and its org.
pub(crate) struct Bearer {
    pub(crate) org: String,
    pub(crate) product: Product,
    pub(crate) scopes: Vec<String>,
}

impl Bearer {
    pub(crate) fn of(orgs: &Orgs, request: &Request, now: Timestamp) -> Option<Bearer> {
        let given = bearer(request)?;
        let state = orgs.of_token(given)?;
        let is_good = |token: &&AccessToken| token.value == given && token.expires > now;
        let token = state.tokens.iter().find(is_good)?;
        let (org, product) = (state.org.name.clone(), state.org.product);
        Some(Bearer { org, product, scopes: token.scopes.clone() })
    }

    /// True when one of its scopes lets this operation through.
    pub(crate) fn may(&self, operation: WatchOperation) -> bool {
        let stem = self.product.scope("");
        let suffices = |suffix: &str| suffices(operation).contains(&suffix.to_uppercase().as_str());
        self.scopes.iter().any(|scope| scope.strip_prefix(&stem).is_some_and(suffices))
    }
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
pub(crate) fn invalid_token(knobs: &Knobs) -> Response {
    bare(401, knobs.dead_token_code.as_str(), "invalid oauth token", &json!({}))
}

/// 401 for a token that may not do this.
pub(crate) fn scope_mismatch() -> Response {
    bare(401, "OAUTH_SCOPE_MISMATCH", "Unauthorized", &json!({}))
}

/// 400 for too many token requests.
pub(crate) fn access_denied() -> Response {
    let body = json!({
        "error_description": "You have made too many requests continuously. Please try again after \
             some time.",
        "error": "Access Denied",
        "status": "failure",
    });
    json_response(400, &body)
}

/// The tokens that somebody was given.
pub(crate) struct TokensGiven {
    product: Product,
    access_token: String,
    refresh_token: Option<String>,
    scope: String,
}

impl OrgState {
    fn refreshed(
        &mut self,
        refresh_token: &str,
        knobs: &Knobs,
        now: Timestamp,
    ) -> Result<TokensGiven, Response> {
        if !self.refresh_tokens.iter().any(|known| known == refresh_token) {
            return Err(refused("invalid_code"));
        }
        let scopes = self.org.scopes_by(knobs);
        self.issue(refresh_token, scopes, knobs, now)
    }

    fn exchanged(
        &mut self,
        code: &str,
        knobs: &Knobs,
        now: Timestamp,
    ) -> Result<TokensGiven, Response> {
        let ends = self.codes.remove(code).ok_or_else(|| refused("invalid_code"))?;
        if ends <= now {
            return Err(refused("invalid_code"));
        }
        self.granted(knobs, now)
    }

    /// A refresh token that is new, with its first access token.
    pub(crate) fn granted(
        &mut self,
        knobs: &Knobs,
        now: Timestamp,
    ) -> Result<TokensGiven, Response> {
        let refresh_token = self.make("refresh");
        self.refresh_tokens.push_back(refresh_token.clone());
        if self.refresh_tokens.len() > knobs.refresh_tokens_max {
            self.refresh_tokens.pop_front();
        }
        let scopes = self.org.scopes_by(knobs);
        let grant = self.issue(&refresh_token, scopes, knobs, now)?;
        Ok(TokensGiven { refresh_token: Some(refresh_token), ..grant })
    }

    fn credentialed(
        &mut self,
        soid: &str,
        scope: &str,
        knobs: &Knobs,
        now: Timestamp,
    ) -> Result<TokensGiven, Response> {
        let own = format!("{}.{}", self.org.product.traits().scopes, self.org.org_id);
        if soid != own {
            return Err(refused("invalid_soid"));
        }
        let asked: Vec<String> =
            scope.split([',', ' ']).filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
        if asked.is_empty()
            || !asked
                .iter()
                .all(|scope| self.org.scopes_by(knobs).iter().any(|held| covers(held, scope)))
        {
            return Err(refused("invalid_scope"));
        }
        self.issue("client_credentials", asked, knobs, now)
    }

    /// Gives out one access token, unless there were too many of late.
    fn issue(
        &mut self,
        source: &str,
        scopes: Vec<String>,
        knobs: &Knobs,
        now: Timestamp,
    ) -> Result<TokensGiven, Response> {
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
        let scope = scopes.join(" ");
        let token = AccessToken {
            value: value.clone(),
            source: source.to_owned(),
            expires: time::after(now, knobs.access_token_life.0),
            scopes,
        };
        self.keep(token, knobs.live_tokens_max, now);
        self.counters.tokens_issued += 1;
        let product = self.org.product;
        Ok(TokensGiven { product, access_token: value, refresh_token: None, scope })
    }

    /// Keeps a token; of those of the same source the oldest dies when there are too many.
    fn keep(&mut self, token: AccessToken, live_max: usize, now: Timestamp) {
        let dead_since = time::before(now, DEAD_TOKENS_KEPT);
        self.tokens.retain(|known| known.expires > dead_since);
        let live = self
            .tokens
            .iter()
            .filter(|known| known.source == token.source && known.expires > now)
            .count();
        if live >= live_max {
            let oldest = self
                .tokens
                .iter_mut()
                .find(|known| known.source == token.source && known.expires > now);
            if let Some(oldest) = oldest {
                oldest.expires = now;
            }
        }
        self.tokens.push_back(token);
    }

    /// Revokes a refresh token, and with it the access tokens it gave.
    pub(crate) fn revoke(&mut self, refresh_token: &str) {
        self.refresh_tokens.retain(|known| known != refresh_token);
        self.tokens.retain(|token| token.source != refresh_token);
    }
}

/// The body that hands tokens over.
pub(crate) fn reply(grant: &TokensGiven, knobs: &Knobs, base: &str) -> Value {
    let mut body = json!({
        "access_token": grant.access_token,
        "token_type": "Bearer",
        "expires_in": knobs.access_token_life.0.as_secs(),
    });
    let api_domain = match grant.product {
        Product::Recruit => &knobs.recruit_api_domain,
        Product::Crm | Product::Bigin | Product::Vertical => &knobs.api_domain,
    };
    match api_domain {
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

/// An error as the OAuth server says it: inside a 200.
pub(crate) fn refused(error: &str) -> Response {
    json_response(200, &json!({ "error": error }))
}

/// Returns whether a held scope includes an asked one.
pub(crate) fn covers(held: &str, asked: &str) -> bool {
    held == asked
        || held
            .strip_suffix("ALL")
            .is_some_and(|stem| stem.ends_with('.') && asked.starts_with(stem))
        || held.rsplit_once('.').is_some_and(|(stem, operation)| {
            // `ZohoCRM.modules.READ` is the same for every module.
            stem.ends_with(".modules")
                && asked.starts_with(&format!("{stem}."))
                && asked.ends_with(&format!(".{operation}"))
        })
}

/// Which scopes let an operation through (v7 pages; Kaizen #14 for DELETE).
fn suffices(operation: WatchOperation) -> &'static [&'static str] {
    match operation {
        WatchOperation::List => &["ALL", "READ"],
        WatchOperation::Enable => &["ALL", "CREATE", "WRITE"],
        WatchOperation::Replace => &["ALL", "WRITE", "UPDATE"],
        WatchOperation::Patch => &["ALL", "WRITE", "UPDATE"],
        WatchOperation::Disable => &["ALL", "DELETE"],
    }
}

const THROTTLE_WINDOW: Duration = Duration::from_secs(600);
const DEAD_TOKENS_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::super::knobs::DeadTokenCode;
    use super::super::testing::{BASE, REFRESH, World, body, channel};
    use super::super::{Fault, Org};
    use super::*;

    fn scoped(scopes: &[&str]) -> World {
        let scopes = scopes.iter().map(|scope| format!("ZohoCRM.notifications.{scope}")).collect();
        World::with_org(Knobs::default(), Org { scopes, ..Org::new("a") })
    }

    #[test]
    fn a_scope_for_all_of_something_includes_its_parts() {
        let table = [
            ("ZohoCRM.modules.READ", "ZohoCRM.modules.deals.READ", true),
            ("ZohoCRM.modules.READ", "ZohoCRM.modules.deals.CREATE", false),
            ("ZohoCRM.modules.ALL", "ZohoCRM.modules.deals.READ", true),
            ("ZohoCRM.modules.deals.READ", "ZohoCRM.modules.leads.READ", false),
            ("ZohoCRM.settings.READ", "ZohoCRM.settings.modules.READ", false),
            ("ZohoCRM.notifications.ALL", "ZohoCRM.notifications.READ", true),
            ("ZohoBigin.modules.READ", "ZohoCRM.modules.deals.READ", false),
        ];
        for (held, asked, expected) in table {
            assert_eq!(covers(held, asked), expected, "{held} {asked}");
        }
    }

    #[test]
    fn a_refresh_token_gives_an_access_token_and_the_way_back_here() {
        let reply = body(&World::new(Knobs::default()).token_call(REFRESH));
        assert_eq!(
            (&reply["api_domain"], &reply["token_type"], &reply["expires_in"]),
            (&json!(BASE), &json!("Bearer"), &json!(3600))
        );
        assert!(reply["refresh_token"].is_null());
    }

    #[test]
    fn parameters_may_stand_in_the_query() {
        let mut world = World::new(Knobs::default());
        let mut request = world.request("POST", &[], &Value::Null);
        request.path = "/oauth/v2/token".to_owned();
        request.query = form::pairs(REFRESH);
        let answer = world.answer(&request);
        assert!(body(answer.reply.response().unwrap())["access_token"].is_string());
    }

    #[test]
    fn what_is_wrong_comes_inside_a_200() {
        let mut world = World::new(Knobs::default());
        let table = [
            (REFRESH.replace("refresh-a", "refresh-x"), "invalid_code"),
            (REFRESH.replace("SIMA", "SIMX"), "invalid_client"),
            (REFRESH.replace("secret-a", "secret-x"), "invalid_client_secret"),
            (REFRESH.replace("=refresh_token", "=password"), "unsupported_grant_type"),
            (REFRESH.replace("=refresh_token", "=authorization_code&code=x"), "invalid_code"),
            (
                REFRESH.replace("=refresh_token", "=client_credentials&soid=ZohoCRM.7"),
                "invalid_soid",
            ),
        ];
        for (form, error) in table {
            let response = world.token_call(&form);
            assert_eq!(
                (response.status, body(&response)),
                (200, json!({ "error": error })),
                "{form}"
            );
        }
    }

    #[test]
    fn the_eleventh_token_in_ten_minutes_is_denied() {
        let mut world = World::new(Knobs::default());
        let statuses: Vec<u16> = (0..10).map(|_| world.token_call(REFRESH).status).collect();
        assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 200, 200, 400]);
        assert_eq!(body(&world.token_call(REFRESH))["error"], "Access Denied");
        world.pass(600);
        assert_eq!(world.token_call(REFRESH).status, 200);
    }

    #[test]
    fn the_sixteenth_live_token_kills_the_first() {
        let mut world = World::new(Knobs { tokens_in_ten_minutes: 100, ..Knobs::default() });
        (0..14).for_each(|_| drop(world.token_call(REFRESH)));
        assert_eq!(world.send("GET", &[], &Value::Null).status, 204);
        world.token_call(REFRESH);
        assert_eq!(body(&world.send("GET", &[], &Value::Null))["code"], "INVALID_TOKEN");
    }

    #[test]
    fn an_access_token_ends_after_an_hour_and_says_when() {
        let mut world = World::new(Knobs::default());
        world.pass(3599);
        let response = world.send("GET", &[], &Value::Null);
        assert_eq!(response.header("x-accesstoken-reset"), Some("2026-11-23T09:00:00-08:00"));
        world.pass(1);
        let response = world.send("GET", &[], &Value::Null);
        let expected = json!({"code": "INVALID_TOKEN", "details": {}, "message": "invalid oauth token", "status": "error"});
        assert_eq!((response.status, body(&response)), (401, expected));
    }

    #[test]
    fn each_method_wants_its_scope() {
        let table = [
            ("READ", [204, 401, 401, 401, 401]),
            ("CREATE", [401, 201, 401, 401, 401]),
            ("UPDATE", [401, 401, 400, 400, 401]),
            ("DELETE", [401, 401, 401, 401, 400]),
            ("WRITE", [401, 201, 200, 200, 401]),
            ("ALL", [204, 201, 200, 200, 200]),
        ];
        for (scope, expected) in table {
            let mut world = scoped(&[scope]);
            let body = json!({"watch": [channel("1", &["Deals.all"])]});
            let statuses = ["GET", "POST", "PUT", "PATCH", "DELETE"]
                .map(|method| world.send(method, &[("channel_ids", "1")], &body).status);
            assert_eq!(statuses, expected, "{scope}");
        }
    }

    #[test]
    fn a_grant_code_is_good_once_and_for_three_minutes() {
        let mut world = World::new(Knobs::default());
        let now = world.now;
        let form_of = |code: &str| {
            format!(
                "grant_type=authorization_code&code={code}&client_id=1000.SIMA&client_secret=secret-a"
            )
        };
        let code = world.zoho.grant_code("a", now).unwrap();
        let reply = body(&world.token_call(&form_of(&code)));
        assert!(reply["refresh_token"].is_string() && reply["access_token"].is_string(), "{reply}");
        assert_eq!(body(&world.token_call(&form_of(&code)))["error"], "invalid_code");
        let late = world.zoho.grant_code("a", now).unwrap();
        world.pass(180);
        assert_eq!(body(&world.token_call(&form_of(&late)))["error"], "invalid_code");
    }

    #[test]
    fn client_credentials_give_no_refresh_token_and_no_more_than_was_asked() {
        let mut world = World::new(Knobs::default());
        let form = "client_id=1000.SIMA&client_secret=secret-a&grant_type=client_credentials&soid=ZohoCRM.org-a";
        let reply = body(&world.token_call(&format!("{form}&scope=ZohoCRM.notifications.READ")));
        world.access_token = reply["access_token"].as_str().unwrap().to_owned();
        assert!(reply["refresh_token"].is_null());
        assert_eq!(world.send("GET", &[], &Value::Null).status, 204);
        assert_eq!(world.write("POST", &[channel("1", &["Deals.all"])]).0, 401);
        assert_eq!(
            body(&world.token_call(&format!("{form}&scope=ZohoCRM.users.ALL")))["error"],
            "invalid_scope"
        );
    }

    #[test]
    fn a_revoked_refresh_token_is_dead_with_all_it_gave() {
        let mut world = World::new(Knobs::default());
        world.zoho.revoke("a", "1000.refresh-a");
        assert_eq!(world.send("GET", &[], &Value::Null).status, 401);
        assert_eq!(body(&world.token_call(REFRESH))["error"], "invalid_code");
    }

    #[test]
    fn access_tokens_can_be_ended_at_once_and_the_code_for_it_is_a_knob() {
        let mut world = World::new(Knobs {
            dead_token_code: DeadTokenCode::InvalidOauthtoken,
            ..Knobs::default()
        });
        world.zoho.end_access_tokens("a", world.now);
        assert_eq!(body(&world.send("GET", &[], &Value::Null))["code"], "INVALID_OAUTHTOKEN");
        assert!(body(&world.token_call(REFRESH))["access_token"].is_string());
    }

    #[test]
    fn token_faults_are_those_that_were_reported() {
        let mut world = World::new(Knobs::default());
        world.fault(Fault::OauthError { error: "invalid_code".to_owned() });
        world.fault(Fault::TokenThrottled);
        let first = world.token_call(REFRESH);
        assert_eq!((first.status, body(&first)), (200, json!({"error": "invalid_code"})));
        assert_eq!(world.token_call(REFRESH).status, 400);
        assert_eq!(world.token_call(REFRESH).status, 200);
        assert_eq!(world.zoho.counters("a").unwrap().tokens_issued, 2);
    }
}
