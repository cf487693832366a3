//! `pliant module new`: a module in one of four languages that builds as it is, with all that it is built from.

use super::template::{self, File};
use crate::cli::{Failure, Outcome, output};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// Its name: small letters, digits and hyphens; also the name of the folder
    name: String,
    /// What it is written in
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    lang: Language,
    /// Rust: the guest SDK's folder; otherwise that of the checkout of Pliant that this runs in or was built in, or a copy
    #[arg(long, value_name = "PATH")]
    sdk: Option<PathBuf>,
}

/// What a module can be written in out of the box. Any language with component tooling will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Language {
    /// cargo
    Rust,
    /// wit-bindgen, clang and wasm-component-ld
    C,
    /// componentize-js of npm
    Js,
    /// componentize-py of PyPI
    Python,
}

pub(super) fn run(args: &NewArgs) -> Outcome {
    let name = &args.name;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(fits) || name.len() > 64 {
        return Err(Failure::Usage(format!("{name:?} is no name: small letters, digits and hyphens, a letter first")));
    }
    if matches!(args.lang, Language::Rust) && RUST_WORDS.contains(&&**name) {
        return Err(Failure::Usage(format!("{name:?} is a word of Rust, which no crate can have for its name")));
    }
    if matches!(args.lang, Language::Rust) && CRATES.contains(&&**name) {
        return Err(Failure::Usage(format!("{name:?} is a crate that a module needs; take another name")));
    }
    if CARRIED.contains(&&**name) {
        return Err(Failure::Usage(format!(
            "{name:?} is the name of a folder that a module needs beside it; take another one"
        )));
    }
    let mut files = match args.lang {
        Language::Rust => rust(args)?,
        Language::C => with_contract(template::C, name),
        Language::Js => with_contract(template::JS, name),
        Language::Python => with_contract(template::PYTHON, name),
    };
    files.push(("examples.toml".into(), fill(template::EXAMPLES, name)));
    let folder = Path::new(name);
    let failed = |error: std::io::Error| Failure::Failed(format!("cannot make {name}: {error}"));
    if folder.exists() {
        return Err(Failure::Failed(format!("there is a {name} here already")));
    }
    std::fs::create_dir(folder).map_err(failed)?;
    for (path, text) in files {
        let path = folder.join(path);
        path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed)?;
        std::fs::write(path, text).map_err(failed)?;
    }
    eprintln!("next: {name}/README.md, or at once: pliant module build {name}");
    output::line(name)
}

/// Paths within the folder, and texts.
type Files = Vec<(PathBuf, String)>;

/// A template with its places filled in. What is carried along beside it has none: braces there are its own.
fn filled(files: &[File], name: &str) -> Files {
    let page = |path: &str, text: String| if path.ends_with(".md") { lined_up(&text) } else { text };
    files.iter().map(|(path, text)| (path.into(), page(path, fill(text, name)))).collect()
}

/// With the comments of each block of commands below each other, however long the name is that was filled in.
fn lined_up(page: &str) -> String {
    let mut lined_up = String::with_capacity(page.len());
    for (at, part) in page.split("```").enumerate() {
        let is_code = at % 2 == 1;
        lined_up.push_str(if at > 0 { "```" } else { "" });
        let parted =
            |line: &str| line.split_once(" # ").map(|(command, rest)| (command.trim_end().to_owned(), rest.to_owned()));
        let commands = part.lines().filter_map(parted).map(|(command, _)| command.chars().count());
        let width = commands.max().unwrap_or(0).max(COMMENT_COLUMN - 1) + 1;
        for line in part.split_inclusive('\n') {
            match parted(line).filter(|_| is_code) {
                Some((command, rest)) => lined_up.push_str(&format!("{command:<width$}# {rest}")),
                None => lined_up.push_str(line),
            }
        }
    }
    lined_up
}

/// Where comments stand beside commands of a usual length.
const COMMENT_COLUMN: usize = 50;

fn rust(args: &NewArgs) -> Result<Files, Failure> {
    let sdk = match &args.sdk {
        Some(path) => {
            let sdk = path.canonicalize();
            let sdk = sdk.map_err(|error| Failure::Failed(format!("--sdk {}: {error}", path.display())))?;
            for (needed, what) in
                [("Cargo.toml", "the guest SDK"), ("../wit/worlds.wit", "the contract, beside the SDK")]
            {
                if !sdk.join(needed).is_file() {
                    let path = path.display();
                    return Err(Failure::Failed(format!(
                        "--sdk {path}: {path}/{needed} is not there: {what} is needed"
                    )));
                }
            }
            Some(sdk)
        }
        None => find_sdk(),
    };
    Ok(rust_files(args, sdk.as_deref()))
}

