//! The JSON schema of recipes: what an editor checks and completes with.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema, schema_for};

use super::{Recipe, Sapi, Sapis};

/// The schema that `recipes/recipe.schema.json` holds.
pub fn schema() -> Schema {
    schema_for!(Recipe)
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
