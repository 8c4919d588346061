// SPDX-License-Identifier: Apache-2.0
//! How much of the peers of an HTTP/2 connection is remembered, and the builders that say so to `h2`.
//!
//! Either peer may be hostile. Each limit is generous enough that no honest peer meets it, and finite, so that what a
//! connection can make ambassador hold is known: about its [connection window](Windows), its heads, and its small frames.

use std::time::Duration;

use h2::{client, server};

use super::windows::Windows;

/// The program's side: ambassador is the server.
pub(crate) fn server(windows: &Windows) -> server::Builder {
    let mut builder = server::Builder::new();
    builder
        .max_concurrent_streams(STREAMS_MAX)
        .initial_window_size(windows.stream())
        .initial_connection_window_size(windows.connection())
        .max_frame_size(FRAME_MAX)
        .max_header_list_size(HEADER_LIST_MAX)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(PENDING_ACCEPT_RESETS_MAX)
        .max_local_error_reset_streams(Some(LOCAL_ERROR_RESETS_MAX))
        .max_concurrent_reset_streams(REMEMBERED_RESETS_MAX)
        .reset_stream_duration(RESETS_REMEMBERED)
        .data_frame_budget(SMALL_FRAMES_BUDGET);
    builder
}

/// The upstream's side: ambassador is the client.
pub(crate) fn client(windows: &Windows) -> client::Builder {
    let mut builder = client::Builder::new();
    builder
        // A push could not be told from a reply that nobody asked for; without the offer no origin makes one.
        .enable_push(false)
        .initial_window_size(windows.stream())
        .initial_connection_window_size(windows.connection())
        .max_frame_size(FRAME_MAX)
        .max_header_list_size(HEADER_LIST_MAX)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(PENDING_ACCEPT_RESETS_MAX)
        // It is we who open the streams: an upstream cannot make us do work by them.
        .max_local_error_reset_streams(None)
        .max_concurrent_reset_streams(REMEMBERED_RESETS_MAX)
        .reset_stream_duration(RESETS_REMEMBERED)
        .data_frame_budget(SMALL_FRAMES_BUDGET);
    builder
}

/// The most streams of a program's connection at a time, which it is told if its upstream takes more; each costs a task.
/// One more is refused in the way that lets the program try again.
pub(super) const STREAMS_MAX: u32 = 1024;
/// How many a program may open while its upstream has not said how many it takes. Origins commonly allow 100 to 128.
pub(super) const STREAMS_AT_FIRST: u32 = 256;
/// The bytes with which a program's connection begins.
pub(super) const PREFACE: usize = 24;
/// The longest frame of a connection itself that is read or changed, in bytes after its header; longer ones pass.
pub(super) const TAPPED_MAX: usize = 1024;
/// The longest frame, in bytes. It is the least that a peer may ask for: longer ones delay the other streams.
pub(super) const FRAME_MAX: u32 = 16 * 1024;
/// The most bytes of header fields in one message, as for HTTP/1. Also what an HPACK bomb unpacks to at most.
const HEADER_LIST_MAX: u32 = 64 * 1024;
/// The most fields of a request's head, as for HTTP/1. Short ones take many times their bytes to remember, and HPACK sends
/// them in one byte each.
pub(crate) const FIELDS_MAX: usize = 128;
/// How much of one body may wait to be written, in bytes.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that were opened and reset before they were looked at (rapid reset, CVE-2023-44487): in one read, since they
/// are looked at as they come. A program may cancel a burst of calls right after it has begun them.
const PENDING_ACCEPT_RESETS_MAX: usize = 100;
/// Streams of a connection that had to be reset for errors of the program (`MadeYouReset`, CVE-2025-8671), in its whole
/// life. Each ends its request at the upstream, too. A late frame for a stream that is not remembered any more counts.
const LOCAL_ERROR_RESETS_MAX: usize = 4096;
/// Streams that we have reset and whose late frames are still known for what they are. Programs that cancel do so
/// hundreds of times a second.
const REMEMBERED_RESETS_MAX: usize = 2048;
/// How long they are: the time that frames may be under way.
const RESETS_REMEMBERED: Duration = Duration::from_secs(2);
/// What short DATA frames that wait for their reader may cost beyond their bytes. Each is accounted with 256 bytes,
/// which is about what it takes to remember it: 8 MiB are 32 768 messages of a stream of small ones.
const SMALL_FRAMES_BUDGET: usize = 8 * 1024 * 1024;
