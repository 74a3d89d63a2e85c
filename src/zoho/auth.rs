//! The access token of one account.
//!
//! It is cached in memory and, through [`Remember`], over restarts. One fetch is under way at a
//! time; everybody else waits for it. Zoho gives at most ten access tokens per refresh token in ten
//! minutes and answers an eleventh request by locking the refresh token out for longer (*Token
//! validity*, CRM v3 docs); so every fetch is remembered *before* it is made, and none is made
//! beyond [`crate::model::token::FETCHES_MAX`], however often the process restarts. A refused token
//! is asked for again slowly, and at once when the credentials change.
//!
//! Errors of the OAuth server may come with HTTP 200; a reply without `access_token` is an error
//! whatever its status.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::clock::Clock;
use crate::model::account::Account;
use crate::model::exchange::{Request, Response};
use crate::model::product::Product;
use crate::model::secret::{Fingerprint, Secret};
use crate::model::time::{Timestamp, after, span};
use crate::model::token::{Denial, FETCHES_MAX, TokenState};

use super::error::{Error, Kind, TOKEN};
use super::oauth_words::{HandedIn, hint};
use super::transport::Transport;
use super::veil::Veil;

/// Keeps a token state before and after each fetch. An error keeps the fetch from being made.
pub type Remember = Arc<dyn Fn(TokenState) -> Remembered + Send + Sync>;
/// Ready when the state is kept.
pub type Remembered = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Fetches and holds the token.
pub struct Tokens {
    state: tokio::sync::Mutex<TokenState>,
    remember: Remember,
    fetches_max: usize,
    asked: std::sync::Mutex<TokensAsked>,
    /// The host that the last reply named as that of the org's API.
    api_domain: std::sync::Mutex<Option<String>>,
    /// The scopes that the last reply named.
    scope: std::sync::Mutex<Option<String>>,
    veil: Arc<Veil>,
}

/// How often this process asked for a token, by outcome: `ok`, `denied` (the OAuth server said no),
/// `throttled` (it said too often) or `failed` (no usable answer).
pub type TokensAsked = BTreeMap<&'static str, u64>;

impl Tokens {
    /// Tokens with the remembered state, which is dropped when it belongs to other credentials.
    pub fn new(
        account: &Account,
        remembered: Option<TokenState>,
        remember: Remember,
        veil: Arc<Veil>,
    ) -> Tokens {
        let credentials = credentials_fingerprint(account);
        let state = remembered.filter(|state| state.credentials == credentials);
        let state = state.unwrap_or_else(|| TokenState::new(credentials));
        Tokens {
            state: tokio::sync::Mutex::new(state),
            remember,
            fetches_max: FETCHES_MAX,
            asked: std::sync::Mutex::default(),
            api_domain: std::sync::Mutex::default(),
            scope: std::sync::Mutex::default(),
            veil,
        }
    }

    /// The same, with so many fetches in Zoho's window.
    pub(super) fn with_fetches_max(self, fetches_max: usize) -> Tokens {
        Tokens { fetches_max, ..self }
    }

    /// The token: the cached one while it is good, else a new one.
    pub async fn access(
        &self,
        account: &Account,
        transport: &dyn Transport,
        clock: &dyn Clock,
    ) -> Result<Secret, Error> {
        let mut state = self.state.lock().await;
        let now = clock.now();
        if let Some(secret) = state.fresh(now) {
            self.veil.hide_access(&secret);
            return Ok(secret);
        }
        if let Some((until, why)) = state.wait(now, self.fetches_max) {
            return Err(waiting(&state, until, span(now, until), why));
        }
        let mut noted = state.clone();
        noted.note_fetch(now);
        self.keep(&noted).await?;
        *state = noted;
        let fetched = fetch(account, transport, &self.veil, now).await;
        self.count(&fetched);
        match &fetched {
            Ok(TokenGiven { secret, ends, api_domain, scope }) => {
                state.denied = None;
                state.access = Some((secret.clone(), *ends));
                *self.api_domain.lock().unwrap_or_else(PoisonError::into_inner) =
                    api_domain.clone();
                *self.scope.lock().unwrap_or_else(PoisonError::into_inner) = scope.clone();
            }
            Err(TokenRefusal::Denied { what, denial }) => state.deny(now, what.clone(), *denial),
            Err(TokenRefusal::Other(_)) => {}
        }
        self.keep(&state).await?;
        match fetched {
            Ok(TokenGiven { secret, .. }) => {
                self.veil.hide_access(&secret);
                Ok(secret)
            }
            Err(TokenRefusal::Denied { what, denial: Denial::Refused }) => {
                Err(token_error(Kind::Credentials(what)))
            }
            Err(TokenRefusal::Denied { what, denial: Denial::Busy | Denial::Throttled }) => {
                let until = state.denied.as_ref().map_or(now, |denied| denied.until);
                Err(token_error(Kind::Waiting { until, wait: span(now, until), why: what }))
            }
            Err(TokenRefusal::Other(kind)) => Err(token_error(kind)),
        }
    }

