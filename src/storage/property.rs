//! What holds of every file that a store keeps for itself.

pub(crate) use super::filesystem::property::saved;
