//! One text, one value. Each function says why a text is refused and how to write it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds};

use super::near::suggestion;
use crate::model::backfill;
use crate::model::cluster::WithoutEngine;
use crate::model::credits::Edition;
use crate::model::data_center::{DataCenter, Environment};
use crate::model::hooks::HookEvent;
use crate::model::policy::{Mode, Removed};
use crate::model::product::Product;
use crate::model::secret::Secret;
use crate::model::version::ApiVersion;

/// The reason why a text is no such value. It never repeats the text of a URL or a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) message: String,
    pub(super) help: String,
}

impl Mistake {
    pub(super) fn new(message: impl Into<String>, help: impl Into<String>) -> Mistake {
        Mistake { message: message.into(), help: help.into() }
    }
}

/// A secret as it is written: itself, or where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    /// It stands in the file.
    Plain(Secret),
    /// In an environment variable.
    Env(String),
    /// In a file.
    File(String),
    /// In a credential that systemd hands over.
    Credential(String),
    /// A command prints it.
    Command(Vec<String>),
}

impl Reference {
    /// True when it names nothing.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Reference::Plain(_) => false,
            Reference::Env(name) | Reference::File(name) | Reference::Credential(name) => {
                name.trim().is_empty()
            }
            Reference::Command(words) => words.first().is_none_or(|word| word.trim().is_empty()),
        }
    }
}

/// A time span with a unit: "8h", "1h 30m".
pub(super) fn duration(text: &str) -> Result<Duration, Mistake> {
    let help = "write a number and a unit, as in \"8h\", \"90m\" or \"1d 12h\"";
    humantime::parse_duration(text)
        .map_err(|_| Mistake::new(format!("\"{}\" is no duration", text.escape_debug()), help))
}

/// A time span as it is written here: "1d 12h".
pub(super) fn short(span: Duration) -> String {
    let seconds = span.as_secs();
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let shown: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if shown.is_empty() { "0s".to_owned() } else { shown.join(" ") }
}

/// A time span in whole seconds, which is all that Zoho's timestamps can tell.
pub(super) fn life(text: &str) -> Result<Duration, Mistake> {
    let span = duration(text)?;
    if span.subsec_nanos() == 0 {
        return Ok(span);
    }
    Err(Mistake::new(
        "a life is counted in whole seconds",
        "leave out what is shorter than a second",
    ))
}

/// How long a call may take: from one second to ten minutes.
pub(super) fn timeout(text: &str) -> Result<Duration, Mistake> {
    let span = duration(text)?;
    if (TIMEOUT_MIN..=TIMEOUT_MAX).contains(&span) {
        return Ok(span);
    }
    Err(Mistake::new("a timeout out of range", "from \"1s\" to \"10m\""))
}

/// Returns whether a cron expression ticks more than once a minute: it names more than one second.
pub(super) fn is_hasty(cron: &str) -> bool {
    let seconds = cron.split_whitespace().next().unwrap_or_default();
    seconds.parse::<u8>().is_err()
}

/// How long to wait before something is told: up to a day.
pub(super) fn grace(text: &str) -> Result<Duration, Mistake> {
    let span = duration(text)?;
    if span <= GRACE_MAX {
        return Ok(span);
    }
    Err(Mistake::new("a grace out of range", "from \"0s\" to \"1d\""))
}

/// How often something is told: from once a minute to once a month.
pub(super) fn repeat(text: &str) -> Result<Duration, Mistake> {
    let span = duration(text)?;
    if (REPEAT_MIN..=REPEAT_MAX).contains(&span) {
        return Ok(span);
    }
    Err(Mistake::new("an interval out of range", "from \"1m\" to \"30d\""))
}

/// A URL that the daemon itself calls to tell something.
pub(super) fn told_url(text: &str) -> Result<(), Mistake> {
    url(text).map(|_| ())
}

