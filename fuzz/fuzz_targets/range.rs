#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| dockgate::fuzzing::range(data));
