//! `GET /users`: the users of an org (v2 to v8 *Get Users*).
//!
//! One user owns everything and is always there. The others are what a test said of the module
//! `users`; a deleted one is listed with the status `deleted`. A user has no bin to come back from.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::reply::{INVALID, bare, json_response};
use super::list::{ROWS_MAX, number, since};
use super::row::{USER_EMAIL, USER_NAME, View, display_name};
use super::store::{Deleted, Id, Module, Record};
use crate::model::exchange::{Request, Response};

/// The module under which notifications speak of users.
pub(crate) const USERS: &str = "users";

/// The page that a call asks for.
pub(crate) fn list(held: &Module, request: &Request, view: &View<'_>) -> Response {
    match page(held, request, view) {
        Ok(response) | Err(response) => response,
    }
}

/// `GET /users/{id}`.
pub(crate) fn one(held: &Module, id: &str, view: &View<'_>) -> Response {
    match all(held, view).into_iter().find(|user| user.id == id) {
        Some(user) => json_response(200, &json!({ USERS: [user.row(view)] })),
        None => Response::empty(204),
    }
}

fn page(held: &Module, request: &Request, view: &View<'_>) -> Result<Response, Response> {
    let kind = UserKind::of(request)?;
    let since = since(request, view)?;
    let (page, per_page) =
        (number(request, "page", 1)?, number(request, "per_page", ROWS_MAX)?.min(ROWS_MAX));
    let knobs = &view.knobs.records;
    let mut users = all(held, view);
    users.retain(|user| kind.holds(user) && knobs.is_since(user.modified, since));
    let mut rows = users.iter().skip((page - 1).saturating_mul(per_page));
    let listed: Vec<Value> = rows.by_ref().take(per_page).map(|user| user.row(view)).collect();
    if listed.is_empty() {
        return Ok(Response::empty(if since.is_some() { knobs.unchanged_status } else { 204 }));
    }
    let info = json!({
        "per_page": per_page,
        "count": listed.len(),
        "page": page,
        "more_records": rows.next().is_some(),
    });
    Ok(json_response(200, &json!({ USERS: listed, "info": info })))
}

struct User {
    id: String,
    name: String,
    first_name: Value,
    email: String,
    status: String,
    profile: &'static str,
    created: Timestamp,
    modified: Timestamp,
}

/// Every user, the owner first.
fn all(held: &Module, view: &View<'_>) -> Vec<User> {
    let deleted = held.deleted.iter().map(|(id, deleted)| User::deleted(*id, deleted, view));
    let there = held.rows.iter().map(|(id, record)| User::of(*id, record));
    std::iter::once(User::owner(view)).chain(there).chain(deleted).collect()
}

impl User {
    fn owner(view: &View<'_>) -> User {
        User {
            id: view.user_id(),
            name: USER_NAME.to_owned(),
            first_name: Value::Null,
            email: USER_EMAIL.to_owned(),
            status: ACTIVE.to_owned(),
            profile: ADMINISTRATOR,
            created: FOUNDED,
            modified: FOUNDED,
        }
    }

    fn of(id: Id, record: &Record) -> User {
        let text = |field: &str| record.value(field).and_then(Value::as_str).map(str::to_owned);
        User {
            id: id.to_string(),
            name: display_name(USERS, id, record),
            first_name: record.value("first_name").cloned().unwrap_or_default(),
            email: text("email").unwrap_or_else(|| format!("user{id}@example.com")),
            status: text("status").unwrap_or_else(|| ACTIVE.to_owned()),
            profile: "Standard",
            created: record.created,
            modified: record.modified,
        }
    }

    fn deleted(id: Id, deleted: &Deleted, view: &View<'_>) -> User {
        let user = User::of(id, deleted.record());
        let moves = view.knobs.records.user_deletion_modifies;
        let modified = if moves { deleted.at } else { user.modified };
        User { status: DELETED.to_owned(), modified, ..user }
    }

    fn row(&self, view: &View<'_>) -> Value {
        let by = json!({ "name": USER_NAME, "id": view.user_id() });
        let low = |low: u64| format!("{}{low:012}", view.digits);
        json!({
            "id": self.id,
            "full_name": self.name,
            "first_name": self.first_name,
            "last_name": self.name,
            "email": self.email,
            "status": self.status,
            "confirm": true,
            "role": { "name": "CEO", "id": low(26_005) },
            "profile": { "name": self.profile, "id": low(26_011) },
            "created_time": view.knobs.echo(self.created),
            "Modified_Time": view.knobs.echo(self.modified),
            "created_by": by,
            "Modified_By": by,
            "locale": "en_US",
            "zuid": null,
        })
    }
}

/// The users that a call asks for by its `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UserKind {
    All,
    Active,
    Inactive,
    Deleted,
    Unconfirmed,
    Admins,
    Own,
}

impl UserKind {
    fn of(request: &Request) -> Result<UserKind, Response> {
        Ok(match request.param("type") {
            None | Some("AllUsers") => UserKind::All,
            Some("ActiveUsers" | "ConfirmedUsers" | "ActiveConfirmedUsers") => UserKind::Active,
            Some("DeactiveUsers") => UserKind::Inactive,
            Some("DeletedUsers") => UserKind::Deleted,
            Some("NotConfirmedUsers") => UserKind::Unconfirmed,
            Some("AdminUsers" | "ActiveConfirmedAdmins") => UserKind::Admins,
            Some("CurrentUser") => UserKind::Own,
            Some(_) => {
                return Err(bare(400, "INVALID_DATA", INVALID, &json!({ "param_name": "type" })));
            }
        })
    }

    /// Everybody here has confirmed the invitation.
    fn holds(self, user: &User) -> bool {
        match self {
            UserKind::All => true,
            UserKind::Active => user.status == ACTIVE,
            UserKind::Inactive => user.status != ACTIVE && user.status != DELETED,
            UserKind::Deleted => user.status == DELETED,
            UserKind::Unconfirmed => false,
            UserKind::Admins | UserKind::Own => user.profile == ADMINISTRATOR,
        }
    }
}

const ACTIVE: &str = "active";
const DELETED: &str = "deleted";
const ADMINISTRATOR: &str = "Administrator";
/// When the owner of everything came, which is before anything that a test asks for.
const FOUNDED: Timestamp = Timestamp::constant(1_262_304_000, 0);

#[cfg(test)]
mod tests;
