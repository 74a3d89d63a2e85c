//! The desk over a Unix socket: how the command line talks to a daemon that holds the store.
//!
//! HTTP with JSON bodies on `control.sock` in the state directory, mode 0660: who may open the
//! socket may use it, and that is looked at again when somebody does (`Peer`). Who asked for a
//! change is in the log. A body has a size and a time, there are only so many connections, and a
//! field that is there and null is refused. Paths: `GET /alive`, `/status`, `/summary`, `/gaps`,
//! `/backfill` and `/cluster`; `POST /plan`, `/explain`, `/apply`, `/reload`, `/renew`, `/adopt`,
//! `/pause`, `/resume`, `/gaps/ack`, `/backfill/recover`, `/backfill/settle` and `/cluster/evict`.
//! An error is `{"error": "..."}` with status 400, 409 when the plan is not the one that was asked
//! for, 422 when it is the config that cannot be used, or 500 when the daemon is at fault.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, Extension, FromRequest, Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::expose::serve::{self, ConnectionLimits};

use super::actions::{ELSEWHERE, UNKNOWN, VerbError};
use super::desk::{Desk, Use, Verb, WaitsFor};
use super::machines::{EvictRequest, MachinesRequest};
use super::recoveries::{RecoverRequest, RecoveriesRequest, SettleRequest};
use super::requests::{
    AckRequest, AdoptRequest, ApplyRequest, ExplainRequest, GapsRequest, PauseRequest, PlanRequest,
    ReloadRequest, RenewRequest, ResumeRequest, SlackRequest, StatusRequest, SummaryRequest,
};
use super::scheduler::chain;

/// The body of an error.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ErrorReply {
    /// The error, with its causes.
    pub error: String,
}

/// Where the socket of a state directory is.
pub(crate) fn socket_path(state_dir: &Path) -> PathBuf {
    state_dir.join("control.sock")
}

/// Opens the socket. One that a former process left behind is removed: the store's lock has already
/// shown that nobody uses it.
///
/// # Errors
/// When the socket cannot be made.
pub(crate) fn bind(state_dir: &Path) -> std::io::Result<UnixListener> {
    let path = socket_path(state_dir);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Answers until `shutdown`, whoever may open the socket at `door`.
pub(crate) async fn serve(
    listener: UnixListener,
    door: PathBuf,
    desk: Desk,
    shutdown: CancellationToken,
) {
    let router = axum::Router::new()
        .route(ALIVE, get(async || Json(())))
        .merge(verb::<StatusRequest>())
        .merge(verb::<SummaryRequest>())
        .merge(verb::<SlackRequest>())
        .merge(verb::<GapsRequest>())
        .merge(verb::<AckRequest>())
        .merge(verb::<RecoveriesRequest>())
        .merge(verb::<RecoverRequest>())
        .merge(verb::<SettleRequest>())
        .merge(verb::<PlanRequest>())
        .merge(verb::<ExplainRequest>())
        .merge(verb::<ApplyRequest>())
        .merge(verb::<ReloadRequest>())
        .merge(verb::<RenewRequest>())
        .merge(verb::<AdoptRequest>())
        .merge(verb::<PauseRequest>())
        .merge(verb::<ResumeRequest>())
        .merge(verb::<MachinesRequest>())
        .merge(verb::<EvictRequest>())
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(desk);
    serve::serve(listener, router, LIMITS, |stream| Peer::admitted(stream, &door), shutdown).await;
}

/// The process at the other end, as the kernel names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Peer {
    uid: u32,
    pid: Option<i32>,
}

