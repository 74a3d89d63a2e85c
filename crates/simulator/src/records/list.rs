//! `GET /{Module}`: records by page, sorted, and those changed since a time alone.
//!
//! From v3 on `fields` is mandatory, `page` reaches 2,000 records and `page_token` 100,000 (v7 *Get
//! Records*). Converted leads are left out unless `converted` asks for them. Without a record the
//! answer has no body: 204, or 304 with `If-Modified-Since`.

use std::collections::BTreeSet;
use std::ops::Bound;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::reply::{INVALID, bare, json_response};
use super::knobs::PageToken as Tokens;
use super::page_token::{Key, PageToken, Place};
use super::row::View;
use super::store::{Id, Module, Record};
use crate::model::exchange::{Request, Response};
use crate::model::time;
use crate::model::version::ApiVersion;

/// The page that a call asks for.
pub(crate) fn list(module: &Module, name: &str, request: &Request, view: &View<'_>) -> Response {
    let query = match ListQuery::of(name, request, view) {
        Ok(query) => query,
        Err(refused) => return refused,
    };
    let mut rows = query.rows(module);
    let page: Vec<ListedRow<'_>> = rows.by_ref().take(query.per_page).collect();
    let Some(last) = page.last().copied() else {
        return Response::empty(match query.since {
            Some(_) => view.knobs.records.unchanged_status,
            None => 204,
        });
    };
    let more = rows.next().is_some();
    let data: Vec<Value> =
        page.iter().map(|row| view.row(name, *row, query.fields.as_deref())).collect();
    let info = query.info(request, (page.len(), last), more);
    json_response(200, &json!({ "data": data, "info": info }))
}

/// `GET /{Module}/{id}`.
pub(crate) fn one(
    module: &Module,
    (name, id): (&str, &str),
    request: &Request,
    view: &View<'_>,
) -> Response {
    let id: Option<Id> = id.parse().ok();
    let record = id.and_then(|id| Some((id, module.rows.get(&id)?)));
    let Some(row) = record else { return Response::empty(204) };
    let fields = request.param("fields").map(names);
    json_response(200, &json!({ "data": [view.row(name, row, fields.as_deref())] }))
}

/// The instant of an `If-Modified-Since`, if the call has one.
pub(crate) fn since(request: &Request, view: &View<'_>) -> Result<Option<Timestamp>, Response> {
    let Some(text) = request.header("if-modified-since") else { return Ok(None) };
    let fraction_is_wrong = text.contains('.') && !view.knobs.records.header_fractions;
    let iso = text.parse::<Timestamp>().ok().filter(|_| !fraction_is_wrong);
    // Seen to work on v2 alone.
    let http = || jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp());
    let read = iso.or_else(|| if view.has_tokens() { None } else { http() });
    read.map(Some).ok_or_else(|| {
        let details =
            json!({ "header_name": "If-Modified-Since", "expected_data_type": "datetime" });
        bare(400, "INVALID_DATA", INVALID, &details)
    })
}

/// A number in the query.
pub(crate) fn number(request: &Request, name: &str, default: usize) -> Result<usize, Response> {
    let Some(text) = request.param(name) else { return Ok(default) };
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| {
        let details = json!({ "param_name": name, "expected_data_type": "integer" });
        bare(400, "INVALID_DATA", INVALID, &details)
    })
}

type ListedRow<'a> = (Id, &'a Record);
type ListedRows<'a> = Box<dyn Iterator<Item = ListedRow<'a>> + 'a>;

struct ListQuery<'a> {
    view: &'a View<'a>,
    fields: Option<Vec<&'a str>>,
    since: Option<Timestamp>,
    converted: Option<bool>,
    ids: Option<BTreeSet<Id>>,
    sort: ListOrder<'a>,
    descending: bool,
    page: usize,
    per_page: usize,
    /// ListedRows that were given before.
    served: usize,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ListOrder<'a> {
    Id,
    Created,
    Modified,
    Field(&'a str),
}