    /// Drops a token that Zoho called invalid, unless somebody has replaced it meanwhile.
    pub async fn invalidate(&self, refused: &Secret) {
        let mut state = self.state.lock().await;
        if state.access.as_ref().is_some_and(|(secret, _)| secret == refused) {
            state.access = None;
        }
    }

    /// True when a token may be asked for that no call needs: few were given lately.
    pub(super) async fn may_spare_one(&self, now: Timestamp) -> bool {
        let state = self.state.lock().await;
        state.wait(now, self.fetches_max).is_none() && state.fetched_lately(now) < SPARED_MAX
    }

    /// How often this process asked for one.
    pub fn asked(&self) -> TokensAsked {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, fetched: &Result<TokenGiven, TokenRefusal>) {
        let outcome = match fetched {
            Ok(_) => "ok",
            Err(TokenRefusal::Denied { denial: Denial::Refused, .. }) => "denied",
            Err(TokenRefusal::Denied { denial: Denial::Busy | Denial::Throttled, .. }) => {
                "throttled"
            }
            Err(TokenRefusal::Other(_)) => "failed",
        };
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner).entry(outcome).or_default() += 1;
    }

    /// The host that the OAuth server named as that of the org's API, with the last token that it
    /// gave to this process. For people only: Recruit's replies name a host that is not Recruit's.
    pub(super) fn api_domain(&self) -> Option<String> {
        self.api_domain.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The work that the last token given to this process does not allow, where the reply named its
    /// scopes.
    pub(super) fn lacking_scopes(&self, product: Product) -> Option<Vec<&'static str>> {
        let scope = self.scope.lock().unwrap_or_else(PoisonError::into_inner);
        scope.as_deref().map(|scope| missing_scopes(scope, product))
    }

    /// The state of the token at this instant.
    pub async fn state(&self) -> TokenState {
        self.state.lock().await.clone()
    }

    async fn keep(&self, state: &TokenState) -> Result<(), Error> {
        (self.remember)(state.clone()).await.map_err(|why| token_error(Kind::Unremembered(why)))
    }
}

/// A fingerprint of everything that a token depends on.
pub fn credentials_fingerprint(account: &Account) -> Fingerprint {
    let credentials = &account.credentials;
    Fingerprint::of(&[
        "credentials",
        &account.accounts_url,
        &credentials.client_id,
        credentials.client_secret.expose(),
        credentials.refresh_token.expose(),
    ])
}

/// The token that the OAuth server gave.
struct TokenGiven {
    secret: Secret,
    ends: Timestamp,
    api_domain: Option<String>,
    scope: Option<String>,
}

enum TokenRefusal {
    Denied { what: String, denial: Denial },
    Other(Kind),
}

async fn fetch(
    account: &Account,
    transport: &dyn Transport,
    veil: &Veil,
    now: Timestamp,
) -> Result<TokenGiven, TokenRefusal> {
    let response = transport.send(token_request(account)).await;
    let response = response.map_err(|error| TokenRefusal::Other(Kind::Transport(error)))?;
    read_token(&response, veil, now)
}

/// The tokens that a grant code was exchanged for.
#[derive(Debug)]
pub struct Exchanged {
    /// The value for `refresh_token` in the config.
    pub refresh_token: Secret,
    /// The scopes that go with it, if the reply says them.
    pub scope: Option<String>,
}

