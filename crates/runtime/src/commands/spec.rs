//! `spec`: a config to start from, fit for this host.

/// A config.json; `rootless`, for the user who asks.
#[must_use]
pub fn template(rootless: bool) -> String {
    spec::template(rootless, cgroups::is_v2_alone())
}
