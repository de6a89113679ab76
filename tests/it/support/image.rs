//! A small image that exists nowhere else, made without a network.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// More than the megabyte at which nginx stops by default, and not a whole number of the pieces that clients send.
const LAYER_SIZE: usize = 1_500_001;

/// An image with one layer of random bytes.
#[derive(Debug)]
pub struct Image {
    dir: TempDir,
    layer: Vec<u8>,
}

impl Image {
    /// An image with a layer that no registry has seen.
    pub fn unique() -> Self {
        let mut noise = vec![0; LAYER_SIZE];
        getrandom::fill(&mut noise).unwrap();
        let mut layer = Tar::default();
        layer.add("noise", &noise);
        Self {
            dir: TempDir::with_prefix("dockgate-image-").unwrap(),
            layer: layer.end(),
        }
    }

    /// Its root file system as a tar, for `docker import` and `podman import`.
    pub fn root_tar(&self) -> PathBuf {
        self.write("root.tar", &self.layer)
    }

    /// The digest of its only layer as it stands in [`Self::root_tar`] and in the layouts: not compressed.
    pub fn layer_digest(&self) -> String {
        digest(&self.layer)
    }

    /// An OCI image layout in a folder.
    pub fn layout(&self) -> PathBuf {
        let dir = self.folder("layout");
        for (name, content) in self.layout_files("image") {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        dir
    }

    /// An OCI image layout as a tar whose image is called `reference`, for `ctr images import`.
    pub fn archive(&self, reference: &str) -> PathBuf {
        let mut tar = Tar::default();
        for (name, content) in self.layout_files(reference) {
            tar.add(&name, &content);
        }
        self.write("archive.tar", &tar.end())
    }

    /// A path for what comes back; it goes with the image.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn layout_files(&self, reference: &str) -> Vec<(String, Vec<u8>)> {
        let config = bytes(&json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": { "type": "layers", "diff_ids": [self.layer_digest()] },
        }));
        let manifest = bytes(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &self.layer)],
        }));
        let mut entry = descriptor("application/vnd.oci.image.manifest.v1+json", &manifest);
        entry["annotations"] = json!({
            "io.containerd.image.name": reference,
            "org.opencontainers.image.ref.name": reference.rsplit(':').next(),
        });
        let index = bytes(&json!({ "schemaVersion": 2, "manifests": [entry] }));
        let layout = bytes(&json!({ "imageLayoutVersion": "1.0.0" }));
        vec![
            ("oci-layout".to_owned(), layout),
            ("index.json".to_owned(), index),
            (blob_path(&config), config),
            (blob_path(&manifest), manifest),
            (blob_path(&self.layer), self.layer.clone()),
        ]
    }
}

/// The digest of a file as a registry writes it.
pub fn digest_of(path: &Path) -> String {
    digest(&fs::read(path).unwrap())
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex(content))
}

fn hex(content: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(content)
        .iter()
        .fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        })
}

fn blob_path(content: &[u8]) -> String {
    format!("blobs/sha256/{}", hex(content))
}

fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest(content), "size": content.len() })
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// A tar of plain files (POSIX ustar).
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn add(&mut self, name: &str, content: &[u8]) {
        let mut header = [0_u8; 512];
        let mut put = |at: usize, text: &str| {
            header[at..at + text.len()].copy_from_slice(text.as_bytes());
        };
        put(0, name);
        put(100, "0000644\0");
        put(108, "0000000\0");
        put(116, "0000000\0");
        put(124, &format!("{:011o}\0", content.len()));
        put(136, "00000000000\0");
        put(148, "        "); // the checksum is taken with blanks in its place
        put(156, "0");
        put(257, "ustar\x0000");
        let sum = header.iter().map(|b| u32::from(*b)).sum::<u32>();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&header);
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}
