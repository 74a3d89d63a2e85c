//! The key set as a JSON Schema, for editors: made from the types that are read, so that it cannot
//! tell another story.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

use super::raw::{Document, Id};
use super::values::Reference;

/// The schema as it is published in `docs/config.schema.json`.
pub fn schema() -> String {
    let mut schema = schemars::schema_for!(Document).to_value();
    take_out_null(&mut schema);
    join_lines(&mut schema);
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

/// A key that may be left out is typed "or null" by schemars, which TOML does not know.
fn take_out_null(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [only] = &types[..] {
                    let only = only.clone();
                    map.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = map.get("anyOf")
                && let [Value::Object(only), null] = &choices[..]
                && null["type"] == "null"
            {
                let only = only.clone();
                map.remove("anyOf");
                map.extend(only);
            }
            map.values_mut().for_each(take_out_null);
        }
        Value::Array(items) => items.iter_mut().for_each(take_out_null),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A doc comment is wrapped where the source is; a description is one line.
fn join_lines(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::String(description)) = map.get_mut("description") {
                *description = description.replace('\n', " ");
            }
            map.values_mut().for_each(join_lines);
        }
        Value::Array(items) => items.iter_mut().for_each(join_lines),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

impl JsonSchema for Reference {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = |key: &str, description: &str| {
            json_schema!({
                "type": "object",
                "properties": { key: { "type": "string", "minLength": 1, "description": description } },
                "required": [key],
                "additionalProperties": false,
            })
        };
        json_schema!({
            "description": "A secret: where it is, or itself.",
            "oneOf": [
                one("env", "The name of an environment variable."),
                one("file", "The path of a file, relative to the config file."),
                one("credential", "The name of a systemd credential."),
                {
                    "type": "object",
                    "properties": { "command": {
                        "type": "array",
                        "items": { "type": "string" },
                        "minItems": 1,
                        "description": "A program and its arguments, which prints the secret. No shell reads them.",
                    } },
                    "required": ["command"],
                    "additionalProperties": false,
                },
                { "type": "string", "minLength": 1, "description": "The secret itself." },
            ],
        })
    }
}

impl JsonSchema for Id {
    fn schema_name() -> Cow<'static, str> {
        "ChannelId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A channel id: a string of digits or a whole number.",
            "oneOf": [{ "type": "string", "pattern": "^[0-9]+$" }, { "type": "integer", "minimum": 1 }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_schema_is_the_one_of_the_code() {
        expect_test::expect_file!["../../docs/config.schema.json"].assert_eq(&schema());
    }
}
