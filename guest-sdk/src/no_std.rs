//! What a module without the standard library lacks: the function by which the
//! host reserves memory for arguments, `memcpy` and its like, and what happens on a panic.
#![allow(unsafe_code, reason = "the host writes into memory that `cabi_realloc` hands out")]

use alloc::alloc::{Layout, alloc, realloc};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

// The compiler takes `memcpy` and its like for granted. The library comes with the target, and
// only what is called is linked.
#[link(name = "c")]
unsafe extern "C" {}

/// Reserves or grows memory for what the host hands over, as the component model's canonical
/// ABI asks. The bindings free it through the same allocator.
///
/// # Safety
/// `old` must come from here with `old_size` and `align`, or `old_size` be 0.
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(old: *mut u8, old_size: usize, align: usize, new_size: usize) -> *mut u8 {
    if new_size == 0 {
        // No bytes need no memory, only an aligned address that is not null.
        return core::ptr::without_provenance_mut(align);
    }
    let size = if old_size == 0 { new_size } else { old_size };
    let Ok(layout) = Layout::from_size_align(size, align) else { core::arch::wasm32::unreachable() };
    // SAFETY: the size is above 0; a block that grows came from the same allocator and layout.
    let block = unsafe { if old_size == 0 { alloc(layout) } else { realloc(old, layout, new_size) } };
    if block.is_null() { core::arch::wasm32::unreachable() } else { block }
}

/// Tells the module's log where and why, and traps. A panic on the way there, for want of memory
/// say, traps at once.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    static AGAIN: AtomicBool = AtomicBool::new(false);
    if !AGAIN.swap(true, Ordering::Relaxed) {
        crate::log::error(alloc::format!("{info}"));
    }
    core::arch::wasm32::unreachable()
}
