//! The steps of the README run as they are written.

use crate::harness::{Process, binary};
use crate::house::root;
use std::fs;
use std::process::Command;

/// The blocks of shell commands below a heading, but not its first one, which sets the path.
fn steps(heading: &str) -> String {
    let page = fs::read_to_string(root().join("README.md")).expect("README.md");
    let part = page.split(heading).nth(1).expect("the heading is there");
    let part = part.split("\n## ").next().expect("what stands before the next heading");
    let blocks: Vec<&str> = part.split("```sh\n").skip(2).filter_map(|block| block.split("```").next()).collect();
    assert!(blocks.len() >= 3, "{part}");
    blocks.concat()
}

/// `pliant pub` and `sub` look for the default port; the wrapper tells them the one of this row's broker.
#[test]
fn your_first_module_is_written_deployed_and_taken_out_as_the_readme_says() {
    let Some(broker) = Process::start() else { return };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a place to write a module");
    let pliant = binary().display();
    let wrapper = format!(
        "pliant() {{ case $1 in pub|sub) \"{pliant}\" \"$@\" --url mqtt://{} ;; *) \"{pliant}\" \"$@\" ;; esac; }}\nset -eux\n",
        broker.address()
    );
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(wrapper + &steps("## Your first module in five minutes")).current_dir(folder.path());
    // The module is compiled as a user would: in a folder and a target directory of its own.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_")) {
        shell.env_remove(name);
    }
    shell.env("PLIANT__DATA_DIR", broker.data());
    let output = shell.output().expect("a shell");
    let told = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    assert!(told.contains("seen-by") && told.contains("topic-rules"), "{told}");
    let gone = broker.admin().get("/api/v1/modules/hello").status;
    assert_eq!(gone, 404);
}
