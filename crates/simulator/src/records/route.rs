//! The paths under which records are read.

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
            [] | ["settings" | "actions" | "org" | "", ..] => return None,
            [module] => Target::List((*module).to_owned()),
            [module, "deleted"] => Target::Deleted((*module).to_owned()),
            [module, id] if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()) => {
                Target::One((*module).to_owned(), (*id).to_owned())
            }
            _ => return None,
        };
        Some(Route { version, target })
    }
}

impl Target {
    /// The method that it takes.
    pub(crate) fn method(&self) -> &'static str {
        match self {
            Target::List(_) | Target::One(..) | Target::Deleted(_) => "GET",
        }
    }

    /// Under which name its calls are counted.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Target::List(_) => "list",
            Target::One(..) => "record",
            Target::Deleted(_) => "deleted",
        }
    }

    /// True when it answers page by page.
    pub(crate) fn has_pages(&self) -> bool {
        match self {
            Target::List(_) | Target::Deleted(_) => true,
            Target::One(..) => false,
        }
    }

    /// The module that the path names.
    pub(crate) fn module(&self) -> Option<&str> {
        match self {
            Target::List(module) | Target::One(module, _) | Target::Deleted(module) => Some(module),
        }
    }
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
            ("/crm/v8/settings/modules", None),
            ("/crm/v8/Deals/x", None),
            ("/crm/v8/", None),
            ("/crm/v8", None),
        ];
        for (path, target) in table {
            assert_eq!(Route::of(path).map(|route| route.target), target, "{path}");
        }
    }
}
