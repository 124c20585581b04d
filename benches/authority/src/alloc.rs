//! Counts what is allocated, and looks for a secret in what is freed.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

struct Watching;

/// Stands in the secrets of this program and nowhere else.
pub const CANARY: &str = "canary-Q7x2mZ9kLw";

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static LOOKING: AtomicBool = AtomicBool::new(false);
static FOUND: AtomicU64 = AtomicU64::new(0);

#[expect(
    unsafe_code,
    reason = "an allocator cannot be watched otherwise; both calls go to the system's unchanged"
)]
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // Zeroed, so that all of a block may be read when it is freed.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if LOOKING.load(Ordering::Relaxed) {
            let block = unsafe { std::slice::from_raw_parts(pointer, layout.size()) };
            if block.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()) {
                FOUND.fetch_add(1, Ordering::Relaxed);
            }
        }
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// The allocations of all threads meanwhile; reallocations count.
pub fn counted(call: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    call();
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

/// How many blocks held the canary when they were freed meanwhile.
pub fn leaks(call: impl FnOnce()) -> u64 {
    let before = FOUND.load(Ordering::Relaxed);
    LOOKING.store(true, Ordering::Relaxed);
    call();
    LOOKING.store(false, Ordering::Relaxed);
    FOUND.load(Ordering::Relaxed) - before
}
