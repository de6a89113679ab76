//! Where dockgate answers otherwise than nginx did, and why.

use super::compare::Wanted;

/// What the gate in front of a registry does with every nginx configuration.
const EVERYWHERE: &[Wanted] = &[
    Wanted {
        steps: &["*"],
        lines: &["-server: nginx/*"],
        why: "which software answers is nobody's business",
    },
    Wanted {
        steps: &["*"],
        lines: &["+x-request-id: ID"],
        why: "a failure that a user reports is found in the log by this id",
    },
    Wanted {
        steps: &["*"],
        lines: &["+x-content-type-options: nosniff"],
        why: "a browser must not guess at what a blob is; registry:2 says so of its own answers, the gate of all",
    },
    Wanted {
        steps: &["*"],
        lines: &["+strict-transport-security: max-age=31536000; includeSubDomains"],
        why: "on every answer over TLS, refusals too",
    },
];

pub const AZURE: &[&[Wanted]] = &[EVERYWHERE];
pub const RECIPE: &[&[Wanted]] = &[EVERYWHERE];
pub const CERTIFICATES: &[&[Wanted]] = &[EVERYWHERE];
pub const PUBLIC_PULL: &[&[Wanted]] = &[EVERYWHERE];
