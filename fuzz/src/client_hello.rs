// SPDX-License-Identifier: Apache-2.0
//! The `ClientHello` of a program, from which names are read for routes and lines.

use ambassador::proxy::tls::{Parsed, parse};

/// What was read stays read with more bytes, and a host name holds nothing that a name cannot.
pub fn check(bytes: &[u8]) {
    let Parsed::Hello(hello) = parse(bytes) else { return };
    if let Some(name) = &hello.sni {
        assert!(name.bytes().all(|byte| byte.is_ascii_graphic()), "{name:?}");
    }
    assert!(hello.alpn.iter().all(|name| !name.is_empty()), "{:?}", hello.alpn);
}
