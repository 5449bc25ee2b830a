//! A bundle: whether `create` would take its config here, with all that is wrong at once.
//!
//! The rules of the specification are asked by the crate `spec`, and what the host has for the config by
//! [`Prepared`], the plan that `create` itself makes before it makes anything. A plan ends at its first
//! error; the property that it names is then left out, and the rest is planned again. What `create`
//! finds only in the container's init is looked at by the files beside this one.

use super::finding::{CREATE_FAILS, Finding, Standing, at};
use super::{CheckOptions, files, limits, process};
use crate::create::options::{CgroupManager, CreateOptions, Purpose};
use crate::create::prepare::Prepared;
use crate::{Error, Result, Runtime};
use cgroups::Cgroup;
use oci_spec::runtime::Spec;
use spec::{Bundle, Examined, Place, Problem};
use std::cell::RefCell;
use std::path::Path;

/// What a finding is about that no property stands for.
const WHOLE: &str = "config.json";

/// The name of the container that is planned; one of this name does no harm.
const ID: &str = "rind-check";

/// No config has more that is wrong.
const MOST: usize = 1000;

pub(super) fn findings(
    runtime: &Runtime,
    options: &CheckOptions,
    directory: &Path,
) -> Vec<Finding> {
    let mut examined = match Bundle::examine(directory) {
        Ok(examined) => examined,
        Err(error) => return vec![unreadable(directory, &error)],
    };
    let mut all: Vec<Finding> = examined.problems.iter().map(violation).collect();
    let Some(bundle) = examined.bundle.clone() else { return all };
    if examined.problems.is_empty() {
        let version = bundle.spec.version();
        let detail = format!("keeps the rules of the specification (ociVersion {version})");
        all.push(at(WHOLE, detail));
    }
    let mut own = process::findings(&bundle);
    own.extend(limits::findings(&bundle.spec));
    if bundle.spec.root().is_some() {
        own.splice(0..0, files::findings(&bundle));
    }
    let planner = Planner { runtime, options, found: RefCell::default() };
    let planned = planner.plan(&mut examined);
    let own = own.into_iter().map(|one| (one, Source::Look));
    for (one, source) in own.chain(planned) {
        let one = placed(&examined, one);
        if !is_told(&all, &one, source) {
            all.push(one);
        }
    }
    all
}

/// There is no config to look at.
fn unreadable(directory: &Path, error: &Error) -> Finding {
    let shown = directory.display();
    let found = at(WHOLE, error.text());
    if directory.is_dir() {
        let remedy = format!(
            "rind spec --bundle {shown} writes one to begin with; it has to be a file that the caller \
             may read"
        );
        return found.lacks("create fails: a bundle has a config.json", remedy);
    }
    let remedy = "name a directory with a config.json and a root file system";
    found.lacks("create fails: there is no such bundle", remedy)
}

/// Where a finding is from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The files beside this one.
    Look,
    /// The plan of `create`.
    Plan,
    /// The same, which the kernel has refused something.
    Kernel,
}

/// The finding with its line, and its property as config.json has it: elements before it that could not
/// be read were left out.
fn placed(examined: &Examined, mut finding: Finding) -> Finding {
    if finding.what == WHOLE {
        return finding;
    }
    let Place { property, line } = examined.place(&finding.what);
    finding.line = Some(line);
    if property != finding.what {
        finding.detail = finding.detail.replace(&finding.what, &property);
        finding.what = property;
    }
    finding
}

