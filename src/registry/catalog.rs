//! The repositories of the registry (`_catalog`).

use super::walk::Walk;
use super::{Error, Registry, Visible};

impl Registry {
    /// The first `most` repositories after `last` that may be seen, in the byte order of their full names. What comes
    /// before `last` is not walked, and the walk ends with the last one of the page.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn catalog(
        &self,
        last: Option<&str>,
        most: usize,
        visible: Visible<'_>,
    ) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        let mut walk = Walk::after(&self.storage, last);
        while names.len() < most {
            let Some((name, folder)) = walk.next().await? else {
                break;
            };
            if folder.is_repository() && visible(&name) {
                names.push(name.as_str().to_owned());
            }
        }
        Ok(names)
    }
}
