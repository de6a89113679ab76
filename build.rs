//! Before the program: its version with the commit, and from its command line the man pages and completions.
//!
//! What is made for packages stands in `target/assets/{man,completions}`, whatever the profile; the same files are in
//! `OUT_DIR`. The commit comes from `DOCKGATE_COMMIT` (`abcdef1`, or `abcdef1 2026-11-27`: for builds without a
//! repository, as in a container), otherwise from git, otherwise it is left out.

use std::env;
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

#[path = "src/cli/line/mod.rs"]
mod line;

/// What a program is built from. A change elsewhere is not "modified".
const SOURCES: [&str; 4] = ["src", "build.rs", "Cargo.toml", "Cargo.lock"];

/// A commit is named by this much of its hash, as git does in a repository of this size.
const SHORT: usize = 7;

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    println!("cargo::rerun-if-env-changed=DOCKGATE_COMMIT");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let version = env::var("CARGO_PKG_VERSION")?;
    let built_as = match commit(&root)? {
        Some(commit) => format!("{version} ({commit})"),
        None => version,
    };
    // Cargo hands it on to what it runs, where `DOCKGATE_` would make a setting of it.
    println!("cargo::rustc-env=BUILT_AS={built_as}");

    tell_the_allocator()?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    write_all(&out)?;
    if let Some(target) = target(&out) {
        write_all(&target.join("assets"))?;
    }
    Ok(())
}

/// What the program of glibc's systems is linked with; others have allocators of their own ways.
fn tell_the_allocator() -> Result<(), Box<dyn Error>> {
    if env::var("CARGO_CFG_TARGET_ENV")? == "gnu" {
        let objects = cc::Build::new()
            .file("src/allocator.c")
            .try_compile_intermediates()?;
        for object in objects {
            println!("cargo::rustc-link-arg-bins={}", object.display());
        }
    }
    Ok(())
}

/// The folder that cargo builds in, which it marks; it is above `OUT_DIR` by three steps or four.
fn target(out: &Path) -> Option<&Path> {
    out.ancestors()
        .find(|path| path.join("CACHEDIR.TAG").exists())
}

/// `abcdef1 2026-11-27`, with `, modified` behind it if the sources are not those of the commit.
fn commit(root: &Path) -> Result<Option<String>, Box<dyn Error>> {
    if let Ok(given) = env::var("DOCKGATE_COMMIT")
        && !given.is_empty()
    {
        let harmless = |c: char| c.is_ascii_alphanumeric() || " .:+-_".contains(c);
        if given.len() > 64 || !given.chars().all(harmless) {
            return Err(
                "DOCKGATE_COMMIT is no commit: write a hash, and a date behind it if you like"
                    .into(),
            );
        }
        let (hash, rest) = given.split_at(given.find(' ').unwrap_or(given.len()));
        let whole = hash.len() >= 40 && hash.chars().all(|c| c.is_ascii_hexdigit());
        let hash = if whole { &hash[..SHORT] } else { hash };
        return Ok(Some(format!("{hash}{rest}")));
    }
    // Sources that were unpacked inside of somebody else's repository have no commit of their own.
    let top = git(root, &["rev-parse", "--show-toplevel"]).map(PathBuf::from);
    if !top.is_some_and(|top| same(&top, root)) {
        return Ok(None);
    }
    watch(root);
    let abbreviated = format!("--abbrev={SHORT}");
    let Some(commit) = git(root, &["log", "-1", &abbreviated, "--format=%h %cs"]) else {
        return Ok(None);
    };
    let mut arguments = vec!["--no-optional-locks", "status", "--porcelain", "--"];
    arguments.extend(SOURCES);
    let modified = git(root, &arguments).is_some_and(|changes| !changes.is_empty());
    let mark = if modified { ", modified" } else { "" };
    Ok(Some(format!("{commit}{mark}")))
}

/// Whether both lead to one folder.
fn same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// Looks again when another commit is checked out or made. In a worktree `.git` is a file, so git says where these are;
/// what does not exist is left out, because cargo would look again each time.
fn watch(root: &Path) {
    let branch = git(root, &["symbolic-ref", "-q", "HEAD"]);
    let names = ["HEAD", "logs/HEAD", "packed-refs"].map(str::to_owned);
    for name in names.into_iter().chain(branch) {
        let path = git(root, &["rev-parse", "--git-path", &name]).map(|path| root.join(path));
        if let Some(path) = path.filter(|path| path.exists()) {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
}

/// What git prints; nothing where there is no git, or no repository that it would read.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(root)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}

/// Man pages and completions, in two folders of this one.
fn write_all(place: &Path) -> io::Result<()> {
    let (pages, scripts) = (place.join("man"), place.join("completions"));
    for folder in [&pages, &scripts] {
        fs::create_dir_all(folder)?;
    }
    let mut wanted = Vec::new();
    let mut command = line::Arguments::command().disable_help_subcommand(true);
    command.build();
    write_pages(&command, &pages, &mut wanted)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let mut script = Vec::new();
        clap_complete::generate(
            shell,
            &mut line::Arguments::command(),
            "dockgate",
            &mut script,
        );
        let name = match shell {
            Shell::Zsh => "_dockgate",
            Shell::Fish => "dockgate.fish",
            _ => "dockgate.bash",
        };
        replace(&scripts.join(name), &script)?;
    }
    // A command that is no more leaves no page.
    for entry in fs::read_dir(&pages)? {
        let path = entry?.path();
        let page = path.extension().is_some_and(|extension| extension == "1");
        if page && !wanted.contains(&path) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// One page for a command, and one for each command below it.
fn write_pages(
    command: &clap::Command,
    folder: &Path,
    wanted: &mut Vec<PathBuf>,
) -> io::Result<()> {
    let all = command.get_subcommands();
    let below: Vec<_> = all.filter(|below| !below.is_hide_set()).collect();
    for command in &below {
        write_pages(command, folder, wanted)?;
    }
    let source = format!("dockgate {}", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command.clone())
        .source(source)
        .manual("dockgate")
        .date("");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.get_after_help().is_some() {
        // It has lines of its own, which must not be filled.
        let text = command.get_after_help().map(ToString::to_string);
        let mut roff = Roff::default();
        roff.control("SH", ["OPTIONS"]).control("nf", []);
        for line in text.unwrap_or_default().lines() {
            roff.text([roman(line.replace('\t', "    "))]);
        }
        roff.control("fi", []);
        roff.to_writer(&mut page)?;
    } else {
        man.render_options_section(&mut page)?;
    }
    if !below.is_empty() {
        man.render_subcommands_section(&mut page)?;
    }
    let path = folder.join(man.get_filename());
    replace(&path, &page)?;
    wanted.push(path);
    Ok(())
}

/// Whole or not at all, since builds of two profiles may run at once; and only if it is new.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|found| found == bytes) {
        return Ok(());
    }
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    fs::write(&temporary, bytes)?;
    fs::rename(temporary, path)
}
