//! The products that have the watch API, and what each allows: the one table.
//!
//! Everything that differs between products is a row here; [`version`](super::version) has the rows
//! of CRM's versions. Sources are listed in `docs/products.md`. A key that no source shows for a
//! product is taken to be absent: it is neither sent nor compared. Recruit and Vertical Solutions
//! are experimental, because nobody has recorded their answers.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::credits::Edition;
use super::data_center::{DataCenter, Environment};
use super::version::{ApiVersion, DAY, FALLBACK_LIFETIME, Limits};

/// A product of Zoho's that has the watch API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Product {
    /// Zoho CRM, alone or in CRM Plus and Zoho One.
    #[default]
    Crm,
    /// Bigin.
    Bigin,
    /// Zoho Recruit.
    Recruit,
    /// An app of Vertical Solutions: CRM's engine on a portal's own host.
    Vertical,
}

/// The words and rules of one product.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    /// The word for it in the config.
    pub key: &'static str,
    /// Its name.
    pub title: &'static str,
    /// The first part of its paths.
    pub path: &'static str,
    /// The first part of its scopes.
    pub scopes: &'static str,
    /// The scopes in place of `ALL`, where Zoho may refuse that; none where it is documented.
    pub single_scopes: &'static [&'static str],
    /// Its versions, oldest first.
    pub versions: &'static [ApiVersion],
    /// The version of an account that does not say.
    pub version_default: ApiVersion,
    /// The life of a channel that asked for none, or for more than the maximum.
    pub default_lifetime: Duration,
    /// True when a token reply's `api_domain` is where its API is.
    pub api_domain: bool,
    /// True when it can be asked with COQL.
    pub coql: bool,
    /// API names of its standard modules.
    pub modules: &'static [&'static str],
    /// Names that pages, older APIs and people use for a module, with the API name.
    pub displayed: &'static [(&'static str, &'static str)],
    /// Its editions, with their credits.
    pub editions: &'static [Edition],
    /// True when nobody has recorded its answers.
    pub experimental: bool,
}

impl Product {
    /// Every product.
    pub const ALL: [Product; 4] =
        [Product::Crm, Product::Bigin, Product::Recruit, Product::Vertical];

