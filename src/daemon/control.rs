//! The verbs over a Unix socket: how the command line talks to a daemon that holds the store.
//!
//! HTTP with JSON bodies on `control.sock` in the state directory, mode 0660: who may open the
//! socket may use it, and that is looked at again when somebody does (`Peer`). Who asked for a
//! change is in the log. A body has a size and a time, and there are only so many connections.
//! Paths: `GET /status`, `/summary` and `/gaps`; `POST /plan`, `/explain`, `/apply`, `/renew`,
//! `/adopt`, `/pause`, `/resume` and `/gaps/ack`. An error is `{"error": "..."}` with status 400,
//! 409 when the plan is not the one that was asked for, 422 when it is the config that cannot be
//! used, or 500 when the daemon is at fault.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::expose::serve::{self, Limits};
use crate::expose::status::StatusView;
use crate::expose::summary::Summary;
use crate::model::time::{after, whole_seconds};
use crate::plan::explain::Explanation;
use crate::plan::render::PlansView;
use crate::store::Store;

use super::fleet::Fleet;
use super::run::{Reader, ReloadRequest};
use super::scheduler::{Links, chain};
use super::verbs::{
    self, AckRequest, Acked, Applied, GapsRequest, Missed, PauseView, Target, VerbError, Which,
};

/// What the verbs need of the daemon.
#[derive(Clone)]
pub struct Desk {
    /// The scheduler.
    pub links: Links,
    /// The memory.
    pub store: Store,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The config file.
    pub reader: Arc<Reader>,
    /// Puts it in force.
    pub reloads: mpsc::Sender<ReloadRequest>,
}

/// The body of `POST /apply`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// Which accounts.
    #[serde(default)]
    pub which: Which,
    /// Whether the removals that are held now are allowed.
    #[serde(default)]
    pub allow_removals: bool,
    /// The checksum of the only plan that is to be carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
}

/// The body of `POST /explain`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// `[ACCOUNT/]CHANNEL`.
    pub channel: String,
}

/// The body of `POST /pause`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PauseRequest {
    /// An account, a channel, or everything.
    #[serde(default)]
    pub target: Option<String>,
    /// For how many seconds; until it is resumed when it is left out.
    #[serde(default)]
    pub seconds: Option<u64>,
}

/// The body of `POST /resume`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResumeRequest {
    /// An account, a channel, or everything.
    #[serde(default)]
    pub target: Option<String>,
}

/// The body of `POST /adopt`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdoptRequest {
    /// The channel's name.
    pub channel: String,
}

/// The body of an error.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorReply {
    /// What went wrong, with its causes.
    pub error: String,
}

/// Where the socket of a state directory is.
pub fn socket_path(state_dir: &Path) -> PathBuf {
    state_dir.join("control.sock")
}

/// Opens the socket. One that a former process left behind is removed: the store's lock has already
/// shown that nobody uses it.
///
/// # Errors
/// When the socket cannot be made.
pub fn bind(state_dir: &Path) -> std::io::Result<UnixListener> {
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
pub async fn serve(listener: UnixListener, door: PathBuf, desk: Desk, shutdown: CancellationToken) {
    let changes = axum::Router::new()
        .route("/gaps/ack", post(ack))
        .route("/apply", post(apply))
        .route("/renew", post(renew))
        .route("/adopt", post(adopt))
        .route("/pause", post(pause))
        .route("/resume", post(resume))
        .route_layer(from_fn(noted));
    let router = axum::Router::new()
        .route("/status", get(status))
        .route("/summary", get(summary))
        .route("/gaps", get(gaps))
        .route("/plan", post(plan))
        .route("/explain", post(explain))
        .merge(changes)
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
        let file = std::fs::symlink_metadata(door).map(|file| (file.mode(), file.gid())).ok();
        if may_use((peer.uid, credentials.gid()), rustix::process::geteuid().as_raw(), file) {
            return Some(peer);
        }
        warn!(uid = peer.uid, pid = peer.pid, "somebody who may not was at the control socket");
        None
    }
}

/// Whether a user and group may use a socket with this mode and group: its owner, root, and its
/// group. The kernel has let in whoever the mode lets in, supplementary groups and all; so only a
/// mode that was opened to others has to be made up for.
fn may_use((uid, gid): (u32, u32), own: u32, file: Option<(u32, u32)>) -> bool {
    let by_group = |(mode, group): (u32, u32)| mode & 0o007 == 0 || gid == group;
    uid == own || uid == 0 || file.is_some_and(by_group)
}