/// A grant code that was not exchanged, and what to do then.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// There is no usable answer.
    #[error(
        "the OAuth server {0} could not be asked; the code may have been used up: if a second \
         attempt fails, make a new one"
    )]
    Unasked(String, #[source] super::transport::TransportError),
    /// The OAuth server says no.
    #[error("{error}: {help}")]
    Refused {
        /// Its word.
        error: String,
        /// The meaning of the refusal, and the remedy.
        help: String,
    },
    /// An answer without what was asked for.
    #[error(
        "the OAuth server answered HTTP {0} without a refresh token; make a new code and try again"
    )]
    NoToken(u16),
    /// The code was made for too little.
    #[error(
        "this code is for the scope {granted}, which lacks what is needed to {missing}; make a new \
         one with the scope {wanted}"
    )]
    Scope {
        /// The scopes that the token has.
        granted: String,
        /// The work that would fail.
        missing: String,
        /// The scope that is good for all of it.
        wanted: String,
    },
}

/// Exchanges a self client's grant code, which can be used once and within minutes, for a refresh
/// token.
///
/// # Errors
/// See [`CodeError`]: each says what to do next.
pub async fn exchange_code(
    account: &Account,
    code: &Secret,
    transport: &dyn Transport,
) -> Result<Exchanged, CodeError> {
    let asked = transport.send(grant_request(account, "authorization_code", "code", code)).await;
    let response =
        asked.map_err(|error| CodeError::Unasked(account.accounts_url.clone(), error))?;
    let veil = Veil::of(account);
    veil.hide(code);
    read_exchange(account, &response, &veil)
}

/// The tokens in a reply that hands them over.
pub(super) fn read_exchange(
    account: &Account,
    response: &Response,
    veil: &Veil,
) -> Result<Exchanged, CodeError> {
    let body: Value =
        serde_json::from_slice(&response.body).map_err(|_| CodeError::NoToken(response.status))?;
    let text = |key: &str| body.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(error) = text("error") {
        let error = veil.words(error);
        return Err(CodeError::Refused { help: code_help(account, &error), error });
    }
    let refresh_token = text("refresh_token").ok_or(CodeError::NoToken(response.status))?;
    let scope = text("scope").map(|scope| veil.words(scope));
    let missing = scope
        .as_deref()
        .map(|granted| missing_scopes(granted, account.product))
        .unwrap_or_default();
    match scope {
        Some(granted) if !missing.is_empty() => {
            let wanted = account.product.scope("ALL");
            Err(CodeError::Scope { granted, missing: missing.join(" and "), wanted })
        }
        scope => Ok(Exchanged { refresh_token: Secret::new(refresh_token), scope }),
    }
}

/// The end of a refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// Zoho has revoked it, and with it the access tokens that it gave.
    ByThisCall,
    /// Zoho does not know it: it was revoked before.
    Before,
}

/// The reason why a refresh token may still be good.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// There is no usable answer.
    #[error("the OAuth server {0} could not be asked; the refresh token may still be good")]
    Unasked(String, #[source] super::transport::TransportError),
    /// The OAuth server says no.
    #[error("{0}: the OAuth server does not revoke the refresh token")]
    Refused(String),
    /// An answer that says neither.
    #[error("the OAuth server answered HTTP {0}; the refresh token may still be good")]
    Unclear(u16),
}

/// Revokes the account's refresh token at Zoho
/// (zoho.com/accounts/protocol/oauth/web-apps/revoke-tokens.html).
///
/// # Errors
/// When it may still be good.
pub async fn revoke(account: &Account, transport: &dyn Transport) -> Result<Revoked, RevokeError> {
    let token = account.credentials.refresh_token.expose();
    let asked = transport.send(form_request(account, REVOKE_PATH, &[("token", token)])).await;
    let response =
        asked.map_err(|error| RevokeError::Unasked(account.accounts_url.clone(), error))?;
    read_revoked(&response, &Veil::of(account))
}

