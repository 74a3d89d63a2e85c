//! Names that are nearly one of a product's standard modules, or what its pages call one.

use strsim::osa_distance;

use super::near::nearest;
use crate::model::product::{Product, Traits};

/// The API name that was meant by one that is none, if it is nearly one, or is how Zoho's pages
/// call a module.
pub(super) fn meant(written: &str, product: Product) -> Option<&'static str> {
    let Traits { modules, displayed, .. } = product.traits();
    if modules.contains(&written) {
        return None;
    }
    let is_it = |name: &str| name.eq_ignore_ascii_case(written);
    let displayed = displayed.iter().find(|(name, _)| is_it(name)).map(|(_, module)| *module);
    displayed
        .or_else(|| modules.iter().find(|name| is_it(name)).copied())
        .or_else(|| nearest(written, modules).filter(|name| is_slip(written, name)))
}

/// One letter too many or too few, or one that is another: modules of one's own may differ by no
/// more than two.
fn is_slip(written: &str, name: &str) -> bool {
    let is_plural = name.strip_suffix('s') == Some(written);
    is_plural || (written.len() > 4 && osa_distance(written, name) == 1)
}

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
            assert_eq!(meant(written, Product::Crm), expected, "{written}");
        }
    }

    #[test]
    fn each_product_has_its_own_modules() {
        let table = [
            (Product::Bigin, "Deals", Some("Pipelines")),
            (Product::Bigin, "Companies", Some("Accounts")),
            (Product::Bigin, "Pipeline", Some("Pipelines")),
            (Product::Bigin, "Pipelines", None),
            (Product::Recruit, "JobOpenings", Some("Job_Openings")),
            (Product::Recruit, "Candidate", Some("Candidates")),
            (Product::Vertical, "Meetings", Some("Events")),
            (Product::Crm, "Pipelines", None),
        ];
        for (product, written, expected) in table {
            assert_eq!(meant(written, product), expected, "{product} {written}");
        }
    }
}
