//! OAuth's device flow: a person approves a code on any device, and this process waits for it.
//!
//! Zoho's replies differ from RFC 8628: `interval` and `expires_in` come in milliseconds or in
//! seconds, and `other_dc` says that the person's org is in another data centre, whose OAuth server
//! then has the tokens (zoho.com/accounts/protocol/oauth/limited-input-devices.html; public
//! clients). [`wait`] ends with that answer: its caller decides if it goes there.
//!
//! A poll that brings no answer is one more reason to wait, until the code ends.

use std::time::Duration;

use serde_json::Value;

use super::auth::{CodeError, Exchanged, form_request, read_exchange};
use super::oauth_words::{HandedIn, hint};
use super::transport::{Transport, TransportError};
use super::veil::Veil;
use crate::clock::Clock;
use crate::model::account::Account;
use crate::model::data_center::DataCenter;
use crate::model::exchange::Response;
use crate::model::secret::Secret;

/// The words for a person: where to go, and what to type there.
#[derive(Debug)]
pub(crate) struct Invitation {
    /// The scopes that are asked for, with commas between.
    pub scope: String,
    /// Where a person types the code.
    pub url: String,
    /// The code.
    pub user_code: String,
    /// The same page with the code filled in, if Zoho gave one.
    pub direct_url: Option<String>,
    /// How long the code can be approved.
    pub lives: Duration,
    interval: Duration,
    device_code: Secret,
    /// When it ends, by [`Clock::elapsed`].
    ends: Duration,
}

/// The reason why there is no refresh token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeviceError {
    /// The OAuth server could not be asked for a code.
    #[error("the OAuth server {0} could not be asked for a code")]
    Unasked(String, #[source] TransportError),
    /// The OAuth server says no.
    #[error("{error}: {help}")]
    Refused {
        /// Its word.
        error: String,
        /// The remedy.
        help: String,
    },
    /// An answer without a code that a person can use.
    #[error("the OAuth server answered HTTP {0} without a usable code")]
    NoInvitation(u16),
    /// The person said no.
    #[error("access was denied on Zoho's page; nothing was written")]
    Denied,
    /// Nobody approved in time.
    #[error("nobody approved the code in time; run `channelkeeper login` again for a new one")]
    Ended,
    /// The person's org lives elsewhere.
    #[error("the org is in another data centre: {0}")]
    OtherCenter(Location),
    /// Approved, and yet no refresh token that is good enough.
    #[error(transparent)]
    Exchange(CodeError),
}

impl DeviceError {
    /// True when the scope that was asked for is not known.
    pub(crate) fn is_about_the_scope(&self) -> bool {
        matches!(self, DeviceError::Refused { error, .. } if error == "invalid_scope")
    }

    /// Names the scope that was asked for, where that is what was refused.
    fn naming(mut self, scope: &str) -> DeviceError {
        let is_about_it = self.is_about_the_scope();
        if let DeviceError::Refused { help, .. } = &mut self
            && is_about_it
        {
            help.push_str(&format!(" (asked for: {scope})"));
        }
        self
    }
}

/// A data centre as Zoho names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// Zoho's word.
    pub named: String,
    /// The data centre that has this name, if it is a known one.
    pub center: Option<DataCenter>,
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.center.map_or(self.named.as_str(), |center| center.key))
    }
}

/// Asks for a code that a person can approve.
///
/// # Errors
/// See [`DeviceError`]: each says what to do next.
pub(crate) async fn invite(
    account: &Account,
    scope: &str,
    transport: &dyn Transport,
    clock: &dyn Clock,
) -> Result<Invitation, DeviceError> {
    let form = [
        ("client_id", account.credentials.client_id.as_str()),
        ("grant_type", "device_request"),
        ("scope", scope),
        ("access_type", "offline"),
        ("prompt", "consent"),
    ];
    let asked_at = clock.elapsed();
    let asked = transport.send(form_request(account, CODE_PATH, &form)).await;
    let response =
        asked.map_err(|error| DeviceError::Unasked(account.accounts_url.clone(), error))?;
    read_invitation(account, scope, &response, asked_at)
}

/// Waits until somebody has approved the code, at the pace that Zoho asks for.
///
/// # Errors
/// See [`DeviceError`]. After [`DeviceError::OtherCenter`] the same invitation can be waited for
/// with an account that leads to that data centre.
pub(crate) async fn wait(
    account: &Account,
    invitation: &Invitation,
    transport: &dyn Transport,
    clock: &dyn Clock,
) -> Result<Exchanged, DeviceError> {
    let credentials = &account.credentials;
    let form = [
        ("client_id", credentials.client_id.as_str()),
        ("client_secret", credentials.client_secret.expose()),
        ("grant_type", "device_token"),
        ("code", invitation.device_code.expose()),
    ];
    let veil = Veil::of(account);
    veil.hide(&invitation.device_code);
    let mut interval = invitation.interval;
    loop {
        clock.sleep(interval).await;
        if clock.elapsed() >= invitation.ends {
            return Err(DeviceError::Ended);
        }
        match transport.send(form_request(account, TOKEN_PATH, &form)).await {
            Ok(response) => match read_poll(account, &response, &veil)? {
                Polled::Given(exchanged) => return Ok(exchanged),
                Polled::Pending => {}
                Polled::SlowDown => interval = slower(interval),
            },
            Err(_) => interval = slower(interval),
        }
    }
}

/// The answer to one poll that ends nothing, or ends it well.
#[derive(Debug)]
enum Polled {
    Given(Exchanged),
    Pending,
    SlowDown,
}

