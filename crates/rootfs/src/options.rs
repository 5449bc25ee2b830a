//! Mount options: the table of all options (runtime-spec, config.md, Linux mount options;
//! mount(8)), and the sum of a list of them. An unknown option must never be dropped silently.

use oci_spec::runtime::Mount;
use std::ffi::{CStr, CString};
use std::path::{Path, PathBuf};
use sys::mount::{
    ATTR_ATIME_MASK, ATTR_NOATIME, ATTR_NODEV, ATTR_NODIRATIME, ATTR_NOEXEC, ATTR_NOSUID,
    ATTR_NOSYMFOLLOW, ATTR_RDONLY, ATTR_RELATIME, ATTR_STRICTATIME, Attr, Attributes, Depth,
    Propagation::{self, Private, Shared, Slave, Unbindable},
};

/// The effect of one option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// None: it is the default.
    Default,
    /// Only readers of fstab need it, but it sets these `MOUNT_ATTR_*` too.
    Fstab(Attr),
    /// Sets or clears `MOUNT_ATTR_*` of the mount (`mount_setattr(2)`).
    Set(Attr),
    Clear(Attr),
    /// Sets one of the access time attributes, which exclude each other.
    Atime(Attr),
    /// Undoes an earlier option for this access time attribute.
    NotAtime(Attr),
    /// Sets the propagation type (`mount_namespaces(7)`).
    Propagate(Propagation, Depth),
    Bind(Depth),
    Remount,
    Idmap(Depth),
    CopyUp,
    /// Sets how a bind mount treats links.
    Links(Links),
    /// Sets a flag of the superblock, by its name for fsconfig(2).
    Superblock(&'static str),
    /// Sets or clears a flag of mount(2) that fsconfig(2) has no name for.
    MountFlag(u64, bool),
}

use Effect::{
    Atime, Bind, Clear, CopyUp, Default as Nothing, Fstab, Idmap, MountFlag, NotAtime, Propagate,
    Remount, Set, Superblock,
};

impl Effect {
    /// Whether the option has a recursive form, with an `r` before its name.
    fn has_recursive_form(self) -> bool {
        matches!(self, Set(_) | Clear(_) | Atime(_) | NotAtime(_))
    }
}

/// `linux.mountLabel` on a host with `SELinux`: the mount option that sets it, and its value.
#[derive(Clone, Debug)]
pub(crate) struct MountLabel {
    pub option: &'static CStr,
    pub value: CString,
}

impl MountLabel {
    /// The label as a parameter of a new file system.
    pub fn parameter(&self) -> (&CStr, &CStr) {
        (self.option, &self.value)
    }
}

/// How a bind mount treats a symbolic link that is its source, or at its destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Links {
    /// It binds a link itself (`src-nofollow`).
    pub keeps_source: bool,
    /// It covers a link at the destination (`dest-nofollow`).
    pub keeps_target: bool,
    /// For a source that is a link, rind makes the same link at the destination (`copy-symlink`).
    pub copies: bool,
}

impl Links {
    const SOURCE: Self = Self { keeps_source: true, keeps_target: false, copies: false };
    const TARGET: Self = Self { keeps_source: false, keeps_target: true, copies: false };
    const COPY: Self = Self { keeps_source: false, keeps_target: false, copies: true };

    fn add(&mut self, more: Self) {
        self.keeps_source |= more.keeps_source;
        self.keeps_target |= more.keeps_target;
        self.copies |= more.copies;
    }
}

/// The longest value that fsconfig(2) takes, in bytes.
const LONGEST_VALUE: usize = 255;

const MS_SILENT: u64 = 1 << 15;
pub(crate) const MS_I_VERSION: u64 = 1 << 23;

