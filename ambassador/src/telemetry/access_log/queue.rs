// SPDX-License-Identifier: Apache-2.0
//! The way of a log line from a worker to its sink: a queue that is bounded in lines and in bytes, and one writer thread.
//!
//! Workers never wait for the sink. The writer takes whatever has gathered and writes whole lines in pieces of at most
//! 4 KiB. At the end it writes what is queued, but it does not hold the process longer than a given time for a sink
//! that nobody reads.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use prometheus::IntCounter;

use crate::host::privileges;

/// The workers' end of the queue.
#[derive(Clone)]
pub(crate) struct Lines {
    queue: SyncSender<Message>,
    /// Bytes of long lines that wait.
    long: Arc<AtomicUsize>,
    dropped: IntCounter,
}

impl Lines {
    /// Queues a line, or counts it as dropped.
    pub(crate) fn push(&self, line: String) {
        let long = long_bytes(&line);
        if long > 0 && self.long.fetch_add(long, Ordering::Relaxed) + long > LONG_MOST {
            self.drop_line(long);
        } else if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            self.queue.try_send(Message::Line(line))
        {
            self.drop_line(long);
        }
    }

    fn drop_line(&self, long: usize) {
        self.long.fetch_sub(long, Ordering::Relaxed);
        self.dropped.inc();
    }
}

/// Owns the writer thread.
pub(crate) struct Writer {
    queue: SyncSender<Message>,
    finished: Receiver<()>,
}

impl Writer {
    /// Starts the thread that writes to `sink`.
    pub(crate) fn start(
        sink: Box<dyn io::Write + Send>,
        capacity: usize,
        dropped: IntCounter,
    ) -> io::Result<(Lines, Self)> {
        let (queue, messages) = sync_channel(capacity.max(1));
        let (done, finished) = sync_channel(1);
        let (lost, long) = (dropped.clone(), Arc::<AtomicUsize>::default());
        let waiting = Arc::clone(&long);
        thread::Builder::new().name(String::from("access-log")).spawn(move || {
            // Its sink is open. Whoever starts this may keep a capability or two for the end.
            if let Err(error) = privileges::drop_all_but(&[]) {
                tracing::error!(%error, "the access log keeps privileges that it does not need");
            }
            write_all(sink, &messages, &waiting, &lost);
            drop(messages); // from here on a line counts as dropped
            let _ = done.try_send(());
        })?;
        Ok((Lines { queue: queue.clone(), long, dropped }, Self { queue, finished }))
    }

    /// Writes what is queued and ends the thread; `false` if the sink took longer than `limit`.
    pub(crate) fn finish(self, limit: Duration) -> bool {
        let Self { queue, finished } = self;
        // A full queue would block the stop message, so it is sent from a thread that may be left behind.
        let stop = thread::Builder::new().name(String::from("access-log-stop"));
        let sent = stop.spawn(move || queue.send(Message::Stop));
        sent.is_ok() && !matches!(finished.recv_timeout(limit), Err(RecvTimeoutError::Timeout))
    }
}

enum Message {
    Line(String),
    Stop,
}

/// What of a line counts among the bytes of those that wait: nothing of one that is as long as most are, of which
/// their number is bound enough.
fn long_bytes(line: &str) -> usize {
    if line.len() > SHORT { line.len() } else { 0 }
}

fn write_all(
    mut sink: Box<dyn io::Write + Send>,
    messages: &Receiver<Message>,
    long: &AtomicUsize,
    lost: &IntCounter,
) {
    let mut batch = String::with_capacity(PIPE_BUF);
    let mut lines = 0;
    while let Ok(first) = messages.recv() {
        let mut next = Some(first);
        while let Some(message) = next {
            let Message::Line(line) = message else {
                flush(&mut *sink, &mut batch, &mut lines, lost);
                return;
            };
            if batch.len() + line.len() > PIPE_BUF {
                flush(&mut *sink, &mut batch, &mut lines, lost);
            }
            batch.push_str(&line);
            long.fetch_sub(long_bytes(&line), Ordering::Relaxed);
            lines += 1;
            next = messages.try_recv().ok();
        }
        flush(&mut *sink, &mut batch, &mut lines, lost);
    }
}