/// A cron expression of six fields.
pub(super) fn cron(text: &str) -> Result<String, Mistake> {
    let fields = text.split_whitespace().count();
    if fields != 6 {
        let message =
            format!("a cron expression with {fields} field{}", if fields == 1 { "" } else { "s" });
        let help = match fields {
            5 => format!("{CRON_FIELDS}; with a second in front it reads \"0 {}\"", text.trim()),
            _ => CRON_FIELDS.to_owned(),
        };
        return Err(Mistake::new(message, help));
    }
    match cron_of(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => {
            let why = match error {
                CronError::ComponentError(why)
                | CronError::InvalidPattern(why)
                | CronError::IllegalCharacters(why) => why,
                CronError::EmptyPattern
                | CronError::InvalidDate
                | CronError::InvalidTime
                | CronError::TimeSearchLimitExceeded => "no such time".to_owned(),
            };
            Err(Mistake::new(
                format!("a bad cron expression: {}", why.trim_end_matches('.')),
                CRON_FIELDS,
            ))
        }
    }
}

/// How often a cron expression fires on a day on which it does; never, when it is none.
pub fn audits_per_day(expression: &str) -> u32 {
    let Ok(cron) = cron_of(expression) else { return 0 };
    let count = |up_to: u32, fires: &dyn Fn(u32) -> Result<bool, CronError>| {
        (0..up_to).filter(|at| fires(*at).unwrap_or(false)).count() as u32
    };
    let pattern = &cron.pattern;
    let seconds = count(60, &|second| pattern.second_match(second));
    let minutes = count(60, &|minute| pattern.minute_match(minute));
    seconds * minutes * count(24, &|hour| pattern.hour_match(hour))
}

/// The same parser, set up in the same way, as in the scheduler that will be handed the text.
fn cron_of(text: &str) -> Result<Cron, CronError> {
    CronParser::builder().seconds(Seconds::Required).dom_and_dow(true).build().parse(text)
}

/// Where to listen; none when it is "off".
pub(super) fn listen(text: &str) -> Result<Option<SocketAddr>, Mistake> {
    if text == "off" {
        return Ok(None);
    }
    let help =
        "write an IP address and a port, as in \"127.0.0.1:8470\" or \"[::1]:8470\", or \"off\"";
    let address = text.parse().map(Some);
    address.map_err(|_| {
        Mistake::new(format!("\"{}\" is no address to listen on", text.escape_debug()), help)
    })
}

/// The name of a host, in lower case.
pub(super) fn host_name(text: &str) -> Result<String, Mistake> {
    let help = "write the name alone, as in \"status.example.com\": no scheme, no port";
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_name = host(name) == Some(name) && !name.starts_with('[');
    is_name.then(|| name.to_ascii_lowercase()).ok_or_else(|| {
        Mistake::new(format!("\"{}\" is no name of a host", text.escape_debug()), help)
    })
}

/// One of the data centres.
pub(super) fn data_center(text: &str) -> Result<DataCenter, Mistake> {
    let keys = DataCenter::ALL.map(|center| center.key);
    let other = "; any other is reached with api_url and accounts_url";
    DataCenter::find(text).ok_or_else(|| {
        Mistake::new(unknown("data centre", text), format!("{}{other}", suggestion(text, &keys)))
    })
}

/// One of the environments.
pub(super) fn environment(text: &str) -> Result<Environment, Mistake> {
    let keys = Environment::ALL.map(Environment::as_str);
    let found = Environment::ALL.into_iter().find(|environment| environment.as_str() == text);
    found.ok_or_else(|| Mistake::new(unknown("environment", text), suggestion(text, &keys)))
}

/// One of the editions.
pub(super) fn edition(text: &str) -> Result<&'static str, Mistake> {
    let keys = Edition::keys();
    let found = keys.iter().copied().find(|key| *key == text);
    found.ok_or_else(|| Mistake::new(unknown("edition", text), suggestion(text, &keys)))
}

/// One of the products.
pub(super) fn product(text: &str) -> Result<Product, Mistake> {
    let keys = Product::ALL.map(Product::as_str);
    Product::from_str(text)
        .map_err(|_| Mistake::new(unknown("product", text), suggestion(text, &keys)))
}

