//! What the build makes beside the program: its version, man pages and completions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::support::peers::{need, skip};
use crate::support::process;
use crate::support::program::dockgate;

/// Where this build put them.
fn made(kind: &str) -> PathBuf {
    Path::new(env!("OUT_DIR")).join(kind)
}

fn said(command: &mut Command) -> String {
    process::run(command).succeeds("it answers").stdout
}

/// The commands that help lists below a command.
fn commands(path: &[String]) -> Vec<String> {
    let help = said(dockgate().args(path).arg("--help"));
    let list = help.split("Commands:\n").nth(1).unwrap_or_default();
    let names = list.lines().take_while(|line| line.starts_with("  "));
    names
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// Every command with those above it, the program itself first.
fn all_commands() -> Vec<Vec<String>> {
    let mut all = vec![Vec::new()];
    let mut at = 0;
    while let Some(path) = all.get(at).cloned() {
        // htpasswd has the options of Apache's tool and no commands below.
        if path != ["htpasswd"] {
            for name in commands(&path) {
                all.push([path.clone(), vec![name]].concat());
            }
        }
        at += 1;
    }
    all
}

fn page(path: &[String]) -> PathBuf {
    let name = [&["dockgate".to_owned()], path].concat().join("-");
    made("man").join(format!("{name}.1"))
}

#[test]
fn every_command_and_option_is_in_a_man_page() {
    let all = all_commands();
    assert!(all.len() > 8, "{all:?}");
    for path in &all {
        let file = page(path);
        let text = fs::read_to_string(&file).unwrap_or_else(|f| panic!("{}: {f}", file.display()));
        let text = text.replace("\\-", "-");
        let help = said(dockgate().args(path).arg("--help"));
        let words = help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        let mut options: Vec<&str> = words
            .filter(|word| word.starts_with("--") && word.len() > 2)
            .collect();
        options.sort_unstable();
        options.dedup();
        for option in options.into_iter().filter(|option| *option != "--help") {
            assert!(text.contains(option), "{}: no {option}", file.display());
        }
    }
    let pages = fs::read_dir(made("man")).unwrap().count();
    assert_eq!(pages, all.len(), "no page is of a command that is no more");
    let htpasswd = fs::read_to_string(page(&["htpasswd".to_owned()])).unwrap();
    let usage = said(dockgate().args(["htpasswd", "--help"]));
    for line in usage.lines().filter(|line| line.starts_with(" -")) {
        let sentence = line[5..]
            .trim()
            .trim_end_matches('.')
            .replace('\'', "\\*(Aq");
        assert!(
            htpasswd.replace("\\-", "-").contains(&sentence),
            "no {sentence:?}"
        );
    }
}

#[test]
fn the_man_pages_are_what_man_can_show() {
    if !need(&["mandoc"]) {
        return;
    }
    for path in all_commands() {
        let file = page(&path);
        let lint = Command::new("mandoc")
            .args(["-T", "lint", "-W", "error"])
            .arg(&file)
            .output()
            .unwrap();
        assert!(
            lint.status.success(),
            "{}",
            String::from_utf8_lossy(&lint.stdout)
        );
        // Bold is a letter, a step back, and the letter again.
        let shown = said(Command::new("mandoc").args(["-T", "utf8"]).arg(&file));
        let steps: Vec<&str> = shown.split('\u{8}').collect();
        let shown: String = steps
            .iter()
            .enumerate()
            .map(|(at, part)| {
                if at == 0 {
                    part
                } else {
                    &part[part.chars().next().map_or(0, char::len_utf8)..]
                }
            })
            .collect();
        assert!(
            shown.contains("NAME") && shown.contains("SYNOPSIS"),
            "{shown}"
        );
    }
}

#[test]
fn packages_find_the_same_files_in_one_place_whatever_the_profile() {
    let target = made("man");
    let target = target
        .ancestors()
        .find(|path| path.join("CACHEDIR.TAG").exists())
        .unwrap();
    for kind in ["man", "completions"] {
        for entry in fs::read_dir(made(kind)).unwrap() {
            let name = entry.unwrap().file_name();
            assert!(
                target.join("assets").join(kind).join(&name).exists(),
                "{}",
                name.display()
            );
        }
    }
}

#[test]
fn a_shell_completes_commands_and_options() {
    let script = made("completions").join("dockgate.bash");
    assert_eq!(
        fs::read_to_string(&script).unwrap(),
        said(dockgate().args(["completions", "bash"]))
    );
    let ask = |words: &str| {
        let program = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _dockgate dockgate \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; echo \"${{COMPREPLY[@]}}\"",
            script.display()
        );
        said(Command::new("bash").args(["--norc", "-c", &program]))
    };
    assert_eq!(ask("dockgate doc").trim(), "doctor");
    assert_eq!(ask("dockgate compare --new-").trim(), "--new-address");
    assert!(ask("dockgate doctor --format \"\"").contains("json"));
}

#[test]
fn zsh_loads_its_script() {
    let script = made("completions").join("_dockgate");
    assert_eq!(
        fs::read_to_string(&script).unwrap(),
        said(dockgate().args(["completions", "zsh"]))
    );
    if !need(&["zsh"]) {
        return;
    }
    let program = format!(
        "autoload -U compinit; compinit -u -D; source {}; whence -w _dockgate",
        script.display()
    );
    assert_eq!(
        said(Command::new("zsh").args(["-f", "-c", &program])).trim(),
        "_dockgate: function"
    );
}