fn flush(sink: &mut dyn io::Write, batch: &mut String, lines: &mut u64, lost: &IntCounter) {
    if !batch.is_empty() && sink.write_all(batch.as_bytes()).and_then(|()| sink.flush()).is_err() {
        lost.inc_by(*lines);
    }
    batch.clear();
    *lines = 0;
}

/// Lines up to this length are not long.
const SHORT: usize = 1024;
/// How many bytes long lines may take that wait. They are as long as whoever sends a request likes.
const LONG_MOST: usize = 4 * 1024 * 1024;
/// What a pipe takes in one piece.
const PIPE_BUF: usize = 4096;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// Hands over every write; the second half of a rendezvous lets a test hold the writer inside of one.
    struct Sink {
        pieces: Sender<Vec<u8>>,
        gate: Receiver<()>,
    }

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.pieces.send(bytes.to_vec());
            let _ = self.gate.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn held(capacity: usize) -> (Lines, Writer, Receiver<Vec<u8>>, Sender<()>, IntCounter) {
        let (pieces, written) = channel();
        let (open, gate) = channel();
        let dropped = IntCounter::new("dropped", "lines").unwrap();
        let (lines, writer) =
            Writer::start(Box::new(Sink { pieces, gate }), capacity, dropped.clone()).unwrap();
        (lines, writer, written, open, dropped)
    }

    #[test]
    fn a_full_queue_drops_and_counts_and_everything_queued_is_written() {
        let (lines, writer, written, open, dropped) = held(2);
        lines.push(String::from("first\n"));
        assert_eq!(written.recv().unwrap(), b"first\n"); // the writer is inside of write() now
        for line in ["a\n", "b\n", "lost\n"] {
            lines.push(String::from(line));
        }
        assert_eq!(dropped.get(), 1);
        drop(open);
        assert!(writer.finish(Duration::from_secs(10)));
        assert_eq!(written.recv().unwrap(), b"a\nb\n");
        lines.push(String::from("after the end\n"));
        assert_eq!(dropped.get(), 2);
    }

    #[test]
    fn a_sink_that_nobody_reads_does_not_hold_the_exit() {
        let (lines, writer, written, _open, _) = held(1);
        lines.push(String::from("stuck\n"));
        assert_eq!(written.recv().unwrap(), b"stuck\n");
        assert!(!writer.finish(Duration::from_millis(20)));
    }

    #[test]
    fn long_lines_that_wait_take_no_more_than_so_many_bytes() {
        let (lines, writer, written, open, dropped) = held(8192);
        lines.push(String::from("first\n"));
        assert_eq!(written.recv().unwrap(), b"first\n");
        let long = format!("{}\n", "z".repeat(99_999));
        for _ in 0..1000 {
            lines.push(long.clone());
        }
        lines.push(String::from("short\n"));
        let kept = LONG_MOST / long.len();
        assert_eq!(dropped.get(), 1000 - kept as u64);
        drop(open);
        assert!(writer.finish(Duration::from_secs(10)));
        assert_eq!(written.iter().map(|piece| piece.len()).sum::<usize>(), kept * long.len() + 6);
    }

    #[test]
    fn lines_are_written_whole_in_pieces_of_a_pipe() {
        let (lines, writer, written, open, _) = held(64);
        lines.push(String::from("x\n"));
        assert_eq!(written.recv().unwrap(), b"x\n");
        let line = format!("{}\n", "y".repeat(1500));
        for _ in 0..5 {
            lines.push(line.clone());
        }
        drop(open);
        assert!(writer.finish(Duration::from_secs(10)));
        let pieces: Vec<_> = written.iter().collect();
        assert_eq!(pieces.iter().map(Vec::len).collect::<Vec<_>>(), [3002, 3002, 1501]);
    }
}
