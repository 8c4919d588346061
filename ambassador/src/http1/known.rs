// SPDX-License-Identifier: Apache-2.0
//! Heads that this worker has parsed a moment ago.
//!
//! Programs poll, and servers give the same answer: where a head is byte for byte one that was just parsed, what was
//! learnt from it holds, since nothing but its bytes decides that. A worker keeps a few short ones. It must never take
//! a head for another: all bytes are compared.

use std::{cell::RefCell, sync::Arc};

use super::head::{HeadError, RequestHead, ResponseHead};

thread_local! {
    static REQUESTS: RefCell<[Option<Arc<RequestHead>>; PLACES]> = const { RefCell::new([const { None }; PLACES]) };
    static REPLIES: RefCell<[Option<Arc<ResponseHead>>; PLACES]> = const { RefCell::new([const { None }; PLACES]) };
}

/// As [`RequestHead::parse`].
pub(crate) fn request(bytes: &[u8]) -> Result<Option<Arc<RequestHead>>, HeadError> {
    REQUESTS.with_borrow_mut(|known| {
        let place = &mut known[place_of(bytes)];
        if let Some(head) = place.as_ref().filter(|head| bytes.starts_with(head.raw())) {
            return Ok(Some(Arc::clone(head)));
        }
        let Some(head) = RequestHead::parse(bytes)?.map(Arc::new) else { return Ok(None) };
        if head.raw().len() <= LONGEST {
            *place = Some(Arc::clone(&head));
        }
        Ok(Some(head))
    })
}

/// As [`ResponseHead::parse`].
pub(crate) fn reply(bytes: &[u8], method: &str) -> Result<Option<Arc<ResponseHead>>, HeadError> {
    if matches!(method, "HEAD" | "CONNECT") {
        // What their replies say means something else.
        return Ok(ResponseHead::parse(bytes, method)?.map(Arc::new));
    }
    REPLIES.with_borrow_mut(|known| {
        let place = &mut known[place_of(bytes)];
        if let Some(head) = place.as_ref().filter(|head| bytes.starts_with(head.raw())) {
            return Ok(Some(Arc::clone(head)));
        }
        let Some(head) = ResponseHead::parse(bytes, method)?.map(Arc::new) else { return Ok(None) };
        if head.raw().len() <= LONGEST {
            *place = Some(Arc::clone(&head));
        }
        Ok(Some(head))
    })
}

/// By a few of the first bytes: where a start line names what it is about, and further on.
fn place_of(bytes: &[u8]) -> usize {
    let mut mixed = 0_u64;
    for word in bytes.chunks_exact(8).step_by(2).take(SAMPLED) {
        let word = word.try_into().map_or(0, u64::from_le_bytes);
        mixed = (mixed ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    usize::try_from(mixed >> (u64::BITS - PLACES.ilog2())).unwrap_or(0)
}

/// How many heads a worker knows, of either side. A power of two.
const PLACES: usize = 16;
/// Longer heads are not kept, in bytes.
const LONGEST: usize = 1024;
/// How many words of a head choose its place.
const SAMPLED: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    fn known_request(bytes: &[u8]) -> Arc<RequestHead> {
        request(bytes).expect("a good head").expect("a whole head")
    }

    #[test]
    fn the_same_head_is_known_whatever_follows_it() {
        let head = b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n";
        let first = known_request(head);
        let again = known_request(&[&head[..], b"abc"].concat());
        assert!(Arc::ptr_eq(&first, &again) || again.raw() == first.raw());
        assert!(Arc::ptr_eq(&first, &known_request(head)));
        let other = known_request(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n");
        assert_ne!(other.framing(), first.framing());
        assert_eq!(known_request(head).framing(), first.framing());
    }

    #[test]
    fn what_is_known_of_a_whole_head_says_nothing_of_a_part_of_it() {
        let head = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        known_request(head);
        for cut in 0..head.len() {
            assert_eq!(request(&head[..cut]).expect("no error").map(|head| head.raw().len()), None, "{cut}");
        }
        assert!(request(b"GET / HTTP/1.1\r\nHost : h\r\n\r\n").is_err());
    }

    #[test]
    fn the_reply_to_a_head_request_is_read_otherwise() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
        let framing = |method| reply(head, method).expect("a good head").expect("a whole head").framing();
        let (get, of_head) = (framing("GET"), framing("HEAD"));
        assert_ne!(get, of_head);
        assert_eq!((framing("GET"), framing("HEAD")), (get, of_head));
    }

    #[test]
    fn every_head_is_what_parsing_makes_of_it() {
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..5000 {
            let (path, host) = (rng.u8(0..6), rng.u8(0..3));
            let head = format!("GET /{path} HTTP/1.1\r\nHost: h{host}\r\nX-Y: {}\r\n\r\n", rng.u8(0..4));
            let parsed = RequestHead::parse(head.as_bytes()).expect("good").expect("whole");
            let known = known_request(head.as_bytes());
            assert_eq!(
                (known.raw(), known.path(), known.authority()),
                (parsed.raw(), parsed.path(), parsed.authority())
            );
        }
    }
}