    /// The table.
    pub const fn traits(self) -> &'static Traits {
        match self {
            Product::Crm => &CRM,
            Product::Bigin => &BIGIN,
            Product::Recruit => &RECRUIT,
            Product::Vertical => &VERTICAL,
        }
    }

    /// The limits of one of its versions.
    pub const fn limits(self, version: ApiVersion) -> Limits {
        match self {
            Product::Crm => version.limits(),
            Product::Bigin | Product::Recruit | Product::Vertical => Limits {
                lifetime_max: DAY,
                batch_max: match self {
                    Product::Crm | Product::Bigin => 100,
                    Product::Recruit | Product::Vertical => 50,
                },
                related_actions: false,
                affected_values: false,
                conditions: false,
            },
        }
    }

    /// The word for it in the config.
    pub const fn as_str(self) -> &'static str {
        self.traits().key
    }

    /// True for the product that an account has which names none.
    pub fn is_crm(&self) -> bool {
        *self == Product::Crm
    }

    /// Returns whether it has this version.
    pub fn has(self, version: ApiVersion) -> bool {
        self.traits().versions.contains(&version)
    }

    /// A scope of its settings: `ZohoBigin.settings.modules.READ`.
    pub fn settings_scope(self, suffix: &str) -> String {
        format!("{}.settings.{suffix}", self.traits().scopes)
    }

    /// A scope of its notifications: `ZohoBigin.notifications.ALL`.
    pub fn scope(self, suffix: &str) -> String {
        format!("{}.notifications.{suffix}", self.traits().scopes)
    }

    /// The scopes to ask for where `ALL` is refused, with commas between.
    pub fn single_scopes(self) -> Option<String> {
        let suffixes = self.traits().single_scopes;
        let scopes: Vec<String> = suffixes.iter().map(|suffix| self.scope(suffix)).collect();
        (!scopes.is_empty()).then(|| scopes.join(","))
    }

    /// The path of the API with its version: `/bigin/v2`.
    pub fn api_path(self, version: ApiVersion) -> String {
        format!("/{}/{version}", self.traits().path)
    }

    /// The path of the watch API, `/bigin/v2/actions/watch`, read back.
    pub fn of_watch_path(path: &str) -> Option<(Product, ApiVersion)> {
        let rest = path.strip_prefix('/')?.strip_suffix("/actions/watch")?;
        Product::of_api_path(rest)
    }

    /// `bigin/v2`, read back. Vertical Solutions has CRM's paths.
    pub fn of_api_path(text: &str) -> Option<(Product, ApiVersion)> {
        let (path, version) = text.split_once('/')?;
        let product = Product::ALL.into_iter().find(|product| product.traits().path == path)?;
        let version = version.parse().ok()?;
        product.has(version).then_some((product, version))
    }

    /// The API's scheme and host in a data centre; `None` when no source names it.
    pub fn api_url(self, center: DataCenter, environment: Environment) -> Option<String> {
        match (self, environment) {
            (Product::Crm, _) => Some(center.api_url_of(environment)),
            (Product::Bigin, Environment::Production) => Some(center.api_url.to_owned()),
            (Product::Recruit, Environment::Production) => {
                Some(center.accounts_url.replacen("accounts.", "recruit.", 1))
            }
            (Product::Vertical, _)
            | (Product::Bigin | Product::Recruit, Environment::Sandbox | Environment::Developer) => {
                None
            }
        }
    }

    /// The scope that reading records of a module needs: lower case, without what joins words;
    /// custom modules share one.
    pub fn read_scope(self, module: &str) -> String {
        let traits = self.traits();
        let is_standard = traits.modules.contains(&module);
        let name = module.trim_end_matches("__s").replace('_', "").to_ascii_lowercase();
        let name = if is_standard { name } else { "custom".to_owned() };
        format!("{}.modules.{name}.READ", traits.scopes)
    }

    /// One of its editions.
    pub fn edition(self, key: &str) -> Option<Edition> {
        self.traits().editions.iter().copied().find(|edition| edition.key == key)
    }
}

