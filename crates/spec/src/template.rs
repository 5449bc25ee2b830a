//! Makes the config that `rind spec` writes: what `runc spec` writes, tab for tab.

use std::os::unix::fs::MetadataExt;

/// The template; Go's encoder ends it without a newline.
const TEMPLATE: &str = include_str!("template.json");

/// Texts that an unprivileged user can't have, and what takes their place.
const ROOTLESS: [(&str, &str); 4] = [
    // A network namespace without devices of the user's own would have no network at all.
    ("\t\t\t{\n\t\t\t\t\"type\": \"network\"\n\t\t\t},\n", ""),
    (
        "\t\t\t{\n\t\t\t\t\"type\": \"mount\"\n\t\t\t}\n",
        "\t\t\t{\n\t\t\t\t\"type\": \"mount\"\n\t\t\t},\n\
         \t\t\t{\n\t\t\t\t\"type\": \"user\"\n\t\t\t}\n",
    ),
    // The group is not mapped.
    (",\n\t\t\t\t\"gid=5\"", ""),
    // A sysfs shows the network namespace, so only that namespace's owner may mount one.
    (
        "\t\t\t\"type\": \"sysfs\",\n\t\t\t\"source\": \"sysfs\",\n\t\t\t\"options\": [\n",
        "\t\t\t\"type\": \"none\",\n\t\t\t\"source\": \"/sys\",\n\t\t\t\"options\": [\n\
         \t\t\t\t\"rbind\",\n",
    ),
];

/// For a host with cgroup v2 alone: without a cgroup namespace a mount of v2 shows the host's root,
/// whereas a mount of v1 shows the container's own cgroups.
const OWN_CGROUPS: (&str, &str) = (
    "\t\t\t\t\"type\": \"mount\"\n\t\t\t}",
    "\t\t\t\t\"type\": \"mount\"\n\t\t\t},\n\t\t\t{\n\t\t\t\t\"type\": \"cgroup\"\n\t\t\t}",
);

/// A config.json to begin with; with `rootless`, one for the calling user. `pure_v2` says whether the
/// host has cgroup v2 alone.
#[must_use]
pub fn template(rootless: bool, pure_v2: bool) -> String {
    let text = if rootless {
        // The effective user owns the process's directory.
        let own = std::fs::metadata("/proc/self");
        let (uid, gid) = own.map_or((0, 0), |own| (own.uid(), own.gid()));
        rootless_template(uid, gid)
    } else {
        TEMPLATE.to_owned()
    };
    if pure_v2 { replace(&text, OWN_CGROUPS) } else { text }
}

fn replace(text: &str, (from, to): (&str, &str)) -> String {
    text.replacen(from, to, 1)
}

fn rootless_template(uid: u32, gid: u32) -> String {
    let text = ROOTLESS.into_iter().fold(TEMPLATE.to_owned(), |text, pair| replace(&text, pair));
    // An unprivileged user has no cgroup to limit: the mappings take the place of the limits.
    let mapping = |name: &str, id: u32| {
        format!(
            "\t\t\"{name}\": [\n\t\t\t{{\n\t\t\t\t\"containerID\": 0,\n\t\t\t\t\"hostID\": {id},\n\
             \t\t\t\t\"size\": 1\n\t\t\t}}\n\t\t],\n"
        )
    };
    match (text.find("\t\t\"resources\": {"), text.find("\t\t\"namespaces\": [")) {
        (Some(start), Some(end)) => {
            let mappings = mapping("uidMappings", uid) + &mapping("gidMappings", gid);
            [&text[..start], &mappings, &text[end..]].concat()
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn both_templates_are_valid() {
        for (rootless, pure_v2) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut warnings = Vec::new();
            let text = template(rootless, pure_v2);
            assert_eq!(text.contains("\"type\": \"cgroup\"\n"), pure_v2);
            crate::parse(text.as_bytes(), "config.json".as_ref(), &mut warnings).unwrap();
            assert!(warnings.is_empty());
            assert!(text.starts_with("{\n\t\"ociVersion\": \"1.3.0\",\n") && text.ends_with('}'));
        }
    }

    #[test]
    fn a_rootless_one_asks_for_nothing_that_needs_root() {
        let text = rootless_template(1000, 1001);
        assert!(!text.contains("gid=5") && !text.contains("sysfs"));
        let config: Value = serde_json::from_str(&text).unwrap();
        let linux = &config["linux"];
        assert_eq!(linux["uidMappings"], json!([{ "containerID": 0, "hostID": 1000, "size": 1 }]));
        assert_eq!(linux["gidMappings"], json!([{ "containerID": 0, "hostID": 1001, "size": 1 }]));
        assert_eq!(linux["resources"], Value::Null);
        let kinds = linux["namespaces"].as_array().unwrap().iter().map(|one| &one["type"]);
        assert!(kinds.eq(["pid", "ipc", "uts", "mount", "user"].iter()));
        let sys = &config["mounts"][5];
        assert_eq!((&sys["type"], &sys["source"]), (&json!("none"), &json!("/sys")));
        assert_eq!(sys["options"], json!(["rbind", "nosuid", "noexec", "nodev", "ro"]));
    }
}
