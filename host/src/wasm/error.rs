//! Every way in which a module can be refused, or a wish about one.

/// Why nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeployError {
    /// See [`super::is_name`].
    #[error("`{0}` is no name for a module: {rule}", rule = super::NAME_RULE)]
    Name(String),
    /// No such module.
    #[error("there is no module `{0}`")]
    NoModule(String),
    /// The module is there, the version is not.
    #[error("there is no version {version} of `{name}`")]
    NoVersion {
        /// Of the module.
        name: String,
        /// What was asked for.
        version: u64,
    },
    /// There is nothing to go back from.
    #[error("`{0}` is switched off: switch it on, or say which version with `to` (--to)")]
    Off(String),
    /// Nothing older is kept.
    #[error("there is no older version of `{0}` to go back to")]
    NothingOlder(String),
    /// What was active before is in quarantine.
    #[error(
        "of what `{name}` was before nothing is fit to go back to by itself ({versions}): say which with `to` (--to)"
    )]
    OlderUnfit {
        /// Of the module.
        name: String,
        /// Those that are passed over.
        versions: String,
    },
    /// Not without being asked for.
    #[error(
        "before this version `{0}` was off, as the broker's configuration says: say `to=0` (--to 0) if that is meant"
    )]
    ToConfiguration(String),
    /// Somebody else, or the same request before, has changed it.
    #[error("`{name}` is not at the version to go back from: {}", at(*active))]
    NotFrom {
        /// The module.
        name: String,
        /// What is asked instead.
        active: Option<u64>,
    },
    /// Going back from the active version would end something else.
    #[error(
        "version {canary} of `{name}` is on trial: end that first with `canary=true` (--canary), or say where to with `to` (--to)"
    )]
    OnTrial {
        /// The module.
        name: String,
        /// The version on trial.
        canary: u64,
    },
    /// Whoever changes it has seen another one.
    #[error("`{name}` is not as it was seen when this was asked for: {}; look at it anew", at(*active))]
    Changed {
        /// The module.
        name: String,
        /// What is asked.
        active: Option<u64>,
    },
    /// Whoever changes it has seen one.
    #[error("there is no module `{0}` any more")]
    NotThere(String),
    /// There is none to confirm.
    #[error("no canary of `{0}` is on trial")]
    NoCanary(String),
    /// Not from 1 to 100.
    #[error("{0} is no percentage for a canary: 1 to 100")]
    CanaryPercent(u8),
    /// Farther from nothing than [`super::ORDER_MAX`].
    #[error("{0} is no order: from -{max} to {max}", max = super::ORDER_MAX)]
    Order(i32),
    /// Nothing runs that it could run beside.
    #[error("no version of `{0}` is active that a canary could run beside")]
    CanaryAlone(String),
    /// One at a time.
    #[error("a canary of `{0}` is on trial; confirm it or roll it back first")]
    CanaryElsewhere(String),
    /// [`super::Limits::modules_max`].
    #[error("{0} modules are installed, which is as many as allowed (wasm.modules_max)")]
    TooMany(usize),
    /// [`super::Limits::component_bytes_max`].
    #[error("the component has {bytes} bytes; {limit} are allowed (wasm.component_bytes_max)")]
    TooBig {
        /// Its size.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// [`super::Limits::config_bytes_max`].
    #[error("the configuration has {bytes} bytes; {limit} are allowed (wasm.config_bytes_max)")]
    ConfigTooBig {
        /// Its size.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
    /// The pinned digest is not that of the bytes.
    #[error("the component's digest is {actual}, not {expected}")]
    Digest {
        /// As pinned.
        expected: String,
        /// As computed.
        actual: String,
    },
    /// The operator wants every component signed.
    #[error(
        "the component is not signed, and this broker takes only signed ones (signing.required): deploy it with --key or --signature"
    )]
    Unsigned,
    /// No key that the broker knows made this signature of these bytes.
    #[error("the signature is not of this component by a key that the broker knows")]
    Signature,
    /// It is signed, and the broker knows no keys.
    #[error(
        "the component is signed, and this broker knows no keys to look at it with: `signing.keys_file` names none"
    )]
    NoKeys,
    /// It does not begin as WebAssembly does.
    #[error("not WebAssembly")]
    NotWasm,
    /// It is WebAssembly, but no component.
    #[error("a core module, not a component: build it for wasm32-wasip2")]
    CoreModule,
    /// It does not validate or compile.
    #[error("not a valid component: {0}")]
    Invalid(String),
    /// The child that was to compile it says this.
    #[error("{0}")]
    Refused(String),
    /// [`super::Limits::compile_seconds_max`].
    #[error("compiling it takes more than {0} s of a processor; if it is to be had, raise wasm.compile_seconds_max")]
    CompilesTooLong(u64),
    /// The same, by the clock.
    #[error(
        "compiling it was not done in {0} s by the clock, six times wasm.compile_seconds_max: the machine is busy; try again \
         when it is not, or raise that"
    )]
    WaitsTooLong(u64),
    /// [`super::Limits::compile_memory_bytes_max`].
    #[error("compiling it takes more than {0} MiB of memory; if it is to be had, raise wasm.compile_memory_bytes_max")]
    CompilesTooBig(u64),
    /// The child ended by something else.
    #[error(
        "the process that compiled it ended with {0}: out of stack, most likely, or of the machine's memory; the bounds of it are \
         wasm.compile_memory_bytes_max and wasm.compile_seconds_max"
    )]
    CompilerDied(String),
    /// The child that was to compile it cannot be started.
    #[error("cannot start a process to compile it in: {0}")]
    NoCompiler(String),
    /// It wants something that the broker does not have.
    #[error("it imports `{0}`, which the broker does not offer")]
    UnknownImport(String),
    /// It is for another version of the contract, or asks for what only a newer one has.
    #[error(
        "built for version {built} of the contract; this broker runs {runs}: take its wit/ (pliant module new writes it, too) \
         and build again"
    )]
    Contract {
        /// What the component is for.
        built: String,
        /// What there is.
        runs: String,
    },
    /// `lifecycle` is missing.
    #[error("it does not export `pliant:broker/lifecycle`, as every module has to")]
    NoLifecycle,
    /// An import or export has another shape than the contract says.
    #[error("it does not fit the contract: {0}")]
    WrongWorld(String),
    /// It did not get through `configure`.
    #[error("it failed in `configure`: {0}")]
    Configure(String),
    /// It said no to its configuration.
    #[error("it refuses its configuration: {0}")]
    RefusedConfig(String),
    /// It took its configuration, and said something about itself that cannot be.
    #[error("its manifest, what it answers in `configure`, is wrong: {0}")]
    Manifest(String),
    /// Examples that it carries do not hold, or cannot be read.
    #[error("its examples do not hold: {0}")]
    Examples(String),
    /// The change is not on disk; the module runs as before.
    #[error("the store does not take the change at the moment")]
    Store,
    /// Nothing that would have to be kept is taken; the module runs as before.
    #[error("the disk is full: the version cannot be kept")]
    DiskFull,
    /// While its component was compiled.
    #[error("`{0}` was switched off while this component was compiled, and stays off; deploy it again to switch it on")]
    SwitchedOff(String),
    /// While its component was compiled.
    #[error("`{0}` was removed while this component was compiled, and stays so; deploy it again to have it")]
    Removed(String),
    /// Others changed the module each time that this change was ready.
    #[error(
        "others have changed `{name}` {times} times while this change was made ready: nothing was changed; try again"
    )]
    Overtaken {
        /// Of the module.
        name: String,
        /// How often it was made ready.
        times: u32,
    },
    /// The bytes of a version are not to be had.
    #[error("the store does not give the component back")]
    NotRead,
}

