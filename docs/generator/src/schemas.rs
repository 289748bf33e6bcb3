//! JSON Schemas of what programs read: the report of `node-probe check -o json`, and the status of
//! an LsmNode. From the types that are written.

use lsm_ready_crds::node::LsmNodeStatus;
use node_probe::report::Report;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};

use crate::{Error, Page};

/// The files. Objects are open, because fields may be added.
pub fn files() -> Result<[Page; 2], Error> {
    Ok([
        Page { name: "reference/check.v1.schema.json", content: text(&schema::<Report>())? },
        Page {
            name: "reference/lsmnode-status.v1alpha1.schema.json",
            content: text(&schema::<LsmNodeStatus>())?,
        },
    ])
}

fn schema<T: JsonSchema>() -> Schema {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>()
}

fn text(schema: &Schema) -> Result<String, Error> {
    let failed =
        |error: serde_json::Error| Error::Example { form: "schema", message: error.to_string() };
    Ok(serde_json::to_string_pretty(schema).map_err(failed)? + "\n")
}
