//! A record as Zoho shows it: `id`, and the fields that were asked for.
//!
//! A field that is known and was never given a value is null, but for the one that names the
//! record: Zoho has no record without it. A field that is hidden is not there at all.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::knobs::Knobs;
use super::store::{Id, Record};
use crate::model::product::Product;
use crate::model::version::ApiVersion;

/// The circumstances of a reading call.
pub(crate) struct View<'a> {
    pub(crate) org: &'a str,
    pub(crate) knobs: &'a Knobs,
    pub(crate) product: Product,
    pub(crate) version: ApiVersion,
    /// How the ids of the org begin.
    pub(crate) digits: &'a str,
    pub(crate) now: Timestamp,
}

impl View<'_> {
    /// A record of a module with these fields; with all that it has when none are asked for.
    pub(crate) fn row(
        &self,
        module: &str,
        (id, record): (Id, &Record),
        asked: Option<&[&str]>,
    ) -> Value {
        let mut row = Map::new();
        let mut put = |field: &str| {
            if !self.knobs.records.hides(module, field) {
                row.insert(field.to_owned(), self.value(module, (id, record), field));
            }
        };
        match asked {
            Some(fields) => fields.iter().for_each(|field| put(field)),
            None => {
                let always = [OWNER, "Created_Time", "Modified_Time", name_field(module)];
                always.into_iter().for_each(&mut put);
                record.fields().for_each(&mut put);
                if module == "Leads" {
                    put("$converted");
                }
            }
        }
        row.insert("id".to_owned(), json!(id.to_string()));
        Value::Object(row)
    }

    /// The value of a field.
    pub(crate) fn value(&self, module: &str, (id, record): (Id, &Record), field: &str) -> Value {
        match field {
            "id" => json!(id.to_string()),
            "Created_Time" => json!(self.knobs.echo(record.created)),
            "Modified_Time" => json!(self.knobs.echo(record.modified)),
            "$converted" | "Converted__s" => json!(record.converted),
            OWNER | "Created_By" | "Modified_By" => {
                record.value(field).cloned().unwrap_or_else(|| self.user())
            }
            _ => match record.value(field) {
                Some(value) => value.clone(),
                None if field == name_field(module) => json!(display_name(module, id, record)),
                None => Value::Null,
            },
        }
    }

    /// The user who owns everything.
    pub(crate) fn user(&self) -> Value {
        json!({ "name": USER_NAME, "id": self.user_id(), "email": USER_EMAIL })
    }

    /// The id of that user.
    pub(crate) fn user_id(&self) -> String {
        format!("{}{USER_LOW:012}", self.digits)
    }

    /// True when lists of this version have to be told which fields to show, and have page tokens.
    pub(crate) fn has_tokens(&self) -> bool {
        match self.product {
            Product::Crm | Product::Vertical => self.version >= ApiVersion::V3,
            Product::Bigin => self.version >= ApiVersion::V2,
            Product::Recruit => false,
        }
    }
}

/// The name under which a record is known.
pub(crate) fn display_name(module: &str, id: Id, record: &Record) -> String {
    let given = record.value(name_field(module)).and_then(Value::as_str);
    given.map_or_else(|| format!("{module} {id}"), str::to_owned)
}

/// The field that names a record of this module.
pub(crate) fn name_field(module: &str) -> &'static str {
    match module {
        "Leads" | "Contacts" | "Candidates" => "Last_Name",
        "users" => "full_name",
        "Accounts" => "Account_Name",
        "Deals" | "Pipelines" => "Deal_Name",
        "Campaigns" => "Campaign_Name",
        "Events" => "Event_Title",
        "Products" => "Product_Name",
        "Vendors" => "Vendor_Name",
        "Price_Books" => "Price_Book_Name",
        "Solutions" => "Solution_Title",
        "Notes" => "Note_Title",
        "Clients" => "Client_Name",
        "Job_Openings" => "Posting_Title",
        "Interviews" => "Interview_Name",
        "Tasks" | "Calls" | "Cases" | "Quotes" | "Sales_Orders" | "Purchase_Orders"
        | "Invoices" => "Subject",
        _ => "Name",
    }
}

pub(crate) const OWNER: &str = "Owner";
const USER_LOW: u64 = 186_017;
pub(crate) const USER_NAME: &str = "Patricia Boyle";
pub(crate) const USER_EMAIL: &str = "patricia.boyle@example.com";
