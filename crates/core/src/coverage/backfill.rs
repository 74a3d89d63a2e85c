//! The requests to send to Zoho after a gap. They find most of the missed events;
//! [`Backfill::lost`] names those that no request brings back.
//!
//! Pure text, made from a gap's events and bounds; nothing here is sent, because the daemon's own
//! credentials are good for notifications only. Per module: the records changed since the gap began
//! (*Get Records* with `If-Modified-Since`), those deleted since (*Get Deleted Records*), and those
//! changed within its bounds (*COQL*). COQL is exact where the others reach up to now, but misses
//! records that were changed again later. (Zoho's pages *Get Records*, *Get List of Deleted
//! Records*, *Query API* of v2 to v8, and *Recycle Bin*.)
//!
//! A gap's bounds are in Zoho's time and so are `Modified_Time` and `deleted_time`: no skew has to
//! be reckoned with. They are widened to whole seconds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::account::ApiBase;
use crate::model::events::{Events, Operation, Operations};
use crate::model::product::Product;
use crate::model::time::{Timestamp, after, before, whole_seconds};
use crate::model::version::ApiVersion;

/// The advice for one gap.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backfill {
    /// The requests to send, module by module.
    pub requests: Vec<HintRequest>,
    /// The events that stay lost, one sentence each.
    pub lost: Vec<String>,
    /// The scopes that the requests need, which the daemon itself does without.
    #[serde(default)]
    pub scopes: String,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HintRequest {
    /// The module's API name.
    pub module: String,
    /// The events that this request finds, in a sentence.
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

/// The advice for a gap of these events from `from` to `to` (up to `now` while it is open).
pub fn backfill(
    events: &Events,
    from: Timestamp,
    to: Option<Timestamp>,
    now: Timestamp,
    api: &ApiBase,
) -> Backfill {
    let bounds = GapBounds { from: whole_seconds(from), to: up(to.unwrap_or(now)) };
    let requests =
        events.iter().flat_map(|(module, operations)| of_module(module, operations, bounds, api));
    Backfill { requests: requests.collect(), lost: lost(events, api), scopes: scopes(api) }
}

impl HintRequest {
    /// The request as it goes over the wire, one line each: request, header, body.
    pub fn lines(&self) -> Vec<String> {
        let HintRequest { module: _, finds: _, method, url, header, body } = self;
        [Some(format!("{method} {url}")), header.clone(), body.clone()]
            .into_iter()
            .flatten()
            .collect()
    }
}

#[derive(Clone, Copy)]
struct GapBounds {
    from: Timestamp,
    to: Timestamp,
}

fn of_module(
    module: &str,
    operations: Operations,
    bounds: GapBounds,
    api: &ApiBase,
) -> Vec<HintRequest> {
    if is_users(module) {
        return vec![users(module, bounds, api)];
    }
    let (creates, edits) =
        (operations.contains(Operation::Create), operations.contains(Operation::Edit));
    let mut requests = Vec::new();
    if creates || edits {
        let sought = if edits { CHANGED } else { CREATED };
        requests.push(listed(module, sought, bounds, api));
        if api.product.traits().coql {
            requests.push(queried(module, sought, "", bounds, api));
        }
        if has_converted(module, api) {
            requests.push(queried(module, sought, CONVERTED, bounds, api));
        }
    }
    if operations.contains(Operation::Delete) {
        requests.push(deleted(module, bounds, api));
    }
    requests
}

/// Records that are looked for by one of their two times.
#[derive(Clone, Copy)]
struct Sought {
    word: &'static str,
    field: &'static str,
}

/// Sorted by `Modified_Time`, by which the header filters: reading on by it misses no record that
/// is edited between two pages.
fn listed(module: &str, sought: Sought, bounds: GapBounds, api: &ApiBase) -> HintRequest {
    let Sought { word: _, field } = sought;
    let next = if has_page_token(api) {
        "while info.more_records is true, again with &page_token= and info.next_page_token"
    } else {
        "then again with the last Modified_Time of the page as If-Modified-Since, until no new \
         record comes"
    };
    let converted = if has_converted(module, api) { "&converted=both" } else { "" };
    HintRequest {
        module: module.to_owned(),
        finds: format!(
            "every record changed since the gap began, by {field} and as it is now; {next}"
        ),
        method: "GET".to_owned(),
        url: format!(
            "{api}/{module}?fields=id,Created_Time,Modified_Time&sort_by=Modified_Time&sort_order=asc&per_page={PER_PAGE}{converted}"
        ),
        header: Some(since(bounds)),
        body: None,
    }
}

/// Read on by key: rows that are edited between two pages would shift an offset. Criteria stand in
/// brackets by pairs, so that one more can follow (Kaizen #171).
fn queried(
    module: &str,
    sought: Sought,
    and: &str,
    bounds: GapBounds,
    api: &ApiBase,
) -> HintRequest {
    let Sought { word, field } = sought;
    let (from, to) = (iso(bounds.from), iso(bounds.to));
    let within = format!("({field} between '{from}' and '{to}')");
    let criteria = if and.is_empty() { within } else { format!("({within}{and})") };
    let query = format!(
        "select id, Created_Time, Modified_Time from {module} where {criteria} \
         order by {field} asc, id asc limit {PER_PAGE}"
    );
    let which = if and.is_empty() { "records" } else { "converted leads" };
    let again =
        if field == CHANGED.field { ", those aside that were changed again after it" } else { "" };
    HintRequest {
        module: module.to_owned(),
        finds: format!(
            "the {which} {word} within the gap alone{again}; then again from the last {field} of \
             the page on, with and ({field} > that time or id > that id)"
        ),
        method: "POST".to_owned(),
        url: format!("{api}/coql"),
        header: None,
        body: Some(format!("{{\"select_query\": \"{query}\"}}")),
    }
}

fn deleted(module: &str, bounds: GapBounds, api: &ApiBase) -> HintRequest {
    HintRequest {
        module: module.to_owned(),
        finds: format!(
            "every record deleted since the gap began, by id: those with a deleted_time before {} \
             were deleted in it; then again with &page=2 and so on",
            iso(bounds.to)
        ),
        method: "GET".to_owned(),
        url: format!("{api}/{module}/deleted?type=all&per_page={PER_PAGE}"),
        header: Some(since(bounds)),
        body: None,
    }
}

/// Users are no records: they have an API of their own, without COQL and without a list of the
/// deleted (*Get Users*).
fn users(module: &str, bounds: GapBounds, api: &ApiBase) -> HintRequest {
    HintRequest {
        module: module.to_owned(),
        finds: "every user added or changed since the gap began, and as it is now; those deleted have the status deleted; \
                while info.more_records is true, again with &page=2 and so on"
            .to_owned(),
        method: "GET".to_owned(),
        url: format!("{api}/users?type=AllUsers&per_page={PER_PAGE}"),
        header: Some(since(bounds)),
        body: None,
    }
}

fn is_users(module: &str) -> bool {
    module.eq_ignore_ascii_case("users")
}

/// `page_token` is a key from CRM's v3 on, and of Bigin's v2.
fn has_page_token(api: &ApiBase) -> bool {
    match api.product {
        Product::Crm | Product::Vertical => api.version >= ApiVersion::V3,
        Product::Bigin => api.version >= ApiVersion::V2,
        Product::Recruit => false,
    }
}

/// Leads that were converted are a thing of CRM's.
fn has_converted(module: &str, api: &ApiBase) -> bool {
    module == LEADS && api.product.traits().path == Product::Crm.traits().path
}

/// The scopes that these requests need.
pub fn scopes(api: &ApiBase) -> String {
    let traits = api.product.traits();
    let of = traits.scopes;
    let coql = if traits.coql { format!(", {of}.coql.READ for COQL,") } else { String::new() };
    format!("{of}.modules.READ{coql} and {of}.users.READ for users")
}

/// The events that no request brings back.
fn lost(events: &Events, api: &ApiBase) -> Vec<String> {
    let of_records = events.iter().filter(|(module, _)| !is_users(module));
    let all = of_records.fold(Operations::default(), |all, (_, operations)| all.union(operations));
    let of = |operation, texts: &'static [&'static str]| {
        if all.contains(operation) { texts } else { &[] }
    };
    let users: &[&str] = if events.iter().any(|(module, _)| is_users(module)) {
        &["when a user was deleted: Zoho lists deleted users without that time"]
    } else {
        &[]
    };
    [of(Operation::Edit, EDITS_LOST), of(Operation::Create, CREATES_LOST)]
        .into_iter()
        .chain([of(Operation::Delete, DELETES_LOST), users, always_lost(api)])
        .flatten()
        .map(|text| (*text).to_owned())
        .collect()
}

