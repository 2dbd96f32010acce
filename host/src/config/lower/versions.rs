//! What the manifest says of all versions of its functions: whose are taken, and for how long earlier ones are kept.

use millstream_core::swap::collect::KEEP_COMPONENTS_MS;

use super::super::KEEP_COMPONENTS_MS_MIN;
use super::super::manifest as form;
use super::super::problem::Problem;
use super::{Lower, path};
use crate::trust::PublicKey;

impl Lower<'_> {
    pub(super) fn trust(&mut self, manifest: &form::Manifest) -> Vec<PublicKey> {
        let Some(given) = &manifest.trust else { return Vec::new() };
        if given.is_empty() {
            let message =
                "`trust` names no key: leave it out to take what is not signed, or no version could ever be deployed";
            self.problems.push(Problem::error(self.tree.place(&["trust"]), message));
        }
        let mut keys = Vec::new();
        for key in given {
            match key.0.parse() {
                Ok(key) => keys.push(key),
                Err(why) => self.problems.push(Problem::error(self.tree.place(&["trust"]), why)),
            }
        }
        keys
    }

    pub(super) fn keep_components(&mut self, manifest: &form::Manifest) -> i64 {
        let Some(text) = &manifest.keep_components else { return KEEP_COMPONENTS_MS };
        let ms = self.duration(text, &path(&["keep-components"]));
        if ms < KEEP_COMPONENTS_MS_MIN {
            let message = format!("components are kept for {KEEP_COMPONENTS_MS_MIN} ms or longer, not for {}", text.0);
            self.problems.push(Problem::error(self.tree.place(&["keep-components"]), message));
            return KEEP_COMPONENTS_MS;
        }
        ms
    }
}