/// The first part of a portal's host.
pub(super) fn portal(text: &str) -> Result<String, Mistake> {
    let is_label = !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if is_label {
        return Ok(text.to_ascii_lowercase());
    }
    Err(Mistake::new(
        "this is no name of a portal",
        "the first part of its host alone: \"acme\" for acme.zohoplatform.com",
    ))
}

/// One of the API versions.
pub(super) fn version(text: &str) -> Result<ApiVersion, Mistake> {
    let keys = ApiVersion::ALL.map(ApiVersion::as_str);
    ApiVersion::from_str(text)
        .map_err(|_| Mistake::new(unknown("API version", text), suggestion(text, &keys)))
}

/// One of the modes.
pub(super) fn mode(text: &str) -> Result<Mode, Mistake> {
    let keys = Mode::ALL.map(Mode::as_str);
    Mode::from_str(text).map_err(|()| Mistake::new(unknown("mode", text), suggestion(text, &keys)))
}

/// How far missed events are handed over; none when they are not.
pub(super) fn backfill_mode(text: &str) -> Result<Option<backfill::BackfillMode>, Mistake> {
    match text {
        "off" => Ok(None),
        "plan" => Ok(Some(backfill::BackfillMode::Plan)),
        "on" => Ok(Some(backfill::BackfillMode::On)),
        other => {
            Err(Mistake::new(unknown("mode", other), suggestion(other, &["off", "plan", "on"])))
        }
    }
}

/// A text that is no kind of gap.
pub(super) fn gap_kind(text: &str) -> Mistake {
    let kinds = ["uncovered", "undeliverable", "unknown"];
    Mistake::new(unknown("kind of gap", text), suggestion(text, &kinds))
}

/// API credits of a day, as they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CreditsPart {
    /// A part of all, in percent.
    Percent(u64),
    /// So many.
    Number(u64),
}

/// API credits of a day: a part of all, or a number.
pub(super) fn credits_part(text: &str) -> Result<CreditsPart, Mistake> {
    let number = |digits: &str| digits.parse::<u64>().ok().filter(|number| *number > 0);
    let read = match text.strip_suffix('%') {
        Some(percent) => number(percent).filter(|percent| *percent <= 50).map(CreditsPart::Percent),
        None => number(text).map(CreditsPart::Number),
    };
    read.ok_or_else(|| {
        let help =
            "as in \"10%\", and 50% at most: the rest is for renewals; or a number, as in \"2000\"";
        Mistake::new("no number of API credits, and no part of them", help)
    })
}

/// A kind of event that hooks are told of.
pub(super) fn hook_event(text: &str) -> Result<HookEvent, Mistake> {
    let words = HookEvent::ALL.map(HookEvent::word);
    HookEvent::from_str(text)
        .map_err(|()| Mistake::new(unknown("event", text), suggestion(text, &words)))
}

/// The fate of channels that were taken out.
pub(super) fn removed(text: &str) -> Result<Removed, Mistake> {
    let all = [Removed::Disable, Removed::Expire];
    let found = all.into_iter().find(|removed| removed.as_str() == text);
    found.ok_or_else(|| {
        Mistake::new(unknown("value", text), suggestion(text, &all.map(Removed::as_str)))
    })
}

/// The conduct while the engine of a cluster cannot be reached.
pub(super) fn without_engine(text: &str) -> Result<WithoutEngine, Mistake> {
    let found = WithoutEngine::ALL.into_iter().find(|way| way.as_str() == text);
    found.ok_or_else(|| {
        let words = WithoutEngine::ALL.map(WithoutEngine::as_str);
        Mistake::new(unknown("value", text), suggestion(text, &words))
    })
}

/// A machine of a cluster's engine.
pub(super) fn engine_url(text: &str) -> Result<String, Mistake> {
    let has_user = text.contains('@');
    let help = if has_user { "use the keys user and password" } else { ENGINE_HELP };
    server_url(text).map_err(|mistake| Mistake::new(mistake.message, help))
}

/// Checks that a channel may be declared with this `notify_url`.
///
/// # Errors
/// The reason why it may not, in words.
pub fn check_notify_url(text: &str) -> Result<(), String> {
    notify_url(text).map_err(|mistake| mistake.message)
}

