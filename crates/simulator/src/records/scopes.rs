//! The scopes under which records are read.
//!
//! Either all modules (`ZohoCRM.modules.READ`) or one (`ZohoCRM.modules.leads.READ`), whose name
//! stands there in lower case and without underscores; `custom` is every module that is none of the
//! product's own (v7 *Get Records*). A query needs `ZohoCRM.coql.READ` beside that of its module;
//! users, modules and fields have scopes of their own.

use super::super::knobs::Knobs;
use super::super::oauth;
use super::super::org::Org;
use super::knobs::ScopeCase;
use super::route::Target;
use crate::model::product::Product;

impl Org {
    /// The same org, whose tokens may read records, users, fields and the org as well, and may
    /// query.
    #[must_use]
    pub fn reading(mut self) -> Org {
        let traits = self.product.traits();
        let read = |of: &&str| *of != "coql" || traits.coql;
        let scopes =
            ["modules", "users", "org", "settings.fields", "coql"].into_iter().filter(read);
        self.scopes.extend(scopes.map(|of| format!("{}.{of}.READ", traits.scopes)));
        self
    }
}

/// True when these scopes let a call through, whichever module it is about.
pub(crate) fn suffice(held: &[String], target: &Target, product: Product, knobs: &Knobs) -> bool {
    let of = match target {
        Target::List(_) | Target::One(..) | Target::Deleted(_) => return true,
        Target::Modules if knobs.modules_scope => return true,
        Target::Modules => "settings.modules",
        Target::Fields => "settings.fields",
        Target::Users | Target::User(_) => "users",
        Target::Company => "org",
        Target::Coql => "coql",
    };
    let needed = format!("{}.{of}.READ", product.traits().scopes);
    held.iter().any(|held| oauth::covers(held, &needed))
}

/// True when these scopes let a module's records be read.
pub(crate) fn reads(held: &[String], module: &str, product: Product, knobs: &Knobs) -> bool {
    let stem = product.traits().scopes;
    let word = word_of(module, product);
    let of_module = [format!("{stem}.modules.{word}.READ"), format!("{stem}.modules.{word}.ALL")];
    let of_all = [format!("{stem}.modules.READ"), format!("{stem}.modules.ALL")];
    held.iter().any(|scope| {
        let named = match knobs.records.module_scopes {
            ScopeCase::Any => of_module.iter().any(|needed| needed.eq_ignore_ascii_case(scope)),
            ScopeCase::Lower => of_module.contains(scope),
        };
        named || of_all.contains(scope)
    })
}

/// A module as scopes name it.
fn word_of(module: &str, product: Product) -> String {
    let own = product.traits().modules.contains(&module);
    if !own {
        return "custom".to_owned();
    }
    let letters = module.trim_end_matches("__s").chars().filter(char::is_ascii_alphanumeric);
    letters.collect::<String>().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::knobs::RecordKnobs;

    #[test]
    fn a_scope_is_of_one_module_or_of_all() {
        let table = [
            ("ZohoCRM.modules.READ", "Deals", true),
            ("ZohoCRM.modules.ALL", "Deals", true),
            ("ZohoCRM.modules.deals.READ", "Deals", true),
            ("ZohoCRM.modules.Deals.ALL", "Deals", true),
            ("ZohoCRM.modules.deals.CREATE", "Deals", false),
            ("ZohoCRM.modules.leads.READ", "Deals", false),
            ("ZohoCRM.modules.salesorders.READ", "Sales_Orders", true),
            ("ZohoCRM.modules.appointments.READ", "Appointments__s", true),
            ("ZohoCRM.modules.custom.READ", "BTEC_Teachers", true),
            ("ZohoCRM.modules.custom.READ", "Deals", false),
            ("ZohoCRM.notifications.ALL", "Deals", false),
        ];
        for (scope, module, expected) in table {
            let held = [scope.to_owned()];
            let read = reads(&held, module, Product::Crm, &Knobs::default());
            assert_eq!(read, expected, "{scope} {module}");
        }
    }

    #[test]
    fn a_knob_takes_scopes_at_their_word() {
        let records = RecordKnobs { module_scopes: ScopeCase::Lower, ..RecordKnobs::default() };
        let knobs = Knobs { records, ..Knobs::default() };
        for (scope, expected) in
            [("ZohoCRM.modules.deals.READ", true), ("ZohoCRM.modules.Deals.READ", false)]
        {
            assert_eq!(reads(&[scope.to_owned()], "Deals", Product::Crm, &knobs), expected);
        }
    }

    #[test]
    fn each_product_has_scopes_of_its_own() {
        let bigin = ["ZohoBigin.modules.pipelines.READ".to_owned()];
        assert!(reads(&bigin, "Pipelines", Product::Bigin, &Knobs::default()));
        assert!(!reads(&bigin, "Pipelines", Product::Crm, &Knobs::default()));
        let recruit = ["ZohoRecruit.modules.jobopenings.READ".to_owned()];
        assert!(reads(&recruit, "Job_Openings", Product::Recruit, &Knobs::default()));
    }
}
