//! What a user other than root needs: ids of its own beside the one it has, programs that map them, and
//! a kernel that lets it.

use super::finding::Finding;
use super::kernel::number;
use super::namespaces::apparmor;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use sys::nix::sys::stat::SFlag;
use sys::nix::sys::statvfs::{FsFlags, statvfs};
use sys::nix::unistd::geteuid;

/// How many ids an image may use: what tools give each user.
const USUAL: u64 = 65_536;

/// Users or groups: the file with the ranges, the program that maps them, the option of usermod(8).
pub(super) struct Ids {
    pub what: &'static str,
    pub file: &'static str,
    pub program: &'static str,
    pub option: &'static str,
}

pub(super) const IDS: [Ids; 2] = [
    Ids { what: "users", file: "/etc/subuid", program: "newuidmap", option: "--add-subuids" },
    Ids { what: "groups", file: "/etc/subgid", program: "newgidmap", option: "--add-subgids" },
];

pub(super) fn findings() -> Vec<Finding> {
    let mut all = settings();
    if geteuid().is_root() {
        let detail = "asked as root: a user's own ids are shown if that user asks";
        all.push(Finding::ok("user", "subordinate ids", detail));
        return all;
    }
    all.extend(IDS.iter().map(ranges));
    all.extend(IDS.iter().map(helper));
    all
}

/// Settings that keep users other than root from user namespaces.
fn settings() -> Vec<Finding> {
    let consequence = "users other than root can make no containers";
    let mut all = Vec::new();
    if let Some(most) = number("/proc/sys/user/max_user_namespaces") {
        let found = Finding::ok("user", "user.max_user_namespaces", most.to_string());
        all.push(if most > 0 {
            found
        } else {
            found.warns(
                format!("{consequence}, nor can root with a user namespace"),
                "sysctl -w user.max_user_namespaces=15000",
            )
        });
    }
    let settings = [
        (
            "kernel.unprivileged_userns_clone",
            1,
            "sysctl -w kernel.unprivileged_userns_clone=1".to_owned(),
        ),
        ("kernel.apparmor_restrict_unprivileged_userns", 0, apparmor()),
    ];
    for (name, good, remedy) in settings {
        // Distributions have them, other kernels don't.
        let Some(value) = number(&format!("/proc/sys/{}", name.replace('.', "/"))) else {
            continue;
        };
        let found = Finding::ok("user", name, value.to_string());
        all.push(if value == good { found } else { found.warns(consequence, remedy) });
    }
    all
}

/// The caller's name, if it has one, and its number.
pub(super) fn caller() -> (Option<String>, u32) {
    let uid = geteuid().as_raw();
    let passwd = std::fs::read("/etc/passwd").unwrap_or_default();
    let user = sys::passwd::user(&passwd, uid);
    (user.map(|user| String::from_utf8_lossy(user.name).into_owned()), uid)
}

/// The ranges that `text`, of /etc/subuid or /etc/subgid, gives a user: the first id and how many.
pub(super) fn ranges_of(text: &str, name: Option<&str>, uid: u32) -> Vec<(u64, u64)> {
    let number = uid.to_string();
    let lines = text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let (whose, first, count) = (fields.next()?, fields.next()?, fields.next()?);
        let is_ours = Some(whose) == name || whose == number;
        is_ours.then_some((first.parse().ok()?, count.parse().ok()?))
    });
    lines.collect()
}

fn ranges(ids: &Ids) -> Finding {
    let (name, uid) = caller();
    let text = std::fs::read_to_string(ids.file).unwrap_or_default();
    let count: u64 = ranges_of(&text, name.as_deref(), uid).iter().map(|(_, count)| count).sum();
    let whose = name.unwrap_or_else(|| uid.to_string());
    let found = |detail: String| Finding::ok("user", ids.file, detail);
    let Ids { what, option, file, .. } = ids;
    let consequence = format!(
        "only one id can be mapped: images with files of several {what} can't be used as they are, \
         and a config that maps more is refused"
    );
    let remedy = format!("usermod {option} 100000-165535 {whose}, as root");
    match count {
        0 => found(format!("no line for {whose}"))
            .warns(consequence, format!("{remedy} (or a line {whose}:100000:65536 in {file})")),
        1..USUAL => found(format!("{count} {what} for {whose}")).warns(
            format!("images that use more than {count} {what} can't be used as they are"),
            remedy,
        ),
        _ => found(format!("{count} {what} for {whose}")),
    }
}

/// newuidmap or newgidmap, which must be allowed more than who calls it.
fn helper(ids: &Ids) -> Finding {
    let found = |detail: String| Finding::ok("user", ids.program, detail);
    let consequence =
        format!("a config that maps more than the caller's own id ({}) is refused", ids.what);
    let Some(path) = process::find_program(ids.program) else {
        let package = "install uidmap (Debian) or shadow-utils, shadow";
        return found("not in PATH".to_owned()).warns(consequence, package);
    };
    let shown = path.display().to_string();
    match powerless(&path) {
        None => found(shown),
        Some((why, remedy)) => found(format!("{shown}: {why}")).warns(consequence, remedy),
    }
}

/// Why a program has no rights beyond its caller's, and what helps.
fn powerless(path: &Path) -> Option<(&'static str, String)> {
    let facts = std::fs::metadata(path).ok()?;
    let is_setuid = facts.mode() & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits()
        && facts.mode() & 0o4000 != 0
        && facts.uid() == 0;
    let c_path = CString::new(path.as_os_str().as_bytes()).ok()?;
    let has_capability = sys::fs::has_xattr(&c_path, c"security.capability");
    if !is_setuid && !has_capability {
        let path = path.display();
        let remedy = format!("chmod u+s {path}, owned by root, or install its package again");
        return Some(("neither setuid root nor with file capabilities", remedy));
    }
    if statvfs(path).is_ok_and(|found| found.flags().contains(FsFlags::ST_NOSUID)) {
        return Some(("on a file system mounted nosuid", "mount it without nosuid".to_owned()));
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if status.lines().any(|line| line.starts_with("NoNewPrivs:") && line.ends_with('1')) {
        let remedy = "start rind without no_new_privs (systemd: NoNewPrivileges=no)";
        return Some(("of no use to a process with no_new_privs", remedy.to_owned()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::ranges_of;

    #[test]
    fn ranges_are_of_a_name_or_a_number() {
        let text = "me:100000:65536\nyou:1:2\n7:5:6\nme:x:1\nme:3\n\nme:9:1\n";
        assert_eq!(ranges_of(text, Some("me"), 7), [(100_000, 65_536), (5, 6), (9, 1)]);
        assert_eq!(ranges_of(text, None, 8), []);
    }
}
