//! What the figures were taken on.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Facts, each with a name.
pub fn facts(dockgate: &Path) -> Vec<(&'static str, String)> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let flags = field("flags").unwrap_or_default();
    let known = ["aes", "vaes", "vpclmulqdq", "avx2", "avx512f", "sha_ni"];
    let has = |flag: &&str| flags.split(' ').any(|one| one == *flag);
    let cores = cpuinfo.matches("processor\t").count();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let os = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let os = os
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="));
    vec![
        ("date", jiff::Zoned::now().date().to_string()),
        (
            "processor",
            format!(
                "{}, {cores} cores, of its flags: {}",
                field("model name").unwrap_or_default(),
                known
                    .into_iter()
                    .filter(|flag| has(flag))
                    .collect::<Vec<_>>()
                    .join(" ")
            ),
        ),
        (
            "system",
            format!(
                "{}, kernel {}",
                os.unwrap_or_default().trim_matches('"'),
                kernel.trim()
            ),
        ),
        (
            "dockgate",
            version(&dockgate.display().to_string(), &["--version"]),
        ),
        ("nginx", version("nginx", &["-V"])),
        ("haproxy", version("haproxy", &["-vv"])),
        ("caddy", version("caddy", &["version"])),
        (
            "docker-registry",
            version("docker-registry", &["--version"]),
        ),
    ]
}

/// The lines of a program's own words that name versions.
fn version(program: &str, arguments: &[&str]) -> String {
    let Ok(said) = Command::new(program).args(arguments).output() else {
        return "not installed".into();
    };
    let text = [said.stdout, said.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let named = text.lines().enumerate().filter(|(number, line)| {
        *number == 0
            || line.starts_with("built with OpenSSL")
            || line.starts_with("Running on OpenSSL")
    });
    named
        .map(|(_, line)| line.trim())
        .collect::<Vec<_>>()
        .join("; ")
}