impl Peer {
    /// The one at the other end, if it may use the socket.
    fn admitted(stream: &UnixStream, door: &Path) -> Option<Peer> {
        let credentials = stream.peer_cred().ok()?;
        let peer = Peer { uid: credentials.uid(), pid: credentials.pid() };
        let file = std::fs::symlink_metadata(door);
        let file = file.map(|file| DoorFile { mode: file.mode(), group: file.gid() }).ok();
        let own = rustix::process::geteuid().as_raw();
        if may_use(peer.uid, credentials.gid(), own, file) {
            return Some(peer);
        }
        warn!(
            uid = peer.uid,
            pid = peer.pid,
            "a user without permission was refused at the control socket"
        );
        None
    }
}

/// The socket's file, as the file system has it.
#[derive(Clone, Copy)]
struct DoorFile {
    mode: u32,
    group: u32,
}

/// True when a user and group may use a socket with this mode and group: its owner, root, and its
/// group. The kernel has already let in everybody that the mode allows, supplementary groups
/// included. Only a mode that was opened to others has to be made up for.
fn may_use(uid: u32, gid: u32, own: u32, door: Option<DoorFile>) -> bool {
    let by_group = |door: DoorFile| door.mode & 0o007 == 0 || gid == door.group;
    uid == own || uid == 0 || door.is_some_and(by_group)
}

/// Says who asked for a change.
async fn noted(Extension(peer): Extension<Peer>, request: Request, next: Next) -> Response {
    info!(verb = request.uri().path(), uid = peer.uid, pid = peer.pid, "a change was asked for");
    next.run(request).await
}

/// Returns whether a verb is asked by GET: what changes nothing and is made from memory.
pub(crate) fn is_get<V: Verb>() -> bool {
    V::USE == Use::Look && V::WAITS_FOR == WaitsFor::Nothing
}

/// The route of one verb.
fn verb<V: Verb>() -> axum::Router<Desk> {
    let by_query =
        async |State(desk): State<Desk>, Query(verb): Query<V>| answered(verb, &desk).await;
    let by_body =
        async |State(desk): State<Desk>, Posted(verb): Posted<V>| answered(verb, &desk).await;
    let route = if is_get::<V>() { get(by_query) } else { post(by_body) };
    let router = axum::Router::new().route(V::PATH, route);
    if V::USE == Use::Look { router } else { router.route_layer(from_fn(noted)) }
}

async fn answered<V: Verb>(verb: V, desk: &Desk) -> Result<Json<V::Answer>, BadRequest> {
    Ok(Json(verb.asked(desk).await?))
}