/// The host of a portal of Vertical Solutions.
pub fn portal_url(portal: &str) -> String {
    format!("https://{portal}.zohoplatform.com")
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is none of the products.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown product (one of crm, bigin, recruit, vertical)")]
pub struct UnknownProduct;

impl FromStr for Product {
    type Err = UnknownProduct;

    fn from_str(text: &str) -> Result<Product, UnknownProduct> {
        Product::ALL.into_iter().find(|product| product.as_str() == text).ok_or(UnknownProduct)
    }
}

const CRM: Traits = Traits {
    key: "crm",
    title: "Zoho CRM",
    path: "crm",
    scopes: "ZohoCRM",
    single_scopes: &[],
    versions: &[
        ApiVersion::V2,
        ApiVersion::V2_1,
        ApiVersion::V3,
        ApiVersion::V4,
        ApiVersion::V5,
        ApiVersion::V6,
        ApiVersion::V7,
        ApiVersion::V8,
    ],
    version_default: ApiVersion::V8,
    default_lifetime: FALLBACK_LIFETIME,
    api_domain: true,
    coql: true,
    modules: CRM_MODULES,
    displayed: CRM_DISPLAYED,
    editions: &Edition::CRM,
    experimental: false,
};

/// Limits and modules: bigin.com/developer/docs/apis, v1 and v2. The default life is documented as
/// one hour and was two in recorded traffic of v2 (NangoHQ/integration-templates, 2026-10-09).
const BIGIN: Traits = Traits {
    key: "bigin",
    title: "Bigin",
    path: "bigin",
    scopes: "ZohoBigin",
    single_scopes: &[],
    versions: &[ApiVersion::V1, ApiVersion::V2],
    version_default: ApiVersion::V2,
    default_lifetime: Duration::from_secs(2 * 60 * 60),
    api_domain: true,
    coql: true,
    modules: &["Accounts", "Calls", "Contacts", "Events", "Pipelines", "Products", "Tasks"],
    displayed: &[
        ("Companies", "Accounts"),
        ("Company", "Accounts"),
        ("Deal", "Pipelines"),
        ("Deals", "Pipelines"),
        ("Meeting", "Events"),
        ("Meetings", "Events"),
        ("Potentials", "Pipelines"),
    ],
    editions: &Edition::BIGIN,
    experimental: false,
};

/// Paths, hosts and modules come from third parties: no page of Zoho's about its watch API was
/// found. One says that its scope `ALL` does not exist, others use it. Its token replies name
/// `www.zohoapis.com`, which is not where it answers.
const RECRUIT: Traits = Traits {
    key: "recruit",
    title: "Zoho Recruit",
    path: "recruit",
    scopes: "ZohoRecruit",
    single_scopes: &["READ", "CREATE", "UPDATE", "DELETE"],
    versions: &[ApiVersion::V2],
    version_default: ApiVersion::V2,
    default_lifetime: FALLBACK_LIFETIME,
    api_domain: false,
    coql: false,
    modules: &["Applications", "Candidates", "Clients", "Contacts", "Interviews", "Job_Openings"],
    displayed: &[
        ("JobOpening", "Job_Openings"),
        ("JobOpenings", "Job_Openings"),
        ("Jobs", "Job_Openings"),
    ],
    editions: &Edition::RECRUIT,
    experimental: true,
};

/// CRM's engine: zoho.com/developer/docs/vertical-solutions/api, v2, v4 and v6.
const VERTICAL: Traits = Traits {
    key: "vertical",
    title: "Vertical Solutions",
    path: "crm",
    scopes: "ZohoCRM",
    single_scopes: &[],
    versions: &[ApiVersion::V2, ApiVersion::V4, ApiVersion::V6],
    version_default: ApiVersion::V6,
    default_lifetime: FALLBACK_LIFETIME,
    api_domain: false,
    coql: true,
    modules: CRM_MODULES,
    displayed: CRM_DISPLAYED,
    editions: &[],
    experimental: true,
};

/// API names (Kaizen and *Modules API*, v8).
const CRM_MODULES: &[&str] = &[
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

const CRM_DISPLAYED: &[(&str, &str)] = &[
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
    fn every_product_reads_back_with_its_paths() {
        for product in Product::ALL {
            let Traits { versions, version_default, path, .. } = product.traits();
            assert_eq!(product.to_string().parse(), Ok(product));
            assert!(product.has(*version_default), "{product}");
            for version in *versions {
                let watch = format!("{}/actions/watch", product.api_path(*version));
                let (read, its) = Product::of_watch_path(&watch).unwrap();
                assert_eq!((read.traits().path, its), (*path, *version));
            }
        }
        for none in ["/crm/v1/actions/watch", "/bigin/v8/actions/watch", "/desk/v2/actions/watch"] {
            assert_eq!(Product::of_watch_path(none), None, "{none}");
        }
    }

    #[test]
    fn hosts_are_those_of_the_product_in_the_data_centre() {
        let url = |product: Product, center: &str, environment| {
            product.api_url(DataCenter::find(center).unwrap(), environment)
        };
        let table = [
            (Product::Crm, "eu", Some("https://www.zohoapis.eu")),
            (Product::Bigin, "in", Some("https://www.zohoapis.in")),
            (Product::Recruit, "au", Some("https://recruit.zoho.com.au")),
            (Product::Recruit, "ca", Some("https://recruit.zohocloud.ca")),
            (Product::Vertical, "us", None),
        ];
        for (product, center, expected) in table {
            let found = url(product, center, Environment::Production);
            assert_eq!(found.as_deref(), expected, "{product} {center}");
        }
        assert_eq!(url(Product::Bigin, "eu", Environment::Sandbox), None);
    }

    #[test]
    fn only_crm_gives_a_week_and_knows_every_key() {
        for product in [Product::Bigin, Product::Recruit, Product::Vertical] {
            for version in product.traits().versions {
                let limits = product.limits(*version);
                assert_eq!(limits.lifetime_max, DAY, "{product} {version}");
                assert!(!limits.related_actions && !limits.affected_values && !limits.conditions);
            }
        }
        assert_eq!(Product::Crm.limits(ApiVersion::V8), ApiVersion::V8.limits());
    }
}