/// Says who asked for a change.
async fn noted(Extension(peer): Extension<Peer>, request: Request, next: Next) -> Response {
    info!(verb = request.uri().path(), uid = peer.uid, pid = peer.pid, "a change was asked for");
    next.run(request).await
}

async fn status(State(desk): State<Desk>) -> Json<StatusView> {
    let overview = desk.links.overview.borrow().clone();
    Json(StatusView::of(&overview, desk.links.pulse.age(&*desk.clock), desk.clock.now()))
}

async fn gaps(
    State(desk): State<Desk>,
    Query(request): Query<GapsRequest>,
) -> Result<Json<Vec<Missed>>, Refusal> {
    let fleet = desk.links.fleet.borrow().clone();
    Ok(Json(verbs::gaps(&fleet, &desk.store, &request, desk.clock.now())?))
}

async fn summary(State(desk): State<Desk>) -> Json<Summary> {
    let overview = desk.links.overview.borrow().clone();
    Json(Summary::of(&overview, desk.links.pulse.age(&*desk.clock), desk.clock.now()))
}

async fn ack(
    State(desk): State<Desk>,
    Asked(request): Asked<AckRequest>,
) -> Result<Json<Vec<Acked>>, Refusal> {
    let fleet = desk.links.fleet.borrow().clone();
    Ok(Json(verbs::ack(&fleet, &desk.store, &request, desk.clock.now())?))
}

/// What `apply` would do: the config file is read afresh and not put in force.
async fn plan(
    State(desk): State<Desk>,
    Asked(which): Asked<Which>,
) -> Result<Json<PlansView>, Refusal> {
    Ok(Json(verbs::plan_views(&desk.read()?, &desk.store, &which).await?))
}

/// Of one channel of that same plan.
async fn explain(
    State(desk): State<Desk>,
    Asked(request): Asked<ExplainRequest>,
) -> Result<Json<Explanation>, Refusal> {
    Ok(Json(verbs::explain(&desk.read()?, &desk.store, &request.channel).await?))
}

async fn apply(
    State(desk): State<Desk>,
    Asked(request): Asked<ApplyRequest>,
) -> Result<Json<Vec<Applied>>, Refusal> {
    if let Some(wanted) = &request.plan {
        verbs::expect_plan(&desk.read()?, &desk.store, &request.which, wanted).await?;
    }
    desk.reload().await?;
    if request.allow_removals {
        verbs::allow_removals(&desk.read()?, &desk.store, &request.which).await?;
    }
    desk.pass("apply", &request.which).await
}

async fn renew(
    State(desk): State<Desk>,
    Asked(which): Asked<Which>,
) -> Result<Json<Vec<Applied>>, Refusal> {
    let fleet = desk.links.fleet.borrow().clone();
    verbs::ask_renewal(&fleet, &desk.store, &which, desk.clock.now())?;
    desk.pass("renew", &which).await
}

async fn adopt(
    State(desk): State<Desk>,
    Asked(request): Asked<AdoptRequest>,
) -> Result<Json<Vec<Applied>>, Refusal> {
    let fleet = desk.links.fleet.borrow().clone();
    verbs::adopt(&fleet, &desk.store, &request.channel).await?;
    desk.pass("adopt", &Which { account: None, channel: Some(request.channel) }).await
}

async fn pause(
    State(desk): State<Desk>,
    Asked(request): Asked<PauseRequest>,
) -> Result<Json<Vec<PauseView>>, Refusal> {
    let fleet = desk.links.fleet.borrow().clone();
    let target = verbs::target(&fleet, request.target.as_deref())?;
    let now = desk.clock.now();
    let until =
        request.seconds.map(|seconds| whole_seconds(after(now, Duration::from_secs(seconds))));
    verbs::pause(&desk.store, &target, now, until)?;
    let Json(_passes) = desk.pass_over(&target, "pause").await?;
    let overview = desk.links.overview.borrow().clone();
    let reports = target.accounts.keys().filter_map(|name| overview.accounts.get(name)?.as_deref());
    Ok(Json(reports.map(|report| PauseView::of(report, &target, until)).collect()))
}

async fn resume(
    State(desk): State<Desk>,
    Asked(request): Asked<ResumeRequest>,
) -> Result<Json<Vec<Applied>>, Refusal> {
    let fleet = desk.links.fleet.borrow().clone();
    let target = verbs::target(&fleet, request.target.as_deref())?;
    verbs::resume(&desk.store, &target)?;
    desk.pass_over(&target, "resume").await
}

