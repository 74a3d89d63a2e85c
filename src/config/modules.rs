//! Zoho CRM's standard modules, for names that are nearly one of theirs.

use strsim::osa_distance;

use super::near::nearest;

/// The API name that was meant by one that is none, if it is nearly one, or is how Zoho's pages
/// call a module.
pub(super) fn meant(written: &str) -> Option<&'static str> {
    if STANDARD.contains(&written) {
        return None;
    }
    let is_it = |name: &str| name.eq_ignore_ascii_case(written);
    let displayed = DISPLAYED.iter().find(|(name, _)| is_it(name)).map(|(_, module)| *module);
    displayed
        .or_else(|| STANDARD.iter().find(|name| is_it(name)).copied())
        .or_else(|| nearest(written, STANDARD).filter(|name| is_slip(written, name)))
}

/// One letter too many or too few, or one that is another: modules of one's own may differ by no
/// more than two.
fn is_slip(written: &str, name: &str) -> bool {
    let is_plural = name.strip_suffix('s') == Some(written);
    is_plural || (written.len() > 4 && osa_distance(written, name) == 1)
}

/// API names (Kaizen and *Modules API*, v8).
const STANDARD: &[&str] = &[
    "Accounts",
    "Appointments__s",
    "Calls",
    "Campaigns",
    "Cases",
    "Contacts",
    "Deals",
    "Events",
    "Invoices",
    "Leads",
    "Notes",
    "Price_Books",
    "Products",
    "Purchase_Orders",
    "Quotes",
    "Sales_Orders",
    "Services__s",
    "Solutions",
    "Tasks",
    "Vendors",
    "users",
];

/// How pages, older APIs and people call a module, and what its API name is.
const DISPLAYED: &[(&str, &str)] = &[
    ("Appointments", "Appointments__s"),
    ("Companies", "Accounts"),
    ("Meeting", "Events"),
    ("Meetings", "Events"),
    ("Potential", "Deals"),
    ("Potentials", "Deals"),
    ("PriceBooks", "Price_Books"),
    ("PurchaseOrders", "Purchase_Orders"),
    ("SalesOrders", "Sales_Orders"),
    ("Services", "Services__s"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_and_names_of_pages_lead_to_the_api_name_and_other_names_to_none() {
        let table = [
            ("Deal", Some("Deals")),
            ("deals", Some("Deals")),
            ("Meetings", Some("Events")),
            ("SalesOrders", Some("Sales_Orders")),
            ("Sales_Order", Some("Sales_Orders")),
            ("Contatcs", Some("Contacts")),
            ("Users", Some("users")),
            ("Deals", None),
            ("users", None),
            ("Projects", None),
            ("BTEC_Teachers", None),
            ("CustomModule1", None),
            ("Visits", None),
        ];
        for (written, expected) in table {
            assert_eq!(meant(written), expected, "{written}");
        }
    }
}