/// Every option that isn't a file system's own, without recursive forms
/// ([`Effect::has_recursive_form`]). A new option needs only a row here.
const TABLE: [(&str, Effect); 56] = [
    ("async", Superblock("async")),
    ("atime", NotAtime(ATTR_NOATIME)),
    ("bind", Bind(Depth::One)),
    ("copy-symlink", Effect::Links(Links::COPY)),
    ("defaults", Nothing),
    ("dest-nofollow", Effect::Links(Links::TARGET)),
    ("dev", Clear(ATTR_NODEV)),
    ("diratime", Clear(ATTR_NODIRATIME)),
    ("dirsync", Superblock("dirsync")),
    ("exec", Clear(ATTR_NOEXEC)),
    ("idmap", Idmap(Depth::One)),
    ("iversion", MountFlag(MS_I_VERSION, true)),
    ("lazytime", Superblock("lazytime")),
    ("loud", MountFlag(MS_SILENT, false)),
    ("mand", Superblock("mand")),
    ("noatime", Atime(ATTR_NOATIME)),
    ("nodev", Set(ATTR_NODEV)),
    ("nodiratime", Set(ATTR_NODIRATIME)),
    ("noexec", Set(ATTR_NOEXEC)),
    ("noiversion", MountFlag(MS_I_VERSION, false)),
    ("nolazytime", Superblock("nolazytime")),
    ("nomand", Superblock("nomand")),
    ("norelatime", NotAtime(ATTR_RELATIME)),
    ("nostrictatime", NotAtime(ATTR_STRICTATIME)),
    ("nosuid", Set(ATTR_NOSUID)),
    ("nosymfollow", Set(ATTR_NOSYMFOLLOW)),
    ("private", Propagate(Private, Depth::One)),
    ("rbind", Bind(Depth::Tree)),
    ("relatime", Atime(ATTR_RELATIME)),
    ("remount", Remount),
    ("ridmap", Idmap(Depth::Tree)),
    ("ro", Set(ATTR_RDONLY)),
    ("rprivate", Propagate(Private, Depth::Tree)),
    ("rshared", Propagate(Shared, Depth::Tree)),
    ("rslave", Propagate(Slave, Depth::Tree)),
    ("runbindable", Propagate(Unbindable, Depth::Tree)),
    ("rw", Clear(ATTR_RDONLY)),
    ("shared", Propagate(Shared, Depth::One)),
    ("silent", MountFlag(MS_SILENT, true)),
    ("slave", Propagate(Slave, Depth::One)),
    ("src-nofollow", Effect::Links(Links::SOURCE)),
    ("strictatime", Atime(ATTR_STRICTATIME)),
    ("suid", Clear(ATTR_NOSUID)),
    ("symfollow", Clear(ATTR_NOSYMFOLLOW)),
    ("sync", Superblock("sync")),
    ("tmpcopyup", CopyUp),
    ("unbindable", Propagate(Unbindable, Depth::One)),
    // The options from here on only say how mount(8) reads fstab.
    ("_netdev", Fstab(Attr::empty())),
    ("auto", Fstab(Attr::empty())),
    ("group", Fstab(ATTR_NOSUID.union(ATTR_NODEV))),
    ("noauto", Fstab(Attr::empty())),
    ("nofail", Fstab(Attr::empty())),
    ("nouser", Fstab(Attr::empty())),
    ("owner", Fstab(ATTR_NOSUID.union(ATTR_NODEV))),
    ("user", Fstab(ATTR_NOSUID.union(ATTR_NODEV).union(ATTR_NOEXEC))),
    ("users", Fstab(ATTR_NOSUID.union(ATTR_NODEV).union(ATTR_NOEXEC))),
];

/// The prefixes of options that are comments (mount(8)).
const COMMENTS: [&str; 3] = ["x-", "X-", "comment="];

/// The sorted names of all options for `features`: those of `TABLE` without those for fstab, and
/// the recursive forms.
#[must_use]
pub fn mount_options() -> Vec<String> {
    let known = TABLE.iter().filter(|(_, effect)| !matches!(effect, Fstab(_)));
    let recursive = known.clone().filter(|(_, effect)| effect.has_recursive_form());
    let recursive = recursive.map(|(name, _)| format!("r{name}"));
    let mut names: Vec<String> =
        known.map(|(name, _)| (*name).to_owned()).chain(recursive).collect();
    names.sort_unstable();
    names
}

