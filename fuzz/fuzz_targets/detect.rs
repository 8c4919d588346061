// SPDX-License-Identifier: Apache-2.0
//! [`ambassador_fuzz::detect`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ambassador_fuzz::detect::check(bytes));