/// The portal of an app of Vertical Solutions, as the config takes it.
///
/// # Errors
/// The reason why it is none, in words.
pub fn check_portal(text: &str) -> Result<String, String> {
    portal(text).map_err(|mistake| format!("{}: {}", mistake.message, mistake.help))
}

/// A URL that Zoho can deliver to.
pub(super) fn notify_url(text: &str) -> Result<(), Mistake> {
    let length = text.chars().count();
    if length > NOTIFY_URL_MAX {
        let message =
            format!("this URL has {length} characters, Zoho takes {NOTIFY_URL_MAX} at most");
        return Err(Mistake::new(message, "shorten its path or its query"));
    }
    url(text).map(|_| ())
}

/// Scheme, host and port of a server, with nothing behind them.
pub(super) fn server_url(text: &str) -> Result<String, Mistake> {
    let Url { rest, .. } = url(text)?;
    if !matches!(rest, "" | "/") {
        return Err(Mistake::new(
            "this URL has a path or a query",
            "leave only the scheme and the host, as in \"https://www.zohoapis.eu\"",
        ));
    }
    Ok(text.strip_suffix('/').unwrap_or(text).to_owned())
}

/// An `api_url`: a server, and none that is known not to be the API.
pub(super) fn api_url(text: &str) -> Result<String, Mistake> {
    let url = server_url(text)?;
    let host = url.split_once("://").map_or(url.as_str(), |(_, host)| host).to_ascii_lowercase();
    let is_of_zoho = |name: &str| {
        let rest = host.strip_prefix(name).unwrap_or_default();
        rest.starts_with(".zoho.") || rest.starts_with(".zohocloud.")
    };
    let (what, api) = if let Some(top) = host.strip_prefix("zohoapis.") {
        ("this host answers with a redirect", format!("https://www.zohoapis.{top}"))
    } else if is_of_zoho("crm") || is_of_zoho("www") {
        ("this is where people use Zoho, not its API", "https://www.zohoapis.com".to_owned())
    } else if is_of_zoho("accounts") {
        ("this is the OAuth server, not the API", "https://www.zohoapis.com".to_owned())
    } else {
        return Ok(url);
    };
    Err(Mistake::new(what, format!("the API is at a host like {api}; data_center knows it")))
}

/// How machines of an engine are written.
pub(super) const ENGINE_HELP: &str =
    "as in engine = [\"https://etcd-1.example.com:2379\"]; http is for loopback hosts only";

/// The parts of a URL that are looked at.
struct Url<'t> {
    rest: &'t str,
}

fn url(text: &str) -> Result<Url<'_>, Mistake> {
    let help = "as in \"https://hooks.example.com/zoho\"";
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || !c.is_ascii()) {
        return Err(Mistake::new(
            "this URL holds white space or a character that is not ASCII",
            "percent-encode it",
        ));
    }
    let Some((scheme, after)) = text.split_once("://") else {
        return Err(Mistake::new("this is no URL: it has no scheme", help));
    };
    let (authority, rest) = after.split_at(after.find(['/', '?', '#']).unwrap_or(after.len()));
    if authority.contains('@') {
        return Err(Mistake::new(
            "this URL holds a user name or password, which would be shown wherever the URL is",
            "leave out what stands before the \"@\"; prove the origin of deliveries with \"token\"",
        ));
    }
    let host = host(authority).ok_or_else(|| Mistake::new("this URL has no valid host", help))?;
    match scheme {
        "https" => Ok(Url { rest }),
        "http" if is_loopback(host) => Ok(Url { rest }),
        "http" => Err(Mistake::new(
            "this URL is not https",
            "write https://; http is for loopback hosts only",
        )),
        _ => Err(Mistake::new("this URL is neither https nor http", help)),
    }
}

