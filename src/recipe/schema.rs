//! The JSON schema of recipes: what an editor checks and completes with.

use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema, schema_for};
use serde_json::{Value, json};

use super::{Recipe, Sapi, Sapis};

/// The schema that `recipes/recipe.schema.json` holds.
pub fn schema() -> Schema {
    let mut schema = schema_for!(Recipe);
    RecursiveTransform(without_null).transform(&mut schema);
    schema
}

/// TOML has no null: what may be left out is never written as one.
fn without_null(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if object.get("default") == Some(&Value::Null) {
        object.remove("default");
    }
    if let Some([only, Value::String(null)]) = object.get("type").and_then(Value::as_array).map(Vec::as_slice)
        && null == "null"
    {
        let only = only.clone();
        object.insert("type".to_owned(), only);
    }
    if let Some([Value::Object(only), null]) = object.get("anyOf").and_then(Value::as_array).map(Vec::as_slice)
        && *null == json!({ "type": "null" })
    {
        let only = only.clone();
        object.remove("anyOf");
        object.extend(only);
    }
}

/// Written as a list, though it can hold neither nothing nor anything twice.
impl JsonSchema for Sapis {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Sapis".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let sapi = generator.subschema_for::<Sapi>();
        json_schema!({ "type": "array", "items": sapi, "minItems": 1, "uniqueItems": true })
    }
}
