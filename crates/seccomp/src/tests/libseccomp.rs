//! The same profile compiled by libseccomp, where it is installed with its header: both programs
//! must decide alike, but for what is told here.

use super::export::{Exported, Exporter};
use super::{ALLOW, Action, Arch, ENOSYS, EPERM, LinuxSeccomp, NAMES, VALUES};
use super::{compiled, docker, find, run};

#[test]
fn docker_profile_decides_as_with_libseccomp() {
    let config = docker();
    assert_eq!(config.default_action(), Action::ScmpActErrno);
    let Some(exporter) = Exporter::build() else { return };
    for tree in [false, true] {
        let exported = exporter.export(&config, tree);
        assert!(exported.cpu > 0.0 && exported.program.iter().any(|one| one.k == ALLOW));
        decides_alike(&config, &exported);
    }
}

fn decides_alike(config: &LinuxSeccomp, exported: &Exported) {
    let ours = compiled(config);
    let mut wrong = Vec::new();
    for arch in [Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32] {
        let abi = find(arch).unwrap();
        for number in (0..1024).map(|number| abi.first + number) {
            let call = abi.calls.iter().find(|(known, _)| abi.first + known == number);
            let name = call.map_or("", |(_, name)| NAMES[usize::from(*name)]);
            for first in VALUES {
                let arguments = [first, 0, 0, 0, 0, 0];
                let ours = run(ours.program(), abi, number, arguments);
                let theirs = run(&exported.program, abi, number, arguments);
                let explained = match (ours, theirs) {
                    _ if ours == theirs => true,
                    // A call that is newer than this libseccomp.
                    (_, EPERM) if exported.unknown.contains(name) => true,
                    // One that is newer than the profile, which runc takes care of itself.
                    (ENOSYS, EPERM) => !config
                        .syscalls()
                        .iter()
                        .flatten()
                        .any(|rule| rule.names().iter().any(|named| named == name)),
                    _ => false,
                };
                if !explained {
                    wrong.push((arch, number, name, first, ours, theirs));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ: {:#x?}", wrong.len(), &wrong[..wrong.len().min(20)]);
}
