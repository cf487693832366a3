//! The one Engine: how guests are compiled and where they live, each knob with its reason; and the linker that offers
//! them the broker's imports.

use super::bindings;
use super::instance::{Cell, CellOf};
use super::limits::Limits;
use super::machine_code::MachineCode;
use super::ticker::Ticker;
use wasmtime::component::Linker;
use wasmtime::{Config, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, WasmBacktraceDetails};

/// What every component is compiled with and every instance lives in.
pub(super) struct Engine {
    pub(super) wasmtime: wasmtime::Engine,
    /// The broker's interfaces; what a component imports of WASI is added for each component.
    pub(super) linker: Linker<Cell>,
    pub(super) ticker: Ticker,
    /// What was compiled before. None: nothing is kept.
    pub(super) machine_code: Option<MachineCode>,
}

/// Core instances, memories and tables that one component may be made of: the module itself, and the small ones that
/// the component tools put between it and the host. Python's are the most: interpreter, libraries and what links them
/// are 38.
const CORE_INSTANCES_PER_COMPONENT: u32 = 64;
const MEMORIES_PER_COMPONENT: u32 = 2;
const TABLES_PER_COMPONENT: u32 = 16;

impl Engine {
    /// Reserves address space for all instances. Fails where the system gives none.
    pub(super) fn new(limits: &Limits, machine_code: Option<MachineCode>) -> wasmtime::Result<Self> {
        // The fast way reserves 4 GiB of address space a memory, so that no access needs a bounds check. Where address
        // space is rationed (ulimit -v, small containers) the checks are paid instead.
        let pooled = |reservation| wasmtime::Engine::new(&pooled(limits, config(limits, &machine_code, reservation)));
        let wasmtime = pooled(None).or_else(|error| {
            tracing::warn!(%error, "no address space for guests without bounds checks, using small reservations");
            pooled(Some(limits.memory_bytes_max))
        })?;
        Self::with(wasmtime, machine_code)
    }

    /// One that compiles as the other does, and has no room for instances.
    pub(super) fn for_compiling(limits: &Limits, machine_code: Option<MachineCode>) -> wasmtime::Result<Self> {
        Self::with(wasmtime::Engine::new(&config(limits, &machine_code, None))?, machine_code)
    }

    fn with(wasmtime: wasmtime::Engine, machine_code: Option<MachineCode>) -> wasmtime::Result<Self> {
        let mut linker = Linker::new(&wasmtime);
        bindings::Guest::add_to_linker::<_, CellOf>(&mut linker, |cell| cell)?;
        let ticker = Ticker::start(wasmtime.clone());
        Ok(Self { wasmtime, linker, ticker, machine_code })
    }
}

fn config(limits: &Limits, machine_code: &Option<MachineCode>, reservation: Option<usize>) -> Config {
    let mut config = Config::new();
    config.cache(machine_code.as_ref().map(MachineCode::cache));
    // Stops a loop by a counter that a thread moves on: under 5 % of speed, where counting instructions takes half.
    config.epoch_interruption(true);
    config.cranelift_opt_level(OptLevel::Speed);
    // Compiling happens beside a running broker; one thread of it is enough.
    config.parallel_compilation(false);
    // A guest runs on the caller's stack, a worker's of 2 MiB: half of it at least stays with the host, as the configuration bounds it.
    config.max_wasm_stack(limits.stack_bytes_max);
    // Names in a trap's trace cost nothing until there is one; file and line would need debug sections.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    // Nothing that no toolchain for modules uses yet: less compiler to trust.
    config.wasm_memory64(false);
    config.wasm_tail_call(false);
    config.wasm_relaxed_simd(false);
    config.wasm_multi_memory(false);
    if let Some(bytes) = reservation {
        config.memory_reservation(bytes as u64);
        config.memory_guard_size(64 << 10);
    }
    config
}

fn pooled(limits: &Limits, mut config: Config) -> Config {
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)));
    config
}

/// Slots made beforehand: a fresh instance takes 24 µs instead of 37, and the sum of all guests is bounded.
fn pool(limits: &Limits) -> PoolingAllocationConfig {
    let n = limits.instances_max;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(n)
        .total_core_instances(n.saturating_mul(6))
        .total_memories(n)
        .total_tables(n.saturating_mul(4))
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .max_memory_size(limits.memory_bytes_max)
        .table_elements(limits.table_elements_max)
        // Slots that were used keep their mapping; more than a handful would keep memory that nobody needs.
        .max_unused_warm_slots(16);
    pool
}
