//! Every bound on modules and on what they may do to the broker.

use crate::topic;

/// Bounds of the module room. Each holds for every module alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Milliseconds of a processor that one hook call may take. Whoever is seen running after that is stopped, two
    /// milliseconds later where the thread that looks is woken in time. By the clock it is at most four times as long and 200
    /// more, so that a thread that waits for a processor is forgiven. Default 5.
    pub call_milliseconds_max: u64,
    /// Milliseconds of a processor that `configure` may take, the making of the instance included; likewise. Default 1,000.
    pub configure_milliseconds_max: u64,
    /// Bytes of linear memory of one instance, all its memories together. Default 16 MiB.
    pub memory_bytes_max: usize,
    /// Bytes of a component. One that carries an interpreter has 12 MiB (JavaScript) or 18 MiB (Python). Default 32 MiB.
    pub component_bytes_max: usize,
    /// Bytes of memory that compiling one may take, in a process of its own. Default 512 MiB.
    pub compile_memory_bytes_max: u64,
    /// Seconds of a processor that compiling one may take, likewise; six times as many by the clock. Default 60.
    pub compile_seconds_max: u64,
    /// Bytes of machine code that is kept, so that a component is compiled once; 0: none is. What was not used for the
    /// longest time goes first. Default 256 MiB.
    pub machine_code_bytes_max: u64,
    /// Bytes of a configuration document. Default 1 MiB.
    pub config_bytes_max: usize,
    /// Bytes of stack that a guest may use, of the 2 MiB of the thread that calls it. Default 256 KiB.
    pub stack_bytes_max: usize,
    /// Entries of one table of functions. Default 20,000.
    pub table_elements_max: usize,
    /// Bytes that one call may hand from the guest to the host. Default 2 MiB and 64 KiB.
    pub hostcall_bytes_max: usize,
    /// Calls of the broker's imports that one call may make, `configure` included. Default 10,000.
    pub host_calls_max: u32,
    /// Handles to host objects that one instance may hold at a time. Default 64.
    pub handles_max: u32,
    /// Instances that may live at the same time, over all modules and worker threads. Default 512.
    pub instances_max: u32,
    /// Failures of a version within the window that put it into quarantine; 0: none ever is. Default 5.
    pub failures_max: usize,
    /// For how long a failure counts, milliseconds. Default 10,000.
    pub failures_window_milliseconds: u64,
    /// Modules that may be installed. Default 64.
    pub modules_max: usize,
    /// Versions of one module that are kept, the active one included. At least 2. Default 5.
    pub versions_kept: usize,
    /// Filters in one interest of a manifest. Default 256.
    pub interest_filters_max: usize,
    /// Messages that one call may return beside the one it decides on. Default 64.
    pub wishes_max: usize,
    /// Bytes of all messages that one call returns, together. Default 2 MiB.
    pub wish_bytes_max: usize,
    /// How many wishes may stand between what a client sent and a message. Default 8.
    pub hops_max: u8,
    /// Shortest time between two ticks of a module, milliseconds; who asks for less gets this. Default 10.
    pub tick_milliseconds_min: u64,
    /// Examples in one document. Default 256.
    pub examples_max: usize,
    /// Recent log lines kept a module. Default 256.
    pub log_lines_kept: usize,
    /// Bytes of one log line; what is longer is cut. Default 1,024.
    pub log_line_bytes_max: usize,
    /// Lines that one module may write in a second, all its instances together; more are left out and counted. Default 500.
    pub log_lines_per_second_max: u64,
    /// Bytes of keys and values that one module may keep. Default 1 MiB.
    pub state_bytes_max: usize,
    /// Keys that one module may keep. Default 10,000.
    pub state_keys_max: usize,
    /// Bytes of keys and values that one module may write in a second, all its instances together: the store has to take them.
    /// Default 16 MiB.
    pub state_bytes_per_second_max: u64,
    /// Retained messages that one call may look up. Default 1,000.
    pub retained_reads_max: u32,
    /// Bytes of their payloads, together. Default 4 MiB.
    pub retained_bytes_max: usize,
    /// Figures that one module may export. Default 64.
    pub figures_max: usize,
    /// Milliseconds that one call of `access.authenticate` or `timers` may wait for servers outside, all its requests
    /// together. Default 3,000.
    pub http_milliseconds_max: u64,
    /// Requests that such a call may make. Default 4.
    pub http_requests_max: u32,
    /// Requests that one module may make in a second, all its instances together. Default 1,000.
    pub http_requests_per_second_max: u64,
    /// Bytes of the body of one request, and of its header. Default 64 KiB.
    pub http_request_bytes_max: usize,
    /// Bytes of the body of one answer. Default 256 KiB.
    pub http_reply_bytes_max: usize,
    /// What a topic or filter from a module must keep to.
    pub topics: topic::Limits,
}

/// Bytes of a key of module state; the contract promises as many.
pub const STATE_KEY_BYTES_MAX: usize = 256;

/// Bytes of a value of module state; the contract promises as many.
pub const STATE_VALUE_BYTES_MAX: usize = 64 * 1024;

/// Bytes of what an access module may say that a client is.
pub const IDENTITY_BYTES_MAX: usize = 1_024;

/// Bytes of a module's name, and of the name of a figure.
pub const NAME_BYTES_MAX: usize = 64;

impl Default for Limits {
    fn default() -> Self {
        Self {
            call_milliseconds_max: 5,
            configure_milliseconds_max: 1_000,
            memory_bytes_max: 16 << 20,
            component_bytes_max: 32 << 20,
            compile_memory_bytes_max: 512 << 20,
            compile_seconds_max: 60,
            machine_code_bytes_max: 256 << 20,
            config_bytes_max: 1 << 20,
            stack_bytes_max: 256 << 10,
            table_elements_max: 20_000,
            hostcall_bytes_max: (2 << 20) + (64 << 10),
            host_calls_max: 10_000,
            handles_max: 64,
            instances_max: 512,
            failures_max: 5,
            failures_window_milliseconds: 10_000,
            modules_max: 64,
            versions_kept: 5,
            interest_filters_max: 256,
            wishes_max: 64,
            wish_bytes_max: 2 << 20,
            hops_max: 8,
            tick_milliseconds_min: 10,
            examples_max: 256,
            log_lines_kept: 256,
            log_line_bytes_max: 1_024,
            log_lines_per_second_max: 500,
            state_bytes_max: 1 << 20,
            state_keys_max: 10_000,
            state_bytes_per_second_max: 16 << 20,
            retained_reads_max: 1_000,
            retained_bytes_max: 4 << 20,
            figures_max: 64,
            http_milliseconds_max: 3_000,
            http_requests_max: 4,
            http_requests_per_second_max: 1_000,
            http_request_bytes_max: 64 << 10,
            http_reply_bytes_max: 256 << 10,
            topics: topic::Limits::default(),
        }
    }
}
