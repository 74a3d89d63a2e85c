//! A page of a module's records, or of its deleted ones: asked for, and read.
//!
//! Leads that were converted are left out by Zoho unless they are asked for. Nothing changed is a
//! 304 or a 204. A row without `Modified_Time` (field security can hide it) makes the page useless:
//! nothing could be read on by it.

use serde::Deserialize;
use serde_json::Value;

use crate::model::exchange::{Request, Response};
use crate::model::records::{List, PAGE_MAX, Place, RecordRow, RecordsAsk, RecordsPage};
use crate::model::time::Timestamp;

use super::error::{Error, Kind};
use super::replies;
use super::veil::Veil;

/// The request for a page; `path` is that of the API with its version.
pub(super) fn request(base: &str, path: &str, ask: &RecordsAsk) -> Request {
    let RecordsAsk { module, list, since, place } = ask;
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let mut query = match list {
        List::Changed => vec![
            pair("fields", "Created_Time,Modified_Time"),
            pair("sort_by", "Modified_Time"),
            pair("sort_order", "asc"),
        ],
        List::Deleted => vec![pair("type", "all")],
    };
    if *list == List::Changed && module == LEADS {
        query.push(pair("converted", "both"));
    }
    query.push(pair("per_page", &PAGE_MAX.to_string()));
    query.push(match place {
        Place::Page(page) => pair("page", &page.to_string()),
        Place::Token(token) => pair("page_token", token),
    });
    let behind = match list {
        List::Changed => "",
        List::Deleted => "/deleted",
    };
    let since = since.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string();
    Request {
        method: "GET",
        base: base.to_owned(),
        path: format!("{path}/{module}{behind}"),
        query,
        headers: vec![("if-modified-since".to_owned(), since)],
        body: Vec::new(),
    }
}

/// The page in a response.
pub(super) fn read(list: List, response: &Response, veil: &Veil) -> Result<RecordsPage, Error> {
    match response.status {
        204 | 304 => return Ok(RecordsPage::default()),
        200 => {}
        _ => return Err(replies::status_error(OPERATION, false, response, veil)),
    }
    let Ok(body) = serde_json::from_slice::<ListBody>(&response.body) else {
        let why =
            if replies::is_page(response) { replies::A_PAGE } else { "it is no list of records" };
        let kind = Kind::Unreadable { status: response.status, why: why.to_owned() };
        return Err(Error { operation: OPERATION, writing: false, kind });
    };
    let ListBody { data, info } = body;
    let rows = data.iter().map(|row| read_row(list, row)).collect::<Option<Vec<RecordRow>>>();
    let rows = rows.ok_or_else(|| hidden(list))?;
    Ok(RecordsPage { rows, more: info.more_records, token: info.next_page_token })
}

#[derive(Deserialize)]
struct ListBody {
    data: Vec<Value>,
    #[serde(default)]
    info: Info,
}

#[derive(Default, Deserialize)]
struct Info {
    #[serde(default)]
    more_records: bool,
    #[serde(default)]
    next_page_token: Option<String>,
}

fn read_row(list: List, row: &Value) -> Option<RecordRow> {
    let id = match row.get("id")? {
        Value::String(id) => id.clone(),
        Value::Number(id) => id.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let time = |key: &str| row.get(key)?.as_str()?.parse::<Timestamp>().ok();
    let at = time(match list {
        List::Changed => "Modified_Time",
        List::Deleted => "deleted_time",
    })?;
    Some(RecordRow { id, at, created: time("Created_Time") })
}

/// No list of a module whose times are not shown can be read on.
fn hidden(list: List) -> Error {
    let field = match list {
        List::Changed => "Modified_Time",
        List::Deleted => "deleted_time",
    };
    let message = format!(
        "the records come without {field}: the module has none, or the user's profile does not show it"
    );
    let kind =
        Kind::Refused { status: 403, code: None, message, json_path: None, retry_after: None };
    Error { operation: OPERATION, writing: false, kind }
}

/// The operation, as errors and metrics name it.
pub(super) const OPERATION: &str = "records";
/// The module whose converted records a list leaves out.
const LEADS: &str = "Leads";

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(module: &str, list: List, place: Place) -> RecordsAsk {
        let since = "2026-03-01T10:00:00Z".parse().unwrap();
        RecordsAsk { module: module.to_owned(), list, since, place }
    }

    fn said(ask: &RecordsAsk) -> String {
        let request = request("https://www.zohoapis.eu", "/crm/v8", ask);
        let query = request.query.iter().map(|(key, value)| format!("{key}={value}"));
        let query = query.collect::<Vec<_>>().join("&");
        format!("{}?{query} {}", request.path, request.header("if-modified-since").unwrap())
    }

    #[test]
    fn a_page_is_asked_for_in_order_and_leads_with_those_that_were_converted() {
        assert_eq!(
            said(&ask("Deals", List::Changed, Place::Page(1))),
            "/crm/v8/Deals?fields=Created_Time,Modified_Time&sort_by=Modified_Time&sort_order=asc&per_page=200&page=1 \
             2026-03-01T10:00:00+00:00"
        );
        assert!(
            said(&ask("Leads", List::Changed, Place::Token("t".into())))
                .contains("&converted=both&per_page=200&page_token=t ")
        );
        assert_eq!(
            said(&ask("Leads", List::Deleted, Place::Page(2))),
            "/crm/v8/Leads/deleted?type=all&per_page=200&page=2 2026-03-01T10:00:00+00:00"
        );
    }

    fn answer(list: List, status: u16, body: &str) -> Result<RecordsPage, String> {
        let response = Response { status, headers: Vec::new(), body: body.as_bytes().to_vec() };
        read(list, &response, &Veil::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn rows_have_their_times_whatever_the_offset_and_nothing_is_an_empty_page() {
        let body = r#"{"data":[{"id":"7","Created_Time":"2026-03-01T12:00:00+02:00",
            "Modified_Time":"2026-03-01T10:00:05Z"},{"id":8,"Modified_Time":"2026-03-01T10:00:06Z"}],
            "info":{"per_page":200,"more_records":true,"next_page_token":"t","count":2}}"#;
        let page = answer(List::Changed, 200, body).unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let row =
            |id: &str, second: &str, created| RecordRow { id: id.into(), at: at(second), created };
        let rows = vec![
            row("7", "2026-03-01T10:00:05Z", Some(at("2026-03-01T10:00:00Z"))),
            row("8", "2026-03-01T10:00:06Z", None),
        ];
        assert_eq!(page, RecordsPage { rows, more: true, token: Some("t".to_owned()) });
        for status in [204, 304] {
            assert_eq!(answer(List::Deleted, status, ""), Ok(RecordsPage::default()));
        }
        let deleted = r#"{"data":[{"id":"7","deleted_time":"2026-03-01T10:00:05+00:00","deleted_by":null}],"info":{}}"#;
        assert_eq!(answer(List::Deleted, 200, deleted).unwrap().rows.len(), 1);
    }

    #[test]
    fn a_list_that_cannot_be_read_on_is_an_error() {
        let hidden = answer(List::Changed, 200, r#"{"data":[{"id":"7"}],"info":{}}"#).unwrap_err();
        assert!(hidden.contains("without Modified_Time"), "{hidden}");
        assert!(answer(List::Changed, 200, "<html>").unwrap_err().contains("web page"));
        let refused = r#"{"code":"INVALID_MODULE","message":"no tab","status":"error"}"#;
        assert!(answer(List::Changed, 400, refused).unwrap_err().contains("INVALID_MODULE"));
    }
}
