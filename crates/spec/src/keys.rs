//! Respells keys that have another case than the specification's, as `CPU` for `cpu`. Go's decoder
//! takes them; serde would silently leave a limit out. Keys that the config chooses must stay as they
//! are.

use serde_json::{Map, Value};

/// Every key of the specification that a Linux container may have.
#[rustfmt::skip]
const KEYS: [&str; 147] = [
    "access", "action", "additionalGids", "allow", "ambient", "annotations", "apparmorProfile",
    "architectures", "args", "blockIO", "bounding", "burst", "capabilities", "cgroupsPath",
    "checkBeforeUpdate", "class", "classID", "closID", "consoleSize", "containerID", "cpu", "cpus",
    "createContainer", "createRuntime", "cwd", "deadline", "defaultAction", "defaultErrnoRet",
    "destination", "devices", "disableOOMKiller", "domain", "domainname", "effective",
    "enableMonitoring", "env", "errnoRet", "execCPUAffinity", "fileMode", "final", "flags", "gid",
    "gidMappings", "hard", "hcaHandles", "hcaObjects", "height", "hooks", "hostID", "hostname",
    "hugepageLimits", "idle", "index", "inheritable", "initial", "intelRdt", "ioPriority",
    "kernel", "kernelTCP", "l3CacheSchema", "leafWeight", "limit", "linux", "listenerMetadata",
    "listenerPath", "major", "maskedPaths", "memBwSchema", "memory", "memoryPolicy", "mems",
    "minor", "mode", "mountLabel", "mounts", "name", "names", "namespaces", "nanosecs",
    "netDevices", "network", "nice", "noNewPrivileges", "nodes", "ociVersion", "oomScoreAdj", "op",
    "options", "pageSize", "path", "period", "permitted", "personality", "pids", "policy",
    "poststart", "poststop", "prestart", "priorities", "priority", "process", "quota", "rate",
    "rdma", "readonly", "readonlyPaths", "realtimePeriod", "realtimeRuntime", "reservation",
    "resources", "rlimits", "root", "rootfsPropagation", "runtime", "scheduler", "schemata",
    "seccomp", "secs", "selinuxLabel", "shares", "size", "soft", "source", "startContainer",
    "swap", "swappiness", "syscalls", "sysctl", "terminal", "throttleReadBpsDevice",
    "throttleReadIOPSDevice", "throttleWriteBpsDevice", "throttleWriteIOPSDevice", "timeOffsets",
    "timeout", "type", "uid", "uidMappings", "umask", "unified", "useHierarchy", "user", "value",
    "valueTwo", "weight", "weightDevice", "width",
];

/// Objects whose own keys are names that the config chooses. Their values have no keys, or keys of
/// the specification.
const NAMES: [&str; 6] = ["annotations", "netDevices", "rdma", "sysctl", "timeOffsets", "unified"];

/// Whether a key of the text differs from one of the specification's only in its case, or may do so, as it
/// has an escape.
pub(crate) fn any_misspelt(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some(colon) = rest.iter().position(|byte| *byte == b':') {
        let (before, after) = (&rest[..colon], &rest[colon + 1..]);
        if let [key @ .., b'"'] = before.trim_ascii_end() {
            let start = key.iter().rposition(|byte| *byte == b'"').map_or(0, |quote| quote + 1);
            let key = &key[start..];
            let is_misspelt = || spelling(key).is_some_and(|known| known.as_bytes() != key);
            if key.contains(&b'\\') || is_misspelt() {
                return true;
            }
        }
        rest = after;
    }
    false
}

/// Gives the keys of `tree` the specification's spelling and drops members that are null, which Go
/// takes for absent.
pub(crate) fn respell(tree: &mut Value) {
    match tree {
        Value::Object(members) => respell_members(members),
        Value::Array(elements) => elements.iter_mut().for_each(respell),
        _ => {}
    }
}

