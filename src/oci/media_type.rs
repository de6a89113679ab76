//! The media types of manifests.

use super::manifest::Fault;

/// What a registry keeps as a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MediaType {
    /// An image of Docker, schema 2.
    DockerManifest,
    /// A list of images of Docker.
    DockerList,
    /// An image or artifact of the OCI image-spec.
    OciManifest,
    /// An index of the OCI image-spec.
    OciIndex,
}

/// Schema 1 as registry:2 stores it: with its signatures.
pub(super) const SIGNED_SCHEMA_1: &str =
    "application/vnd.docker.distribution.manifest.v1+prettyjws";

/// Schema 1 without signatures.
pub(super) const SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1+json";

impl MediaType {
    /// The type of this name, its parameters (`; charset=utf-8`) passed over.
    pub(crate) fn parse(text: &str) -> Result<Self, Fault> {
        let name = text.split(';').next().unwrap_or_default().trim();
        for known in [
            Self::DockerManifest,
            Self::DockerList,
            Self::OciManifest,
            Self::OciIndex,
        ] {
            if name.eq_ignore_ascii_case(known.as_str()) {
                return Ok(known);
            }
        }
        if [SIGNED_SCHEMA_1, SCHEMA_1]
            .iter()
            .any(|old| name.eq_ignore_ascii_case(old))
        {
            return Err(Fault::Schema1);
        }
        Err(Fault::UnknownType)
    }

    /// Its name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::DockerManifest => "application/vnd.docker.distribution.manifest.v2+json",
            Self::DockerList => "application/vnd.docker.distribution.manifest.list.v2+json",
            Self::OciManifest => "application/vnd.oci.image.manifest.v1+json",
            Self::OciIndex => "application/vnd.oci.image.index.v1+json",
        }
    }

    /// Whether it lists manifests, and not a config and layers.
    pub(crate) fn is_index(self) -> bool {
        matches!(self, Self::DockerList | Self::OciIndex)
    }
}

/// Whether a layer of this type may lie elsewhere only: registries need not have its bytes.
pub(super) fn is_foreign(layer: &str) -> bool {
    layer == "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
        || layer.starts_with("application/vnd.oci.image.layer.nondistributable.")
}
