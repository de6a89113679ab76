//! Settings of buckets as they are printed: without their keys.

use std::fmt;

use super::registry::{Azure, S3};

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3")
            .field("bucket", &self.bucket)
            .field("region", &self.region)
            .field("endpoint", &self.endpoint)
            .field("access_key", &self.access_key)
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Azure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Azure")
            .field("account", &self.account)
            .field("container", &self.container)
            .field("realm", &self.realm)
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn keys_are_not_printed() {
        let s3 = S3 {
            secret_key: Some(Secret::new("s3cr3t")),
            session_token: Some(Secret::new("s3cr3t")),
            ..S3::default()
        };
        let azure = Azure {
            key: Some(Secret::new("s3cr3t")),
            secret: Some(Secret::new("s3cr3t")),
            ..Azure::default()
        };
        let printed = format!("{s3:?} {azure:?}");
        assert!(!printed.contains("s3cr3t"), "{printed}");
    }
}