fn read_revoked(response: &Response, veil: &Veil) -> Result<Revoked, RevokeError> {
    let unclear = RevokeError::Unclear(response.status);
    let Ok(body) = serde_json::from_slice::<Value>(&response.body) else { return Err(unclear) };
    match (body.get("error").and_then(Value::as_str), body.get("status").and_then(Value::as_str)) {
        (Some("invalid_token" | "invalid_code"), _) => Ok(Revoked::Before),
        (Some(error), _) => Err(RevokeError::Refused(veil.words(error))),
        (None, Some("success")) if response.status < 300 => Ok(Revoked::ByThisCall),
        (None, _) => Err(unclear),
    }
}

/// The work that a scope does not allow (the table of methods and scopes in the API notes).
fn missing_scopes(granted: &str, product: Product) -> Vec<&'static str> {
    let stem = product.scope("");
    let needed: [(&str, &[&str]); 4] = [
        ("look", &["READ"]),
        ("enable", &["CREATE", "WRITE"]),
        ("repair", &["UPDATE", "WRITE"]),
        ("disable", &["DELETE"]),
    ];
    let held: Vec<String> = granted
        .split([' ', ','])
        .filter_map(|scope| scope.strip_prefix(&stem))
        .map(str::to_ascii_uppercase)
        .collect();
    let holds = |suffix: &str| held.iter().any(|held| held == suffix);
    let lacking = needed
        .into_iter()
        .filter(|(_, any)| !holds("ALL") && !any.iter().any(|suffix| holds(suffix)));
    lacking.map(|(what, _)| what).collect()
}

fn code_help(account: &Account, error: &str) -> String {
    let url = &account.accounts_url;
    match (error, hint(error, HandedIn::GrantCode)) {
        ("invalid_client", Some(hint)) => {
            format!("{url} does not know client_id {}; {hint}", account.credentials.client_id)
        }
        (_, Some(hint)) => hint.to_owned(),
        ("Access Denied", None) => {
            "Zoho was asked too often; wait ten minutes, make a new code and try again".to_owned()
        }
        (_, None) => {
            format!(
                "make a new code in Zoho's API console for the data centre of {url}, and try again"
            )
        }
    }
}

/// Form-encoded, as Zoho's own SDKs send it; the secrets are in the body and in no URL.
fn token_request(account: &Account) -> Request {
    grant_request(account, "refresh_token", "refresh_token", &account.credentials.refresh_token)
}

/// A grant by its type, with the name and the value of what is handed in.
fn grant_request(account: &Account, grant_type: &str, name: &str, given: &Secret) -> Request {
    let credentials = &account.credentials;
    let form = [
        (name, given.expose()),
        ("client_id", &credentials.client_id),
        ("client_secret", credentials.client_secret.expose()),
        ("grant_type", grant_type),
    ];
    form_request(account, TOKEN_PATH, &form)
}

/// A form for the account's OAuth server.
pub(super) fn form_request(account: &Account, path: &str, pairs: &[(&str, &str)]) -> Request {
    let form = form_body(pairs);
    Request {
        method: "POST",
        base: account.accounts_url.clone(),
        path: path.to_owned(),
        query: Vec::new(),
        headers: vec![("content-type".to_owned(), "application/x-www-form-urlencoded".to_owned())],
        body: form.into_bytes(),
    }
}