/// Whether the same is told of already. Errors of the plan name the entry and not the key; what breaks a
/// rule of the specification is refused there again, and what isn't there is so by the kernel.
fn is_told(all: &[Finding], one: &Finding, source: Source) -> bool {
    let is_in = |inner: &str, outer: &str| {
        let rest = inner.strip_prefix(outer);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let is_the_same = |other: &Finding| match source {
        _ if other.what == one.what => one.standing <= other.standing,
        _ if one.standing == Standing::Ok || source == Source::Kernel => true,
        Source::Plan => other.consequence == CREATE_FAILS,
        _ => false,
    };
    let worse = all.iter().filter(|other| other.standing != Standing::Ok);
    let mut about =
        worse.filter(|other| is_in(&other.what, &one.what) || is_in(&one.what, &other.what));
    about.any(|other| is_the_same(other) && other.standing >= one.standing)
}

/// A rule of the specification that the config breaks.
fn violation(problem: &Problem) -> Finding {
    let Problem { place, reason } = problem;
    let what = if place.property.is_empty() { WHOLE } else { &place.property };
    let finding = at(what, reason.clone()).lacks(CREATE_FAILS, remedy(&place.property));
    Finding { line: Some(place.line), ..finding }
}

/// What helps where a rule is broken, by the property.
fn remedy(property: &str) -> &'static str {
    const REMEDIES: [(&str, &str); 27] = [
        ("ociVersion", "write a version that is 1.x.y, as 1.2.0"),
        ("root", "{\"path\": \"rootfs\"}, the directory of the image, from the bundle on"),
        ("process.args", "a list of strings, the program first: [\"sh\"]"),
        ("process.cwd", "an absolute path, as /"),
        ("process.env", "a list of strings, each NAME=VALUE"),
        ("process.user", "{\"uid\": 0, \"gid\": 0}: numbers, names are not looked up"),
        ("process.rlimits", "each type (RLIMIT_NOFILE) once, with soft not above hard"),
        ("process.oomScoreAdj", "a number from -1000 to 1000"),
        (
            "process.capabilities",
            "lists of names as CAP_CHOWN in the sets bounding, effective, \
            permitted, inheritable, ambient",
        ),
        ("process.scheduler", "sched(7) says what each policy takes"),
        ("process.ioPriority", "a class and a priority from 0 to 7"),
        (
            "mounts",
            "each mount needs an absolute destination other than /; type, source and options \
            are strings; mappings come in pairs",
        ),
        ("hooks", "a list of {\"path\": ABSOLUTE, \"args\": [...]}, with a timeout above 0 if any"),
        ("hostname", "add {\"type\": \"uts\"} to linux.namespaces, or leave it out"),
        ("domainname", "add {\"type\": \"uts\"} to linux.namespaces, or leave it out"),
        ("annotations", "an object of strings, no name of them empty"),
        (
            "linux.namespaces",
            "each of mount, pid, network, ipc, uts, user, cgroup, time at most once, \
            with an absolute path to join one",
        ),
        (
            "linux.uidMappings",
            "{\"containerID\": 0, \"hostID\": N, \"size\": N} with a user namespace",
        ),
        (
            "linux.gidMappings",
            "{\"containerID\": 0, \"hostID\": N, \"size\": N} with a user namespace",
        ),
        ("linux.timeOffsets", "monotonic or boottime, with a new time namespace"),
        ("linux.netDevices", "names of devices, with a network namespace"),
        (
            "linux.devices",
            "an absolute path, a type of c, b, u or p, and major and minor; one device a path",
        ),
        (
            "linux.sysctl",
            "settings of a namespace that the container has (net.*, kernel.shm*, ...)",
        ),
        ("linux.maskedPaths", "absolute paths, with a mount namespace"),
        ("linux.readonlyPaths", "absolute paths, with a mount namespace"),
        ("linux.rootfsPropagation", "private, slave, shared or unbindable, or with r before"),
        (
            "linux.seccomp",
            "names of actions as SCMP_ACT_ERRNO, of operators as SCMP_CMP_EQ; rind \
            features lists all",
        ),
    ];
    let known = REMEDIES.iter().filter(|(name, _)| property.starts_with(name));
    let longest = known.max_by_key(|(name, _)| name.len());
    if property.is_empty() {
        return "correct the text; rind spec writes a config to begin with";
    }
    longest.map_or(
        "correct it by the runtime specification (config.md, config-linux.md), or leave it out",
        |(_, remedy)| remedy,
    )
}

/// Has `create` plan the container, as often as it takes.
struct Planner<'a> {
    runtime: &'a Runtime<'a>,
    options: &'a CheckOptions,
    found: RefCell<Vec<String>>,
}

impl Planner<'_> {
    fn plan(&self, examined: &mut Examined) -> Vec<(Finding, Source)> {
        let mut all = Vec::new();
        let mut options = CreateOptions {
            id: ID.to_owned(),
            manager: self.options.manager,
            rootless: self.options.rootless,
            ..CreateOptions::default()
        };
        for _ in 0..MOST {
            let Some(mut bundle) = examined.bundle.clone() else { break };
            if !bundle.rootfs.is_dir() {
                // Which is told of already.
                bundle.rootfs.clone_from(&bundle.path);
            }
            let error = match self.prepare(&options, &bundle) {
                Ok(cgroup) => match cgroup.check(resources(&bundle.spec)) {
                    Ok(()) => {
                        let mut more = limits::cgroup(&bundle.spec, &cgroup, options.rootless);
                        more.extend(self.warnings(examined, &bundle));
                        all.extend(more.into_iter().map(|one| (one, Source::Look)));
                        return all;
                    }
                    Err(error) => error,
                },
                Err(error) => error,
            };
            let source = if error.errno().is_some() { Source::Kernel } else { Source::Plan };
            all.push((refusal(examined, &error), source));
            let property = property_of(examined, &error);
            if property == CGROUP && options.manager != CgroupManager::Disabled {
                options.manager = CgroupManager::Disabled;
            } else if !examined.leave_out(&property) {
                break;
            }
        }
        let rest = at(WHOLE, "what comes after that was not looked at").warns(
            "there may be more that is wrong",
            "correct what is named here, and check again",
        );
        all.push((rest, Source::Look));
        all
    }

    /// The plan of `create`, of which only the place of the cgroup is needed.
    fn prepare(&self, options: &CreateOptions, bundle: &Bundle) -> Result<Cgroup> {
        let quiet = Runtime {
            root: self.runtime.root.clone(),
            root_is_given: self.runtime.root_is_given,
            warn: Box::new(|text| self.found.borrow_mut().push(text.to_owned())),
            debug: None,
        };
        let prepared = Prepared::new(&quiet, options, Purpose::Check, bundle, None)?;
        Ok(prepared.record.cgroup)
    }

    /// What `create` would do otherwise than asked for, and say so.
    fn warnings(&self, examined: &Examined, bundle: &Bundle) -> Vec<Finding> {
        let mut told: Vec<String> = Vec::new();
        for text in bundle.warnings.iter().chain(&*self.found.borrow()) {
            if !told.contains(text) {
                told.push(text.clone());
            }
        }
        let property = |text: &str| match mentioned(text).find_map(|name| examined.nearest(name)) {
            Some(name) => examined.place(&name).property,
            None if text.contains("CAP_") || text.contains("capabilities") => {
                "process.capabilities".to_owned()
            }
            None => WHOLE.to_owned(),
        };
        let finding = |text: String| {
            at(property(&text), text).warns(
                "it has no effect: create goes on without, and warns",
                "leave it out of the config, or have what it needs on this host",
            )
        };
        told.into_iter().map(finding).collect()
    }
}

