//! `pliant user`: the file of users with their passwords.

use super::{Failure, Outcome, output};
use crate::identity::{PasswordFile, User};
use clap::{Args, Subcommand};
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

/// Longest password that is read from standard input, with room to see that it is too long.
const INPUT_BYTES_MAX: u64 = 8192;

#[derive(Debug, Args)]
pub(crate) struct UserArgs {
    /// The file of users
    #[arg(long, short, value_name = "FILE")]
    file: PathBuf,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Add a user, or change the password of one; makes the file if it is not there
    ///
    /// The password is asked for, or read from standard input where that is no terminal (a line end after it does not
    /// belong to it).
    #[command(after_help = "Example:\n  pliant user --file users add ann")]
    Add {
        /// The user name
        name: String,
        /// Leave out what SCRAM needs: passwords that are guessed can then be tried against Argon2 only
        #[arg(long)]
        no_scram: bool,
    },
    /// Remove a user
    #[command(after_help = "Example:\n  pliant user --file users remove ann")]
    Remove {
        /// The user name
        name: String,
    },
    /// List all users
    #[command(after_help = "Example:\n  pliant user --file users list --json")]
    List,
}

pub(crate) fn run(args: &UserArgs) -> Outcome {
    match &args.command {
        UserCommand::Add { name, no_scram } => add(args, name, !no_scram),
        UserCommand::Remove { name } => remove(args, name),
        UserCommand::List => list(args),
    }
}

fn add(args: &UserArgs, name: &str, with_scram: bool) -> Outcome {
    crate::identity::check_name(name).map_err(|why| Failure::Usage(why.to_owned()))?;
    let now = || if args.file.exists() { read(args) } else { Ok(PasswordFile::default()) };
    // A file that will not do is told before somebody types a password.
    now()?;
    let password = password(name)?;
    let user = User::new(&password, with_scram).map_err(Failure::failed)?;
    let _alone = alone(args)?;
    let mut file = now()?;
    let is_new = file.add(name, user).map_err(Failure::failed)?;
    write(args, &file)?;
    let done = if is_new { "added" } else { "changed" };
    match args.json {
        true => output::json(&serde_json::json!({ "user": name, "done": done })),
        false => output::line(&format!("{done} {name}")),
    }
}

fn remove(args: &UserArgs, name: &str) -> Outcome {
    let _alone = alone(args)?;
    let mut file = read(args)?;
    if !file.remove(name) {
        return Err(Failure::Failed(format!("{} has no user {name}", args.file.display())));
    }
    write(args, &file)?;
    match args.json {
        true => output::json(&serde_json::json!({ "user": name, "done": "removed" })),
        false => output::line(&format!("removed {name}")),
    }
}

fn list(args: &UserArgs) -> Outcome {
    let file = read(args)?;
    if args.json {
        let users = file.names().map(|(name, scram)| serde_json::json!({ "user": name, "scram": scram }));
        return output::json(&serde_json::Value::from_iter(users));
    }
    for (name, _) in file.names() {
        output::line(name)?;
    }
    Ok(())
}

/// Waits until no other call of this command changes a file of the same folder, and keeps others out until it is dropped.
fn alone(args: &UserArgs) -> Result<File, Failure> {
    let folder = args.file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let locked = File::open(folder).and_then(|file| file.lock().map(|()| file));
    locked.map_err(|error| Failure::Failed(format!("cannot lock {}: {error}", folder.display())))
}

fn read(args: &UserArgs) -> Result<PasswordFile, Failure> {
    PasswordFile::read(&args.file).map_err(Failure::Failed)
}

fn write(args: &UserArgs, file: &PasswordFile) -> Outcome {
    let failed = |error| Failure::Failed(format!("cannot write {}: {error}", args.file.display()));
    file.write(&args.file).map_err(failed)
}

/// Asks twice at a terminal; else takes what comes on standard input.
fn password(name: &str) -> Result<Vec<u8>, Failure> {
    if std::io::stdin().is_terminal() {
        let ask = |prompt: String| rpassword::prompt_password(prompt).map_err(Failure::failed);
        let first = ask(format!("Password for {name}: "))?;
        if ask("Once more: ".to_owned())? != first {
            return Err(Failure::Failed("the two passwords differ".to_owned()));
        }
        return Ok(first.into_bytes());
    }
    let mut bytes = Vec::new();
    std::io::stdin().take(INPUT_BYTES_MAX).read_to_end(&mut bytes).map_err(Failure::failed)?;
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    Ok(bytes)
}