/// With the SDK of this folder, or a copy of it.
fn rust_files(args: &NewArgs, sdk: Option<&Path>) -> Files {
    let mut files = filled(template::RUST, &args.name);
    let path = sdk.unwrap_or(Path::new("sdk"));
    for (_, text) in &mut files {
        *text = text.replace("\"{{sdk}}\"", &format!("{{ path = {:?} }}", path.display().to_string()));
    }
    if sdk.is_none() {
        // The SDK looks for the contract beside itself.
        files.extend(template::SDK.iter().map(|(path, text)| (Path::new("sdk").join(path), template::alone(text))));
        files.extend(template::WIT.iter().map(|(path, text)| (Path::new("wit").join(path), (*text).to_owned())));
    }
    files
}

/// A template with the contract, for tools that make bindings of it.
fn with_contract(files: &[File], name: &str) -> Files {
    let mut files = filled(files, name);
    files.push(("wit/world.wit".into(), fill(template::WORLD, name)));
    let broker = Path::new("wit/deps/pliant-broker");
    files.extend(template::WIT.iter().map(|(path, text)| (broker.join(path), (*text).to_owned())));
    files
}

fn fill(text: &str, name: &str) -> String {
    text.replace("{{name}}", name).replace("{{type}}", &type_name(name)).replace("{{contract}}", template::CONTRACT)
}

/// The guest SDK of the checkout around the working directory, or around this program.
fn find_sdk() -> Option<PathBuf> {
    let starts = [std::env::current_dir().ok(), std::env::current_exe().ok()];
    let folders = starts.iter().flatten().flat_map(|start| start.ancestors());
    let mut found = folders.map(|folder| folder.join("guest-sdk")).filter(|sdk| sdk.join("Cargo.toml").is_file());
    found.next()
}

/// Keywords (Rust reference, 2.1) that would pass for a name.
const RUST_WORDS: [&str; 39] = [
    "as", "async", "await", "break", "const", "continue", "crate", "dyn", "else", "enum", "extern", "false", "fn",
    "for", "gen", "if", "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub", "ref", "return", "self",
    "static", "struct", "super", "trait", "true", "type", "unsafe", "use", "where", "while", "yield",
];

/// Crates that the template's own would hide or clash with: Rust's, and the SDK.
const CRATES: [&str; 5] = ["alloc", "core", "pliant-guest", "std", "test"];

/// Folders that would be taken for the SDK, or for the contract that it looks for beside itself.
const CARRIED: [&str; 2] = ["guest-sdk", "wit"];

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
    fn comments_stand_below_each_other_however_long_the_name_is() {
        let long = "x".repeat(64);
        for name in ["n", "hello", long.as_str()] {
            for files in [template::RUST, template::C, template::JS, template::PYTHON] {
                let files = filled(files, name);
                let page = &files.iter().find(|(path, _)| path.ends_with("README.md")).expect("a page").1;
                let code = page.split("```").nth(1).expect("commands");
                let columns: Vec<_> = code.lines().filter_map(|line| line.find(" # ")).collect();
                assert!(columns.len() > 4 && columns.iter().all(|column| *column == columns[0]), "{code}");
                assert!(name.len() > 8 || columns[0] == COMMENT_COLUMN - 1, "{code}");
            }
        }
    }

    #[test]
    fn the_templates_leave_nothing_to_fill_in() {
        let files = [template::RUST, template::C, template::JS, template::PYTHON].concat();
        for (path, text) in files.into_iter().chain([("examples.toml", template::EXAMPLES), ("", template::WORLD)]) {
            let filled = fill(&text.replace("\"{{sdk}}\"", "\"1\""), "n");
            assert!(!filled.contains("{{"), "{path}: {filled}");
        }
    }

    /// Braces of the SDK are its own, whatever stands between them.
    #[test]
    fn what_is_carried_along_is_not_filled_in() {
        let files = with_contract(template::C, "x");
        let carried =
            |path: &Path, text: &str| template::WIT.iter().any(|(name, own)| path.ends_with(name) && *own == text);
        let contract = files.iter().filter(|(path, _)| path.starts_with("wit/deps"));
        assert!(contract.clone().count() > 10 && contract.clone().all(|(path, text)| carried(path, text)));
        let braces = template::SDK.iter().find(|(path, _)| *path == "src/template.rs").expect("it is there").1;
        let args = NewArgs { name: "x".into(), lang: Language::Rust, sdk: None };
        let own = rust_files(&args, None).into_iter().find(|(path, _)| path.ends_with("sdk/src/template.rs"));
        assert_eq!(own.expect("the SDK").1, braces);
    }

    #[test]
    fn the_contract_and_the_sdk_are_carried_along_whole() {
        let of = |files: &[File], path: &str| files.iter().any(|(name, _)| *name == path);
        assert!(of(template::WIT, "worlds.wit") && of(template::SDK, "Cargo.toml") && of(template::SDK, "src/lib.rs"));
        let manifest = template::SDK.iter().find(|(path, _)| *path == "Cargo.toml").expect("it is there").1;
        let manifest = template::alone(manifest);
        assert!(!manifest.contains("workspace"), "{manifest}");
        assert!(toml::from_str::<toml::Table>(&manifest).is_ok());
        assert!(template::WIT.iter().all(|(_, text)| text.contains(&format!("@{}", template::CONTRACT))));
    }
}