/// The sum of the options of one mount.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// The depth of a bind mount; `None` for another mount.
    pub bind: Option<Depth>,
    pub remount: bool,
    /// How deep to map ids; `None` to map none.
    pub idmap: Option<Depth>,
    pub copy_up: bool,
    pub links: Links,
    /// Attributes of the mount itself.
    pub attributes: Attributes,
    /// Attributes of the mount and all mounts below.
    pub recursive: Attributes,
    /// Propagation types, in the order of the options.
    pub propagation: Vec<(Propagation, Depth)>,
    /// Parameters for fsconfig(2): a name, and a value if there is one.
    pub parameters: Vec<(CString, Option<CString>)>,
    /// The first option that only the file system can know: it is neither in the table nor in
    /// [`TMPFS_OPTIONS`].
    pub unknown: Option<String>,
    /// The first option that is in [`TMPFS_OPTIONS`].
    pub tmpfs_option: Option<String>,
    /// Flags that only mount(2) has (`MS_*`).
    pub mount_flags: u64,
    /// The label of a file system without a mount option for it: an extended attribute of its root.
    pub label: Option<CString>,
}

/// Options with a value for a new tmpfs. Callers give them to bind mounts too, where they have no
/// effect. No safety depends on them, so rind leaves them out there with a warning.
const TMPFS_OPTIONS: [&str; 6] = ["gid", "mode", "nr_blocks", "nr_inodes", "size", "uid"];

/// Options of cgroup2 that apply to the host's whole hierarchy: the kernel ignores them in a
/// container.
pub(crate) const CGROUP2_OPTIONS: [&str; 4] =
    ["favordynmods", "memory_localevents", "memory_recursiveprot", "nsdelegate"];

/// The options that label a file system. mount(2) needs a value with a comma in quotes, fsconfig(2)
/// without.
const LABELS: [&str; 4] = ["context", "defcontext", "fscontext", "rootcontext"];

fn is_label(option: &[u8]) -> bool {
    LABELS.iter().any(|label| label.as_bytes() == option)
}

impl Options {
    /// Sums `list` up. A later option overrides an earlier one that contradicts it. An option that
    /// isn't in the table is the file system's own.
    pub fn parse(list: &[String]) -> Result<Self, String> {
        let mut options = Self::default();
        for option in list.iter().filter(|option| !option.is_empty()) {
            options.add(option)?;
        }
        Ok(options)
    }

    /// The options of an entry of `mounts`, whose own id mappings ask for `idmap` too.
    pub fn from_mount(mount: &Mount) -> Result<Self, String> {
        let mut options = Self::parse(mount.options().as_deref().unwrap_or_default())?;
        if mount.uid_mappings().as_ref().is_some_and(|list| !list.is_empty()) {
            options.idmap.get_or_insert(Depth::One);
        }
        Ok(options)
    }

    /// The host's path that a bind mount is of; `None` for any other entry of `mounts`.
    pub fn bind_source(&self, mount: &Mount, bundle: &Path) -> Option<PathBuf> {
        let source = mount.source().as_deref().unwrap_or_else(|| Path::new(""));
        (self.bind.is_some() && !self.remount).then(|| bundle.join(source))
    }