fn read_invitation(
    account: &Account,
    scope: &str,
    response: &Response,
    asked_at: Duration,
) -> Result<Invitation, DeviceError> {
    let nothing = || DeviceError::NoInvitation(response.status);
    let body: Value = serde_json::from_slice(&response.body).map_err(|_| nothing())?;
    let veil = Veil::of(account);
    if let Some(error) = text(&body, &["error"]) {
        let refused = refused(account, &veil.words(error), HandedIn::DeviceRequest);
        return Err(refused.naming(scope));
    }
    let url = text(&body, &["verification_url", "verification_uri"]).filter(|url| is_page(url));
    let code = text(&body, &["user_code"]).filter(|code| is_typable(code));
    let device_code = text(&body, &["device_code"]);
    let (Some(url), Some(code), Some(device_code)) = (url, code, device_code) else {
        return Err(nothing());
    };
    let direct_url = text(&body, &["verification_uri_complete"]).filter(|url| is_page(url));
    let number = |key: &str| body.get(key).and_then(Value::as_u64);
    let interval = span(number("interval"), INTERVAL_MS_FROM).unwrap_or(INTERVAL_MIN);
    let lives = span(number("expires_in"), LIFE_MS_FROM).unwrap_or(LIFE);
    let lives = lives.clamp(LIFE_MIN, LIFE_MAX);
    Ok(Invitation {
        scope: scope.to_owned(),
        url: veil.words(url),
        user_code: veil.words(code),
        direct_url: direct_url.map(|url| veil.words(url)),
        lives,
        interval: interval.clamp(INTERVAL_MIN, INTERVAL_MAX),
        device_code: Secret::new(device_code),
        ends: asked_at + lives,
    })
}

fn read_poll(account: &Account, response: &Response, veil: &Veil) -> Result<Polled, DeviceError> {
    let Ok(body) = serde_json::from_slice::<Value>(&response.body) else {
        return Ok(Polled::SlowDown);
    };
    match text(&body, &["error"]) {
        None if response.status >= 500 => Ok(Polled::SlowDown),
        None => {
            let exchanged = read_exchange(account, response, veil);
            exchanged.map(Polled::Given).map_err(DeviceError::Exchange)
        }
        Some("authorization_pending") => Ok(Polled::Pending),
        Some("slow_down" | "Access Denied") => Ok(Polled::SlowDown),
        Some("access_denied") => Err(DeviceError::Denied),
        Some("expired" | "expired_token") => Err(DeviceError::Ended),
        Some("other_dc") => {
            let named = text(&body, &["user_location", "location", "dc"]).unwrap_or("not named");
            let center = center_of(named);
            Err(DeviceError::OtherCenter(Location { named: veil.words(named), center }))
        }
        Some(error) => Err(refused(account, &veil.words(error), HandedIn::DeviceCode)),
    }
}

fn refused(account: &Account, error: &str, handed_in: HandedIn) -> DeviceError {
    let url = &account.accounts_url;
    let help = match hint(error, handed_in) {
        Some(hint) => hint.to_owned(),
        None => format!("{url} gives no reason; run `channelkeeper login` again in some minutes"),
    };
    DeviceError::Refused { error: error.to_owned(), help }
}

/// The first of these keys that holds a text.
fn text<'b>(body: &'b Value, keys: &[&str]) -> Option<&'b str> {
    let texts = keys.iter().filter_map(|key| body.get(key).and_then(Value::as_str));
    texts.map(str::trim).find(|text| !text.is_empty())
}

/// A length in the unit that its size tells: from `milliseconds_from` on it is milliseconds.
fn span(number: Option<u64>, milliseconds_from: u64) -> Option<Duration> {
    let number = number?;
    match number >= milliseconds_from {
        true => Some(Duration::from_millis(number)),
        false => Some(Duration::from_secs(number)),
    }
}

fn slower(interval: Duration) -> Duration {
    (interval + SLOWER_BY).min(INTERVAL_MAX)
}

/// A page that a person can be sent to.
fn is_page(url: &str) -> bool {
    let is_safe = url.starts_with("https://") || url.starts_with("http://127.0.0.1:");
    is_safe && url.len() <= URL_MAX && url.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_typable(code: &str) -> bool {
    code.len() <= USER_CODE_MAX && code.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The data centre by its key (`eu`), or by the end of its host (`com.au`, `zoho.com.au`).
fn center_of(named: &str) -> Option<DataCenter> {
    let named = named.to_ascii_lowercase();
    let ends_so = |center: &DataCenter| {
        let domain = center.accounts_url.trim_start_matches("https://accounts.");
        let top = domain.split_once('.').map_or(domain, |(_, top)| top);
        named.trim_start_matches("https://").trim_start_matches("accounts.") == domain
            || named == top
    };
    DataCenter::find(&named).or_else(|| DataCenter::ALL.into_iter().find(ends_so))
}

const CODE_PATH: &str = "/oauth/v3/device/code";
const TOKEN_PATH: &str = "/oauth/v3/device/token";
/// No poll is faster, whatever the reply says.
const INTERVAL_MIN: Duration = Duration::from_secs(5);
/// A person who has approved waits no longer than this.
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// How much slower after `slow_down`: RFC 8628, 3.5.
const SLOWER_BY: Duration = Duration::from_secs(5);
/// An interval of a quarter of an hour makes no sense, one of a second does.
const INTERVAL_MS_FROM: u64 = 1000;
/// A code that lives for hours makes no sense, one of ten seconds hardly.
const LIFE_MS_FROM: u64 = 10_000;
/// The life of a code that does not say: Zoho's documents.
const LIFE: Duration = Duration::from_secs(300);
const LIFE_MIN: Duration = Duration::from_secs(30);
const LIFE_MAX: Duration = Duration::from_secs(1800);
/// A longer address or code is nothing for a person.
const URL_MAX: usize = 250;
const USER_CODE_MAX: usize = 40;

#[cfg(test)]
#[cfg(feature = "simulator")]
mod tests;
