//! Values as JSON, deflated, as machines hand them to each other through the engine.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A value as it lies in the engine.
pub(super) fn deflated(value: &impl Serialize) -> Vec<u8> {
    let json = serde_json::to_vec(value).unwrap_or_default();
    let mut deflated = ZlibEncoder::new(Vec::new(), Compression::fast());
    // To memory, which takes everything.
    deflated.write_all(&json).and_then(|()| deflated.finish()).unwrap_or_default()
}

/// The value again; `None` when it cannot be read.
pub(super) fn inflated<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let mut json = Vec::new();
    ZlibDecoder::new(bytes).take(JSON_MAX).read_to_end(&mut json).ok()?;
    serde_json::from_slice(&json).ok()
}

/// No value inflates to more.
const JSON_MAX: u64 = 512 << 20;