fn form_body(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// The access token that a reply of the OAuth server gives, and its end; or in words why there is
/// none.
///
/// # Errors
/// When there is none.
pub fn token_of(
    response: &Response,
    veil: &Veil,
    now: Timestamp,
) -> Result<(Secret, Timestamp), String> {
    match read_token(response, veil, now) {
        Ok(TokenGiven { secret, ends, .. }) => Ok((secret, ends)),
        Err(TokenRefusal::Denied { what, denial: _ }) => Err(what),
        Err(TokenRefusal::Other(kind)) => Err(token_error(kind).to_string()),
    }
}

fn read_token(
    response: &Response,
    veil: &Veil,
    now: Timestamp,
) -> Result<TokenGiven, TokenRefusal> {
    let unreadable = |why: &str| {
        TokenRefusal::Other(Kind::Unreadable { status: response.status, why: why.to_owned() })
    };
    if response.status >= 500 {
        return Err(TokenRefusal::Other(refused_token(response, "the OAuth server failed")));
    }
    let body: Value =
        serde_json::from_slice(&response.body).map_err(|_| match response.status {
            429 => busy(),
            300..=499 => TokenRefusal::Other(refused_token(
                response,
                "the OAuth server answers with no JSON",
            )),
            _ => unreadable("it is not JSON"),
        })?;
    if let Some(token) =
        body.get("access_token").and_then(Value::as_str).filter(|token| !token.is_empty())
    {
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(unreadable("its access token holds a character that no header can carry"));
        }
        let lifetime =
            body.get("expires_in").and_then(Value::as_u64).unwrap_or(TOKEN_LIFETIME_DEFAULT);
        let ends = after(now, Duration::from_secs(lifetime.min(TOKEN_LIFETIME_DEFAULT)));
        let api_domain = body.get("api_domain").and_then(Value::as_str);
        let api_domain = api_domain.map(|domain| veil.words(domain));
        let scope = body.get("scope").and_then(Value::as_str).map(|scope| veil.words(scope));
        return Ok(TokenGiven { secret: Secret::new(token), ends, api_domain, scope });
    }
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
    let (error, description) = (text("error"), text("error_description"));
    if error.is_empty() && response.status == 429 {
        return Err(busy());
    }
    if error.is_empty() {
        return Err(unreadable("it has neither `access_token` nor `error`"));
    }
    // Verbatim from Zoho's page on token validity: {"error": "Access Denied", "error_description":
    // "You have made too many requests continuously. ..."}.
    let denial = if error == "Access Denied" || description.contains("too many requests") {
        Denial::Throttled
    } else if response.status == 429 {
        Denial::Busy
    } else {
        Denial::Refused
    };
    let what =
        if description.is_empty() { error.to_owned() } else { format!("{error}: {description}") };
    Err(TokenRefusal::Denied { what: veil.words(&what), denial })
}

/// Too many requests, in whatever body it comes: the status is the server's own or a gateway's.
fn busy() -> TokenRefusal {
    let what = "the OAuth server was asked too often (HTTP 429)".to_owned();
    TokenRefusal::Denied { what, denial: Denial::Busy }
}

fn refused_token(response: &Response, message: &str) -> Kind {
    Kind::Refused {
        status: response.status,
        code: None,
        message: message.to_owned(),
        json_path: None,
        retry_after: None,
    }
}

/// A wait after the credentials themselves were refused is their error, not a wait for better
/// times.
fn waiting(state: &TokenState, until: Timestamp, wait: Duration, why: String) -> Error {
    match &state.denied {
        Some(denied) if !denied.throttled && denied.until == until => {
            token_error(Kind::Credentials(why))
        }
        Some(_) | None => token_error(Kind::Waiting { until, wait, why }),
    }
}

fn token_error(kind: Kind) -> Error {
    Error { operation: TOKEN, writing: false, kind }
}

