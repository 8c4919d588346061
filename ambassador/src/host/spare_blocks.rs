// SPDX-License-Identifier: Apache-2.0
//! The allocator: the system's, and in front of it what a worker has freed and will soon ask for again.
//!
//! A request takes some twenty small blocks and gives them back a moment later. The C library keeps seven of a size at
//! hand; with more requests under way than that, each block goes through its lists. So a worker keeps its own. What is kept is bounded; threads that are no workers keep nothing.

#![allow(
    unsafe_code,
    clippy::cast_ptr_alignment,
    reason = "an allocator deals in raw memory, aligned to 16 bytes"
)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    ptr,
};

/// The system's allocator, of which workers keep small blocks.
pub struct SpareBlocks;

/// Lets the calling thread keep what it frees: at most 32 blocks of each size, 1 MiB in all. For threads that last as
/// long as the process: what one has kept when it ends is lost.
pub fn keep_on_this_thread() {
    SHELVES.with(|shelves| {
        for shelf in &shelves.by_class {
            shelf.set(Shelf { room: SHELF_BLOCKS, ..shelf.get() });
        }
        shelves.room.set(MOST_BYTES);
    });
}

// SAFETY: every block comes from the system's allocator and is as large as its class says, which follows from the layout
// alone; so it fits whatever is asked for in that class, and goes back with the layout that it came with.
unsafe impl GlobalAlloc for SpareBlocks {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        let Some(class) = class_of(layout) else { return unsafe { System.alloc(layout) } };
        SHELVES.with(|shelves| match shelves.by_class[class].get() {
            // SAFETY: no class has size 0.
            Shelf { first, .. } if first.is_null() => unsafe { System.alloc(block(class)) },
            Shelf { first, room } => {
                // SAFETY: what is on a shelf is ours, and begins with an address, for which every class has room.
                let next = unsafe { first.cast::<*mut u8>().read() };
                shelves.by_class[class].set(Shelf { first: next, room: room + 1 });
                shelves.room.set(shelves.room.get() + block(class).size());
                first
            }
        })
    }

    unsafe fn dealloc(&self, freed: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        let Some(class) = class_of(layout) else { return unsafe { System.dealloc(freed, layout) } };
        SHELVES.with(|shelves| match (shelves.by_class[class].get(), block(class).size()) {
            (Shelf { first, room: room @ 1.. }, size) if size <= shelves.room.get() => {
                // SAFETY: nobody else uses it any more, and every class has room for an address, at its alignment.
                unsafe { freed.cast::<*mut u8>().write(first) };
                shelves.by_class[class].set(Shelf { first: freed, room: room - 1 });
                shelves.room.set(shelves.room.get() - size);
            }
            // SAFETY: it was allocated as a block of this class.
            _ => unsafe { System.dealloc(freed, block(class)) },
        });
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if class_of(layout).is_none() {
            // SAFETY: as the caller promises.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: as the caller promises.
        let block = unsafe { self.alloc(layout) };
        if !block.is_null() {
            // SAFETY: it has at least that size.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: the caller promises that both make a layout.
        let wanted = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        match (class_of(layout), class_of(wanted)) {
            // SAFETY: as the caller promises.
            (None, None) => unsafe { System.realloc(old, layout, new_size) },
            (was, is) if was == is => old,
            _ => {
                // SAFETY: as the caller promises; the two blocks are different ones, and the smaller size is copied.
                unsafe {
                    let new = self.alloc(wanted);
                    if !new.is_null() {
                        ptr::copy_nonoverlapping(old, new, layout.size().min(new_size));
                        self.dealloc(old, layout);
                    }
                    new
                }
            }
        }
    }
}

/// Kept blocks of one size, each of which begins with the address of the next.
#[derive(Clone, Copy)]
struct Shelf {
    first: *mut u8,
    /// How many more may be kept.
    room: usize,
}

/// What one thread keeps.
struct Shelves {
    by_class: [Cell<Shelf>; CLASSES],
    /// How many more bytes may be kept.
    room: Cell<usize>,
}

thread_local! {
    /// Without a destructor, so that it can be used until the very end of a thread.
    static SHELVES: Shelves = const {
        Shelves {
            by_class: [const { Cell::new(Shelf { first: ptr::null_mut(), room: 0 }) }; CLASSES],
            room: Cell::new(0),
        }
    };
}

/// How many blocks of one size are kept.
const SHELF_BLOCKS: usize = 32;
/// How many bytes a thread keeps.
const MOST_BYTES: usize = 1 << 20;

/// The classes: first those of ordinary blocks of up to 4104 bytes, then those of blocks that are aligned as tokio's tasks
/// and sockets are, of up to 4096.
const CLASSES: usize = ORDINARY + 32;
const ORDINARY: usize = 256;
/// What is asked for is rounded up to 24, 40, 56 … bytes, which is what glibc would give out for it, …
const ALIGN: usize = 16;
/// … or to a multiple of this, which nothing so aligned needs.
const WIDE_ALIGN: usize = 128;

/// The class of what is asked for; `None` if that is never kept.
const fn class_of(layout: Layout) -> Option<usize> {
    if layout.align() <= ALIGN {
        let class = layout.size().saturating_sub(9) / ALIGN;
        return if class < ORDINARY { Some(class) } else { None };
    }
    let class = ORDINARY + layout.size().saturating_sub(1) / WIDE_ALIGN;
    if class < CLASSES && layout.align() <= WIDE_ALIGN { Some(class) } else { None }
}

/// What blocks of a class are.
const fn block(class: usize) -> Layout {
    let (size, align) = if class < ORDINARY {
        (class * ALIGN + 24, ALIGN)
    } else {
        ((class - ORDINARY + 1) * WIDE_ALIGN, WIDE_ALIGN)
    };
    // SAFETY: both alignments are powers of two, and no class is larger than memory.
    unsafe { Layout::from_size_align_unchecked(size, align) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(size: usize) -> usize {
        let class = class_of(Layout::array::<u8>(size).expect("a layout")).expect("a class");
        SHELVES.with(|shelves| shelves.by_class[class].get().room)
    }

    #[test]
    fn a_block_is_as_large_and_as_aligned_as_is_asked_for_and_hardly_larger() {
        for (align, waste) in [(1, 24), (8, 24), (16, 24), (64, 128), (128, 128)] {
            for size in 1..=5000 {
                let layout = Layout::from_size_align(size, align).expect("a layout");
                let Some(class) = class_of(layout) else {
                    assert!(size > 4096, "{layout:?} is not kept");
                    continue;
                };
                let block = block(class);
                assert!(block.align() >= align && (size..size + waste).contains(&block.size()), "{layout:?}");
            }
        }
        assert_eq!(class_of(Layout::from_size_align(8, 256).expect("a layout")), None);
    }

    #[test]
    fn no_more_is_kept_than_may_be_in_all() {
        std::thread::spawn(|| {
            keep_on_this_thread();
            let all =
                |size: usize| (0..SHELF_BLOCKS).map(|_| Vec::<u8>::with_capacity(size)).collect::<Vec<_>>();
            for size in (100..4000).step_by(16) {
                drop(all(size));
            }
            assert!(SHELVES.with(|shelves| shelves.room.get()) < 4000, "that is more than 1 MiB");
            assert_eq!(room(3988), SHELF_BLOCKS, "there was no room for the last ones");
        })
        .join()
        .expect("no panic");
    }

    #[test]
    fn what_was_freed_is_given_out_again_and_no_more_is_kept_than_may_be() {
        std::thread::spawn(|| {
            let before = Vec::<u8>::with_capacity(200);
            assert_eq!(room(200), 0, "a thread keeps nothing by itself");
            keep_on_this_thread();
            let at = before.as_ptr();
            drop(before);
            assert_eq!(room(200), SHELF_BLOCKS - 1);
            let again = Vec::<u8>::with_capacity(195);
            assert_eq!((again.as_ptr(), room(200)), (at, SHELF_BLOCKS));
            let many: Vec<_> = (0..2 * SHELF_BLOCKS).map(|_| Vec::<u8>::with_capacity(200)).collect();
            drop(many);
            assert_eq!(room(200), 0);
        })
        .join()
        .expect("no panic");
    }

    #[test]
    fn what_grows_and_shrinks_keeps_its_bytes() {
        std::thread::spawn(|| {
            keep_on_this_thread();
            let mut bytes = Vec::new();
            for round in 0..3 {
                for byte in 0..5000_u32 {
                    bytes.push(byte.wrapping_mul(7) + round);
                }
                bytes.shrink_to(1);
                assert!(
                    bytes.iter().zip(0..).all(|(byte, at): (&u32, u32)| *byte == at.wrapping_mul(7) + round)
                );
                bytes.truncate(3);
                bytes.shrink_to_fit();
                assert_eq!(bytes, [round, 7 + round, 14 + round]);
                bytes.clear();
            }
            assert_eq!(vec![0_u8; 333], [0; 333], "zeroed");
        })
        .join()
        .expect("no panic");
    }
}
