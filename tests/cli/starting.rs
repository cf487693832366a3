//! A start that is told to stop before it is over: whatever it is about, it ends at once and lets nobody in.

use crate::harness::{binary, data_dir, is_outside};
use crate::modules::bombs;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Much longer than it takes, and much shorter than what it is to be kept from.
const PATIENCE: Duration = Duration::from_secs(60);

/// A broker that starts in this folder, with this component as a module and nothing that was compiled before.
fn starting(folder: &Path, component: &Path) -> Child {
    let config = format!("data_dir = \"data\"\n[[module]]\nname = \"own\"\npath = \"{}\"\n", component.display());
    fs::write(folder.join("c.toml"), config).unwrap();
    let mut command = Command::new(binary());
    command.current_dir(folder).args(["serve", "--config", "c.toml"]);
    for key in ["listener.mqtt.bind", "listener.ws.bind", "listener.amqp.bind", "admin.bind"] {
        command.args(["--set", &format!("{key}=127.0.0.1:0")]);
    }
    command.stderr(Stdio::piped()).spawn().expect("pliant can be started")
}

/// What `work` comes to; the child is ended if that does not come.
fn in_time<T: Send + 'static>(what: &str, child: &mut Child, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || tell.send(work()));
    told.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        child.kill().unwrap();
        panic!("waited in vain: {what}")
    })
}

/// Sends a signal, and expects a good end of a broker that never listened.
fn ends(mut child: Child, log: BufReader<std::process::ChildStderr>, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    let mut log = log;
    let read = move || {
        let mut rest = String::new();
        log.read_to_string(&mut rest).map(|_| rest)
    };
    let rest = in_time("its end", &mut child, read).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest}");
    assert!(rest.contains("stopped before it had started") && !rest.contains("listening"), "{rest}");
}

#[test]
fn a_start_that_waits_for_something_ends_when_it_is_told() {
    if is_outside() {
        return;
    }
    for signal in ["-TERM", "-INT"] {
        let folder = data_dir();
        let component = folder.path().join("component");
        assert!(Command::new("mkfifo").arg(&component).status().unwrap().success());
        let mut child = starting(folder.path(), &component);
        let log = BufReader::new(child.stderr.take().unwrap());
        // It can be opened when the broker has opened it, and waits for bytes of it.
        let open = move || OpenOptions::new().write(true).open(component);
        let held = in_time("that it reads the component", &mut child, open).unwrap();
        ends(child, log, signal);
        drop(held);
        assert!(folder.path().join("data/pliant.redb").exists());
    }
}

/// A component that takes minutes: the log says what is done meanwhile.
#[test]
fn a_start_that_compiles_says_so_and_ends_when_it_is_told() {
    if is_outside() {
        return;
    }
    let folder = data_dir();
    let component = folder.path().join("component");
    fs::write(&component, bombs::functions(500_000, 1, b"")).unwrap();
    let mut child = starting(folder.path(), &component);
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let read = move || {
        let mut said = String::new();
        while !said.contains("compiling modules") && log.read_line(&mut said).unwrap() > 0 {}
        (said, log)
    };
    let (said, log) = in_time("that it says what it does", &mut child, read);
    assert!(said.contains("compiling modules") && !said.contains("listening"), "{said}");
    ends(child, log, "-TERM");
}
