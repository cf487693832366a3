//! Which threads the system is asked to run first, and later. Where it does not allow that, or is no Linux, they are like the others.

use std::cell::Cell;
use std::thread;
#[cfg(target_os = "linux")]
use thread_priority::unix::{set_thread_priority_and_policy as set, thread_native_id};
#[cfg(target_os = "linux")]
use thread_priority::{
    NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
};

#[cfg(target_os = "linux")]
const NORMAL: ThreadSchedulePolicy = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other);

/// Of the thread that stops guests: it is to be run before all others when it is due. A guest that loops has its processor
/// until then, and where more threads want processors than there are a thread like the others is woken many milliseconds late.
/// What it does when it is woken takes some microseconds, so nobody notices. Needs CAP_SYS_NICE or a limit (`LimitRTPRIO=1` or
/// `LimitNICE=-20` of systemd). True: it does come before all others.
#[cfg(target_os = "linux")]
pub(super) fn come_first() -> bool {
    let real_time = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let is_first = set(thread_native_id(), ThreadPriority::Min, real_time).is_ok();
    let how = if is_first {
        "before all others"
    } else if set(thread_native_id(), ThreadPriority::Max, NORMAL).is_ok() {
        "nice -20"
    } else {
        "like the others"
    };
    tracing::debug!(how, "the thread that stops guests is scheduled");
    is_first
}

thread_local! {
    static STANDS_BACK: Cell<bool> = const { Cell::new(false) };
}

/// How far a thread stands back behind those that serve clients.
#[derive(Debug, Clone, Copy)]
pub enum Back {
    /// Somebody waits for it, or it has to be done in bounded time: beside others it gets a quarter of a processor. Nice 5.
    ALittle,
    /// Nobody waits for it: beside others it gets a tenth of a processor. Nice 10.
    Far,
}

/// Of whoever compiles, and of threads that call modules beside those that serve clients: the latter come before them.
pub fn stand_back(how: Back) {
    STANDS_BACK.set(true);
    lower(how);
}

/// A guest runs on here and is seen at a tick. The system lets a thread that it has chosen run for longer than a tick whoever
/// else comes to want the processor, so one that stands back offers it.
pub(super) fn offer() {
    if STANDS_BACK.get() {
        thread::yield_now();
    }
}

#[cfg(target_os = "linux")]
fn lower(how: Back) {
    // Of 0 to 99, where 99 is nice -20.
    let value: u8 = match how {
        Back::ALittle => 35,
        Back::Far => 22,
    };
    let priority = ThreadPriorityValue::try_from(value).map(ThreadPriority::Crossplatform);
    if let Ok(priority) = priority {
        // Otherwise it is like the others, as said.
        let _ = set(thread_native_id(), priority, NORMAL);
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn come_first() -> bool {
    false
}

/// Nothing can be asked for here.
#[cfg(not(target_os = "linux"))]
fn lower(_: Back) {}
