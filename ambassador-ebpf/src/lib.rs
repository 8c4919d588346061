// SPDX-License-Identifier: Apache-2.0
//! Kernel and user-space ABI.
#![cfg_attr(not(test), no_std)]
