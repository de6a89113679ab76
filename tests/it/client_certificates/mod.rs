//! Client certificates through the front door, with the very files that seed 002's commands make: an RSA 8192 CA and
//! X.509 v1 leaves.

mod matrix;
mod revocation;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::certs::{Authority, Pair};
use crate::support::dialog::{Dialog, Tls};
use crate::support::origin::Origin;
use crate::support::peers;
use crate::support::process::{self, Daemon, Outcome};
use crate::support::program::Program;

const NAME: &str = peers::NAME;

/// What the 401 for a missing one says.
const REQUIRED: &str = "a client certificate is required";

/// The files of seed 002, made once: its keys take seconds.
struct Seed(Daemon);

impl Seed {
    fn path(&self, name: &str) -> PathBuf {
        self.0.dir().join(name)
    }

    fn client(&self) -> Pair {
        Pair {
            certificate: self.path("client.cert"),
            key: self.path("client.key"),
        }
    }
}

#[track_caller]
fn openssl(dir: &Path, arguments: &str) -> Outcome {
    let mut command = Command::new("openssl");
    command.current_dir(dir).args(arguments.split_whitespace());
    process::run_within(&mut command, Duration::from_secs(300)).succeeds("openssl makes its file")
}

/// The commands as the seed and its `gen-client-cert.sh` have them.
fn seed() -> &'static Seed {
    static SEED: OnceLock<Seed> = OnceLock::new();
    SEED.get_or_init(|| {
        let dir = TempDir::with_prefix("dockgate-seed-002-").unwrap();
        openssl(dir.path(), "req -nodes -newkey rsa:8192 -days 365 -x509 -keyout client-ca.key -out client-ca.cert -batch -subj /commonName=docker-registry-client-ca");
        openssl(dir.path(), "genrsa -out client.key 4096");
        openssl(dir.path(), "req -new -key client.key -out client.csr -batch -subj /commonName=docker-registry-client");
        openssl(dir.path(), "x509 -req -days 365 -in client.csr -CA client-ca.cert -CAkey client-ca.key -set_serial 01 -out client.cert");
        openssl(dir.path(), "x509 -in client.cert -noout -text").says("Version: 1 (0x0)", "a leaf of version 1");
        Seed(Daemon::start::<&str>(dir, &[]))
    })
}

/// The CA's list of what it took back.
struct Lists(TempDir);

impl Lists {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(
            at("ca.cnf"),
            "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ncrlnumber=crlnumber\ndefault_md=sha256\ndefault_crl_days=30\n",
        )
        .unwrap();
        fs::write(at("index.txt"), "").unwrap();
        fs::write(at("crlnumber"), "01\n").unwrap();
        Self(dir)
    }

    fn ca(&self, more: &str) {
        let (key, cert) = (seed().path("client-ca.key"), seed().path("client-ca.cert"));
        let (key, cert) = (key.display(), cert.display());
        openssl(
            self.0.path(),
            &format!("ca -config ca.cnf -keyfile {key} -cert {cert} {more}"),
        );
    }

    fn write(&self, to: &Path, more: &str) {
        self.ca(&format!("-gencrl -out {} {more}", to.display()));
    }

    fn revoke(&self, certificate: &Path) {
        self.ca(&format!("-revoke {}", certificate.display()));
    }
}

struct Front {
    authority: Authority,
    origin: Origin,
    program: Program,
}

impl Front {
    /// `tls` are more lines of `[listener.tls]`, `rest` comes at the end.
    fn new(tls: &str, rest: &str, prepare: impl FnOnce(&Path)) -> Self {
        let ca = seed().path("client-ca.cert");
        let ca = format!("client_ca = \"{}\"\nclient_auth", ca.display());
        Self::of_any_ca(&tls.replace("client_auth", &ca), rest, prepare)
    }

    /// The same without the CA of the seed.
    fn of_any_ca(tls: &str, rest: &str, prepare: impl FnOnce(&Path)) -> Self {
        let (authority, origin) = (Authority::new("front"), Origin::start());
        let pair = authority.server();
        let toml = format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[listener.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n\
             {tls}\n[log]\nlevel = \"debug\"\n[upstream]\nurl = \"{}\"\n{rest}",
            pair.certificate.display(),
            pair.key.display(),
            origin.url()
        );
        let program = Program::start_with(&toml, |dir| {
            fs::write(dir.join("htpasswd"), "ann:{PLAIN}secret\n").unwrap();
            let old = "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nCipherString = ALL@SECLEVEL=0\n";
            fs::write(dir.join("old.cnf"), old).unwrap();
            prepare(dir);
        });
        Self {
            authority,
            origin,
            program,
        }
    }

    fn dialog(&self, pair: Option<&Pair>) -> Dialog {
        Dialog::tls(self.program.address(0), &self.client(pair))
    }

