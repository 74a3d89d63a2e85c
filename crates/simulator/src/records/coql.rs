//! `POST /coql`: a query for records of one module (v2 to v8 *Query API*).
//!
//! `select` fields `from` a module `where` criteria, then `order by` and `limit` with an offset in
//! either spelling. Criteria compare a field with values, joined by `and` and `or` with brackets.
//! Rows always have the `id`; without one the answer is 204. Converted leads are left out unless
//! the criteria name `Converted__s`.
//!
//! Deliberately not here: joins through lookup fields, functions, `group by`, aliases, custom views
//! and `include_meta`. A query with the first five is refused as one that Zoho does not support.

mod cell;
mod criteria;
mod parse;
mod tokens;

use std::cmp::Ordering;

use serde_json::{Map, Value, json};

use self::cell::CoqlValue;
use self::criteria::Criteria;
use super::super::reply::{INVALID, bare, json_response};
use super::knobs::{ConvertedLeads, RecordKnobs};
use super::row::View;
use super::store::{Id, Module, Record};
use crate::model::exchange::{Request, Response};
use crate::model::product::Product;
use crate::model::time;
use crate::model::version::ApiVersion;

/// A query that was understood.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CoqlQuery {
    columns: Vec<String>,
    pub(crate) module: String,
    criteria: Criteria,
    order: Vec<SortKey>,
    limit: usize,
    offset: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct SortKey {
    field: String,
    descending: bool,
}

impl CoqlQuery {
    /// The query in the body of a call, or what Zoho says of it.
    pub(crate) fn of(
        request: &Request,
        product: Product,
        version: ApiVersion,
        knobs: &RecordKnobs,
    ) -> Result<CoqlQuery, Response> {
        let query = parse::query(&text_of(request)?, knobs.coql_brackets)?;
        let bounds = QueryBounds::of(product, version, knobs);
        if query.limit == 0 {
            return Err(bare(400, "INVALID_DATA", "limit should be greater than 0", &json!({})));
        }
        if query.limit > bounds.rows {
            return Err(exceeded("limit", bounds.rows));
        }
        if query.offset.saturating_add(query.limit) > bounds.reach {
            return Err(exceeded("offset", bounds.reach));
        }
        Ok(query)
    }

    /// The credits that it costs, by its LIMIT (*COQL Limitations*).
    pub(crate) fn credits(&self) -> u64 {
        match self.limit {
            ..=200 => 1,
            201..=1_000 => 2,
            _ => 3,
        }
    }

    /// The rows that match it.
    pub(crate) fn answer(&self, module: &Module, view: &View<'_>) -> Response {
        let hidden = |field: &&str| view.knobs.records.hides(&self.module, field);
        if let Some(field) = self.fields().find(hidden) {
            let details = json!({ "column_name": field });
            return bare(400, "INVALID_QUERY", "column given seems to be invalid", &details);
        }
        let mut rows: Vec<QueryRow<'_>> =
            module.rows.iter().map(|(id, record)| (*id, record)).collect();
        rows.retain(|row| self.matches(*row, view));
        rows.sort_by(|one, other| self.compare(*one, *other, view));
        let page = rows.iter().skip(self.offset).take(self.limit);
        let data: Vec<Value> = page.map(|row| self.row(*row, view)).collect();
        if data.is_empty() {
            return Response::empty(204);
        }
        let more = rows.len() > self.offset.saturating_add(data.len());
        let info = json!({ "count": data.len(), "more_records": more });
        json_response(200, &json!({ "data": data, "info": info }))
    }

    fn matches(&self, row: QueryRow<'_>, view: &View<'_>) -> bool {
        let knobs = &view.knobs.records;
        let is_left_out = row.1.converted
            && knobs.coql_converted == ConvertedLeads::LeftOut
            && !self.criteria.names(CONVERTED);
        !is_left_out
            && time::after(row.1.modified, knobs.lag.0) <= view.now
            && self.criteria.hold(&|field| CoqlValue::of(&self.module, row, field, view))
    }

    /// By the keys of the query; rows that these do not tell apart stand by their id.
    fn compare(&self, one: QueryRow<'_>, other: QueryRow<'_>, view: &View<'_>) -> Ordering {
        let cell = |row, field: &str| CoqlValue::of(&self.module, row, field, view);
        let by_key = |SortKey { field, descending }: &SortKey| {
            let order = cell(one, field).order(&cell(other, field));
            if *descending { order.reverse() } else { order }
        };
        let by_keys = self.order.iter().map(by_key).find(|order| order.is_ne());
        by_keys.unwrap_or_else(|| one.0.cmp(&other.0))
    }

    fn row(&self, (id, record): QueryRow<'_>, view: &View<'_>) -> Value {
        let mut row = Map::new();
        for field in &self.columns {
            let value = view.value(&self.module, (id, record), field);
            row.insert(field.clone(), shown(value, view.version));
        }
        row.insert("id".to_owned(), json!(id.to_string()));
        Value::Object(row)
    }

    /// Every field that it names.
    fn fields(&self) -> impl Iterator<Item = &str> {
        let of_order = self.order.iter().map(|key| key.field.as_str());
        self.columns.iter().map(String::as_str).chain(self.criteria.fields()).chain(of_order)
    }
}

type QueryRow<'a> = (Id, &'a Record);

/// The most rows of one call, and how far an offset leads (*COQL Limitations* of v2 to v8). No
/// source gives numbers for Bigin and for v6.
struct QueryBounds {
    rows: usize,
    reach: usize,
}

impl QueryBounds {
    fn of(product: Product, version: ApiVersion, knobs: &RecordKnobs) -> QueryBounds {
        let (rows, reach) = match (product, version) {
            (Product::Crm | Product::Vertical, ApiVersion::V7 | ApiVersion::V8) => (2_000, 100_000),
            (
                Product::Crm | Product::Vertical,
                ApiVersion::V4 | ApiVersion::V5 | ApiVersion::V6,
            ) => (2_000, 10_000),
            _ => (200, 10_000),
        };
        QueryBounds {
            rows: knobs.coql_rows.unwrap_or(rows),
            reach: knobs.coql_reach.unwrap_or(reach),
        }
    }
}

/// A lookup is its id alone up to v6; from v7 on the name is there too (v7 *Query API*).
fn shown(value: Value, version: ApiVersion) -> Value {
    match value.get("id") {
        Some(id) if version >= ApiVersion::V7 => json!({ "name": value["name"], "id": id }),
        Some(id) => json!({ "id": id }),
        None => value,
    }
}

fn text_of(request: &Request) -> Result<String, Response> {
    let Ok(body) = serde_json::from_slice::<Value>(&request.body) else {
        let details = json!({ "expected_data_type": "jsonobject" });
        return Err(bare(400, "INVALID_DATA", INVALID, &details));
    };
    match &body[QUERY] {
        Value::String(text) => Ok(text.clone()),
        Value::Null => {
            let details = json!({ "api_name": QUERY });
            Err(bare(400, "MANDATORY_NOT_FOUND", "mandatory key not found", &details))
        }
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            let details = json!({
                "expected_data_type": "string",
                "api_name": QUERY,
                "json_path": format!("$.{QUERY}"),
            });
            Err(bare(400, "INVALID_DATA", INVALID, &details))
        }
    }
}

fn exceeded(clause: &str, limit: usize) -> Response {
    let details = json!({ "clause": clause, "limit": limit });
    bare(400, "LIMIT_EXCEEDED", "the given query exceeds the limit", &details)
}

const QUERY: &str = "select_query";
const CONVERTED: &str = "Converted__s";

#[cfg(test)]
mod tests;
