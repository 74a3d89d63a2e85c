//! `GET /{Module}/deleted`: what was deleted, while it is in the recycle bin and for some time
//! after (v7 *Get Deleted Records*).
//!
//! Pages and no tokens, no sort, and `If-Modified-Since` by `deleted_time`. Nothing says when a
//! deleted record was created; of one that is gone for good nothing says who it was.

use std::ops::Bound;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::reply::{bare, json_response};
use super::knobs::{DeletedOrder, PurgeTime};
use super::list::{ROWS_MAX, number, since};
use super::row::{USER_NAME, View, display_name};
use super::store::{Deleted, Id, Module, Standing};
use crate::model::exchange::{Request, Response};
use crate::model::time;

/// The page that a call asks for.
pub(crate) fn list(module: &Module, name: &str, request: &Request, view: &View<'_>) -> Response {
    match page(module, name, request, view) {
        Ok(response) | Err(response) => response,
    }
}

fn page(
    module: &Module,
    name: &str,
    request: &Request,
    view: &View<'_>,
) -> Result<Response, Response> {
    let kind = kind(request)?;
    let since = since(request, view)?;
    let (page, per_page) =
        (number(request, "page", 1)?, number(request, "per_page", ROWS_MAX)?.min(ROWS_MAX));
    let listed = |(id, deleted): (Id, &'_ Deleted)| {
        let knobs = &view.knobs.records;
        let standing = deleted.standing(knobs, view.now)?;
        let at = match (standing, knobs.purge_time) {
            (Standing::Permanent(purged), PurgeTime::Moved) => purged,
            (Standing::Permanent(_), PurgeTime::Kept) | (Standing::Recycle, _) => deleted.at,
        };
        let is_shown = kind.holds(standing)
            && knobs.is_since(at, since)
            && time::after(at, knobs.lag.0) <= view.now;
        is_shown.then(|| row(name, (id, deleted), (standing, at), view))
    };
    let before = (page - 1).saturating_mul(per_page);
    let mut rows = sorted(module, since, view).filter_map(listed).skip(before);
    let data: Vec<Value> = rows.by_ref().take(per_page).collect();
    if data.is_empty() {
        let unchanged = view.knobs.records.deleted_unchanged_status;
        return Ok(Response::empty(if since.is_some() { unchanged } else { 204 }));
    }
    let info = json!({
        "per_page": per_page,
        "count": data.len(),
        "page": page,
        "more_records": rows.next().is_some(),
    });
    Ok(json_response(200, &json!({ "data": data, "info": info })))
}

type DeletedRows<'a> = Box<dyn Iterator<Item = (Id, &'a Deleted)> + 'a>;

fn sorted<'a>(module: &'a Module, since: Option<Timestamp>, view: &View<'_>) -> DeletedRows<'a> {
    let knobs = &view.knobs.records;
    // A time that moves with the purge is later than the one in the index.
    let from = since.filter(|_| knobs.purge_time == PurgeTime::Kept).unwrap_or(Timestamp::MIN);
    let by_id = module.deleted.iter().map(|(id, deleted)| (*id, deleted));
    let found = module.by_deleted.range((Bound::Included((from, 0)), Bound::Unbounded));
    let by_time = found.filter_map(|(_, id)| Some((*id, module.deleted.get(id)?)));
    match knobs.deleted_order {
        DeletedOrder::NewestId => Box::new(by_id.rev()),
        DeletedOrder::OldestId => Box::new(by_id),
        DeletedOrder::Latest => Box::new(by_time.rev()),
        DeletedOrder::Earliest => Box::new(by_time),
    }
}

fn row(
    module: &str,
    (id, deleted): (Id, &Deleted),
    (standing, at): (Standing, Timestamp),
    view: &View<'_>,
) -> Value {
    let (user, name, kind) = match standing {
        Standing::Recycle => {
            let user = json!({ "name": USER_NAME, "id": view.user_id() });
            (user, json!(display_name(module, id, deleted.record())), "recycle")
        }
        Standing::Permanent(_) => (Value::Null, Value::Null, "permanent"),
    };
    json!({
        "deleted_by": user,
        "id": id.to_string(),
        "display_name": name,
        "type": kind,
        "created_by": user,
        "deleted_time": view.knobs.echo(at),
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DeletedKind {
    All,
    Recycle,
    Permanent,
}

impl DeletedKind {
    fn holds(self, standing: Standing) -> bool {
        match (self, standing) {
            (DeletedKind::All, _)
            | (DeletedKind::Recycle, Standing::Recycle)
            | (DeletedKind::Permanent, Standing::Permanent(_)) => true,
            (DeletedKind::Recycle, Standing::Permanent(_))
            | (DeletedKind::Permanent, Standing::Recycle) => false,
        }
    }
}

fn kind(request: &Request) -> Result<DeletedKind, Response> {
    match request.param("type") {
        None | Some("all") => Ok(DeletedKind::All),
        Some("recycle") => Ok(DeletedKind::Recycle),
        Some("permanent") => Ok(DeletedKind::Permanent),
        Some(_) => {
            let message = "Please check whether the input values are correct";
            Err(bare(400, "PATTERN_NOT_MATCHED", message, &json!({ "param_name": "type" })))
        }
    }
}

#[cfg(test)]
mod tests;
