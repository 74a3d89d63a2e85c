//! OAuth's device flow: a device shows a code, and a person approves it on a page elsewhere.
//!
//! | call | does |
//! | --- | --- |
//! | `POST /oauth/v3/device/code` | makes a user code for the person and a device code for the device |
//! | `GET /oauth/v3/device` | the page that the person sees; `?user_code=` fills it in |
//! | `POST /oauth/v3/device` | the person's answer: `user_code`, and `answer` is `approve` or `deny` |
//! | `POST /oauth/v3/device/token` | gives the device its tokens, or says why not yet |
//!
//! Zoho's pages are *limited-input-devices*, *initiation-request* and *polling-request* under
//! zoho.com/accounts/protocol/oauth. Clients have seen `interval` and `expires_in` in milliseconds,
//! where RFC 8628 has seconds: `device_units` says which.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::form;
use super::knobs::{DeviceAnswer, DeviceUnits, Knobs};
use super::oauth::{covers, refused, reply};
use super::org::{Device, OrgState};
use super::orgs::Orgs;
use super::reply::json_response;
use crate::model::data_center::DataCenter;
use crate::model::exchange::{Request, Response};
use crate::model::secret::Fingerprint;
use crate::model::time;

/// `POST /oauth/v3/device/code`.
pub(crate) fn begin(orgs: &mut Orgs, knobs: &Knobs, request: &Request, now: Timestamp) -> Response {
    let params = params(request);
    let Some(state) = orgs.of_client(param(&params, "client_id")) else {
        return refused("invalid_client");
    };
    if param(&params, "grant_type") != "device_request" {
        return refused("unsupported_grant_type");
    }
    let scopes = param(&params, "scope").to_owned();
    let mut asked = scopes.split([',', ' ']).filter(|scope| !scope.is_empty()).peekable();
    let held = state.org.scopes_by(knobs);
    let is_held = |scope: &str| held.iter().any(|held| covers(held, scope));
    if asked.peek().is_none() || !asked.all(is_held) {
        return refused("invalid_scope");
    }
    let device_code = state.make("device");
    let user_code = user_code(&device_code);
    let approved = match knobs.device_answer {
        DeviceAnswer::Page => None,
        DeviceAnswer::Approve => Some(true),
        DeviceAnswer::Deny => Some(false),
    };
    let ends = time::after(now, knobs.device_code_life.0);
    let horizon = time::before(now, ENDED_KEPT);
    state.devices.retain(|_, device| device.ends > horizon);
    let device = Device { user_code: user_code.clone(), scopes, ends, approved, polled: None };
    state.devices.insert(device_code.clone(), device);
    let url = format!("{}{PAGE}", request.base);
    let body = json!({
        "user_code": user_code,
        "device_code": device_code,
        "interval": knobs.device_units.number(knobs.device_interval.0),
        "expires_in": knobs.device_units.number(knobs.device_code_life.0),
        "verification_url": url,
        "verification_uri_complete": format!("{url}?user_code={user_code}"),
    });
    json_response(200, &body)
}

/// `POST /oauth/v3/device/token`.
pub(crate) fn poll(orgs: &mut Orgs, knobs: &Knobs, request: &Request, now: Timestamp) -> Response {
    let params = params(request);
    let Some(state) = orgs.of_client(param(&params, "client_id")) else {
        return refused("invalid_client");
    };
    if state.org.client_secret != param(&params, "client_secret") {
        return refused("invalid_client_secret");
    }
    if param(&params, "grant_type") != "device_token" {
        return refused("unsupported_grant_type");
    }
    state.polled(param(&params, "code"), request, knobs, now)
}

/// The page for the person, and the answer that it sends.
pub(crate) fn page(orgs: &mut Orgs, request: &Request, now: Timestamp) -> Response {
    let params = params(request);
    let code = param(&params, "user_code").trim().to_ascii_uppercase();
    let found = orgs.values_mut().find_map(|state| {
        let org = state.org.name.clone();
        let waiting = state.devices.values_mut().find(|device| device.is_waiting(&code, now))?;
        Some((org, waiting))
    });
    match (request.method, found, param(&params, "answer")) {
        ("GET", None, _) if code.is_empty() => html(200, &asks_for_code("")),
        ("GET" | "POST", None, _) => {
            html(404, &asks_for_code("<p>No device waits with this code. Type it again.</p>"))
        }
        ("GET", Some((org, device)), _) => html(200, &asks_for_answer(&org, device)),
        ("POST", Some((_, device)), answer @ ("approve" | "deny")) => {
            device.approved = Some(answer == "approve");
            let said = if answer == "approve" { "approved" } else { "denied" };
            html(200, &format!("<p>You have {said} this device. You can close this page.</p>"))
        }
        ("POST", Some((org, device)), _) => html(400, &asks_for_answer(&org, device)),
        _ => html(405, "<p>This page knows GET and POST.</p>"),
    }
}