#[test]
fn the_version_tells_the_commit() {
    let version = said(dockgate().arg("--version"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let head = Command::new("git")
        .args(["log", "-1", "--abbrev=7", "--format=%h %cs"])
        .current_dir(root)
        .output();
    let number = env!("CARGO_PKG_VERSION");
    match head {
        Ok(head) if head.status.success() && root.join(".git").exists() => {
            let head = String::from_utf8(head.stdout).unwrap();
            let begins = format!("dockgate {number} ({}", head.trim());
            assert!(version.starts_with(&begins), "{version} {begins}");
        }
        _ => assert!(
            version.starts_with(&format!("dockgate {number}")),
            "{version}"
        ),
    }
    assert!(!version.contains("unknown"));
}

/// The build script that this build has run, over other sources.
struct Script {
    program: PathBuf,
    dir: tempfile::TempDir,
}

impl Script {
    fn find() -> Option<Self> {
        let builds = Path::new(env!("OUT_DIR")).parent()?.parent()?;
        let newest = fs::read_dir(builds)
            .ok()?
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let ours = path.file_name()?.to_str()?.starts_with("dockgate-");
                let program = path.join("build-script-build");
                let made: SystemTime = program.metadata().ok()?.modified().ok()?;
                ours.then_some((made, program))
            })
            .max()?;
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("sources/src")).unwrap();
        fs::create_dir_all(dir.path().join("out")).unwrap();
        fs::write(dir.path().join("sources/src/main.rs"), "fn main() {}\n").unwrap();
        Some(Self {
            program: newest.1,
            dir,
        })
    }

    fn sources(&self) -> PathBuf {
        self.dir.path().join("sources")
    }

    fn git(&self, arguments: &[&str]) {
        let mut command = Command::new("git");
        command
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
            .args(arguments)
            .current_dir(self.sources())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_COMMITTER_DATE", "2026-05-04T12:00:00Z");
        let _ = process::run(&mut command).succeeds("git works");
    }

    /// What it tells cargo, from these sources.
    fn runs(&self, sources: &Path, commit: Option<&str>) -> process::Outcome {
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .env("PATH", process::search_path())
            .env("CARGO_MANIFEST_DIR", sources)
            .env("CARGO_PKG_VERSION", "9.9.9")
            // Where it has nothing to compile.
            .env("CARGO_CFG_TARGET_ENV", "musl")
            .env("OUT_DIR", self.dir.path().join("out"))
            .current_dir(sources);
        if let Some(commit) = commit {
            command.env("DOCKGATE_COMMIT", commit);
        }
        process::run(&mut command)
    }

    fn version(&self, sources: &Path, commit: Option<&str>) -> String {
        let told = self.runs(sources, commit).succeeds("it builds").stdout;
        let line = told
            .lines()
            .find_map(|line| line.strip_prefix("cargo::rustc-env=BUILT_AS="));
        line.unwrap().to_owned()
    }
}

#[test]
fn a_build_knows_its_commit_in_a_repository_a_worktree_and_a_tarball() {
    if !need(&["git"]) {
        return;
    }
    let Some(script) = Script::find() else {
        let _ = skip("the build script is not where cargo puts it");
        return;
    };
    let sources = script.sources();
    assert_eq!(
        script.version(&sources, None),
        "9.9.9",
        "unpacked from a tarball"
    );
    assert_eq!(script.version(&sources, Some("abcdef1")), "9.9.9 (abcdef1)");
    let whole = "0123456789abcdef0123456789abcdef01234567 2026-01-02";
    assert_eq!(
        script.version(&sources, Some(whole)),
        "9.9.9 (0123456 2026-01-02)"
    );
    script
        .runs(&sources, Some("a\ncargo::rustc-env=X=1"))
        .fails_saying("DOCKGATE_COMMIT", "a line of its own is refused");

    script.git(&["init", "-q", "-b", "main"]);
    script.git(&["add", "-A"]);
    script.git(&["commit", "-q", "-m", "one"]);
    let clean = script.version(&sources, None);
    assert!(
        clean.ends_with(" 2026-05-04)") && !clean.contains("modified"),
        "{clean}"
    );
    fs::write(sources.join("README.md"), "no source\n").unwrap();
    assert_eq!(script.version(&sources, None), clean);
    let inside = sources.join("vendored");
    fs::create_dir_all(inside.join("src")).unwrap();
    assert_eq!(
        script.version(&inside, None),
        "9.9.9",
        "somebody else's repository"
    );

    script.git(&["worktree", "add", "-q", "../worktree"]);
    let worktree = script.dir.path().join("worktree");
    assert_eq!(script.version(&worktree, None), clean);
    let told = script.runs(&worktree, None).succeeds("it builds").stdout;
    for line in told
        .lines()
        .filter_map(|line| line.strip_prefix("cargo::rerun-if-changed=/"))
    {
        assert!(
            Path::new("/").join(line).exists(),
            "cargo would build anew each time for {line}"
        );
    }
    assert!(
        told.contains("worktrees/worktree/HEAD") && told.contains("refs/heads/worktree"),
        "{told}"
    );

    fs::write(sources.join("src/main.rs"), "fn main() { }\n").unwrap();
    let dirty = script.version(&sources, None);
    assert_eq!(dirty, clean.replace(')', ", modified)"));
}
