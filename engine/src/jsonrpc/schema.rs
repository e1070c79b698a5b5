//! JSON schemas of what crosses the interface, for the document at `rpc.discover`.
//!
//! Structures derive theirs from the very types that are read and written, so the two cannot drift; here is what stands in the leaves.
//! Parameters are described as they are read, results as they are written. Every schema stands by itself, without references: a reader of
//! the document needs no second look, and JSON Schema draft 7 is what OpenRPC asks for.

use std::borrow::Cow;

use alloy::eips::eip4844::BYTES_PER_BLOB;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::quantity::{Quantity, Text};

/// Gives a type's schema.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// The schema of `T`, as an entry of the table of methods names it.
pub(crate) fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// Makes schemas of parameters.
pub(crate) fn of_params() -> SchemaGenerator {
    settings().for_deserialize().into_generator()
}

/// Makes schemas of results.
pub(crate) fn of_results() -> SchemaGenerator {
    settings().for_serialize().into_generator()
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft07().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    })
}

/// Declares a text that has a form.
macro_rules! text {
    ($name:ident, $title:literal, $pattern:literal) => {
        #[doc = concat!("A text: ", $title, ".")]
        pub(crate) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "title": $title, "type": "string", "pattern": $pattern })
            }
        }
    };
}

text!(Address, "an address", "^0x[0-9a-fA-F]{40}$");
text!(Hash, "32 bytes", "^0x[0-9a-fA-F]{64}$");
text!(Hex, "bytes", "^0x([0-9a-fA-F]{2})*$");
text!(HexQuantity, "a quantity", "^0x(0|[1-9a-f][0-9a-f]*)$");
text!(Kzg, "a KZG commitment or proof: 48 bytes", "^0x[0-9a-fA-F]{96}$");
text!(Id, "an id of a transaction: a UUID", "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$");

/// A text: a blob. An example of one would be longer than all else in the document, so this says how it is made.
pub(crate) struct Blob;

impl JsonSchema for Blob {
    fn schema_name() -> Cow<'static, str> {
        "Blob".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let digits = 2 + 2 * BYTES_PER_BLOB;
        json_schema!({
            "title": "a blob: 131072 bytes",
            "description": "4096 field elements of 32 bytes, each less than the modulus of BLS12-381: as where the first byte of each is 0 and 31 bytes of data follow. What is left is filled up with zeros.",
            "type": "string",
            "pattern": "^0x[0-9a-fA-F]*$",
            "minLength": digits,
            "maxLength": digits
        })
    }
}

impl JsonSchema for Text<'_> {
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

impl JsonSchema for Quantity<'_> {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "a quantity",
            "anyOf": [{ "type": "string", "pattern": "^(0x[0-9a-fA-F]+|[0-9]+)$" }, { "type": "integer", "minimum": 0 }]
        })
    }
}