fn respell_members(members: &mut Map<String, Value>) {
    members.retain(|_, value| !value.is_null());
    let misspelt = |key: &&String| spelling(key.as_bytes()).is_some_and(|known| known != *key);
    let misspelt: Vec<String> = members.keys().filter(misspelt).cloned().collect();
    for key in misspelt {
        if let (Some(known), Some(value)) = (spelling(key.as_bytes()), members.remove(&key)) {
            members.entry(known).or_insert(value);
        }
    }
    for (key, value) in members {
        match value {
            Value::Object(named) if has_names(key) => {
                named.values_mut().for_each(respell);
            }
            value => respell(value),
        }
    }
}

/// Whether the object at `key` has keys that the config chooses.
pub(crate) fn has_names(key: &str) -> bool {
    NAMES.contains(&key)
}

/// The specification's spelling of a key, if the specification has the key.
pub(crate) fn spelling(key: &[u8]) -> Option<&'static str> {
    let mut slot = hash(key);
    loop {
        let known = KEYS.get(usize::from(TABLE[slot % SLOTS]))?;
        if known.as_bytes().eq_ignore_ascii_case(key) {
            return Some(known);
        }
        slot += 1;
    }
}

const SLOTS: usize = 512;

/// A hash table of `KEYS`: their indices, or an index past the last for an empty slot.
static TABLE: [u8; SLOTS] = {
    let mut table = [u8::MAX; SLOTS];
    let mut index = 0;
    while index < KEYS.len() {
        let mut slot = hash(KEYS[index].as_bytes()) % SLOTS;
        while table[slot] != u8::MAX {
            slot = (slot + 1) % SLOTS;
        }
        #[allow(clippy::cast_possible_truncation)] // there are fewer than 255
        {
            table[slot] = index as u8;
        }
        index += 1;
    }
    table
};

/// A hash that is the same for every case of `key`. A better one is not worth its time for so few.
const fn hash(key: &[u8]) -> usize {
    let mut hash = key.len();
    let mut index = 0;
    while index < key.len() {
        hash = hash.wrapping_mul(31) + (key[index] | 0x20) as usize;
        index += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_key_is_found_in_any_case() {
        for key in KEYS {
            assert_eq!(spelling(key.as_bytes()), Some(key));
            assert_eq!(spelling(key.to_uppercase().as_bytes()), Some(key));
            assert_eq!(spelling(key.to_lowercase().as_bytes()), Some(key));
        }
        for unknown in ["", "cpux", "x", "org.example.key", "cp\u{fa}", "@pu"] {
            assert_eq!(spelling(unknown.as_bytes()), None, "{unknown}");
        }
    }

    #[test]
    fn only_keys_in_another_case_are_misspelt() {
        let cases = [
            (r#"{"cpu":1,"CPUs":2}"#, true),
            (r#"{"Limit": 1}"#, true),
            (r#"{"pagesize":"2MB"}"#, true),
            ("{\"tYpe\" \r\n:1}", true),
            (r#"{"\u004dounts":[]}"#, true),
            (r#"{"cpu":"CPU","x.CPU":["Limit"],"unheard of":0}"#, false),
            ("{", false),
            (":", false),
            (r#"":"#, false),
            ("", false),
        ];
        for (text, expected) in cases {
            assert_eq!(any_misspelt(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn names_of_the_config_are_left_alone() {
        let mut tree = json!({
            "Annotations": { "CPU": "1", "Null": null },
            "linux": {
                "Sysctl": { "Mode": "1" },
                "resources": {
                    "CPU": { "Shares": 1, "quota": null },
                    "RDMA": { "Name": { "hcahandles": 1 } },
                },
            },
            "cwd": "/exact", "CWD": "/other",
        });
        respell(&mut tree);
        let expected = json!({
            "annotations": { "CPU": "1", "Null": null },
            "linux": {
                "sysctl": { "Mode": "1" },
                "resources": { "cpu": { "shares": 1 }, "rdma": { "Name": { "hcaHandles": 1 } } },
            },
            "cwd": "/exact",
        });
        assert_eq!(tree, expected);
    }
}
