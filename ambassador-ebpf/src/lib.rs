// SPDX-License-Identifier: Apache-2.0
//! What the kernel programs and user space agree on: the shapes that cross between them, and the decision.
//!
//! Both sides compile this library, so a shape can never differ between them, and [`decide`](decide::decide) is
//! tested on the host although it runs in the kernel.
//! Only integers and byte arrays cross: no `bool`, no enum, no implicit padding. A field whose bytes are in
//! network order says so in its name (`_be`). Nothing here may allocate, panic or call a helper of the kernel.
#![no_std]
#![allow(clippy::inline_always, reason = "a call costs the kernel programs a stack frame of their 512 bytes")]

pub mod plain;

pub mod address;
pub mod origin;
pub mod tuple;

pub mod flow;

pub mod known;
pub mod landing;
pub mod listener;
pub mod mark;
pub mod refusal;
pub mod settings;
pub mod target;
pub mod verdict;

pub mod admission;
pub mod decide;

pub mod counter;
pub mod event;