impl<'a> ListQuery<'a> {
    fn of(
        module: &str,
        request: &'a Request,
        view: &'a View<'a>,
    ) -> Result<ListQuery<'a>, Response> {
        let per_page = number(request, "per_page", ROWS_MAX)?.min(ROWS_MAX);
        let page = number(request, "page", 1)?;
        let mut query = ListQuery {
            view,
            fields: fields(request, view)?,
            since: since(request, view)?,
            converted: converted(request)?,
            ids: request.param("ids").map(|ids| ids.split(',').filter_map(id).collect()),
            sort: sort(request, view)?,
            descending: descending(request)?,
            page,
            per_page,
            served: (page - 1).saturating_mul(per_page),
            place: Place::Offset((page - 1).saturating_mul(per_page)),
        };
        if query.sort == ListOrder::Modified && view.knobs.records.hides(module, "Modified_Time") {
            return Err(wrong("sort_by"));
        }
        match request.param("page_token").filter(|_| view.has_tokens()) {
            Some(_) if request.param("page").is_some() => return Err(ambiguous()),
            Some(token) => query.go_on(&PageToken::read(token, request, view)?)?,
            None if view.has_tokens() && page.saturating_mul(per_page) > BY_PAGE_MAX => {
                let message = "To retrieve more than 2000 records, use the page_token parameter";
                let details = json!({ "limit": BY_PAGE_MAX, "param_name": "page" });
                return Err(bare(400, "DISCRETE_PAGINATION_LIMIT_EXCEEDED", message, &details));
            }
            None => {}
        }
        Ok(query)
    }

    fn go_on(&mut self, token: &PageToken) -> Result<(), Response> {
        let reach = self.view.knobs.records.page_token_reach;
        if token.served >= reach {
            let message = "You have reached the maximum number of records that can be fetched";
            let details = json!({ "limit": reach, "param_name": "page_token" });
            return Err(bare(400, "PAGINATION_LIMIT_EXCEEDED", message, &details));
        }
        self.served = token.served;
        self.place = token.place;
        self.page = token.served / self.per_page + 1;
        Ok(())
    }

    /// The records that match, from the first of the page on.
    fn rows(&'a self, module: &'a Module) -> ListedRows<'a> {
        let matching = self.sorted(module).filter(|row| self.matches(*row));
        match self.place {
            Place::Offset(rows) => Box::new(matching.skip(rows)),
            Place::After(key) => {
                let is_before = move |row: &ListedRow<'a>| {
                    let own = self.key(*row);
                    if self.descending { own >= key } else { own <= key }
                };
                Box::new(matching.skip_while(is_before))
            }
        }
    }

    fn sorted(&self, module: &'a Module) -> ListedRows<'a> {
        let with_record = |id: Id| Some((id, module.rows.get(&id)?));
        let rows = module.rows.iter().map(|(id, record)| (*id, record));
        match self.sort {
            ListOrder::Id if self.descending => Box::new(rows.rev()),
            ListOrder::Id => Box::new(rows),
            ListOrder::Modified => {
                let from = self.since.unwrap_or(Timestamp::MIN);
                let range = (Bound::Included((from, 0)), Bound::Unbounded);
                let found = module.by_modified.range(range).map(|(_, id)| *id);
                if self.descending {
                    Box::new(found.rev().filter_map(with_record))
                } else {
                    Box::new(found.filter_map(with_record))
                }
            }
            ListOrder::Created => self.sorted_by(rows, |(id, record)| (record.created, id)),
            ListOrder::Field(field) => self.sorted_by(rows, |(id, record)| {
                (record.value(field).map(Value::to_string).unwrap_or_default(), id)
            }),
        }
    }

    fn sorted_by<K: Ord>(
        &self,
        rows: impl Iterator<Item = ListedRow<'a>>,
        key: impl Fn(ListedRow<'a>) -> K,
    ) -> ListedRows<'a> {
        let mut rows: Vec<ListedRow<'a>> = rows.collect();
        rows.sort_by_cached_key(|row| key(*row));
        if self.descending {
            rows.reverse();
        }
        Box::new(rows.into_iter())
    }

    fn matches(&self, (id, record): ListedRow<'_>) -> bool {
        let knobs = &self.view.knobs.records;
        self.converted.is_none_or(|wanted| wanted == record.converted)
            && self.ids.as_ref().is_none_or(|ids| ids.contains(&id))
            && knobs.is_since(record.modified, self.since)
            && time::after(record.modified, knobs.lag.0) <= self.view.now
    }

    /// By what a row stands in its place. Lists that have tokens are sorted by no other field.
    fn key(&self, (id, record): ListedRow<'_>) -> Key {
        let time = match self.sort {
            ListOrder::Created => record.created,
            ListOrder::Modified => record.modified,
            ListOrder::Id | ListOrder::Field(_) => Timestamp::UNIX_EPOCH,
        };
        Key { time, id }
    }

    fn info(&self, request: &Request, (count, last): (usize, ListedRow<'_>), more: bool) -> Value {
        if !self.view.has_tokens() {
            return json!({
                "per_page": self.per_page,
                "count": count,
                "page": self.page,
                "more_records": more,
            });
        }
        let served = self.served + count;
        let place = match self.view.knobs.records.page_token {
            Tokens::Offset => Place::Offset(served),
            Tokens::Key => Place::After(self.key(last)),
        };
        let token = more.then(|| PageToken::of(request, self.view, served, place));
        let expires = |token: &PageToken| self.view.knobs.echo(token.expires(self.view.knobs));
        json!({
            "per_page": self.per_page,
            "next_page_token": token.as_ref().map(PageToken::text),
            "count": count,
            "sort_by": self.sort.as_str(),
            "page": self.page,
            "previous_page_token": null,
            "page_token_expiry": token.as_ref().map(expires),
            "sort_order": if self.descending { "desc" } else { "asc" },
            "more_records": more,
        })
    }
}

impl ListOrder<'_> {
    fn as_str(&self) -> &str {
        match self {
            ListOrder::Id => "id",
            ListOrder::Created => "Created_Time",
            ListOrder::Modified => "Modified_Time",
            ListOrder::Field(name) => name,
        }
    }
}

