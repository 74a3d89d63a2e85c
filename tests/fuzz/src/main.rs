//! One target a run: `FUZZ_TARGET` names its property.

#![no_main]

mod properties;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static PROPERTY: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let named = std::env::var("FUZZ_TARGET").unwrap_or_default();
    let found = properties::ALL.into_iter().find(|(name, _)| *name == named);
    found.unwrap_or_else(|| panic!("FUZZ_TARGET={named}: there is no such target")).1
});

fuzz_target!(|bytes: &[u8]| PROPERTY(bytes));
