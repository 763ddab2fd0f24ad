//! A choice as a plan writes it: `live` alone is the cell's own live value.

use crate::decision::{LiveOf, Take};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::Value;

pub(super) fn serialize<S: Serializer>(take: &Take, s: S) -> Result<S::Ok, S::Error> {
    match take {
        Take::Live(of) if *of == LiveOf::default() => s.serialize_str("live"),
        take => take.serialize(s),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Take, D::Error> {
    let value = Value::deserialize(d)?;
    if value == "live" {
        return Ok(Take::Live(LiveOf::default()));
    }
    serde_json::from_value(value).map_err(|why| D::Error::custom(format!("`take`: {why}")))
}