    fn client(&self, pair: Option<&Pair>) -> Tls {
        Tls::build(self.authority.ca(), NAME, pair, rustls::ALL_VERSIONS)
    }

    fn curl(&self, pair: Option<&Pair>, arguments: &[&str]) -> Outcome {
        let port = self.program.address(0).port();
        // rustls has no keys and signatures of old, openssl does where it is told to.
        let old = self.program.path("old.cnf");
        let mut command = Command::new("curl");
        command
            .env("OPENSSL_CONF", old)
            .args(["-sS", "-i", "--noproxy", "*", "--cacert"])
            .arg(self.authority.ca())
            .args(["--resolve", &format!("{NAME}:{port}:127.0.0.1")]);
        if let Some(pair) = pair {
            command.arg("--cert").arg(&pair.certificate);
            command.arg("--key").arg(&pair.key);
        }
        command.args(arguments);
        process::run(command.arg(format!("https://{NAME}:{port}/v2/a/tags/list")))
    }

    fn reload(&self, times: usize) {
        self.program.signal(Signal::HUP);
        self.program.err_times("reload: reloaded", times);
    }
}

/// The status and the challenge of an answer.
fn get(dialog: &mut Dialog, password: bool) -> (u16, bool, bool) {
    let basic = format!("Basic {}", BASE64.encode("ann:secret"));
    let headers = [("Authorization", basic.as_str())];
    let headers = if password { &headers[..] } else { &[] };
    let answer = dialog.ask("GET", "/v2/", headers, b"");
    let challenged = answer.headers("www-authenticate").count() > 0;
    (answer.status, challenged, answer.text().contains(REQUIRED))
}

const SERVED: (u16, bool, bool) = (200, false, false);
const CERTIFICATE_MISSING: (u16, bool, bool) = (401, false, true);
const PASSWORD_MISSING: (u16, bool, bool) = (401, true, false);

#[test]
fn t7_t8_n23_the_certificates_of_seed_002_come_in_and_their_name_is_known_behind_the_gate() {
    if !peers::need(&["openssl", "curl"]) {
        return;
    }
    let front = Front::new(
        "client_auth = \"required\"",
        "authorization = \"user\"\n",
        |_| {},
    );
    let client = seed().client();
    for version in ["--http1.1", "--http2"] {
        for tls in ["1.2", "1.3"] {
            front
                .curl(Some(&client), &[version, "--tls-max", tls])
                .succeeds("seed 002's own test")
                .says(" 200", "served");
        }
    }
    let seen = front.origin.got("/v2/a/tags/list");
    let user = format!("Basic {}", BASE64.encode("docker-registry-client:"));
    assert_eq!(seen.header("authorization"), [user]);
    let line = front.program.out_line("/v2/a/tags/list");
    assert!(
        line.starts_with("127.0.0.1 - docker-registry-client ["),
        "{line}"
    );

    for version in ["--http1.1", "--http2"] {
        let answer = front
            .curl(None, &[version])
            .succeeds("the handshake is completed");
        let answer = answer
            .says(" 401", "refused in HTTP")
            .says(REQUIRED, "in words");
        let answer = answer
            .says("application/json", "as JSON")
            .stdout
            .to_lowercase();
        assert!(
            !answer.contains("www-authenticate"),
            "no password would help: {answer}"
        );
        assert!(answer.contains("strict-transport-security"), "{answer}");
    }
    let somebody = Authority::new("a CA of somebody else");
    let foreign = somebody.client("mallory");
    front
        .curl(Some(&foreign), &[])
        .fails_saying("alert", "a certificate of another CA");
    let told = front.program.err_line("mallory");
    assert!(
        told.contains("is refused") && told.contains("serial"),
        "{told}"
    );
    assert_eq!(get(&mut front.dialog(None), true), CERTIFICATE_MISSING);
    assert_eq!(
        front.dialog(None).get("/_ping").status,
        200,
        "a ping is for everybody"
    );
}

#[test]
fn where_certificates_are_off_nobody_is_asked_for_one() {
    let front = Front::new("", "[auth]\nhtpasswd = \"htpasswd\"\n", |_| {});
    let client = seed().client();
    assert_eq!(
        get(&mut front.dialog(Some(&client)), false),
        PASSWORD_MISSING
    );
    assert_eq!(get(&mut front.dialog(Some(&client)), true), SERVED);
}

#[test]
fn an_optional_certificate_or_a_password_is_enough() {
    let front = Front::new(
        "client_auth = \"optional\"",
        "[auth]\nhtpasswd = \"htpasswd\"\n",
        |_| {},
    );
    let client = seed().client();
    for (pair, password, expected) in [
        (Some(&client), false, SERVED),
        (None, true, SERVED),
        (Some(&client), true, SERVED),
        (None, false, PASSWORD_MISSING),
    ] {
        assert_eq!(get(&mut front.dialog(pair), password), expected);
    }
    let somebody = Authority::new("a CA of somebody else");
    let foreign = somebody.client("mallory");
    refused(&front, &foreign, "unknown");
}