/// A token that no call needs is asked for only while fewer were asked for lately.
const SPARED_MAX: usize = 3;
/// Where tokens are asked for.
pub(super) const TOKEN_PATH: &str = "/oauth/v2/token";
/// Where a refresh token is revoked.
const REVOKE_PATH: &str = "/oauth/v2/token/revoke";
/// Zoho's access tokens live one hour.
const TOKEN_LIFETIME_DEFAULT: u64 = 3600;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::hours;

    fn reply(status: u16, body: &str) -> Response {
        Response { status, headers: Vec::new(), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn an_error_inside_http_200_is_an_error() {
        let refused =
            read_token(&reply(200, r#"{"error":"invalid_code"}"#), &Veil::default(), hours(0));
        assert!(
            matches!(refused, Err(TokenRefusal::Denied { what, denial: Denial::Refused }) if what == "invalid_code")
        );
    }

    #[test]
    fn too_many_requests_is_a_wait_and_not_a_refusal() {
        let body = r#"{"error_description":"You have made too many requests continuously. Please try again after some time.","error":"Access Denied","status":"failure"}"#;
        assert!(matches!(
            read_token(&reply(400, body), &Veil::default(), hours(0)),
            Err(TokenRefusal::Denied { denial: Denial::Throttled, .. })
        ));
    }

    #[test]
    fn a_token_lives_as_long_as_it_says() {
        let body = r#"{"access_token":"1000.a","api_domain":"https://www.zohoapis.eu","token_type":"Bearer","expires_in":3600}"#;
        let Ok(TokenGiven { secret, ends, .. }) =
            read_token(&reply(200, body), &Veil::default(), hours(0))
        else {
            panic!("refused")
        };
        assert_eq!((secret.expose(), ends), ("1000.a", after(hours(0), Duration::from_secs(3600))));
    }

    #[test]
    fn what_is_no_oauth_server_is_not_read_as_a_refusal_of_the_credentials() {
        let html = "<html>Moved</html>";
        for status in [301, 403, 404] {
            let Err(TokenRefusal::Other(kind)) =
                read_token(&reply(status, html), &Veil::default(), hours(0))
            else {
                panic!("{status}")
            };
            assert_eq!(token_error(kind).class(), super::super::error::Class::Account, "{status}");
        }
        for status in [200, 500, 502, 503] {
            let Err(TokenRefusal::Other(kind)) =
                read_token(&reply(status, html), &Veil::default(), hours(0))
            else {
                panic!("{status}")
            };
            let expected = super::super::error::Class::Transient { retry_after: None };
            assert_eq!(token_error(kind).class(), expected, "{status}");
        }
        for body in [html, r#"{"code":"TOO_MANY_REQUESTS"}"#, r#"{"error":"slow_down"}"#] {
            let throttled = read_token(&reply(429, body), &Veil::default(), hours(0));
            assert!(
                matches!(throttled, Err(TokenRefusal::Denied { denial: Denial::Busy, .. })),
                "{body}"
            );
        }
    }

    #[test]
    fn a_scope_that_is_too_small_says_what_could_not_be_done() {
        let missing = |granted| missing_scopes(granted, Product::Crm);
        assert!(missing("ZohoCRM.users.READ ZohoCRM.notifications.ALL").is_empty());
        assert!(
            missing("ZohoCRM.notifications.READ,ZohoCRM.notifications.WRITE,ZohoCRM.notifications.delete")
                .is_empty()
        );
        assert_eq!(missing("ZohoCRM.notifications.READ"), ["enable", "repair", "disable"]);
        assert_eq!(missing("ZohoCRM.modules.ALL").len(), 4);
        assert_eq!(missing_scopes("ZohoCRM.notifications.ALL", Product::Bigin).len(), 4);
        assert!(missing_scopes("ZohoRecruit.notifications.all", Product::Recruit).is_empty());
    }

    #[test]
    fn only_a_clear_answer_says_that_a_token_is_revoked() {
        let read = |status, body| read_revoked(&reply(status, body), &Veil::default());
        assert_eq!(read(200, r#"{"status":"success"}"#).unwrap(), Revoked::ByThisCall);
        assert_eq!(read(400, r#"{"error":"invalid_token"}"#).unwrap(), Revoked::Before);
        for (status, body) in [
            (200, "<html>"),
            (200, "{}"),
            (500, r#"{"status":"success"}"#),
            (200, r#"{"error":"general_error"}"#),
            (200, r#"{"status":"failure"}"#),
        ] {
            assert!(read(status, body).is_err(), "{status} {body}");
        }
    }

    #[test]
    fn secrets_are_encoded_in_the_body() {
        assert_eq!(
            form_body(&[("a", "1000.x+y/z&b=c"), ("d", "\u{e9}")]),
            "a=1000.x%2By%2Fz%26b%3Dc&d=%C3%A9"
        );
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(256))]

        #[test]
        fn no_reply_makes_the_reader_panic_or_gives_an_empty_token(
            status in 100_u16..600,
            bytes in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..200),
            token in ".{0,8}",
            ends in proptest::arbitrary::any::<i64>(),
        ) {
            let json = serde_json::json!({ "access_token": token, "expires_in": ends }).to_string();
            for body in [bytes, json.into_bytes()] {
                if let Ok(TokenGiven { secret, ends, .. }) = read_token(&Response { status, headers: Vec::new(), body }, &Veil::default(), hours(0)) {
                    proptest::prop_assert!(!secret.expose().is_empty() && status < 500);
                    proptest::prop_assert!(ends <= after(hours(0), Duration::from_secs(3600)));
                }
            }
        }
    }
}
