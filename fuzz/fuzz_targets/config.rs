//! Configuration text from foreign bytes: valid options or faults, never a panic.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use zastava_core::config::Configuration;
use zastava_core::options::RuntimeOptions;

fuzz_target!(|text: &str| {
    let config = Configuration::from_yaml(text, Path::new("fuzz.yaml"));
    if let Err(faults) = config.read(|root| RuntimeOptions::read(&root.section("runtime"))) {
        assert!(faults.iter().count() > 0);
        let _ = faults.to_string();
    }
});