fn resources(spec: &Spec) -> Option<&oci_spec::runtime::LinuxResources> {
    spec.linux().as_ref()?.resources().as_ref()
}

/// What stands for the cgroup's place, if no property of the config does.
const CGROUP: &str = "linux.cgroupsPath";

/// An error of the plan.
fn refusal(examined: &Examined, error: &Error) -> Finding {
    let property = property_of(examined, error);
    let remedy = error.hint().map_or_else(|| remedy_here(&property), str::to_owned);
    let detail = without_property(error.text(), &property);
    at(property.clone(), detail).lacks("create fails before it makes anything", remedy)
}

/// The text without the property in front, which stands beside it.
fn without_property<'a>(text: &'a str, property: &str) -> &'a str {
    text.strip_prefix(property).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(text)
}

/// What helps where a property keeps the rules, and this host has not what it asks for.
fn remedy_here(property: &str) -> String {
    let begins = |with: &str| property.starts_with(with);
    let text = if begins("annotations") {
        "give it a value that docs/annotations.md lists, or take the annotation out"
    } else if begins("linux.namespaces") {
        "name a namespace's file that is there (/proc/PID/ns/KIND), or leave the path out for a new one"
    } else if begins("linux.netDevices") {
        "name a device that ip link shows, and run as root"
    } else if begins("linux.resources.devices") {
        "a type of a, b or c, with numbers from 0 on (or -1 for all), and an access of r, w and m"
    } else if begins("linux.resources") {
        "give a value that is in the range, or leave the limit out"
    } else if property == CGROUP {
        "have another --cgroup-manager, or correct the path: rind check shows what this host has"
    } else {
        remedy(property)
    };
    text.to_owned()
}

/// The property of the config that an error is about: its object, or the first that it names.
fn property_of(examined: &Examined, error: &Error) -> String {
    let text = error.to_string();
    let object = error.object().unwrap_or_default();
    let annotation = format!("annotations[{object:?}]");
    // What two properties are at odds about is told by the namespace, which can be another.
    let object = if text.contains(" linux.namespaces[") { "" } else { object };
    let candidates = || [object, annotation.as_str()].into_iter().chain(mentioned(&text));
    for name in candidates() {
        // A namespace that can't be joined is one to be made.
        let path = name.split_once(']').map(|(namespace, _)| format!("{namespace}].path"));
        let path = path.filter(|path| path.starts_with("linux.namespaces["));
        if let Some(path) = path.filter(|path| examined.nearest(path).as_ref() == Some(path)) {
            return path;
        }
        if let Some(found) = examined.nearest(name) {
            return found;
        }
    }
    if let Some(name) = mentioned(&text).next() {
        return Examined::written(name);
    }
    let is_of_cgroups = ["cgroup", "systemd"].iter().any(|word| text.contains(word));
    if is_of_cgroups { CGROUP } else { WHOLE }.to_owned()
}

/// The properties that a text names, by what each begins with.
fn mentioned(text: &str) -> impl Iterator<Item = &str> {
    const TOP: [&str; 6] = ["linux.", "process.", "mounts[", "root.path", "hooks.", "annotations["];
    let starts = TOP.iter().filter_map(|name| text.find(name));
    let named = starts.filter_map(|start| text.get(start..));
    let at_start = ["hostname", "domainname"].iter().any(|name| text.starts_with(name));
    // A sentence may end in one of these words.
    let named = named.filter(|rest| {
        rest.split_once(['.', '['])
            .is_some_and(|(_, key)| !key.starts_with([' ', '\n']) && !key.is_empty())
    });
    at_start.then_some(text).into_iter().chain(named)
}