#[test]
fn both_are_needed_where_all_must_be_satisfied() {
    for (auth, missing) in [
        ("optional", CERTIFICATE_MISSING),
        ("required", CERTIFICATE_MISSING),
    ] {
        let front = Front::new(
            &format!("client_auth = \"{auth}\""),
            "[auth]\nhtpasswd = \"htpasswd\"\nsatisfy = \"all\"\n",
            |_| {},
        );
        let client = seed().client();
        assert_eq!(get(&mut front.dialog(Some(&client)), true), SERVED);
        assert_eq!(
            get(&mut front.dialog(Some(&client)), false),
            PASSWORD_MISSING
        );
        assert_eq!(get(&mut front.dialog(None), true), missing);
    }
}

/// No answer in HTTP, whether the alert comes with the handshake or, in TLS 1.3, after it.
#[track_caller]
fn refused(front: &Front, pair: &Pair, what: &str) {
    for version in rustls::ALL_VERSIONS {
        let tls = Tls::build(front.authority.ca(), NAME, Some(pair), &[version]);
        let mut dialog = Dialog::tls(front.program.address(0), &tls);
        let answered = dialog
            .request("GET", "/v2/", &[], b"")
            .and_then(|()| dialog.answer("GET"));
        let error = answered.map_or_else(|e| e.to_string(), |a| a.head);
        assert!(error.contains("alert"), "{what}: {error}");
    }
}

#[test]
fn t6_n23_certificates_that_are_not_good_meet_an_alert_and_are_named_in_the_log() {
    let authority = Authority::new("a client CA");
    let front = Front::new("client_auth = \"required\"", "", |_| {});
    let toml = fs::read_to_string(front.program.path("proxy.toml")).unwrap();
    let seeds = format!(
        "client_ca = \"{}\"",
        seed().path("client-ca.cert").display()
    );
    // In a folder of the gate's own: what a reload names elsewhere waits for a restart.
    fs::copy(authority.ca(), front.program.path("another.ca")).unwrap();
    let toml = toml.replace(&seeds, "client_ca = \"another.ca\"");
    fs::write(front.program.path("proxy.toml"), toml).unwrap();
    front.reload(1);
    assert_eq!(
        get(&mut front.dialog(Some(&authority.client("good"))), false),
        SERVED
    );

    let issue = |name: &str, years: (i32, i32)| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        authority.issue(name, params, ExtendedKeyUsagePurpose::ClientAuth)
    };
    let dir = TempDir::new().unwrap();
    openssl(
        dir.path(),
        "req -nodes -newkey rsa:2048 -days 365 -x509 -keyout self.key -out self.crt -batch -subj /CN=self-signed",
    );
    let own = Pair {
        certificate: dir.path().join("self.crt"),
        key: dir.path().join("self.key"),
    };
    for (pair, name) in [
        (issue("expired", (2019, 2020)), "expired"),
        (issue("early", (2090, 2091)), "early"),
        (
            authority.server_for(&["server-use.test"]),
            "rcgen self signed cert",
        ),
        (own, "self-signed"),
        (seed().client(), "docker-registry-client"),
    ] {
        refused(&front, &pair, name);
        let told = front.program.err_line(&format!("CN={name}"));
        assert!(told.contains("is refused: "), "{told}");
    }
    assert!(front.origin.seen().len() == 1);
}

#[test]
fn t6_n23_weak_keys_and_signatures_are_refused() {
    let front = Front::new("client_auth = \"required\"", "", |_| {});
    let dir = TempDir::new().unwrap();
    let (ca, key) = (seed().path("client-ca.cert"), seed().path("client-ca.key"));
    let (ca, key) = (ca.display(), key.display());
    for (name, bits, hash) in [
        ("rsa1024", 1024, "sha256"),
        ("sha1", 2048, "sha1"),
        ("good", 2048, "sha256"),
    ] {
        openssl(
            dir.path(),
            &format!(
                "req -nodes -newkey rsa:{bits} -keyout {name}.key -out {name}.csr -batch -subj /CN={name}"
            ),
        );
        openssl(
            dir.path(),
            &format!(
                "x509 -req -{hash} -days 9 -in {name}.csr -CA {ca} -CAkey {key} -set_serial 7 -out {name}.crt"
            ),
        );
        let pair = Pair {
            certificate: dir.path().join(format!("{name}.crt")),
            key: dir.path().join(format!("{name}.key")),
        };
        if name == "good" {
            assert_eq!(get(&mut front.dialog(Some(&pair)), false), SERVED);
        } else {
            front.curl(Some(&pair), &[]).fails_saying("alert", name);
            let told = front.program.err_line(&format!("CN={name}"));
            assert!(told.contains("is refused: "), "{told}");
        }
    }
}
