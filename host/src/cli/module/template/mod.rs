//! What `pliant module new` writes: a folder a language, and what all of them share.

include!(concat!(env!("OUT_DIR"), "/carried.rs"));

/// A path within the module's folder, and the text.
pub(super) type File = (&'static str, &'static str);

/// The version of the contract that templates ask for.
pub(super) use crate::wasm::CONTRACT;

pub(super) const EXAMPLES: &str = include_str!("examples.toml");

/// What modules in other languages than Rust import and export.
pub(super) const WORLD: &str = include_str!("world.wit");

pub(super) const RUST: &[File] = &[
    ("Cargo.toml", include_str!("rust/Cargo.toml.txt")),
    ("src/lib.rs", include_str!("rust/lib.rs.txt")),
    ("README.md", include_str!("rust/README.md")),
    (".gitignore", include_str!("rust/gitignore")),
];

pub(super) const C: &[File] = &[
    ("Makefile", include_str!("c/Makefile")),
    ("hooks.c", include_str!("c/hooks.c")),
    ("README.md", include_str!("c/README.md")),
    (".gitignore", include_str!("c/gitignore")),
];

pub(super) const JS: &[File] = &[
    ("package.json", include_str!("js/package.json")),
    ("module.js", include_str!("js/module.js")),
    ("module.test.js", include_str!("js/module.test.js")),
    ("README.md", include_str!("js/README.md")),
    (".gitignore", include_str!("js/gitignore")),
];

pub(super) const PYTHON: &[File] = &[
    ("app.py", include_str!("python/app.py")),
    ("test_app.py", include_str!("python/test_app.py")),
    ("requirements.txt", include_str!("python/requirements.txt")),
    ("README.md", include_str!("python/README.md")),
    (".gitignore", include_str!("python/gitignore")),
];

/// A manifest of this workspace's for a life outside it.
pub(super) fn alone(manifest: &str) -> String {
    let line = |line: &str| match line.split_once(".workspace = true") {
        Some(("version", _)) => format!("version = {:?}\n", env!("CARGO_PKG_VERSION")),
        Some(("rust-version", _)) => format!("rust-version = {:?}\n", env!("CARGO_PKG_RUST_VERSION")),
        Some(("license", _)) => format!("license = {:?}\n", env!("CARGO_PKG_LICENSE")),
        Some(("edition", _)) => "edition = \"2024\"\n".to_owned(),
        Some(("publish", _)) => "publish = false\n".to_owned(),
        _ => format!("{}\n", line.replace("As in the workspace", "As in Pliant")),
    };
    manifest.lines().map(line).collect()
}
