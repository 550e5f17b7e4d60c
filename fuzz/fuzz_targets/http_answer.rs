#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sparelink::lab::fuzz::run("http_answer", bytes));