fn fields<'a>(request: &'a Request, view: &View<'_>) -> Result<Option<Vec<&'a str>>, Response> {
    let Some(given) = request.param("fields").filter(|fields| !fields.is_empty()) else {
        if !view.has_tokens() {
            return Ok(None);
        }
        let message = "One of the expected parameter is missing";
        let details = json!({ "param_name": "fields", "param": "fields" });
        return Err(bare(400, "REQUIRED_PARAM_MISSING", message, &details));
    };
    let fields = names(given);
    if fields.len() > FIELDS_MAX && view.has_tokens() {
        let details = json!({ "param_name": "fields", "limit": FIELDS_MAX });
        return Err(bare(400, "LIMIT_EXCEEDED", "the number of fields is too large", &details));
    }
    Ok(Some(fields))
}

/// The records asked for by whether they were converted; both for none.
fn converted(request: &Request) -> Result<Option<bool>, Response> {
    match request.param("converted") {
        None | Some("false") => Ok(Some(false)),
        Some("true") => Ok(Some(true)),
        Some("both") => Ok(None),
        Some(_) => Err(wrong("converted")),
    }
}

fn sort<'a>(request: &'a Request, view: &View<'_>) -> Result<ListOrder<'a>, Response> {
    let any_field = matches!(view.version, ApiVersion::V1 | ApiVersion::V2);
    match request.param("sort_by") {
        None | Some("id") => Ok(ListOrder::Id),
        Some("Created_Time") => Ok(ListOrder::Created),
        Some("Modified_Time") => Ok(ListOrder::Modified),
        Some(field) if any_field && !view.has_tokens() => Ok(ListOrder::Field(field)),
        Some(_) => Err(wrong("sort_by")),
    }
}

fn descending(request: &Request) -> Result<bool, Response> {
    match request.param("sort_order") {
        None | Some("desc") => Ok(true),
        Some("asc") => Ok(false),
        Some(_) => Err(wrong("sort_order")),
    }
}

fn names(list: &str) -> Vec<&str> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty()).collect()
}

fn id(text: &str) -> Option<Id> {
    text.trim().parse().ok()
}

fn wrong(param: &str) -> Response {
    bare(400, "INVALID_DATA", INVALID, &json!({ "param_name": param }))
}

fn ambiguous() -> Response {
    let parts = ["page", "page_token"].map(|name| json!({ "param_name": name }));
    let details = json!({ "ambiguity_due_to": parts });
    let message = "ambiguity while processing the request";
    bare(400, "AMBIGUITY_DURING_PROCESSING", message, &details)
}

/// The most rows on a page.
pub(crate) const ROWS_MAX: usize = 200;
const FIELDS_MAX: usize = 50;
const BY_PAGE_MAX: usize = 2_000;

#[cfg(test)]
mod tests;
