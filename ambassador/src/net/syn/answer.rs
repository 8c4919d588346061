// SPDX-License-Identifier: Apache-2.0
//! [`Answer`]: what a failed dial lets the program be told.
//!
//! Only what the destination, or the way to it, said itself may be passed on. A failure of this machine says nothing
//! about the destination: it is never made into a refusal, and the program's own timers go on.

use std::io;

use super::captured::Unreachable;
use crate::net::dial::{DialError, DialFailure};

/// How a held SYN is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// With a reset: `ECONNREFUSED`.
    Refuse,
    /// With an ICMP error.
    Unreachable(Unreachable),
    /// Not at all: the program waits as it would have directly.
    Silence,
}

impl From<&DialError> for Answer {
    fn from(error: &DialError) -> Self {
        match error.failure {
            DialFailure::TimedOut => Self::Silence,
            DialFailure::Refused | DialFailure::Unreachable | DialFailure::NoRoute | DialFailure::Local => {
                Self::from(&error.source)
            }
        }
    }
}

impl From<&io::Error> for Answer {
    fn from(error: &io::Error) -> Self {
        match error.raw_os_error() {
            // A port unreachable by ICMP has become the same errno; a reset is what a program can least mistake.
            Some(libc::ECONNREFUSED | libc::ECONNRESET) => Self::Refuse,
            Some(libc::ENETUNREACH | libc::ENETDOWN | libc::ENONET) => {
                Self::Unreachable(Unreachable::Network)
            }
            // ENOPROTOOPT is ICMP 3/2 (protocol unreachable), EPROTO its like in ICMPv6; connect() of a sound address
            // fails with EINVAL where a `blackhole` route leads.
            Some(libc::EHOSTUNREACH | libc::EHOSTDOWN | libc::ENOPROTOOPT | libc::EPROTO | libc::EINVAL) => {
                Self::Unreachable(Unreachable::Host)
            }
            // A `prohibit` route or a security module here, or an ICMPv6 error from a firewall.
            Some(libc::EACCES | libc::EPERM) => Self::Unreachable(Unreachable::AdminProhibited),
            // ETIMEDOUT; EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS, ENOMEM and whatever else is this machine's own.
            _ => Self::Silence,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: [(i32, Answer); 20] = [
        (libc::ECONNREFUSED, Answer::Refuse),
        (libc::ECONNRESET, Answer::Refuse),
        (libc::ENETUNREACH, Answer::Unreachable(Unreachable::Network)),
        (libc::ENETDOWN, Answer::Unreachable(Unreachable::Network)),
        (libc::EHOSTUNREACH, Answer::Unreachable(Unreachable::Host)),
        (libc::EHOSTDOWN, Answer::Unreachable(Unreachable::Host)),
        (libc::ENOPROTOOPT, Answer::Unreachable(Unreachable::Host)),
        (libc::EPROTO, Answer::Unreachable(Unreachable::Host)),
        (libc::EINVAL, Answer::Unreachable(Unreachable::Host)),
        (libc::EACCES, Answer::Unreachable(Unreachable::AdminProhibited)),
        (libc::EPERM, Answer::Unreachable(Unreachable::AdminProhibited)),
        (libc::ETIMEDOUT, Answer::Silence),
        (libc::EADDRNOTAVAIL, Answer::Silence),
        (libc::EADDRINUSE, Answer::Silence),
        (libc::EMFILE, Answer::Silence),
        (libc::ENFILE, Answer::Silence),
        (libc::ENOBUFS, Answer::Silence),
        (libc::ENOMEM, Answer::Silence),
        (libc::EAGAIN, Answer::Silence),
        (libc::EAFNOSUPPORT, Answer::Silence),
    ];

    #[test]
    fn only_what_the_way_or_the_destination_said_is_passed_on() {
        for (errno, want) in TABLE {
            let source = io::Error::from_raw_os_error(errno);
            assert_eq!(Answer::from(&source), want, "{source}");
            let failure = DialFailure::from(&source);
            let error = DialError { dst: ([192, 0, 2, 1], 1).into(), failure, source };
            assert_eq!(Answer::from(&error), want, "{error:?}");
        }
    }

    #[test]
    fn an_error_without_errno_is_this_machines_own() {
        assert_eq!(Answer::from(&io::Error::other("the mark could not be set")), Answer::Silence);
        assert_eq!(Answer::from(&io::Error::from(io::ErrorKind::ConnectionRefused)), Answer::Silence);
    }

    #[test]
    fn a_dial_that_ran_out_of_its_limit_is_not_answered() {
        let error = DialError {
            dst: ([192, 0, 2, 1], 1).into(),
            failure: DialFailure::TimedOut,
            source: io::Error::from_raw_os_error(libc::EHOSTUNREACH),
        };
        assert_eq!(Answer::from(&error), Answer::Silence);
    }
}