/// `POST /oauth/v2/token/revoke`.
pub(crate) fn revoke(orgs: &mut Orgs, request: &Request) -> Response {
    let params = params(request);
    let token = param(&params, "token");
    let holds = |state: &&mut OrgState| state.refresh_tokens.iter().any(|known| known == token);
    match orgs.values_mut().find(holds) {
        Some(state) => {
            state.revoke(token);
            json_response(200, &json!({ "status": "success" }))
        }
        None => json_response(400, &json!({ "error": "invalid_token" })),
    }
}

impl OrgState {
    fn polled(&mut self, code: &str, request: &Request, knobs: &Knobs, now: Timestamp) -> Response {
        let Some(device) = self.devices.get_mut(code) else { return refused("invalid_code") };
        if device.ends <= now {
            return refused("expired");
        }
        let soonest = device.polled.map(|polled| time::after(polled, knobs.device_interval.0));
        device.polled = Some(now);
        if soonest.is_some_and(|soonest| now < soonest) {
            return refused("slow_down");
        }
        match device.approved {
            None => return refused("authorization_pending"),
            Some(false) => return refused("access_denied"),
            Some(true) => {}
        }
        if let Some(location) = &knobs.device_location
            && DataCenter::find(location).is_none_or(|center| center.accounts_url != request.base)
        {
            return json_response(200, &json!({ "error": "other_dc", "user_location": location }));
        }
        self.devices.remove(code);
        match self.granted(knobs, now) {
            Ok(grant) => json_response(200, &reply(&grant, knobs, &request.base)),
            Err(response) => response,
        }
    }
}

impl Device {
    fn is_waiting(&self, user_code: &str, now: Timestamp) -> bool {
        self.user_code == user_code && self.ends > now && self.approved.is_none()
    }
}

impl DeviceUnits {
    fn number(self, length: Duration) -> Value {
        match self {
            DeviceUnits::Milliseconds => json!(length.as_millis() as u64),
            DeviceUnits::Seconds => json!(length.as_secs()),
        }
    }
}

/// Eight characters that a person can type: `3F9A-01BC`.
fn user_code(device_code: &str) -> String {
    let digits = Fingerprint::of(&["user code", device_code]).to_string().to_ascii_uppercase();
    format!("{}-{}", &digits[..4], &digits[4..8])
}

fn asks_for_code(said: &str) -> String {
    format!(
        "{said}<form action=\"{PAGE}\"><p><label>The code that your device shows: \
         <input name=\"user_code\" autofocus></label> <button>Go on</button></p></form>"
    )
}

fn asks_for_answer(org: &str, device: &Device) -> String {
    let Device { user_code, scopes, ends: _, approved: _, polled: _ } = device;
    format!(
        "<p>A device with the code <b>{}</b> asks for access to the org <b>{}</b>: {}.</p>\
         <form method=\"post\" action=\"{PAGE}\"><input type=\"hidden\" name=\"user_code\" value=\"{}\">\
         <p><button name=\"answer\" value=\"approve\">Approve</button> \
         <button name=\"answer\" value=\"deny\">Deny</button></p></form>",
        escaped(user_code),
        escaped(org),
        escaped(scopes),
        escaped(user_code),
    )
}

fn html(status: u16, content: &str) -> Response {
    let body = format!(
        "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><title>Simulated Zoho</title>\
         <body style=\"font: 1.1em sans-serif; margin: 3em\"><h1>Simulated Zoho</h1>{content}</body></html>\n"
    );
    let headers = vec![("content-type".to_owned(), "text/html;charset=UTF-8".to_owned())];
    Response { status, headers, body: body.into_bytes() }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn params(request: &Request) -> Vec<(String, String)> {
    let mut params = form::of(request);
    params.extend(request.query.iter().cloned());
    params
}

fn param<'p>(params: &'p [(String, String)], name: &str) -> &'p str {
    params.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.as_str())
}

