//! The key set as a page for people, `docs/configuration.md`: made from the
//! [schema](super::schema), so that what an editor offers, what is read and what the page says are
//! one.
//!
//! It lists keys. Their use, with a whole file to start from, stands in `config.example.toml`.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::schema;

/// The page as it is published in `docs/configuration.md`.
pub fn reference() -> String {
    let schema: Value = serde_json::from_str(&schema::schema()).unwrap_or_default();
    let mut page = HEAD.to_owned();
    for (heading, pointer) in TABLES {
        let table = if pointer.is_empty() { &schema } else { &schema["$defs"][pointer] };
        section(&mut page, heading, table);
    }
    page.push_str(SECRETS);
    page
}

fn section(page: &mut String, heading: &str, table: &Value) {
    let none = Map::new();
    let keys = table["properties"].as_object().unwrap_or(&none);
    let is_required = |key: &str| {
        table["required"].as_array().is_some_and(|keys| keys.iter().any(|name| name == key))
    };
    let mut rows = String::new();
    for (key, about) in keys {
        // A key with a table of its own becomes a heading of this page.
        let is_table = about.get("enum").is_none();
        let is_headed =
            |(heading, _): &(&str, &str)| heading.split('`').any(|part| part == format!("[{key}]"));
        if is_table && TABLES.iter().any(is_headed) {
            continue;
        }
        let default = match (about.get("default"), about["examples"].get(0)) {
            _ if is_required(key) => "**required**".to_owned(),
            (Some(default), _) => code(default),
            (None, Some(example)) => format!("e.g. {}", code(example)),
            (None, None) => String::new(),
        };
        let text = about["description"].as_str().unwrap_or_default().replace('|', "\\|");
        // Writing to a String cannot fail.
        let _ok = writeln!(rows, "| `{key}` | {} | {default} | {text} |", kind(about));
    }
    let said = table["description"].as_str().unwrap_or_default();
    let _ok = writeln!(
        page,
        "\n## {heading}\n\n{said}\n\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n{rows}"
    );
    page.pop();
}

/// The form of a value, in words.
fn kind(about: &Value) -> String {
    if let Some(words) = about["enum"].as_array() {
        return words.iter().map(code).collect::<Vec<_>>().join(", ");
    }
    if let Some(name) = about["$ref"].as_str().and_then(|name| name.rsplit('/').next()) {
        return match name {
            "Secret" => "[secret](#secrets)".to_owned(),
            "ChannelId" => "digits".to_owned(),
            "Entry" => "field".to_owned(),
            _ => "table".to_owned(),
        };
    }
    match about["type"].as_str() {
        Some("array") => format!("list of {}s", kind(&about["items"])),
        Some("object") => "table".to_owned(),
        Some("integer") => "number".to_owned(),
        Some("boolean") => "true, false".to_owned(),
        Some(word) => word.to_owned(),
        None => "text".to_owned(),
    }
}

fn code(value: &Value) -> String {
    format!("`{value}`")
}

/// The tables of a config file, each with the schema's name for it.
const TABLES: [(&str, &str); 15] = [
    ("The file", ""),
    ("`[accounts.NAME]`", "Account"),
    ("`[accounts.NAME.channel_defaults]`", "Defaults"),
    ("`[[channels]]`", "Channel"),
    ("`conditions` of a channel", "Condition"),
    ("A table in `any_of` or `all_of`", "Group"),
    ("`[daemon]`", "Daemon"),
    ("`[http]`", "Http"),
    ("`[client]`", "Client"),
    ("`[reconcile]`", "Reconcile"),
    ("`[alerts]`", "Alerts"),
    ("`[canary]`", "Canary"),
    ("`[backfill]`", "Backfill"),
    ("`[hooks]`", "Hooks"),
    ("`[cluster]`", "Cluster"),
];

const HEAD: &str = "\
# Every key of the config

[config.example.toml](../config.example.toml) is a whole file to start from. [config.schema.json](config.schema.json) is this
page for editors: with Taplo's language server (in VS Code: Even Better TOML) and `#:schema` followed by its path or URL
as the file's first line, keys and values are completed and mistakes underlined.

Durations have a unit: `\"30s\"`, `\"90m\"`, `\"8h\"`, `\"1d\"`. A key that is not listed is an error, and
`channelkeeper check` says everything that is wrong with a file, with line and remedy.
";

const SECRETS: &str = "
## Secrets

| written as | is |
| --- | --- |
| `{ credential = \"name\" }` | what systemd hands over by `LoadCredential=` |
| `{ file = \"path\" }` | a file, relative to the config file; a line break at its end is left out |
| `{ env = \"NAME\" }` | an environment variable |
| `{ command = [\"vault\", \"kv\", \"get\", \"-field=secret\", \"zoho\"] }` | what a command prints, less one line break at its end |
| `\"...\"` | the secret itself: then nobody else may read the file |

A command runs without a shell, with the daemon's environment, for ten seconds and 64 KiB at most. A
program with a slash in its name is relative to the config file. One that several keys name runs
once. When it fails, the last line of its standard error is told; its arguments are shown nowhere.
It runs whenever the config is read: at the start, and with `channelkeeper reload`. When Zoho
refuses an account's credentials, the daemon fetches both once more from their source. So a secret
that was changed there, or by `channelkeeper login`, needs no reload. [The
sandbox](../systemd/README.md#a-secret-from-a-command) says what a command may do there.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_reference_is_the_one_of_the_code() {
        expect_test::expect_file!["../../docs/configuration.md"].assert_eq(&reference());
    }

    #[test]
    fn it_has_every_key_of_the_schema() {
        let schema: Value = serde_json::from_str(&schema::schema()).unwrap();
        let page = reference();
        let tables = schema["$defs"].as_object().unwrap().values();
        let keys: Vec<&String> = tables
            .filter_map(|table| table["properties"].as_object())
            .flat_map(Map::keys)
            .collect();
        assert!(keys.len() > 50, "{keys:?}");
        assert!(keys.iter().all(
            |key| page.contains(&format!("| `{key}` |")) || page.contains(&format!(".{key}]`"))
        ));
    }
}