    fn add(&mut self, option: &str) -> Result<(), String> {
        let find = |name: &str| TABLE.iter().find(|(listed, _)| *listed == name).map(|(_, e)| *e);
        if let Some(effect) = find(option) {
            self.apply(effect);
            return Ok(());
        }
        if COMMENTS.iter().any(|comment| option.starts_with(comment)) {
            return Ok(());
        }
        let recursive = option.strip_prefix('r').and_then(find);
        if let Some(effect) = recursive.filter(|effect| effect.has_recursive_form()) {
            if let NotAtime(value) = effect
                && value != ATTR_RELATIME
                && !self.recursive.clear.intersects(ATTR_ATIME_MASK)
            {
                // mount_setattr(2) can clear what the source has.
                change(&mut self.recursive, Atime(ATTR_RELATIME));
            } else {
                change(&mut self.recursive, effect);
            }
            return Ok(());
        }
        let text =
            |text: &str| CString::new(text).map_err(|_| format!("{option:?} has a NUL byte"));
        let parameter = match option.split_once('=') {
            Some((name, value)) if LABELS.contains(&name) => {
                let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
                (text(name)?, Some(text(unquoted.unwrap_or(value))?))
            }
            Some((name, value)) => (text(name)?, Some(text(value)?)),
            None => (text(option)?, None),
        };
        self.parameters.push(parameter);
        let is_of_new =
            option.split_once('=').is_some_and(|(name, _)| TMPFS_OPTIONS.contains(&name));
        let first = if is_of_new { &mut self.tmpfs_option } else { &mut self.unknown };
        first.get_or_insert_with(|| option.to_owned());
        Ok(())
    }

    fn apply(&mut self, effect: Effect) {
        match effect {
            Nothing => {}
            // As with access times, mount(2) can't clear what the source has.
            Clear(ATTR_NODIRATIME) => self.attributes.set &= !ATTR_NODIRATIME,
            Set(_) | Clear(_) | Atime(_) | NotAtime(_) => change(&mut self.attributes, effect),
            Fstab(bits) => change(&mut self.attributes, Set(bits)),
            Propagate(kind, depth) => self.propagation.push((kind, depth)),
            // `bind` doesn't undo an earlier `rbind`.
            Bind(depth) if self.bind == Some(Depth::Tree) && depth == Depth::One => {}
            Bind(depth) => self.bind = Some(depth),
            Remount => self.remount = true,
            Idmap(depth) => self.idmap = Some(depth),
            CopyUp => self.copy_up = true,
            Effect::Links(links) => self.links.add(links),
            Superblock(name) => self.parameters.extend(CString::new(name).map(|name| (name, None))),
            MountFlag(flag, true) => self.mount_flags |= flag,
            MountFlag(flag, false) => self.mount_flags &= !flag,
        }
    }

    /// Labels a new file system of type `kind`, unless its options have a label.
    pub fn add_label(&mut self, kind: &str, label: &MountLabel) {
        let (option, text) = (label.option, label.value.clone());
        match kind {
            // The kernel labels the files of these itself.
            "cgroup2" | "proc" | "sysfs" => {}
            // The IPC namespace has one mqueue, which the kernel has made without a label.
            "mqueue" => self.label = Some(text),
            _ if self.parameters.iter().any(|(own, _)| [c"context", option].contains(&&**own)) => {}
            _ => self.parameters.push((option.to_owned(), Some(text))),
        }
    }

    /// The options that label the file system.
    pub fn labels(&self) -> impl Iterator<Item = (&CStr, &CStr)> {
        let labels = self.parameters.iter().filter(|(name, _)| is_label(name.to_bytes()));
        labels.filter_map(|(name, value)| Some((&**name, value.as_deref()?)))
    }

    /// The change that gives a clone the attributes `set`; an access time attribute replaces the
    /// clone's.
    pub fn on_clone(&self, set: Attr) -> Attributes {
        let clear = self.attributes.clear & ATTR_ATIME_MASK;
        Attributes { set, clear, ..Attributes::default() }
    }

    /// Whether only mount(2) can make the file system: it has flags that fsconfig(2) lacks, and
    /// takes longer values.
    pub fn needs_mount_call(&self) -> bool {
        let long = |value: &CString| value.as_bytes().len() > LONGEST_VALUE;
        self.mount_flags != 0 || self.parameters.iter().any(|(_, v)| v.as_ref().is_some_and(long))
    }

    /// The file system's options as mount(2) takes them: `size=1m,noswap`.
    pub fn data(&self, mode: Option<&CStr>) -> Vec<u8> {
        let mut data: Vec<u8> = Vec::new();
        let parameters = self.parameters.iter();
        let parameters =
            parameters.map(|(name, value)| (name.to_bytes(), value.as_ref().map(|v| v.to_bytes())));
        for (name, value) in
            parameters.chain(mode.map(|mode| (&b"mode"[..], Some(mode.to_bytes()))))
        {
            if !data.is_empty() {
                data.push(b',');
            }
            data.extend_from_slice(name);
            let Some(value) = value else { continue };
            let quote: &[u8] = if is_label(name) { b"\"" } else { b"" };
            data.extend_from_slice(&[b"=", quote, value, quote].concat());
        }
        data
    }