/// Where a person approves.
pub(crate) const PAGE: &str = "/oauth/v3/device";
/// How long an ended device code is still answered with `expired`.
const ENDED_KEPT: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use super::super::knobs::Length;
    use super::super::testing::{BASE, World, body};
    use super::*;

    const BEGIN: &str = "client_id=1000.SIMA&grant_type=device_request&scope=ZohoCRM.notifications.ALL\
                         &access_type=offline&prompt=consent";

    fn call(world: &mut World, method: &'static str, path: &str, form: &str) -> Response {
        let request = Request {
            method,
            base: BASE.to_owned(),
            path: path.to_owned(),
            query: Vec::new(),
            headers: Vec::new(),
            body: form.as_bytes().to_vec(),
        };
        world.answer(&request).reply.response().cloned().expect("a response")
    }

    fn begun(world: &mut World) -> Value {
        body(&call(world, "POST", "/oauth/v3/device/code", BEGIN))
    }

    fn polled(world: &mut World, begun: &Value) -> Value {
        let code = begun["device_code"].as_str().unwrap();
        let form = format!(
            "client_id=1000.SIMA&client_secret=secret-a&grant_type=device_token&code={code}"
        );
        body(&call(world, "POST", "/oauth/v3/device/token", &form))
    }

    fn answer(world: &mut World, begun: &Value, answer: &str) -> u16 {
        let code = begun["user_code"].as_str().unwrap();
        call(world, "POST", PAGE, &format!("user_code={code}&answer={answer}")).status
    }

    #[test]
    fn a_device_waits_until_a_person_has_approved_it_on_the_page() {
        let mut world = World::new(Knobs::default());
        let begun = begun(&mut world);
        assert_eq!((&begun["interval"], &begun["expires_in"]), (&json!(5000), &json!(300_000)));
        let code = begun["user_code"].as_str().unwrap();
        assert_eq!(begun["verification_uri_complete"], format!("{BASE}{PAGE}?user_code={code}"));
        assert_eq!(polled(&mut world, &begun)["error"], "authorization_pending");
        assert_eq!(polled(&mut world, &begun)["error"], "slow_down");
        let shown = call(&mut world, "GET", PAGE, &format!("user_code={code}"));
        let shown = String::from_utf8(shown.body).unwrap();
        assert!(shown.contains(code) && shown.contains("ZohoCRM.notifications.ALL"), "{shown}");
        assert_eq!(answer(&mut world, &begun, "perhaps"), 400);
        assert_eq!(answer(&mut world, &begun, "approve"), 200);
        assert_eq!(answer(&mut world, &begun, "deny"), 404, "an answer stands");
        world.pass(5);
        let given = polled(&mut world, &begun);
        assert!(given["refresh_token"].is_string() && given["scope"].is_string(), "{given}");
        world.pass(5);
        assert_eq!(polled(&mut world, &begun)["error"], "invalid_code", "a code is for one use");
    }

    #[test]
    fn a_person_may_deny_and_a_code_ends() {
        let mut world = World::new(Knobs::default());
        let denied = begun(&mut world);
        assert_eq!(answer(&mut world, &denied, "deny"), 200);
        assert_eq!(polled(&mut world, &denied)["error"], "access_denied");
        let ended = begun(&mut world);
        world.pass(300);
        assert_eq!(answer(&mut world, &ended, "approve"), 404);
        assert_eq!(polled(&mut world, &ended)["error"], "expired");
    }

    #[test]
    fn knobs_answer_for_the_person_and_name_another_data_centre() {
        let mut world = World::new(Knobs {
            device_answer: DeviceAnswer::Approve,
            device_units: DeviceUnits::Seconds,
            device_interval: Length(Duration::from_secs(7)),
            device_location: Some("eu".to_owned()),
            ..Knobs::default()
        });
        let begun = begun(&mut world);
        assert_eq!((&begun["interval"], &begun["expires_in"]), (&json!(7), &json!(300)));
        let said = polled(&mut world, &begun);
        assert_eq!(said, json!({ "error": "other_dc", "user_location": "eu" }));
    }

    #[test]
    fn what_is_wrong_with_a_request_is_said() {
        let mut world = World::new(Knobs::default());
        for (form, error) in [
            (BEGIN.replace("SIMA", "SIMX"), "invalid_client"),
            (BEGIN.replace("device_request", "password"), "unsupported_grant_type"),
            (BEGIN.replace("notifications", "modules"), "invalid_scope"),
            (BEGIN.replace("ZohoCRM.notifications.ALL", ""), "invalid_scope"),
        ] {
            let said = body(&call(&mut world, "POST", "/oauth/v3/device/code", &form));
            assert_eq!(said["error"], error, "{form}");
        }
        let begun = begun(&mut world);
        let code = begun["device_code"].as_str().unwrap();
        let form =
            format!("client_id=1000.SIMA&client_secret=x&grant_type=device_token&code={code}");
        let said = body(&call(&mut world, "POST", "/oauth/v3/device/token", &form));
        assert_eq!(said["error"], "invalid_client_secret");
    }

    #[test]
    fn a_code_that_is_no_code_is_shown_as_text() {
        let mut world = World::new(Knobs::default());
        let shown = call(&mut world, "GET", PAGE, "user_code=%3Cscript%3E");
        assert_eq!(shown.status, 404);
        assert!(!String::from_utf8(shown.body).unwrap().contains("<SCRIPT>"));
        assert_eq!(escaped("<a href=\"&\">"), "&lt;a href=&quot;&amp;&quot;&gt;");
    }

    #[test]
    fn a_refresh_token_is_revoked_once() {
        let mut world = World::new(Knobs::default());
        let revoke = |world: &mut World| {
            body(&call(world, "POST", "/oauth/v2/token/revoke", "token=1000.refresh-a"))
        };
        assert_eq!(revoke(&mut world)["status"], "success");
        assert_eq!(revoke(&mut world)["error"], "invalid_token");
    }
}
