//! Declarations as TOML. The TOML crate writes every value that varies, so that no text of Zoho's
//! can end its string.

use std::fmt::Write as _;

use toml::Value;

use super::declare::{
    ConditionDeclared, Declaration, EntryDeclared, GroupDeclared, Imported, LeftOut,
};
use crate::model::sanitize::plain;
use crate::plan::render::counted;

/// The whole text; `written` says whether the tokens are in the files that are named.
pub(super) fn text(imported: &Imported, written: bool) -> String {
    let Imported { account, default_notify_url, channels, left_out, declared_already } = imported;
    let mut text = format!(
        "\n# {} of account {account}, as Zoho has them. Append this to the file that holds [accounts.{account}].\n",
        counted(channels.len(), "channel")
    );
    if *declared_already > 0 {
        line(
            &mut text,
            &format!("# {} declared already, and left out here.", is_or_are(*declared_already)),
        );
    }
    if !written && channels.iter().any(|channel| channel.token_file.is_some()) {
        line(
            &mut text,
            "# The tokens were not written: make the files that are named here, or import with --secrets-dir.",
        );
    }
    for LeftOut { id, events, why } in left_out {
        line(
            &mut text,
            &comment(&format!("channel {id} ({}) cannot be declared: {why}", events.join(", "))),
        );
    }
    if let Some(url) = default_notify_url {
        line(&mut text, &format!("\n[accounts.{}.channel_defaults]", key(account)));
        entry(&mut text, "notify_url", &string(url));
    }
    for channel in channels {
        declaration(&mut text, account, channel);
    }
    text
}

/// One declaration that needs no defaults that are printed with it.
pub(super) fn alone(imported: &Imported, channel: &Declaration) -> String {
    let mut text = String::new();
    declaration(&mut text, &imported.account, channel);
    if let (None, Some(url)) = (&channel.notify_url, &imported.default_notify_url) {
        entry(&mut text, "notify_url", &string(url));
    }
    text
}

fn declaration(text: &mut String, account: &str, channel: &Declaration) {
    let Declaration {
        channel_id: _,
        name,
        id,
        events,
        notify_url,
        token_file,
        notify_on_related_action,
        return_affected_field_values,
        conditions,
    } = channel;
    line(text, "\n[[channels]]");
    entry(text, "name", &string(name));
    entry(text, "account", &string(account));
    if let Some(id) = id {
        entry(text, "id", &string(id));
    }
    entry(text, "events", &strings(events));
    if let Some(url) = notify_url {
        entry(text, "notify_url", &string(url));
    }
    if let Some(file) = token_file {
        line(text, &format!("token = {{ file = {} }}", string(file)));
    }
    let flags = [
        ("notify_on_related_action", notify_on_related_action),
        ("return_affected_field_values", return_affected_field_values),
    ];
    for (name, flag) in flags {
        if let Some(flag) = flag {
            entry(text, name, &Value::Boolean(*flag));
        }
    }
    if !conditions.is_empty() {
        let conditions: Vec<String> = conditions.iter().map(condition).collect();
        line(text, &format!("conditions = [{}]", conditions.join(", ")));
    }
}

fn condition(condition: &ConditionDeclared) -> String {
    let ConditionDeclared { module, group: of_fields } = condition;
    format!("{{ module = {}, {} }}", string(module), group(of_fields))
}

/// `any_of = ["Stage", { all_of = ["Amount", "Owner"] }]`
fn group(group: &GroupDeclared) -> String {
    let GroupDeclared { matching, fields } = group;
    let fields: Vec<String> = fields.iter().map(entry_of_group).collect();
    format!("{matching} = [{}]", fields.join(", "))
}

fn entry_of_group(entry: &EntryDeclared) -> String {
    match entry {
        EntryDeclared::Field(field) => string(field).to_string(),
        EntryDeclared::Group(inner) => format!("{{ {} }}", group(inner)),
    }
}

fn entry(text: &mut String, name: &str, value: &Value) {
    line(text, &format!("{name} = {value}"));
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("writing to a String cannot fail");
}

/// One line, whatever stands in it.
fn comment(text: &str) -> String {
    let text: String = text.chars().map(plain).collect();
    format!("# {text}")
}

/// A name with a dot in it has to be quoted.
fn key(name: &str) -> String {
    if name.contains('.') { string(name).to_string() } else { name.to_owned() }
}

fn string(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn strings(texts: &[String]) -> Value {
    Value::Array(texts.iter().map(|text| string(text)).collect())
}

fn is_or_are(number: usize) -> String {
    if number == 1 { "1 channel is".to_owned() } else { format!("{number} channels are") }
}
