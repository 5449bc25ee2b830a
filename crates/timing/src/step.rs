//! The table of what takes time: a step's name in the program and its name for people.

/// Defines [`Step`] from rows of name and text. A text that ends with `[]` is of a step that is done
/// once for each entry of a list. The number of a step in memory is the number of its row.
macro_rules! steps {
    ($($name:ident: $text:literal;)+) => {
        /// What one process does for some time.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)] // The texts say it.
        pub enum Step {
            $($name,)+
        }

        impl Step {
            const ALL: &[Self] = &[$(Self::$name),+];

            /// What it is for people.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

steps! {
    // The host's side.
    Begin: "getting ready";
    Find: "finding the container";
    Config: "reading config.json";
    Join: "finding what --join shares";
    State: "making the state directory";
    FindCgroup: "looking for the place of its cgroups";
    Compile: "compiling the seccomp profile";
    PlanHost: "planning cgroups, devices and resctrl";
    PlanRoot: "planning the mounts";
    PlanProcess: "planning the process";
    MakeCgroups: "making cgroups, writing the state";
    Fork: "forking";
    AwaitNamespaces: "waiting for namespaces";
    Map: "writing the id mappings";
    HandOver: "cloning the host's mounts for a user namespace";
    Limit: "setting the limits of cgroups";
    Move: "moving network devices, entering resctrl";
    Attach: "having systemd put it into the cgroup";
    Record: "noting who init is";
    Release: "letting init enter its cgroups";
    AwaitInit: "waiting for init";
    AwaitProcess: "waiting for the process";
    Prestart: "hooks.prestart[]";
    CreateRuntime: "hooks.createRuntime[]";
    SendListener: "sending the seccomp listener";
    Publish: "writing the pid file, showing the container to others";
    OpenFifo: "looking whether it waits for start";
    AwaitProgram: "waiting until the program runs";
    Poststart: "hooks.poststart[]";
    Rest: "the rest";
    // The container's side.
    Born: "waiting for a processor";
    JoinNamespaces: "joining namespaces";
    MakeNamespaces: "making namespaces";
    AwaitMap: "waiting for the id mappings";
    Loopback: "setting the loopback interface up";
    Session: "starting a session";
    Names: "setting hostname and domainname";
    AwaitSources: "waiting for the host's mounts";
    Root: "cloning the rootfs";
    Mount: "mounts[]";
    AwaitGo: "waiting for the cgroups";
    EnterCgroups: "entering the cgroups";
    Devices: "making devices";
    AwaitHooks: "waiting for hooks on the host";
    CreateContainer: "hooks.createContainer[]";
    Pivot: "changing the root";
    Console: "opening the terminal";
    Sysctls: "setting sysctls";
    Masks: "masking paths, making paths read-only";
    Enter: "joining the container's cgroups and namespaces";
    Identity: "setting user, capabilities, limits and such";
    Strip: "closing what is not the program's";
    LastFork: "forking in the container";
    Filter: "loading the seccomp filter";
    StartContainer: "hooks.startContainer[]";
    Execute: "executing the program";
    FilterAndExecute: "loading the seccomp filter, executing the program";
}

impl Step {
    /// The step of this number, if there is one.
    pub(crate) fn of_number(number: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// Whether the process only waits for another one.
    #[must_use]
    pub fn waits(self) -> bool {
        self.text().starts_with("waiting ")
    }

    /// What it is, with the entry of the list that it is done for and that entry's name.
    pub(crate) fn label(self, index: u64, last: bool, name: Option<&str>) -> String {
        let Some(list) = self.text().strip_suffix("[]") else { return self.text().to_owned() };
        let after = if last { " and all after it" } else { "" };
        let name = name.map(|name| format!(" {name}")).unwrap_or_default();
        format!("{list}[{index}]{after}{name}")
    }
}