    /// The value of a file system's own option.
    pub fn value(&self, name: &str) -> Option<&CString> {
        let found =
            self.parameters.iter().rev().find(|(listed, _)| listed.to_bytes() == name.as_bytes());
        found.and_then(|(_, value)| value.as_ref())
    }
}

/// Sets or clears one attribute, and undoes earlier options for it.
fn change(attributes: &mut Attributes, effect: Effect) {
    match effect {
        Set(bits) => {
            attributes.set |= bits;
            attributes.clear &= !bits;
        }
        Clear(bits) => {
            attributes.set &= !bits;
            attributes.clear |= bits;
        }
        Atime(value) => {
            // The attribute is an enumeration, and relatime is 0: mount_setattr(2) needs the mask
            // cleared.
            attributes.set = attributes.set & !ATTR_ATIME_MASK | value;
            attributes.clear |= ATTR_ATIME_MASK;
        }
        // mount(2) has no flag that clears the attribute of a source, so nothing here does.
        NotAtime(value)
            if attributes.clear.intersects(ATTR_ATIME_MASK)
                && attributes.set & ATTR_ATIME_MASK == value =>
        {
            attributes.set &= !ATTR_ATIME_MASK;
            attributes.clear &= !ATTR_ATIME_MASK;
        }
        _ => {}
    }
}

/// The propagation type for a value of `linux.rootfsPropagation`.
pub(crate) fn propagation(name: &str) -> Option<(Propagation, Depth)> {
    TABLE.iter().find_map(|(listed, effect)| match effect {
        Propagate(kind, depth) if *listed == name => Some((*kind, *depth)),
        _ => None,
    })
}

