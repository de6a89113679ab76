//! What a certificate gets: one row for each kind of certificate, through real connections in both versions of TLS, with
//! the alert that the client sees and the line that the operator reads. docs/security.md prints the same table.

use std::time::SystemTime;

use rcgen::{
    BasicConstraints, Certificate, CertificateRevocationListParams, GeneralSubtree, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P521_SHA512,
    RevokedCertParams, SanType, SerialNumber,
};

use crate::support::figures::{BAD_INPUTS, tell};
use crate::support::scrape::Scrape;

use super::*;

const DAY: Duration = Duration::from_secs(86_400);
const SERVED: &str = "";
/// The serial number that every list here takes back.
const REVOKED: u64 = 7;

/// A time so many days from now.
fn at<T: From<SystemTime>>(days: i64) -> T {
    let distance = DAY * u32::try_from(days.unsigned_abs()).unwrap();
    let now = SystemTime::now();
    if days < 0 {
        (now - distance).into()
    } else {
        (now + distance).into()
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (at(-1), at(90));
    params
}

struct Ca {
    params: CertificateParams,
    key: KeyPair,
    certificate: Certificate,
}

impl Ca {
    fn new(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (params, key) = (Self::params(name, change), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap();
        Self {
            params,
            key,
            certificate,
        }
    }

    fn below(&self, name: &str) -> Self {
        let (params, key) = (Self::params(name, |_| {}), KeyPair::generate().unwrap());
        let certificate = params.signed_by(&key, &self.issuer()).unwrap();
        Self {
            params,
            key,
            certificate,
        }
    }

    fn params(name: &str, change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        change(&mut params);
        params
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &self.key)
    }

    /// A list that was made two days ago, is good until then, and takes this back.
    fn list(&self, until: i64, revoked: &[u64]) -> String {
        let revoked = revoked.iter().map(|&serial| RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: at(-2),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: at(-2),
            next_update: at(until),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer()).unwrap().pem().unwrap()
    }
}

/// Everything that the rows are made of, in one folder.
struct Bench {
    dir: TempDir,
    good: Ca,
    /// May issue for `good.test` alone.
    narrow: Ca,
    /// May have no CA below it.
    flat: Ca,
    /// Is for servers, and so is all that it issues.
    servers: Ca,
    /// Its list is past its date.
    stale: Ca,
    /// The file of lists has none of it.
    listless: Ca,
    /// Its own time is over.
    over: Ca,
}

/// One kind of certificate.
struct Row {
    /// As the documentation calls it.
    what: &'static str,
    pair: Pair,
    /// What it is judged with: revocation lists, or none.
    lists: bool,
    /// The alert's name in RFC 8446 section 6, or [`SERVED`].
    alert: &'static str,
    /// The reason in the log.
    reason: &'static str,
}

impl Bench {
    fn new() -> Self {
        let bench = Self {
            dir: TempDir::with_prefix("dockgate-matrix-").unwrap(),
            good: Ca::new("good ca", |_| {}),
            narrow: Ca::new("narrow ca", |params| {
                params.name_constraints = Some(NameConstraints {
                    permitted_subtrees: vec![GeneralSubtree::DnsName("good.test".to_owned())],
                    excluded_subtrees: Vec::new(),
                });
            }),
            flat: Ca::new("flat ca", |params| {
                params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            }),
            servers: Ca::new("servers ca", |params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }),
            stale: Ca::new("stale ca", |_| {}),
            listless: Ca::new("listless ca", |_| {}),
            over: Ca::new("over ca", |params| {
                (params.not_before, params.not_after) = (at(-20), at(-10));
            }),
        };
        let file = |name: &str, text: String| fs::write(bench.dir.path().join(name), text).unwrap();
        file("good.crt", bench.good.certificate.pem());
        file("good.key", bench.good.key.serialize_pem());
        file("v3.cnf", "extendedKeyUsage=clientAuth\n".to_owned());
        bench
    }

    fn authorities(&self) -> String {
        let all = [
            &self.good,
            &self.narrow,
            &self.flat,
            &self.servers,
            &self.stale,
            &self.listless,
            &self.over,
        ];
        all.map(|ca| ca.certificate.pem()).concat()
    }

    fn lists(&self) -> String {
        let fresh = [
            &self.good,
            &self.narrow,
            &self.flat,
            &self.servers,
            &self.over,
        ];
        fresh.map(|ca| ca.list(30, &[REVOKED])).concat() + &self.stale.list(-1, &[REVOKED])
    }

    /// A version 3 certificate for clients, changed as the row wants it, with the chain that is sent along.
    fn leaf(
        &self,
        name: &str,
        key: &KeyPair,
        ca: &Ca,
        chain: &[&Ca],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Pair {
        let mut params = named(name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let certificate = params.signed_by(key, &ca.issuer()).unwrap();
        let above = chain.iter().map(|ca| ca.certificate.pem());
        let pem = certificate.pem() + &above.collect::<String>();
        self.pair(name, &pem, &key.serialize_pem())
    }

    fn pair(&self, name: &str, certificate: &str, key: &str) -> Pair {
        let file = |end: &str| {
            self.dir
                .path()
                .join(format!("{}.{end}", name.replace(' ', "-")))
        };
        let pair = Pair {
            certificate: file("crt"),
            key: file("key"),
        };
        fs::write(&pair.certificate, certificate).unwrap();
        fs::write(&pair.key, key).unwrap();
        pair
    }

    fn simple(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let key = KeyPair::generate().unwrap();
        self.leaf(name, &key, &self.good, &[], change)
    }

    /// What `openssl x509 -req` makes of a new key, which rcgen does not: of version 1 unless it has `extensions`.
    fn openssl(&self, name: &str, key: &str, more: &str) -> Pair {
        let file = name.replace(' ', "-");
        let request = format!("req -nodes -newkey {key} -keyout {file}.key -out {file}.csr -batch");
        openssl(self.dir.path(), &format!("{request} -subj /CN={file}"));
        openssl(
            self.dir.path(),
            &format!(
                "x509 -req -days 9 -in {file}.csr -CA good.crt -CAkey good.key -out {file}.crt {more}"
            ),
        );
        Pair {
            certificate: self.dir.path().join(format!("{file}.crt")),
            key: self.dir.path().join(format!("{file}.key")),
        }
    }

    /// The rows of certificates that come in.
    fn served(&self) -> Vec<Row> {
        let row = |what, pair| Row {
            what,
            pair,
            lists: true,
            alert: SERVED,
            reason: "",
        };
        let of = |name: &str, algorithm| {
            let key = KeyPair::generate_for(algorithm).unwrap();
            self.leaf(name, &key, &self.good, &[], |_| {})
        };
        let below = self.good.below("below");
        let lowest = below.below("lowest");
        let key = KeyPair::generate().unwrap();
        let deep = self.leaf("below two", &key, &lowest, &[&lowest, &below], |_| {});
        vec![
            row("version 3, ECDSA P-256", self.simple("p256", |_| {})),
            row(
                "version 3, ECDSA P-521",
                of("p521", &PKCS_ECDSA_P521_SHA512),
            ),
            row(
                "version 3, Ed25519",
                self.openssl("ed25519", "ed25519", "-set_serial 89 -extfile v3.cnf"),
            ),
            row(
                "version 3, RSA 2048",
                self.openssl("rsa2048", "rsa:2048", "-set_serial 90 -extfile v3.cnf"),
            ),
            row(
                "version 1, from a CA of the file itself",
                self.openssl("version1", "rsa:2048", "-set_serial 91"),
            ),
            row(
                "no key usage, no extended key usage",
                self.simple("no usage", |params| {
                    params.key_usages.clear();
                    params.extended_key_usages.clear();
                }),
            ),
            row(
                "a name that its CA may issue",
                self.leaf("in bounds", &key, &self.narrow, &[], |params| {
                    params.subject_alt_names =
                        vec![SanType::DnsName("a.good.test".try_into().unwrap())];
                }),
            ),
            Row {
                lists: false,
                ..row("below two CAs that it brings along", deep)
            },
        ]
    }

    /// The rows of certificates that do not: those with something wrong about themselves.
    #[expect(clippy::too_many_lines, reason = "one table")]
    fn refused(&self) -> Vec<Row> {
        let row = |what, pair, alert, reason| Row {
            what,
            pair,
            lists: true,
            alert,
            reason,
        };
        vec![
            row(
                "expired",
                self.simple("expired", |p| {
                    (p.not_before, p.not_after) = (at(-9), at(-1));
                }),
                "certificate_expired",
                "it, or a CA above it, has expired",
            ),
            row(
                "not yet valid",
                self.simple("early", |p| (p.not_before, p.not_after) = (at(1), at(9))),
                "certificate_expired",
                "it, or a CA above it, is not valid yet",
            ),
            row(
                "for servers alone",
                self.simple("for servers", |p| {
                    p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
                }),
                "unsupported_certificate",
                "its extended key usage is not client authentication",
            ),
            row(
                "for any use (`anyExtendedKeyUsage`) and not for clients by name",
                self.simple("for anything", |p| {
                    p.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any];
                }),
                "unsupported_certificate",
                "its extended key usage is not client authentication",
            ),
            row(
                "a key usage without signatures",
                self.simple("for encryption", |p| {
                    p.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
                }),
                "unsupported_certificate",
                "its key usage does not allow signatures",
            ),
            row(
                "revoked",
                self.simple("revoked", |p| {
                    p.serial_number = Some(SerialNumber::from(REVOKED));
                }),
                "certificate_revoked",
                "its issuer revoked it",
            ),
            row(
                "version 1 and revoked",
                self.openssl("revoked1", "rsa:2048", "-set_serial 7"),
                "certificate_revoked",
                "its issuer revoked it",
            ),
            row(
                "RSA 1024",
                self.openssl("rsa1024", "rsa:1024", "-set_serial 92 -extfile v3.cnf"),
                "unsupported_certificate",
                "its RSA key has 1024 bits, fewer than 2048",
            ),
            row(
                "signed with SHA-1",
                self.openssl("sha1", "rsa:2048", "-set_serial 93 -extfile v3.cnf -sha1"),
                "unsupported_certificate",
                "it is signed with an algorithm that is not safe (SHA-1?) or not known",
            ),
            row(
                "version 1, signed with SHA-1",
                self.openssl("sha1v1", "rsa:2048", "-set_serial 94 -sha1"),
                "unsupported_certificate",
                "it is signed with an algorithm that is not safe (SHA-1?) or not known",
            ),
            row(
                "a CA's own",
                self.simple("a ca", |p| {
                    p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                }),
                "unsupported_certificate",
                "it is the certificate of a CA",
            ),
        ]
    }

    /// And those with something wrong about who issued them.
    #[expect(clippy::too_many_lines, reason = "one table")]
    fn misissued(&self) -> Vec<Row> {
        let row = |what, pair, alert, reason| Row {
            what,
            pair,
            lists: true,
            alert,
            reason,
        };
        let key = KeyPair::generate().unwrap();
        let of = |name: &str, ca: &Ca| self.leaf(name, &key, ca, &[], |_| {});
        let own = {
            let mut params = named("self-signed");
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            let certificate = params.self_signed(&key).unwrap();
            self.pair("self-signed", &certificate.pem(), &key.serialize_pem())
        };
        let outside = self.leaf("out of bounds", &key, &self.narrow, &[], |params| {
            params.subject_alt_names = vec![SanType::DnsName("bad.test".try_into().unwrap())];
        });
        let below_flat = self.flat.below("below flat");
        let flat = self.leaf("below none", &key, &below_flat, &[&below_flat], |_| {});
        let mut deep = vec![self.good.below("depth 1")];
        for depth in 2..8 {
            deep.insert(0, deep[0].below(&format!("depth {depth}")));
        }
        let above: Vec<&Ca> = deep.iter().collect();
        let deep = self.leaf("depth 8", &key, &deep[0], &above, |_| {});
        let no_lists = |row: Row| Row {
            lists: false,
            ..row
        };
        vec![
            row("self-signed", own, "unknown_ca", "it is self-signed"),
            row(
                "of another CA",
                of("foreign", &Ca::new("foreign ca", |_| {})),
                "unknown_ca",
                "none of the CAs in the client CA file issued it",
            ),
            row(
                "of another CA that has the name of one in the file",
                of("forged", &Ca::new("good ca", |_| {})),
                "decrypt_error",
                "its signature is not the one of the CA that it names",
            ),
            row(
                "of a CA that has expired",
                of("late", &self.over),
                "unknown_ca",
                "none of the CAs in the client CA file issued it",
            ),
            row(
                "of a CA for servers alone",
                of("of servers", &self.servers),
                "unknown_ca",
                "none of the CAs in the client CA file issued it",
            ),
            row(
                "a name outside of what its CA may issue",
                outside,
                "bad_certificate",
                "its name is outside of what its CA may issue",
            ),
            row(
                "of a CA whose revocation list has expired",
                of("stale", &self.stale),
                "unknown_ca",
                "the revocation list of its issuer is too old",
            ),
            row(
                "of a CA without a list where there are lists",
                of("listless", &self.listless),
                "unknown_ca",
                "its issuer has no revocation list in the file",
            ),
            no_lists(row(
                "below more CAs than its root allows (`pathlen`)",
                flat,
                "unknown_ca",
                "its chain is longer than a CA in it allows",
            )),
            no_lists(row(
                "below more than six CAs",
                deep,
                "unknown_ca",
                "its chain is too long: MaximumPathDepthExceeded",
            )),
        ]
    }
}

fn front(bench: &Bench, lists: bool) -> Front {
    let crl = if lists {
        "client_crl = \"lists.pem\"\n"
    } else {
        ""
    };
    let tls = format!("client_ca = \"clients.crt\"\n{crl}client_auth = \"required\"");
    let admin = "[admin]\naddress = \"127.0.0.1:0\"\n";
    Front::of_any_ca(&tls, admin, |dir| {
        fs::write(dir.join("clients.crt"), bench.authorities()).unwrap();
        fs::write(dir.join("lists.pem"), bench.lists()).unwrap();
    })
}

/// Shows a certificate in one version of TLS.
fn shown(front: &Front, row: &Row, version: &str) {
    let what = format!("{} in TLS {version}", row.what);
    let versions = [
        "-v".to_owned(),
        format!("--tlsv{version}"),
        "--tls-max".into(),
        version.into(),
    ];
    let outcome = front.curl(Some(&row.pair), &versions.each_ref().map(String::as_str));
    if row.alert == SERVED {
        outcome.succeeds(&what).says(" 200", &what);
    } else {
        // As OpenSSL writes it; curl's own sentence does not always have it.
        let alert = row.alert.replace('_', " ").replace(" ca", " CA");
        let alert = format!("TLS alert, {alert}");
        outcome.fails_saying(&alert, &what);
    }
}

#[test]
fn t6_t7_t9_n23_n60_what_a_certificate_gets_is_what_the_documentation_says() {
    if !peers::need(&["openssl", "curl"]) {
        return;
    }
    let bench = Bench::new();
    let fronts = [front(&bench, false), front(&bench, true)];
    let rows = [bench.served(), bench.refused(), bench.misissued()];
    let rows: Vec<Row> = rows.into_iter().flatten().collect();
    let mut refused = [0_u32, 0];
    for row in &rows {
        let front = &fronts[usize::from(row.lists)];
        for version in ["1.2", "1.3"] {
            shown(front, row, version);
        }
        if row.alert == SERVED {
            continue;
        }
        refused[usize::from(row.lists)] += 2;
        let name = row.pair.certificate.file_stem().unwrap();
        let subject = openssl(
            bench.dir.path(),
            &format!(
                "x509 -noout -subject -serial -nameopt RFC2253 -in {}.crt",
                name.display()
            ),
        );
        let facts: Vec<&str> = subject.stdout.lines().collect();
        let subject = facts[0].trim_start_matches("subject=");
        let serial = facts[1].trim_start_matches("serial=").to_lowercase();
        let serial = serial.trim_start_matches('0');
        let line = format!(
            "the client certificate {subject}, serial {serial}, is refused: {}",
            row.reason
        );
        front.program.err_times(&line, 2);
    }
    for (front, refused) in fronts.iter().zip(refused) {
        let scrape = Scrape::of(front.program.admin());
        let labels = ["reason=\"client_cert\""];
        scrape.is(
            "dockgate_handshake_failures_total",
            &labels,
            f64::from(refused),
        );
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md");
    let page = fs::read_to_string(page).unwrap();
    for row in &rows {
        let said = match row.alert {
            SERVED => format!("| {} | served | |", row.what),
            alert => format!("| {} | `{alert}` | {} |", row.what, row.reason),
        };
        assert!(page.contains(&said), "docs/security.md has no line\n{said}");
    }
    tell(BAD_INPUTS, refused.iter().sum::<u32>().try_into().unwrap());
}

/// What was agreed on before is not worth more than what would be agreed on now.
#[test]
fn t11_n24_a_ticket_opens_nothing_after_a_revocation_or_with_another_ca_in_both_versions() {
    for version in rustls::ALL_VERSIONS {
        for revoked in [true, false] {
            let (ca, other) = (Ca::new("ca", |_| {}), Ca::new("other", |_| {}));
            let tls = "client_ca = \"clients.crt\"\nclient_crl = \"lists.pem\"\nclient_auth = \"required\"";
            let front = Front::of_any_ca(tls, "", |dir| {
                fs::write(dir.join("clients.crt"), ca.certificate.pem()).unwrap();
                fs::write(dir.join("lists.pem"), ca.list(30, &[])).unwrap();
            });
            let (mut params, key) = (named("ann"), KeyPair::generate().unwrap());
            params.serial_number = Some(SerialNumber::from(REVOKED));
            let certificate = params.signed_by(&key, &ca.issuer()).unwrap();
            let pair = Pair {
                certificate: front.program.path("ann.crt"),
                key: front.program.path("ann.key"),
            };
            fs::write(&pair.certificate, certificate.pem()).unwrap();
            fs::write(&pair.key, key.serialize_pem()).unwrap();
            let tls = Tls::build(front.authority.ca(), NAME, Some(&pair), &[version]);
            let connect = || Dialog::tls(front.program.address(0), &tls);
            assert_eq!(get(&mut connect(), false), super::SERVED);
            let mut open = connect();
            assert_eq!(get(&mut open, false), super::SERVED);
            assert!(open.is_resumed(), "or the rest shows nothing");

            let what = format!("{version:?}, revoked: {revoked}");
            if revoked {
                fs::write(front.program.path("lists.pem"), ca.list(30, &[REVOKED])).unwrap();
            } else {
                fs::write(front.program.path("lists.pem"), other.list(30, &[])).unwrap();
                fs::write(front.program.path("clients.crt"), other.certificate.pem()).unwrap();
            }
            front.reload(1);
            assert_eq!(get(&mut open, false), CERTIFICATE_MISSING, "{what}");
            let mut resumed = connect();
            let answered = resumed
                .request("GET", "/v2/", &[], b"")
                .and_then(|()| resumed.answer("GET"));
            let error = answered.map_or_else(|e| e.to_string(), |a| a.head);
            assert!(error.contains("alert"), "{what}: {error}");
            front.program.err_line("is refused");
        }
    }
}
