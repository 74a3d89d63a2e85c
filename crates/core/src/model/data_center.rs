//! Zoho's data centres, and the hosts of each for production, sandbox and developer orgs.

/// A data centre of Zoho's, with its hosts: the DC table of the API notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataCenter {
    /// The word for it in the config.
    pub key: &'static str,
    /// The OAuth server.
    pub accounts_url: &'static str,
    /// The CRM API of production orgs.
    pub api_url: &'static str,
}

impl DataCenter {
    /// Every data centre whose hosts are confirmed by Zoho's documentation or SDKs. UK and AE are
    /// not: they are reached with explicit URLs.
    pub const ALL: [DataCenter; 8] = [
        dc("us", "https://accounts.zoho.com", "https://www.zohoapis.com"),
        dc("eu", "https://accounts.zoho.eu", "https://www.zohoapis.eu"),
        dc("in", "https://accounts.zoho.in", "https://www.zohoapis.in"),
        dc("au", "https://accounts.zoho.com.au", "https://www.zohoapis.com.au"),
        dc("cn", "https://accounts.zoho.com.cn", "https://www.zohoapis.com.cn"),
        dc("jp", "https://accounts.zoho.jp", "https://www.zohoapis.jp"),
        dc("ca", "https://accounts.zohocloud.ca", "https://www.zohoapis.ca"),
        dc("sa", "https://accounts.zoho.sa", "https://www.zohoapis.sa"),
    ];

    /// Finds one by its key.
    pub fn find(key: &str) -> Option<DataCenter> {
        DataCenter::ALL.into_iter().find(|center| center.key == key)
    }

    /// The API host of one of its environments: sandbox and developer orgs have `sandbox.` or
    /// `developer.` in place of `www.` and the same OAuth server.
    pub fn api_url_of(self, environment: Environment) -> String {
        match environment {
            Environment::Production => self.api_url.to_owned(),
            Environment::Sandbox => self.api_url.replacen("www.", "sandbox.", 1),
            Environment::Developer => self.api_url.replacen("www.", "developer.", 1),
        }
    }
}

const fn dc(key: &'static str, accounts_url: &'static str, api_url: &'static str) -> DataCenter {
    DataCenter { key, accounts_url, api_url }
}

/// Which kind of org an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Environment {
    /// A production org.
    #[default]
    Production,
    /// A sandbox of one.
    Sandbox,
    /// A developer org.
    Developer,
}

impl Environment {
    /// Every environment.
    pub const ALL: [Environment; 3] =
        [Environment::Production, Environment::Sandbox, Environment::Developer];

    /// The word for it in the config.
    pub const fn as_str(self) -> &'static str {
        match self {
            Environment::Production => "production",
            Environment::Sandbox => "sandbox",
            Environment::Developer => "developer",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_has_another_api_host() {
        let eu = DataCenter::find("eu").unwrap();
        assert_eq!(eu.api_url_of(Environment::Sandbox), "https://sandbox.zohoapis.eu");
        assert_eq!(eu.api_url_of(Environment::Production), "https://www.zohoapis.eu");
        assert_eq!(DataCenter::find("xx"), None);
    }
}