/// Whether `name` is a propagation type, as `linux.rootfsPropagation` takes it.
#[must_use]
pub fn is_propagation(name: &str) -> bool {
    propagation(name).is_some()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(list: &[&str]) -> Options {
        Options::parse(&list.iter().map(|&option| option.to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn the_last_of_contradicting_options_wins() {
        let options = parse(&["rw", "ro", "nodev", "dev"]);
        assert_eq!((options.attributes.set, options.attributes.clear), (ATTR_RDONLY, ATTR_NODEV));
    }

    #[test]
    fn access_time_is_one_of_several_values() {
        let none = Attr::empty();
        let options = parse(&["noatime", "strictatime"]);
        assert_eq!(options.attributes.set, ATTR_STRICTATIME);
        assert_eq!(options.attributes.clear, ATTR_ATIME_MASK);
        for (list, set, clear) in [
            (&["noatime", "atime"][..], none, none),
            (&["relatime", "norelatime"], none, none),
            (&["strictatime", "nostrictatime"], none, none),
            (&["strictatime", "norelatime"], ATTR_STRICTATIME, ATTR_ATIME_MASK),
            (&["noatime", "nostrictatime"], ATTR_NOATIME, ATTR_ATIME_MASK),
            (&["norelatime"], none, none),
            (&["atime"], none, none),
            (&["nodiratime", "diratime"], none, none),
        ] {
            let Attributes { set: found, clear: cleared, .. } = parse(list).attributes;
            assert_eq!((found, cleared), (set, clear), "{list:?}");
        }
        for (option, clear) in [
            ("ratime", ATTR_ATIME_MASK),
            ("rnostrictatime", ATTR_ATIME_MASK),
            ("rnorelatime", none),
        ] {
            assert_eq!(parse(&[option]).recursive.clear, clear, "{option}");
        }
    }

    #[test]
    fn options_of_fstab_are_as_with_mount_8() {
        let options = parse(&["user", "exec", "_netdev", "nofail", "x-systemd.automount", "X-y=z"]);
        assert_eq!(options.attributes.set, ATTR_NOSUID | ATTR_NODEV);
        assert!(options.parameters.is_empty());
        assert_eq!(parse(&["owner"]).attributes.set, ATTR_NOSUID | ATTR_NODEV);
        assert_eq!(parse(&["ruser", "user=x", "comment"]).parameters.len(), 3);
    }

    #[test]
    fn recursive_forms_are_of_attributes_only() {
        assert_eq!(parse(&["rro", "rnoexec"]).recursive.set, ATTR_RDONLY | ATTR_NOEXEC);
        let options = parse(&["rsize", "rsync"]);
        assert_eq!(options.parameters.len(), 2);
    }

    #[test]
    fn the_rest_is_for_the_file_system() {
        let options = parse(&["size=1m", "sync", "weird", "a=b=c"]);
        let shown: Vec<_> = options
            .parameters
            .iter()
            .map(|(name, value)| {
                (name.to_str().unwrap(), value.as_ref().map(|v| v.to_str().unwrap()))
            })
            .collect();
        assert_eq!(
            shown,
            [("size", Some("1m")), ("sync", None), ("weird", None), ("a", Some("b=c"))]
        );
        assert_eq!(options.value("size").unwrap().to_str().unwrap(), "1m");
    }

    #[test]
    fn labels_are_options_or_an_attribute() {
        const LABEL: &str = "system_u:object_r:container_file_t:s0:c1,c2";
        let labelled = |kind: &str, list: &[&str]| {
            let mut options = parse(list);
            let value = CString::new(LABEL).unwrap();
            options.add_label(kind, &MountLabel { option: c"context", value });
            let data = String::from_utf8(options.data(None)).unwrap();
            (data, options.label.map(|label| label.into_string().unwrap()))
        };
        let context = format!("context=\"{LABEL}\"");
        assert_eq!(labelled("tmpfs", &["size=1m"]), (format!("size=1m,{context}"), None));
        assert_eq!(labelled("devpts", &[]), (context.clone(), None));
        assert_eq!(labelled("mqueue", &[]), (String::new(), Some(LABEL.to_owned())));
        for kind in ["cgroup2", "proc", "sysfs"] {
            assert_eq!(labelled(kind, &[]), (String::new(), None), "{kind}");
        }
        // One that the mount has of its own stays the only one; quotes are mount(2)'s only.
        for own in ["context=a:b,c", "context=\"a:b,c\""] {
            assert_eq!(labelled("tmpfs", &[own]), ("context=\"a:b,c\"".to_owned(), None));
            assert_eq!(parse(&[own]).value("context").unwrap().to_bytes(), b"a:b,c");
        }
    }

    #[test]
    fn a_label_is_given_by_the_option_that_is_asked_for() {
        let labelled = |list: &[&str]| {
            let mut options = parse(list);
            let value = c"a:b:c".to_owned();
            options.add_label("tmpfs", &MountLabel { option: c"rootcontext", value });
            String::from_utf8(options.data(None)).unwrap()
        };
        assert_eq!(labelled(&[]), r#"rootcontext="a:b:c""#);
        for own in [r#"context="own""#, r#"rootcontext="own""#] {
            assert_eq!(labelled(&[own]), own);
        }
    }

    #[test]
    fn the_list_for_features_is_what_is_taken() {
        let all = mount_options();
        assert!(all.is_sorted());
        for option in &all {
            let parameters = parse(&[option]).parameters;
            let is_flag = |name: &CString| {
                TABLE.iter().any(|(_, effect)| {
                    matches!(effect, Superblock(flag) if flag.as_bytes() == name.to_bytes())
                })
            };
            assert!(parameters.iter().all(|(name, _)| is_flag(name)), "{option}");
        }
        let has = |name: &str| all.iter().any(|option| option == name);
        assert!(has("defaults") && has("ro") && has("rro") && has("rbind"));
        assert!(!has("nofail") && !has("user") && !has("rsync") && !has("rrbind"));
    }
}
