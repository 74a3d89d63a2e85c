//! What to ask Zoho for after a gap: the requests that find most of what was missed, and what none
//! of them brings back.
//!
//! Pure text, made from a gap's events and bounds; nothing here is sent, because the daemon's own
//! credentials are good for notifications only. Per module: the records changed since the gap began
//! (*Get Records* with `If-Modified-Since`), those deleted since (*Get Deleted Records*), and those
//! changed within its bounds (*COQL*), which is exact where the others reach up to now, and misses
//! what was changed again later. (Zoho's pages *Get Records*, *Get List of Deleted Records*, *Query
//! API* of v2 to v8, and *Recycle Bin*.)
//!
//! A gap's bounds are in Zoho's time and so are `Modified_Time` and `deleted_time`: no skew has to
//! be reckoned with. They are widened to whole seconds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::events::{Events, Operation, Operations};
use crate::model::time::{Timestamp, after, before, whole_seconds};

/// What to do about one gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backfill {
    /// What to ask, module by module.
    pub requests: Vec<Request>,
    /// What stays lost, one sentence each.
    pub lost: Vec<String>,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The module's API name.
    pub module: String,
    /// What it finds, in a sentence.
    pub finds: String,
    /// `GET` or `POST`.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// A header beside `Authorization`, as `If-Modified-Since: ...`.
    pub header: Option<String>,
    /// The body, as JSON.
    pub body: Option<String>,
}

/// For a gap of these events from `from` to `to` (up to `now` while it is open). `base` is the API
/// with its version, as `https://www.zohoapis.eu/crm/v8`.
pub fn backfill(
    events: &Events,
    from: Timestamp,
    to: Option<Timestamp>,
    now: Timestamp,
    base: &str,
) -> Backfill {
    let bounds = Bounds { from: whole_seconds(from), to: up(to.unwrap_or(now)) };
    let requests =
        events.iter().flat_map(|(module, operations)| of_module(module, operations, bounds, base));
    let all =
        events.iter().fold(Operations::default(), |all, (_, operations)| all.union(operations));
    Backfill { requests: requests.collect(), lost: lost(all) }
}

impl Request {
    /// As it goes over the wire, one line each: request, header, body.
    pub fn lines(&self) -> Vec<String> {
        let Request { module: _, finds: _, method, url, header, body } = self;
        [Some(format!("{method} {url}")), header.clone(), body.clone()]
            .into_iter()
            .flatten()
            .collect()
    }
}

#[derive(Clone, Copy)]
struct Bounds {
    from: Timestamp,
    to: Timestamp,
}

fn of_module(module: &str, operations: Operations, bounds: Bounds, base: &str) -> Vec<Request> {
    let (creates, edits) =
        (operations.contains(Operation::Create), operations.contains(Operation::Edit));
    let changes = (creates || edits).then(|| {
        let (what, field) =
            if edits { ("changed", "Modified_Time") } else { ("created", "Created_Time") };
        [listed(module, field, bounds, base), queried(module, what, field, bounds, base)]
    });
    let deletes = operations.contains(Operation::Delete).then(|| deleted(module, bounds, base));
    changes.into_iter().flatten().chain(deletes).collect()
}

fn listed(module: &str, field: &str, bounds: Bounds, base: &str) -> Request {
    Request {
        module: module.to_owned(),
        finds: format!(
            "every record changed since the gap began, by {field} and as it is now; while info.more_records is true, again \
             with &page_token= and info.next_page_token"
        ),
        method: "GET".to_owned(),
        url: format!(
            "{base}/{module}?fields=id,Created_Time,Modified_Time&sort_by={field}&sort_order=asc&per_page={PER_PAGE}"
        ),
        header: Some(since(bounds)),
        body: None,
    }
}

fn queried(module: &str, what: &str, field: &str, bounds: Bounds, base: &str) -> Request {
    let (from, to) = (iso(bounds.from), iso(bounds.to));
    let query = format!(
        "select id, Created_Time, Modified_Time from {module} where {field} between '{from}' and '{to}' \
         order by {field} asc limit {PER_PAGE} offset 0"
    );
    let again = if field == "Modified_Time" {
        ", those aside that were changed again after it"
    } else {
        ""
    };
    Request {
        module: module.to_owned(),
        finds: format!(
            "the records {what} within the gap alone{again}; then again with offset {PER_PAGE} and so on"
        ),
        method: "POST".to_owned(),
        url: format!("{base}/coql"),
        header: None,
        body: Some(format!("{{\"select_query\": \"{query}\"}}")),
    }
}

fn deleted(module: &str, bounds: Bounds, base: &str) -> Request {
    Request {
        module: module.to_owned(),
        finds: format!(
            "every record deleted since the gap began, by id: those with a deleted_time before {} were deleted in it; \
             then again with &page=2 and so on",
            iso(bounds.to)
        ),
        method: "GET".to_owned(),
        url: format!("{base}/{module}/deleted?type=all&per_page={PER_PAGE}"),
        header: Some(since(bounds)),
        body: None,
    }
}

