// SPDX-License-Identifier: Apache-2.0
//! What the proxy marks its sockets with: values of the map `BYPASS_SK`.

/// Its connects pass by, whoever makes them.
pub const BYPASSED: u64 = 1;

/// A probe of the self-test: its connects are decided about as those of a program, although the proxy makes them.
pub const PROBE: u64 = 2;