/// The host of `host:port`, if both are well-formed.
fn host(authority: &str) -> Option<&str> {
    let (host, port) = match authority.rfind(']') {
        Some(end) => (&authority[..=end], &authority[end + 1..]),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port_ok = port.is_empty()
        || port.strip_prefix(':').and_then(|port| port.parse::<u16>().ok()) > Some(0);
    let host_ok = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None if host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => {
            host.parse::<Ipv4Addr>().is_ok()
        }
        None => {
            host.len() <= 253 && host.strip_suffix('.').unwrap_or(host).split('.').all(is_label)
        }
    };
    (port_ok && host_ok).then_some(host)
}

fn is_label(label: &str) -> bool {
    let inner =
        label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    (1..=63).contains(&label.len()) && inner && !label.starts_with('-') && !label.ends_with('-')
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let host = host.to_ascii_lowercase();
    host == "localhost"
        || host.ends_with(".localhost")
        || address.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
}

fn unknown(what: &str, text: &str) -> String {
    format!("unknown {what} \"{}\"", text.escape_debug())
}

/// Zoho's limit of a URL to deliver to (zoho/crm-oas, v8.0).
const NOTIFY_URL_MAX: usize = 255;
const TIMEOUT_MIN: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(600);
const GRACE_MAX: Duration = Duration::from_secs(24 * 3600);
const REPEAT_MIN: Duration = Duration::from_secs(60);
const REPEAT_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
const CRON_FIELDS: &str = "six fields: second minute hour day-of-month month day-of-week";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_are_known_not_to_be_the_api() {
        for good in ["https://www.zohoapis.eu", "https://crmsandbox.zoho.com", "http://127.0.0.1:1"]
        {
            assert!(api_url(good).is_ok(), "{good}");
        }
        for bad in [
            "https://zohoapis.com",
            "https://crm.zoho.com",
            "https://CRM.zoho.eu",
            "https://www.zoho.com",
            "https://accounts.zoho.eu",
            "https://accounts.zohocloud.ca",
        ] {
            let mistake = api_url(bad).unwrap_err();
            assert!(mistake.help.contains("https://www.zohoapis."), "{bad}");
        }
    }

    #[test]
    fn urls_that_can_be_delivered_to() {
        for good in [
            "https://hooks.example.com/zoho",
            "https://hooks.example.com:8443/zoho?key=1",
            "https://h.example.",
            "https://192.0.2.1/x",
            "https://[2001:db8::1]:443/x",
            "http://localhost:9000/x",
            "http://127.0.0.1/x",
            "http://[::1]/x",
        ] {
            assert_eq!(notify_url(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn urls_that_cannot() {
        for bad in [
            "",
            "hooks.example.com",
            "ftp://h.example/x",
            "http://h.example/x",
            "http://localhost.example/x",
            "https://",
            "https:///x",
            "https://h..example/",
            "https://-h.example/",
            "https://h.example:0/",
            "https://h.example:65536/",
            "https://h.example:x/",
            "https://300.1.1.1/",
            "https://[::1/",
            "https://[xyz]/",
            "https://me@h.example/",
            "https://me:pw@h.example/",
            "https://h.example/a b",
            "https://h.example/\u{e9}",
        ] {
            assert!(notify_url(bad).is_err(), "{bad}");
        }
        assert!(notify_url(&format!("https://h.example/{}", "x".repeat(237))).is_ok());
        assert!(notify_url(&format!("https://h.example/{}", "x".repeat(238))).is_err());
    }

    #[test]
    fn audits_are_counted_by_the_day() {
        for (expression, audits) in [
            ("0 */15 * * * *", 96),
            ("0 0 * * * *", 24),
            ("30 5 3 * * *", 1),
            ("0 0,30 8-17 * * MON-FRI", 20),
            ("* * * * * *", 86_400),
            ("nonsense", 0),
        ] {
            assert_eq!(audits_per_day(expression), audits, "{expression}");
        }
    }

    #[test]
    fn a_server_is_scheme_and_host() {
        assert_eq!(
            server_url("https://www.zohoapis.eu/"),
            Ok("https://www.zohoapis.eu".to_owned())
        );
        assert!(server_url("https://www.zohoapis.eu/crm").is_err());
        assert!(server_url("https://www.zohoapis.eu?x").is_err());
    }
}