/// A body, read strictly; what cannot be read is refused in words like everything else.
struct Posted<T>(T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Posted<T> {
    type Rejection = BadRequest;

    async fn from_request(request: Request, state: &S) -> Result<Posted<T>, BadRequest> {
        let read = tokio::time::timeout(BODY_TIMEOUT, Json::from_request(request, state)).await;
        let late = |_elapsed| BadRequest {
            status: StatusCode::REQUEST_TIMEOUT,
            why: "the body took too long".to_owned(),
        };
        let Json(body): Json<Map<String, Value>> = read.map_err(late)??;
        let bad = |why: String| BadRequest { status: StatusCode::BAD_REQUEST, why };
        if let Some(field) = null_field(&body) {
            return Err(bad(format!("{field} is null: name one, or leave the field out")));
        }
        let body = serde_json::from_value(Value::Object(body));
        body.map(Posted).map_err(|error| bad(error.to_string()))
    }
}

/// A field that is there and says nothing, which could mean everything, or be a mistake.
fn null_field(body: &Map<String, Value>) -> Option<String> {
    body.iter().find_map(|(name, value)| match value {
        Value::Null => Some(name.clone()),
        Value::Object(inner) => null_field(inner).map(|field| format!("{name}.{field}")),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    })
}

impl From<JsonRejection> for BadRequest {
    fn from(rejection: JsonRejection) -> BadRequest {
        let status = match rejection.status() {
            // That word is kept for the config.
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            other => other,
        };
        BadRequest { status, why: rejection.body_text() }
    }
}

struct BadRequest {
    status: StatusCode,
    why: String,
}

/// The status of an error.
pub(super) struct ErrorStatus {
    /// For whoever asks over the socket.
    pub(super) for_people: StatusCode,
    /// For another machine that asks: it asks a third one when the account is elsewhere.
    pub(super) for_machines: u16,
}

/// The status by which an error is told.
pub(super) fn status_of(error: &VerbError) -> ErrorStatus {
    let for_people = match error {
        VerbError::Name(_)
        | VerbError::BadNote(_)
        | VerbError::NotThere { .. }
        | VerbError::NoStretch
        | VerbError::NoRecovery(_)
        | VerbError::NotHeld { .. }
        | VerbError::NoCluster
        | VerbError::NoMachine { .. }
        | VerbError::LastMachine(_) => StatusCode::BAD_REQUEST,
        VerbError::OtherPlan { .. } => StatusCode::CONFLICT,
        VerbError::BadConfig(_) => StatusCode::UNPROCESSABLE_ENTITY,
        VerbError::Stopping | VerbError::NoMemberYet => StatusCode::SERVICE_UNAVAILABLE,
        VerbError::Told { status, .. } if [ELSEWHERE, UNKNOWN].contains(status) => {
            StatusCode::BAD_REQUEST
        }
        VerbError::Told { status, .. } => {
            StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
        }
        VerbError::Zoho(_)
        | VerbError::Store(_)
        | VerbError::StoreFails(_)
        | VerbError::Engine(_)
        | VerbError::Unserved(_)
        | VerbError::ManyUnserved(_)
        | VerbError::Gone(_)
        | VerbError::Asked { .. }
        | VerbError::InPart { .. }
        | VerbError::NotFollowed(_)
        | VerbError::Died(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let for_machines = match error {
        error if error.is_for_another_machine() => ELSEWHERE,
        error if error.is_unknown_name() => UNKNOWN,
        _ => for_people.as_u16(),
    };
    ErrorStatus { for_people, for_machines }
}

impl From<VerbError> for BadRequest {
    fn from(error: VerbError) -> BadRequest {
        BadRequest { status: status_of(&error).for_people, why: chain(&error) }
    }
}

impl IntoResponse for BadRequest {
    fn into_response(self) -> Response {
        (self.status, Json(ErrorReply { error: self.why })).into_response()
    }
}

/// Answered by whoever runs, without looking at anything.
pub(crate) const ALIVE: &str = "/alive";
const BODY_MAX: usize = 64 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// A pass that somebody waits for takes as long as it takes.
const LIMITS: ConnectionLimits = ConnectionLimits { connections: 32, life: None };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_there_and_null_is_found_however_deep() {
        let table = [
            (r#"{}"#, None),
            (r#"{"channel": "orders", "which": {}}"#, None),
            (r#"{"channel": null}"#, Some("channel")),
            (r#"{"which": {"account": "acme", "channel": null}}"#, Some("which.channel")),
        ];
        for (body, field) in table {
            let body = serde_json::from_str(body).unwrap();
            assert_eq!(null_field(&body).as_deref(), field);
        }
    }

    #[test]
    fn the_socket_is_for_its_owner_its_group_and_root() {
        let (own, group) = (1000, 2000);
        let table = [
            ((1000, 5), 0o140_660, true),
            ((0, 0), 0o140_660, true),
            ((0, 0), 0o140_666, true),
            ((1001, 2000), 0o140_660, true),
            // By a supplementary group, which the kernel has looked at.
            ((1001, 1001), 0o140_660, true),
            ((1001, 2000), 0o140_666, true),
            ((1001, 1001), 0o140_666, false),
            ((65534, 65534), 0o140_777, false),
        ];
        for ((uid, gid), mode, may) in table {
            let door = Some(DoorFile { mode, group });
            assert_eq!(may_use(uid, gid, own, door), may, "{uid} {gid} {mode:o}");
        }
        assert!(may_use(1000, 5, own, None) && !may_use(1001, 2000, own, None));
    }
}
