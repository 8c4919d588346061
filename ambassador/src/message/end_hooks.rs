// SPDX-License-Identifier: Apache-2.0
//! What is called when a body has ended.
//!
//! Each request has a hook or two, so room for these is at hand.

use super::body::{BodyEnd, EndHook};

/// The hooks of one body, in the order in which they were added.
#[derive(Default)]
pub(super) struct EndHooks {
    few: [Option<EndHook>; 2],
    more: Vec<EndHook>,
}

impl EndHooks {
    pub(super) fn push(&mut self, hook: EndHook) {
        match self.few.iter_mut().find(|room| room.is_none()) {
            Some(room) => *room = Some(hook),
            None => self.more.push(hook),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.few[0].is_none()
    }

    /// Calls all of them.
    pub(super) fn tell(self, end: BodyEnd) {
        for hook in self.few.into_iter().flatten().chain(self.more) {
            hook(end);
        }
    }
}