/// What is active, for a sentence.
fn at(active: Option<u64>) -> String {
    active.map_or_else(|| "it is switched off".to_owned(), |version| format!("version {version} is active"))
}

impl DeployError {
    /// Whether the module is not what the caller took it to be.
    pub fn is_unexpected(&self) -> bool {
        matches!(self, Self::Changed { .. } | Self::NotThere(_))
    }

    /// Whether what was asked about is not there, rather than wrong.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NoModule(_) | Self::NoVersion { .. })
    }

    /// Whether the same request may succeed later.
    pub fn is_temporary(&self) -> bool {
        let overtaken = matches!(self, Self::SwitchedOff(_) | Self::Removed(_) | Self::Overtaken { .. });
        overtaken || matches!(self, Self::Store | Self::DiskFull | Self::NotRead | Self::NoCompiler(_))
    }

    /// Whether what was sent is larger than may be.
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::TooBig { .. } | Self::ConfigTooBig { .. })
    }
}

/// Why there are no modules at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system refuses the address space or the signal handlers that guests need.
    #[error(
        "cannot make room for modules: {0}; where address space is bounded (ulimit -v, LimitAS=), raise that, or lower \
         wasm.instances_max or wasm.memory_bytes_max"
    )]
    Engine(String),
    /// A module that the configuration names does not run.
    #[error("module {name}: {error}")]
    Module {
        /// Its name.
        name: String,
        /// What is wrong with it.
        error: DeployError,
    },
}