impl Desk {
    async fn pass_over(&self, target: &Target, why: &str) -> Result<Json<Vec<Applied>>, Refusal> {
        let only = target.accounts.keys().next().filter(|_| target.accounts.len() == 1);
        let which = Which { account: only.map(ToString::to_string), channel: None };
        self.pass(why, &which).await
    }

    /// The fleet of the file as it stands now, which is not put in force.
    fn read(&self) -> Result<Fleet, Refusal> {
        let former = self.links.fleet.borrow().clone();
        Ok(self.reader.read(&former).map_err(|problems| bad_config(&problems))?.fleet)
    }

    async fn reload(&self) -> Result<(), Refusal> {
        let stopping = || Refusal {
            status: StatusCode::SERVICE_UNAVAILABLE,
            why: "the daemon is stopping".to_owned(),
        };
        let (answer, answered) = oneshot::channel();
        self.reloads.send(answer).await.map_err(|_| stopping())?;
        answered.await.map_err(|_| stopping())?.map_err(|problems| bad_config(&problems))
    }

    /// Wakes the chosen accounts, waits for their passes and says what came of them.
    async fn pass(&self, why: &str, which: &Which) -> Result<Json<Vec<Applied>>, Refusal> {
        let chosen = self.links.fleet.borrow().clone().chosen(which)?;
        let all = which.account.is_none() && which.channel.is_none();
        let account = chosen.keys().next().filter(|_| !all).cloned();
        if !self.links.wakes.wake_and_wait(account, why).await {
            return Err(Refusal {
                status: StatusCode::SERVICE_UNAVAILABLE,
                why: "the daemon is stopping".to_owned(),
            });
        }
        let overview = self.links.overview.borrow().clone();
        if let Some(why) = &overview.store_failed {
            return Err(Refusal { status: StatusCode::INTERNAL_SERVER_ERROR, why: why.clone() });
        }
        let reports = chosen.keys().filter_map(|name| overview.accounts.get(name)?.as_deref());
        Ok(Json(reports.map(Applied::of).collect()))
    }
}

/// A body, read strictly; what cannot be read is refused in words like everything else.
struct Asked<T>(T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Asked<T>, Refusal> {
        let read = tokio::time::timeout(BODY_TIMEOUT, Json::from_request(request, state)).await;
        let late = |_elapsed| Refusal {
            status: StatusCode::REQUEST_TIMEOUT,
            why: "the body took too long".to_owned(),
        };
        let Json(body): Json<Map<String, Value>> = read.map_err(late)??;
        let body = serde_json::from_value(Value::Object(body));
        let bad = |error: serde_json::Error| Refusal {
            status: StatusCode::BAD_REQUEST,
            why: error.to_string(),
        };
        body.map(Asked).map_err(bad)
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Refusal {
        let status = match rejection.status() {
            // That word is kept for the config.
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            other => other,
        };
        Refusal { status, why: rejection.body_text() }
    }
}

fn bad_config(problems: &[String]) -> Refusal {
    let why = format!("the config cannot be used:\n  {}", problems.join("\n  "));
    Refusal { status: StatusCode::UNPROCESSABLE_ENTITY, why }
}

struct Refusal {
    status: StatusCode,
    why: String,
}

impl From<VerbError> for Refusal {
    fn from(error: VerbError) -> Refusal {
        let status = match &error {
            VerbError::NoAccount(..)
            | VerbError::NoChannel(_)
            | VerbError::Unusable(..)
            | VerbError::Ambiguous(_)
            | VerbError::NeitherNor(_)
            | VerbError::BadNote(_)
            | VerbError::NotThere { .. } => StatusCode::BAD_REQUEST,
            VerbError::OtherPlan { .. } => StatusCode::CONFLICT,
            VerbError::Zoho(_) | VerbError::Store(_) | VerbError::Died(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Refusal { status, why: chain(&error) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(ErrorReply { error: self.why })).into_response()
    }
}

const BODY_MAX: usize = 64 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// A pass that somebody waits for takes as long as it takes.
const LIMITS: Limits = Limits { connections: 32, life: None };

#[cfg(test)]
mod tests {
    use super::*;

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
        for (peer, mode, may) in table {
            assert_eq!(may_use(peer, own, Some((mode, group))), may, "{peer:?} {mode:o}");
        }
        assert!(may_use((1000, 5), own, None) && !may_use((1001, 2000), own, None));
    }
}