const EDITS_LOST: &[&str] = &[
    "the states of a record in between: only the last one is left, without the values before it \
     and without the names of the changed fields",
];
const CREATES_LOST: &[&str] = &[
    "records that were created and deleted again within the gap, but for their ids in the list of \
     deleted ones",
];
const DELETES_LOST: &[&str] = &[
    "the values of a deleted record, once it has left the recycle bin (after 60 days, or earlier \
     by hand)",
    "deletions of long ago: Zoho lists a record for 60 days in the recycle bin, and for 120 days \
     once it is deleted for good",
];
const CONDITIONED_LOST: &[&str] =
    &["the notifications themselves: their number, their order and their notification_condition"];
const PLAIN_LOST: &[&str] = &["the notifications themselves: their number and their order"];

fn always_lost(api: &ApiBase) -> &'static [&'static str] {
    if api.limits().conditions { CONDITIONED_LOST } else { PLAIN_LOST }
}

const CHANGED: Sought = Sought { word: "changed", field: "Modified_Time" };
const CREATED: Sought = Sought { word: "created", field: "Created_Time" };
/// The module whose converted records both list and query leave out unless they are asked for.
const LEADS: &str = "Leads";
const CONVERTED: &str = " and Converted__s = true";

fn since(bounds: GapBounds) -> String {
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

/// Records in one page: more cost more API credits in COQL, and *Get Records* gives no more.
const PER_PAGE: u32 = 200;

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn api(product: Product, host: &str, version: &str) -> ApiBase {
        let version = version.parse().unwrap();
        let url = format!("https://{host}{}", product.api_path(version));
        ApiBase { product, version, url }
    }

    fn crm(version: &str) -> ApiBase {
        api(Product::Crm, "www.zohoapis.eu", version)
    }

    fn told(events: &[&str], to: Option<&str>) -> String {
        told_of(events, to, &crm("v8"))
    }

    fn told_of(events: &[&str], to: Option<&str>, api: &ApiBase) -> String {
        let events: Events = events.iter().copied().collect();
        let (from, now) = (at("2026-01-01T10:00:00.5Z"), at("2026-01-03T00:00:00Z"));
        let Backfill { requests, lost, scopes: _ } = backfill(&events, from, to.map(at), now, api);
        let requests = requests.iter().flat_map(|request| {
            let HintRequest { module, finds, .. } = request;
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
            Deals: the records changed within the gap alone, those aside that were changed again after it; then again from the last Modified_Time of the page on, with and (Modified_Time > that time or id > that id)
              POST https://www.zohoapis.eu/crm/v8/coql
              {"select_query": "select id, Created_Time, Modified_Time from Deals where (Modified_Time between '2026-01-01T10:00:00+00:00' and '2026-01-01T12:00:01+00:00') order by Modified_Time asc, id asc limit 200"}
            Deals: every record deleted since the gap began, by id: those with a deleted_time before 2026-01-01T12:00:01+00:00 were deleted in it; then again with &page=2 and so on
              GET https://www.zohoapis.eu/crm/v8/Deals/deleted?type=all&per_page=200
              If-Modified-Since: 2026-01-01T09:59:59+00:00
            lost: the states of a record in between: only the last one is left, without the values before it and without the names of the changed fields
            lost: records that were created and deleted again within the gap, but for their ids in the list of deleted ones
            lost: the values of a deleted record, once it has left the recycle bin (after 60 days, or earlier by hand)
            lost: deletions of long ago: Zoho lists a record for 60 days in the recycle bin, and for 120 days once it is deleted for good
            lost: the notifications themselves: their number, their order and their notification_condition
        "#]].assert_eq(&told(&["Deals.all"], Some("2026-01-01T12:00:00.2Z")));
    }

    #[test]
    fn creations_are_looked_for_by_their_creation_and_an_open_gap_reaches_up_to_now() {
        expect![[r#"
            Leads: every record changed since the gap began, by Created_Time and as it is now; while info.more_records is true, again with &page_token= and info.next_page_token
              GET https://www.zohoapis.eu/crm/v8/Leads?fields=id,Created_Time,Modified_Time&sort_by=Modified_Time&sort_order=asc&per_page=200&converted=both
              If-Modified-Since: 2026-01-01T09:59:59+00:00
            Leads: the records created within the gap alone; then again from the last Created_Time of the page on, with and (Created_Time > that time or id > that id)
              POST https://www.zohoapis.eu/crm/v8/coql
              {"select_query": "select id, Created_Time, Modified_Time from Leads where (Created_Time between '2026-01-01T10:00:00+00:00' and '2026-01-03T00:00:00+00:00') order by Created_Time asc, id asc limit 200"}
            Leads: the converted leads created within the gap alone; then again from the last Created_Time of the page on, with and (Created_Time > that time or id > that id)
              POST https://www.zohoapis.eu/crm/v8/coql
              {"select_query": "select id, Created_Time, Modified_Time from Leads where ((Created_Time between '2026-01-01T10:00:00+00:00' and '2026-01-03T00:00:00+00:00') and Converted__s = true) order by Created_Time asc, id asc limit 200"}
            lost: records that were created and deleted again within the gap, but for their ids in the list of deleted ones
            lost: the notifications themselves: their number, their order and their notification_condition
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

    #[test]
    fn leads_are_asked_for_with_those_that_were_converted() {
        let told = told(&["Leads.edit"], None);
        assert!(told.contains("/Leads?fields=id,Created_Time,Modified_Time&sort_by=Modified_Time&sort_order=asc&per_page=200&converted=both\n"), "{told}");
        assert!(told.contains("') and Converted__s = true) order by"), "{told}");
        assert!(!self::told(&["Deals.edit"], None).contains("onverted"));
    }

    #[test]
    fn a_page_token_is_named_only_where_the_version_has_one() {
        let list = |api: &ApiBase| told_of(&["Deals.edit"], None, api).contains("page_token");
        for (version, has) in [("v2", false), ("v2.1", false), ("v3", true), ("v8", true)] {
            assert_eq!(list(&crm(version)), has, "{version}");
        }
        assert!(list(&ApiBase::default()));
        assert!(!told(&["Deals.all"], None).contains("offset"));
    }

    #[test]
    fn requests_have_the_paths_and_scopes_of_the_product() {
        let bigin = api(Product::Bigin, "www.zohoapis.eu", "v2");
        expect![[r#"
            Pipelines: every record changed since the gap began, by Modified_Time and as it is now; while info.more_records is true, again with &page_token= and info.next_page_token
              GET https://www.zohoapis.eu/bigin/v2/Pipelines?fields=id,Created_Time,Modified_Time&sort_by=Modified_Time&sort_order=asc&per_page=200
              If-Modified-Since: 2026-01-01T09:59:59+00:00
            Pipelines: the records changed within the gap alone, those aside that were changed again after it; then again from the last Modified_Time of the page on, with and (Modified_Time > that time or id > that id)
              POST https://www.zohoapis.eu/bigin/v2/coql
              {"select_query": "select id, Created_Time, Modified_Time from Pipelines where (Modified_Time between '2026-01-01T10:00:00+00:00' and '2026-01-03T00:00:00+00:00') order by Modified_Time asc, id asc limit 200"}
            lost: the states of a record in between: only the last one is left, without the values before it and without the names of the changed fields
            lost: the notifications themselves: their number and their order
        "#]]
        .assert_eq(&told_of(&["Pipelines.edit"], None, &bigin));
        assert_eq!(
            scopes(&bigin),
            "ZohoBigin.modules.READ, ZohoBigin.coql.READ for COQL, and ZohoBigin.users.READ for users"
        );
        let recruit = api(Product::Recruit, "recruit.zoho.eu", "v2");
        let told = told_of(&["Candidates.all"], None, &recruit);
        assert!(told.contains("GET https://recruit.zoho.eu/recruit/v2/Candidates?"), "{told}");
        assert!(!told.contains("coql") && !told.contains("page_token"), "{told}");
        assert_eq!(
            scopes(&recruit),
            "ZohoRecruit.modules.READ and ZohoRecruit.users.READ for users"
        );
    }

    #[test]
    fn users_are_asked_for_by_an_api_of_their_own() {
        expect![[r#"
            users: every user added or changed since the gap began, and as it is now; those deleted have the status deleted; while info.more_records is true, again with &page=2 and so on
              GET https://www.zohoapis.eu/crm/v8/users?type=AllUsers&per_page=200
              If-Modified-Since: 2026-01-01T09:59:59+00:00
            lost: when a user was deleted: Zoho lists deleted users without that time
            lost: the notifications themselves: their number, their order and their notification_condition
        "#]]
        .assert_eq(&told(&["users.all"], None));
    }

    #[test]
    fn how_long_deletions_are_listed_is_said() {
        let told = told(&["Deals.delete"], None);
        assert!(told.contains("60 days") && told.contains("120 days"), "{told}");
    }

    #[test]
    fn only_keys_of_the_product_and_version_are_called_lost() {
        for product in Product::ALL {
            for version in product.traits().versions {
                let api = api(product, "clinic.zohoplatform.com", version.as_str());
                let told = told_of(&["Deals.all"], None, &api);
                let has = product.limits(*version).conditions;
                assert_eq!(told.contains("notification_condition"), has, "{product} {version}");
            }
        }
        assert!(told(&["Deals.all"], None).contains("notification_condition"));
        let vertical = api(Product::Vertical, "clinic.zohoplatform.com", "v6");
        assert!(!told_of(&["Deals.all"], None, &vertical).contains("notification_condition"));
    }
}
