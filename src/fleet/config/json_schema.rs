//! The JSON schema of `vault.toml`, for editors.

use super::{
    check::Types,
    key::{Key, KeyKind},
    schema,
};
use serde_json::{Map, Value, json};

/// The schema.
pub fn of(types: &dyn Types) -> Value {
    let mut root = table(&[schema::ROOT], types);
    if let Value::Object(root) = &mut root {
        root.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
        root.insert("title".into(), "vault.toml".into());
        let apps: Vec<Value> = types.names().iter().map(|name| app(name, types)).collect();
        root.insert("$defs".into(), json!({ "app": { "oneOf": apps } }));
    }
    root
}

fn app(name: &str, types: &dyn Types) -> Value {
    let keys = types.keys(name).unwrap_or_default();
    let mut out = table(&[schema::APP, keys], types);
    if let Some(kind) = out.pointer_mut("/properties/type") {
        *kind = json!({ "const": name });
    }
    out
}

fn table(keys: &[&[Key]], types: &dyn Types) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for key in keys.iter().flat_map(|keys| keys.iter()) {
        let mut value = kind(&key.kind, types);
        if let Value::Object(value) = &mut value {
            value.insert("description".into(), key.about.into());
        }
        properties.insert(key.name.into(), value);
        if key.required {
            required.push(key.name);
        }
    }
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn kind(kind: &KeyKind, types: &dyn Types) -> Value {
    const DURATION: &str = "^[0-9]{1,9}[smhdwy]$";
    match kind {
        KeyKind::Text | KeyKind::Secret => json!({ "type": "string" }),
        KeyKind::Path => json!({ "type": "string", "pattern": "^/" }),
        KeyKind::Integer => json!({ "type": "integer", "minimum": 0 }),
        KeyKind::Flag => json!({ "type": "boolean" }),
        KeyKind::Duration => json!({ "type": "string", "pattern": DURATION }),
        KeyKind::Reach => {
            json!({ "oneOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": DURATION }] })
        }
        KeyKind::Pause => json!({ "oneOf": [{ "const": "never" }, { "type": "string", "pattern": DURATION }] }),
        KeyKind::Size => json!({ "type": "string", "pattern": "^[0-9.]+ *[kKmMgGtTpP]?(i?[bB])?$" }),
        KeyKind::Share => json!({ "type": "string", "pattern": "^[0-9.]+ *%$" }),
        KeyKind::Compression => {
            json!({ "oneOf": [{ "enum": ["none", "auto"] }, { "type": "integer", "minimum": 1, "maximum": 19 }] })
        }
        KeyKind::Texts => {
            json!({ "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
        }
        KeyKind::Choice(words) => json!({ "enum": words }),
        KeyKind::Table(keys) => table(&[keys], types),
        KeyKind::Tables(keys) => {
            let one = table(&[keys], types);
            json!({ "oneOf": [one, { "type": "array", "items": one }] })
        }
        KeyKind::Named(keys) => json!({ "type": "object", "additionalProperties": table(&[keys], types) }),
        KeyKind::Apps => json!({ "type": "object", "additionalProperties": { "$ref": "#/$defs/app" } }),
        KeyKind::Free => json!({ "type": "object" }),
    }
}
