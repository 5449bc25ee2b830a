//! `spec`: a config.json to start from, which works on this host.

/// The text of a config.json; with `rootless` for the user who runs rind.
#[must_use]
pub fn template(rootless: bool) -> String {
    spec::template(rootless, cgroups::is_v2_alone())
}
