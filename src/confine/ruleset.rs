//! The rules as Landlock wants them. All types of that crate stay in here.

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort,
    PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError,
    RulesetStatus,
};

use super::needs::Needs;

/// The newest rights that are asked for; older kernels keep those that they know.
const RIGHTS: ABI = ABI::V5;

/// Holds this thread, and those that it starts, to these needs: whether the kernel knows every right, or `None` where it
/// can hold us to nothing.
pub(super) fn enforce(needs: &Needs) -> Result<Option<bool>, RulesetError> {
    let Some(rules) = rules()? else {
        return Ok(None);
    };
    let mut rules = rules.handle_access(AccessNet::BindTcp)?.create()?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let everything = AccessFs::from_all(RIGHTS) & !AccessFs::Execute;
    let doors = AccessFs::MakeSock | AccessFs::RemoveFile;
    rules = allow(rules, needs.readable(), read)?;
    rules = allow(rules, needs.own(), everything)?;
    rules = allow(rules, needs.sockets(), doors)?;
    for port in needs.ports() {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::BindTcp))?;
    }
    enforced(rules)
}

/// Holds this thread to what it has open already. For threads that only write, and start before it is known what may be
/// touched. A kernel that cannot leaves them as they are.
pub(crate) fn nothing() {
    let enforced = rules().and_then(|rules| rules.map(Ruleset::create).transpose());
    if let Ok(Some(rules)) = enforced {
        // It stands beside the rules of the process, which are told of in the log.
        drop(rules.restrict_self());
    }
}

/// `None` for a kernel without Landlock, and for one that cannot tell a rename from one folder to another from a theft: no
/// push could be finished there.
fn rules() -> Result<Option<Ruleset>, RulesetError> {
    let refer = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::Refer);
    let Ok(rules) = refer else {
        return Ok(None);
    };
    rules
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(RIGHTS))
        .map(Some)
}

/// What is not there cannot be allowed, and need not be.
fn allow(
    mut rules: RulesetCreated,
    paths: &[PathBuf],
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    for path in paths {
        let Ok(opened) = PathFd::new(path) else {
            continue;
        };
        // Rights to what is in a folder cannot be given on a file, and asking for them counts as a kernel that falls short.
        let access = if path.is_dir() {
            access
        } else {
            access & AccessFs::from_file(RIGHTS)
        };
        rules = rules.add_rule(PathBeneath::new(opened, access))?;
    }
    Ok(rules)
}

fn enforced(rules: RulesetCreated) -> Result<Option<bool>, RulesetError> {
    let status = rules.restrict_self()?;
    Ok(match (status.ruleset, status.landlock) {
        (RulesetStatus::NotEnforced, _) | (_, LandlockStatus::NotImplemented) => None,
        (RulesetStatus::FullyEnforced, _) => Some(true),
        (RulesetStatus::PartiallyEnforced, _) => Some(false),
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::thread;

    use super::*;
    use crate::config::Config;

    fn is_here() -> bool {
        rules().is_ok_and(|rules| rules.is_some())
    }

    /// In a thread of its own, since a thread that is confined stays so.
    #[test]
    fn a_confined_thread_touches_what_its_configuration_needs_and_nothing_else() {
        if !is_here() {
            return;
        }
        // Not in /tmp, which everybody may read.
        let root = tempfile::tempdir_in("/var/tmp").unwrap();
        let at = |name: &str| root.path().join(name);
        for folder in ["store", "users", "elsewhere", "run"] {
            fs::create_dir(at(folder)).unwrap();
        }
        fs::write(at("users/htpasswd"), "u").unwrap();
        fs::write(at("elsewhere/secret"), "s").unwrap();
        let text = format!(
            "state_dir = \"state\"\n[[listener]]\naddress = \"unix:run/a.sock\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
             [registry.filesystem]\nrootdirectory = \"{}\"\n[auth]\nhtpasswd = \"users/htpasswd\"\n",
            at("store").display()
        );
        let config = Config::parse(&text, root.path(), &[]).unwrap().config;
        let needs = Needs::of(&config, None);
        let open = File::create(at("open")).unwrap();
        let root = root.path().to_owned();
        let confined = thread::spawn(move || {
            let at = |name: &str| root.join(name);
            let denied = |done: std::io::Result<()>| done.unwrap_err().kind();
            assert!(enforce(&needs).unwrap().is_some());
            assert_eq!(fs::read(at("users/htpasswd")).unwrap(), b"u");
            fs::create_dir_all(at("store/a/b")).unwrap();
            fs::write(at("store/a/f"), "1").unwrap();
            fs::rename(at("store/a/f"), at("store/a/b/f")).unwrap();
            fs::remove_dir_all(at("store/a")).unwrap();
            drop(std::os::unix::net::UnixListener::bind(at("run/a.sock")).unwrap());
            fs::remove_file(at("run/a.sock")).unwrap();
            drop(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
            fs::read("/etc/hosts").unwrap();
            (&open).write_all(b"still").unwrap();
            let secret = fs::read(at("elsewhere/secret")).map(drop);
            assert_eq!(denied(secret), ErrorKind::PermissionDenied);
            let changed = fs::write(at("users/htpasswd"), "x");
            assert_eq!(denied(changed), ErrorKind::PermissionDenied);
            let made = fs::write(at("run/f"), "x");
            assert_eq!(denied(made), ErrorKind::PermissionDenied);
            let listed = fs::read_dir(at("elsewhere")).map(drop);
            assert_eq!(denied(listed), ErrorKind::PermissionDenied);
        });
        confined.join().unwrap();
    }

    #[test]
    fn a_file_among_the_folders_makes_no_kernel_fall_short() {
        if !is_here() {
            return;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let whole = |paths: Vec<PathBuf>| {
            let confined = thread::spawn(move || {
                let rules = rules().unwrap().unwrap().create().unwrap();
                enforced(allow(rules, &paths, read).unwrap()).unwrap()
            });
            confined.join().unwrap()
        };
        let folders_alone = whole(vec![PathBuf::from("/usr")]);
        assert!(folders_alone.is_some());
        assert_eq!(whole(vec![file.path().to_owned()]), folders_alone);
    }

    #[test]
    fn a_thread_that_only_writes_opens_nothing_more() {
        if !is_here() {
            return;
        }
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("f");
        let mut file = File::create(&path).unwrap();
        let inside = path.clone();
        let confined = thread::spawn(move || {
            nothing();
            file.write_all(b"said").unwrap();
            File::open(inside).unwrap_err().kind()
        });
        assert_eq!(confined.join().unwrap(), ErrorKind::PermissionDenied);
        let mut said = String::new();
        File::open(path).unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(said, "said");
    }
}
