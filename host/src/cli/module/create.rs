//! `pliant module new`: a module in Rust that builds as it is.

use crate::cli::{Failure, Outcome, output};
use clap::Args;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// Its name: small letters, digits and hyphens; also the name of the folder
    name: String,
    /// The guest SDK's folder; otherwise found in the checkout of Pliant that this runs in or was built in
    #[arg(long, value_name = "PATH")]
    sdk: Option<PathBuf>,
}

const MANIFEST: &str = include_str!("template/manifest.toml");
const SOURCE: &str = include_str!("template/source.rs.txt");
const EXAMPLES: &str = include_str!("template/examples.toml");

pub(super) fn run(args: &NewArgs) -> Outcome {
    let name = &args.name;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(fits) || name.len() > 64 {
        return Err(Failure::Usage(format!("{name:?} is no name: small letters, digits and hyphens, a letter first")));
    }
    let sdk = match &args.sdk {
        Some(path) => {
            Some(path.canonicalize().map_err(|error| Failure::Failed(format!("--sdk {}: {error}", path.display())))?)
        }
        None => find_sdk(),
    };
    let dependency = match &sdk {
        Some(path) => format!("{{ path = {:?} }}", path.display().to_string()),
        None => format!("{:?}", env!("CARGO_PKG_VERSION")),
    };
    let folder = Path::new(name);
    let failed = |error: std::io::Error| Failure::Failed(format!("cannot make {name}: {error}"));
    std::fs::create_dir(folder).map_err(failed)?;
    std::fs::create_dir(folder.join("src")).map_err(failed)?;
    let fill = |text: &str| {
        text.replace("{{name}}", name).replace("{{type}}", &type_name(name)).replace("\"{{sdk}}\"", &dependency)
    };
    std::fs::write(folder.join("Cargo.toml"), fill(MANIFEST)).map_err(failed)?;
    std::fs::write(folder.join("src/lib.rs"), fill(SOURCE)).map_err(failed)?;
    std::fs::write(folder.join("examples.toml"), fill(EXAMPLES)).map_err(failed)?;
    std::fs::write(folder.join(".gitignore"), "target\n*.wasm\n").map_err(failed)?;
    if sdk.is_none() {
        eprintln!("no checkout of Pliant was found; {name}/Cargo.toml asks for the guest SDK by version");
    }
    eprintln!("next: pliant module build {name}");
    output::line(name)
}

/// The guest SDK of the checkout around the working directory, or around this program.
fn find_sdk() -> Option<PathBuf> {
    let starts = [std::env::current_dir().ok(), std::env::current_exe().ok()];
    let folders = starts.iter().flatten().flat_map(|start| start.ancestors());
    let mut found = folders.map(|folder| folder.join("guest-sdk")).filter(|sdk| sdk.join("Cargo.toml").is_file());
    found.next()
}

/// `name-site` is `NameSite`.
fn type_name(name: &str) -> String {
    let words = name.split('-').filter(|word| !word.is_empty());
    words.map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_types() {
        for (name, expected) in [("name-site", "NameSite"), ("a", "A"), ("x--2", "X2")] {
            assert_eq!(type_name(name), expected);
        }
    }

    #[test]
    fn the_template_leaves_nothing_to_fill_in() {
        for text in [MANIFEST, SOURCE, EXAMPLES] {
            let filled = text.replace("{{name}}", "n").replace("{{type}}", "T").replace("\"{{sdk}}\"", "\"1\"");
            assert!(!filled.contains("{{"), "{filled}");
        }
        assert!(toml::from_str::<toml::Table>(&MANIFEST.replace("{{name}}", "n")).is_ok());
    }
}
