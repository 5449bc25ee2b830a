//! `--join`: the namespaces of another container in place of new ones, as a pod has them.

use crate::container::Container;
use crate::container::find::find;
use crate::{Error, Explain, Result, Runtime};
use spec::Bundle;

/// The kinds of namespaces, as the config names them, with their names below `/proc/PID/ns`.
const KINDS: [(&str, &str); 8] = [
    ("network", "net"),
    ("ipc", "ipc"),
    ("pid", "pid"),
    ("uts", "uts"),
    ("user", "user"),
    ("cgroup", "cgroup"),
    ("mount", "mnt"),
    ("time", "time"),
];

/// The containers whose namespaces are joined.
pub(crate) struct Joined(Vec<Container>);

/// Puts the paths of namespaces into the config of `bundle`, as `requests` ask for, each
/// `KIND,...=ID`.
///
/// A kind is named as in the config or as in `/proc/PID/ns`. What the config itself says of that
/// namespace is replaced.
pub(crate) fn join_namespaces(
    runtime: &Runtime,
    requests: &[String],
    bundle: &mut Bundle,
) -> Result<Joined> {
    let mut others = Vec::new();
    let mut paths = Vec::new();
    for request in requests {
        let (kinds, id) = request.split_once('=').ok_or_else(|| {
            refused(format!("{request:?} is not of the form KIND,...=ID, as net,ipc=web"))
        })?;
        let other = find(runtime, id).about("--join")?;
        let status = other.status()?;
        if !status.has_processes() {
            return Err(refused(format!("container {id} is {status}")));
        }
        for kind in kinds.split(',') {
            let known = KINDS.iter().find(|(name, file)| [*name, *file].contains(&kind));
            let (name, file) = known.ok_or_else(|| {
                let names = KINDS.map(|(_, file)| file).join(", ");
                refused(format!("{kind:?} is no namespace; they are {names}"))
            })?;
            paths.push((*name, format!("/proc/{}/ns/{file}", other.init.pid)));
        }
        others.push(other);
    }
    // Changing the config costs as much as reading it did.
    if !paths.is_empty() {
        bundle.join(&paths)?;
    }
    Ok(Joined(others))
}

impl Joined {
    /// Checks that the paths were of these containers, and of no later process with the same pid. The
    /// caller has opened the paths by now.
    pub fn check(&self) -> Result<()> {
        for other in &self.0 {
            if !other.init.is_alive().about("--join")? {
                return Err(refused(format!("container {} has ended", other.entry.id())));
            }
        }
        Ok(())
    }
}

fn refused(why: String) -> Error {
    Error::new(why).about("--join")
}
