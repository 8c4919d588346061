// SPDX-License-Identifier: Apache-2.0
//! What is called when a body has ended.
//!
//! Each request has a hook or two, so room for these is at hand.

use super::body::{BodyEnd, EndHook};

/// The hooks of one body, in the order in which they were added.
#[derive(Default)]
pub(super) struct EndHooks {
    first: Option<EndHook>,
    second: Option<EndHook>,
    #[expect(clippy::box_collection, reason = "nearly no body has it, and every one is moved about")]
    more: Option<Box<Vec<EndHook>>>,
}

impl EndHooks {
    pub(super) fn push(&mut self, hook: EndHook) {
        if self.first.is_none() {
            self.first = Some(hook);
        } else if self.second.is_none() {
            self.second = Some(hook);
        } else {
            self.more.get_or_insert_default().push(hook);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Calls all of them.
    pub(super) fn tell(self, end: BodyEnd) {
        let Some(first) = self.first else { return };
        first(end);
        let Some(second) = self.second else { return };
        second(end);
        for hook in self.more.into_iter().flat_map(|more| *more) {
            hook(end);
        }
    }
}
