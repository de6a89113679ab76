//! The words of `dockgate cert`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Days that a certificate can be good for: up to a century.
const DAYS: std::ops::RangeInclusive<i64> = 1..=36_500;

/// What is asked of which desk.
#[derive(Debug, Args)]
pub(crate) struct Asked {
    /// What is to be done
    #[command(subcommand)]
    pub(crate) task: Task,
    /// Where
    #[command(flatten)]
    pub(crate) desk: DeskArguments,
}

/// Which desk, and which CA.
#[derive(Args, Clone, Debug)]
pub(crate) struct DeskArguments {
    /// The folder of the desk [default: pki in `state_dir`]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(crate) dir: Option<PathBuf>,
    /// The certificate of a CA that lies elsewhere [default: ca.crt in the folder]
    #[arg(long, global = true, value_name = "FILE", requires = "ca_key")]
    pub(crate) ca: Option<PathBuf>,
    /// Its key
    #[arg(long, global = true, value_name = "FILE", requires = "ca")]
    pub(crate) ca_key: Option<PathBuf>,
    /// How long the revocation list counts that is made on the way [default: as long as the one before, at first 365]
    #[arg(long, global = true, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(DAYS))]
    pub(crate) crl_days: Option<u32>,
}

/// What the desk can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Make a CA, an empty index and an empty revocation list; with --ca and --ca-key take over a CA that exists
    InitCa {
        /// The common name of the CA [default: one that no other desk has]
        #[arg(long, conflicts_with_all = ["ca", "ca_key"])]
        name: Option<String>,
        /// How long the CA is good for [default: 3650]
        #[arg(long, value_parser = clap::value_parser!(u32).range(DAYS), conflicts_with_all = ["ca", "ca_key"])]
        days: Option<u32>,
        /// The kind of its key
        #[arg(long, value_enum, default_value = "ecdsa-p256", conflicts_with_all = ["ca", "ca_key"])]
        key_type: KeyKind,
    },
    /// Issue a certificate for a server: NAME.crt and NAME.key
    Server(New),
    /// Issue a certificate for a client: NAME.crt and NAME.key
    Client(New),
    /// Issue a certificate anew, with the same names and uses; `ca` is the CA itself
    Renew {
        /// The name of the certificate, or `ca`
        #[arg(required_unless_present = "crl")]
        name: Option<String>,
        /// Make nothing anew but the revocation list: for a timer, so that it never ends
        #[arg(long, conflicts_with_all = ["name", "days", "key_type", "keep_key", "revoke"])]
        crl: bool,
        /// How long it is good for [default: as long as the one before]
        #[arg(long, value_parser = clap::value_parser!(u32).range(DAYS))]
        days: Option<u32>,
        /// The kind of the new key [default: as the one before]
        #[arg(long, value_enum)]
        key_type: Option<KeyKind>,
        /// Keep the key
        #[arg(long, conflicts_with = "key_type")]
        keep_key: bool,
        /// Take the one before back at once, instead of letting it end
        #[arg(long)]
        revoke: bool,
    },
    /// Take certificates back and make the revocation list anew, which the running gate reads by itself
    Revoke {
        /// A name, for all certificates that it has, or a serial number, for one
        #[arg(value_name = "NAME|SERIAL", required_unless_present = "file")]
        whom: Option<String>,
        /// A certificate that this CA issued, perhaps elsewhere
        #[arg(long, value_name = "CERTIFICATE", conflicts_with = "whom")]
        file: Option<PathBuf>,
        /// Why
        #[arg(long, value_enum)]
        reason: Option<WhyRevoked>,
    },
    /// List the certificates, and warn of what ends soon
    List {
        /// How it is written
        #[arg(long, value_enum, default_value = "table")]
        format: ListFormat,
    },
    /// Write the files or the script with which a machine knows the registry and shows a client certificate to it
    Bundle(BundleArguments),
}

/// A certificate that is to be.
#[derive(Args, Debug)]
pub(crate) struct New {
    /// What it is called: its common name, one of its other names, and the name of its files
    #[arg(long)]
    pub(crate) name: String,
    /// One more name: dns:NAME, ip:ADDRESS, email:ADDRESS or uri:URI; can be said several times
    #[arg(long, value_name = "NAME")]
    pub(crate) san: Vec<String>,
    /// How long it is good for [default: 365 for a client, 823 for a server]
    #[arg(long, value_parser = clap::value_parser!(u32).range(DAYS))]
    pub(crate) days: Option<u32>,
    /// The kind of its key
    #[arg(long, value_enum, default_value = "ecdsa-p256")]
    pub(crate) key_type: KeyKind,
}

/// What is bundled for whom.
#[derive(Args, Debug)]
pub(crate) struct BundleArguments {
    /// The client certificate, by its name
    #[arg(long, value_name = "NAME")]
    pub(crate) client: String,
    /// The host of the registry, as it stands in the names of images
    #[arg(long)]
    pub(crate) host: String,
    /// Its port
    #[arg(long, default_value = "443")]
    pub(crate) port: u16,
    /// Who reads it
    #[arg(long, value_enum)]
    pub(crate) format: BundleFormat,
    /// Where folders and files are written [default: folders here, documents to standard output]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    /// The CA of the registry's own certificate [default: the desk's, or the one that the gate made for itself]
    #[arg(long, value_name = "FILE", conflicts_with = "no_server_ca")]
    pub(crate) server_ca: Option<PathBuf>,
    /// Without a CA: machines trust the registry's certificate already
    #[arg(long)]
    pub(crate) no_server_ca: bool,
    /// The address of the host, for /etc/hosts of machines whose DNS does not know it (script and cloud-init)
    #[arg(long, value_name = "IP")]
    pub(crate) address: Option<IpAddr>,
    /// Write over files that are there and differ
    #[arg(long)]
    pub(crate) force: bool,
}

/// Kinds of keys.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum KeyKind {
    /// ECDSA on P-256: small and fast
    EcdsaP256,
    /// ECDSA on P-384
    EcdsaP384,
    /// RSA of 2048 bits, for what does not know ECDSA
    #[value(name = "rsa-2048")]
    Rsa2048,
    /// RSA of 3072 bits
    #[value(name = "rsa-3072")]
    Rsa3072,
    /// RSA of 4096 bits: slow in each handshake
    #[value(name = "rsa-4096")]
    Rsa4096,
}

/// Reasons to take a certificate back.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum WhyRevoked {
    /// Somebody else may have the key
    KeyCompromise,
    /// Somebody else may have the CA's key
    CaCompromise,
    /// The bearer belongs to somebody else now
    AffiliationChanged,
    /// There is a newer certificate
    Superseded,
    /// It is not needed any more
    CessationOfOperation,
}

/// Forms of a list.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ListFormat {
    /// For people
    Table,
    /// For programs
    Json,
}

/// Forms of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BundleFormat {
    /// certs.d/HOST:PORT/ for docker
    Docker,
    /// The same for podman, buildah, skopeo and CRI-O
    Podman,
    /// certs.d/HOST:PORT/ with hosts.toml for containerd
    Containerd,
    /// A shell script that root runs on the machine
    Script,
    /// User data for machines of a cloud
    CloudInit,
    /// A secret, and what puts its files on every node
    Kubernetes,
}
