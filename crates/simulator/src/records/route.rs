//! The paths under which records, users and what there is of both are read.

use crate::model::product::Product;
use crate::model::version::ApiVersion;

/// A path that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) version: ApiVersion,
    pub(crate) target: Target,
}

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// `/{Module}`
    List(String),
    /// `/{Module}/{id}`
    One(String, String),
    /// `/{Module}/deleted`
    Deleted(String),
    /// `/coql`
    Coql,
    /// `/users`
    Users,
    /// `/users/{id}`
    User(String),
    /// `/org`
    Company,
    /// `/settings/modules`
    Modules,
    /// `/settings/fields`
    Fields,
}

impl Route {
    /// `/crm/v8/Deals/deleted`, read back.
    pub(crate) fn of(path: &str) -> Option<Route> {
        let path = path.strip_prefix('/')?;
        let (product, rest) = path.split_once('/')?;
        let (version, rest) = rest.split_once('/')?;
        let (_, version) = Product::of_api_path(&format!("{product}/{version}"))?;
        let parts: Vec<&str> = rest.split('/').collect();
        let target = match parts.as_slice() {
            ["settings", "modules"] => Target::Modules,
            ["settings", "fields"] => Target::Fields,
            ["coql"] => Target::Coql,
            ["org"] => Target::Company,
            ["users"] => Target::Users,
            ["users", id] if is_id(id) => Target::User((*id).to_owned()),
            [] | ["settings" | "actions" | "org" | "users" | "coql" | "", ..] => return None,
            [module] => Target::List((*module).to_owned()),
            [module, "deleted"] => Target::Deleted((*module).to_owned()),
            [module, id] if is_id(id) => Target::One((*module).to_owned(), (*id).to_owned()),
            _ => return None,
        };
        Some(Route { version, target })
    }
}

impl Target {
    /// The method that it takes.
    pub(crate) fn method(&self) -> &'static str {
        if *self == Target::Coql { "POST" } else { "GET" }
    }

    /// Under which name its calls are counted.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Target::List(_) => "list",
            Target::One(..) => "record",
            Target::Deleted(_) => "deleted",
            Target::Coql => "coql",
            Target::Users => "users",
            Target::User(_) => "user",
            Target::Company => "org",
            Target::Modules => "modules",
            Target::Fields => "fields",
        }
    }

    /// True when it answers with a page of records.
    pub(crate) fn has_pages(&self) -> bool {
        match self {
            Target::List(_) | Target::Deleted(_) | Target::Coql => true,
            Target::One(..)
            | Target::Users
            | Target::User(_)
            | Target::Company
            | Target::Modules
            | Target::Fields => false,
        }
    }

    /// The module that the path names.
    pub(crate) fn module(&self) -> Option<&str> {
        match self {
            Target::List(module) | Target::One(module, _) | Target::Deleted(module) => Some(module),
            Target::Coql
            | Target::Users
            | Target::User(_)
            | Target::Company
            | Target::Modules
            | Target::Fields => None,
        }
    }
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_records_are_told_from_others() {
        let list = |module: &str| Some(Target::List(module.to_owned()));
        let table = [
            ("/crm/v8/Deals", list("Deals")),
            ("/crm/v2.1/Price_Books", list("Price_Books")),
            ("/bigin/v2/Pipelines", list("Pipelines")),
            ("/recruit/v2/Candidates", list("Candidates")),
            ("/crm/v8/Deals/deleted", Some(Target::Deleted("Deals".to_owned()))),
            ("/crm/v8/Deals/7", Some(Target::One("Deals".to_owned(), "7".to_owned()))),
            ("/crm/v9/Deals", None),
            ("/bigin/v8/Pipelines", None),
            ("/crm/v8/actions/watch", None),
            ("/crm/v8/coql", Some(Target::Coql)),
            ("/crm/v8/users", Some(Target::Users)),
            ("/crm/v8/org", Some(Target::Company)),
            ("/crm/v8/users/7", Some(Target::User("7".to_owned()))),
            ("/crm/v8/users/deleted/7", None),
            ("/bigin/v2/settings/modules", Some(Target::Modules)),
            ("/crm/v2/settings/fields", Some(Target::Fields)),
            ("/crm/v8/settings/layouts", None),
            ("/crm/v8/Deals/x", None),
            ("/crm/v8/", None),
            ("/crm/v8", None),
        ];
        for (path, target) in table {
            assert_eq!(Route::of(path).map(|route| route.target), target, "{path}");
        }
    }
}