/// What no request brings back.
fn lost(operations: Operations) -> Vec<String> {
    let of =
        |operation: Operation, text: &str| operations.contains(operation).then(|| text.to_owned());
    let edit = of(
        Operation::Edit,
        "what a record was in between: of several changes only the last state is left, without the values before it and \
         without which fields were changed",
    );
    let delete = of(
        Operation::Delete,
        "what a deleted record held, once it has left the recycle bin (after 60 days, or earlier by hand)",
    );
    let create = of(
        Operation::Create,
        "records that were created and deleted again within the gap, but for their ids in the list of deleted ones",
    );
    let always = "which notifications would have been sent, in which order, and under which notification_condition";
    edit.into_iter().chain(create).chain(delete).chain([always.to_owned()]).collect()
}

fn since(bounds: Bounds) -> String {
    // "Since" may or may not mean the second itself.
    format!("If-Modified-Since: {}", iso(before(bounds.from, Duration::from_secs(1))))
}

/// As Zoho's pages write instants.
fn iso(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

fn up(instant: Timestamp) -> Timestamp {
    let floor = whole_seconds(instant);
    if floor == instant { floor } else { after(floor, Duration::from_secs(1)) }
}

/// The base for an account of which the API is not known: one whose secrets could not be restored.
pub const BASE_UNKNOWN: &str = "https://www.zohoapis.com/crm/v8";
/// The scopes that these requests need, which the daemon itself does without.
pub const SCOPES: &str = "ZohoCRM.modules.READ, and ZohoCRM.coql.READ for COQL";
/// Records in one page: more cost more API credits in COQL, and *Get Records* gives no more.
const PER_PAGE: u32 = 200;

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    const BASE: &str = "https://www.zohoapis.eu/crm/v8";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn told(events: &[&str], to: Option<&str>) -> String {
        let events: Events = events.iter().copied().collect();
        let (from, now) = (at("2026-01-01T10:00:00.5Z"), at("2026-01-03T00:00:00Z"));
        let Backfill { requests, lost } = backfill(&events, from, to.map(at), now, BASE);
        let requests = requests.iter().flat_map(|request| {
            let Request { module, finds, .. } = request;
            std::iter::once(format!("{module}: {finds}"))
                .chain(request.lines().into_iter().map(|line| format!("  {line}")))
        });
        requests
            .chain(lost.iter().map(|lost| format!("lost: {lost}")))
            .map(|line| line + "\n")
            .collect()
    }

    #[test]
    fn a_gap_of_all_operations_has_a_list_a_query_and_the_deleted() {
        expect![[r#"
            Deals: every record changed since the gap began, by Modified_Time and as it is now; while info.more_records is true, again with &page_token= and info.next_page_token
              GET https://www.zohoapis.eu/crm/v8/Deals?fields=id,Created_Time,Modified_Time&sort_by=Modified_Time&sort_order=asc&per_page=200
              If-Modified-Since: 2026-01-01T09:59:59+00:00
            Deals: the records changed within the gap alone, those aside that were changed again after it; then again with offset 200 and so on
              POST https://www.zohoapis.eu/crm/v8/coql
              {"select_query": "select id, Created_Time, Modified_Time from Deals where Modified_Time between '2026-01-01T10:00:00+00:00' and '2026-01-01T12:00:01+00:00' order by Modified_Time asc limit 200 offset 0"}
            Deals: every record deleted since the gap began, by id: those with a deleted_time before 2026-01-01T12:00:01+00:00 were deleted in it; then again with &page=2 and so on
              GET https://www.zohoapis.eu/crm/v8/Deals/deleted?type=all&per_page=200
              If-Modified-Since: 2026-01-01T09:59:59+00:00
            lost: what a record was in between: of several changes only the last state is left, without the values before it and without which fields were changed
            lost: records that were created and deleted again within the gap, but for their ids in the list of deleted ones
            lost: what a deleted record held, once it has left the recycle bin (after 60 days, or earlier by hand)
            lost: which notifications would have been sent, in which order, and under which notification_condition
        "#]].assert_eq(&told(&["Deals.all"], Some("2026-01-01T12:00:00.2Z")));
    }

    #[test]
    fn creations_are_looked_for_by_their_creation_and_an_open_gap_reaches_up_to_now() {
        expect![[r#"
            Leads: every record changed since the gap began, by Created_Time and as it is now; while info.more_records is true, again with &page_token= and info.next_page_token
              GET https://www.zohoapis.eu/crm/v8/Leads?fields=id,Created_Time,Modified_Time&sort_by=Created_Time&sort_order=asc&per_page=200
              If-Modified-Since: 2026-01-01T09:59:59+00:00
            Leads: the records created within the gap alone; then again with offset 200 and so on
              POST https://www.zohoapis.eu/crm/v8/coql
              {"select_query": "select id, Created_Time, Modified_Time from Leads where Created_Time between '2026-01-01T10:00:00+00:00' and '2026-01-03T00:00:00+00:00' order by Created_Time asc limit 200 offset 0"}
            lost: records that were created and deleted again within the gap, but for their ids in the list of deleted ones
            lost: which notifications would have been sent, in which order, and under which notification_condition
        "#]].assert_eq(&told(&["Leads.create"], None));
    }

    #[test]
    fn each_module_has_requests_of_its_own() {
        let told = told(&["Deals.edit", "Leads.delete"], None);
        assert!(told.contains("/crm/v8/Deals?") && !told.contains("/Deals/deleted"), "{told}");
        assert!(
            told.contains("/crm/v8/Leads/deleted?type=all") && !told.contains("/Leads?"),
            "{told}"
        );
    }
}
