//! Runs a program of which one system call fails, or all calls of one name: the kernel is not asked,
//! and the program gets the error. Or one of its processes is killed there, or stopped for a moment.
//!
//! `failing LOG WHAT PROGRAM ARGS`, where WHAT is
//! - `none`: LOG has all calls that can fail then, one a line: the process and the name;
//! - `PROCESS:NAME:NUMBER:ERRNO`: of the process, the call of this name and number, from 1;
//! - `PROCESS:NAME:NUMBER:KILL`: the process is killed as it enters that call;
//! - `PROCESS:NAME:NUMBER:STOP`: it is stopped there by SIGSTOP, and goes on by SIGCONT after a moment;
//! - `PROCESS:NAME:NUMBER:HOLD`: the call is made, but not before there is a file `LOG.go`;
//! - `all:NAME:ERRNO`: each call of this name, in all processes.
//!
//! A process is meant by the order of forks: 0 is the program, 1 its first child. strace(1) counts the
//! calls of each process, but for all at once, so that what is to fail in the second fails in the first,
//! and it stays with what lives on, such as a container's init. Here all are let go once the program has
//! ended, or with the first call of a program that a child executes. With a failed call LOG has `hit`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[cfg(not(target_arch = "x86_64"))]
fn main() {
    eprintln!("failing: only for x86_64");
    std::process::exit(125);
}

#[cfg(target_arch = "x86_64")]
fn main() {
    tracer::main();
}

#[cfg(target_arch = "x86_64")]
mod tracer {
    use integration_tests::calls;
    use integration_tests::host::wait_for;
    use std::collections::HashMap;
    use std::env;
    use std::fs::File;
    use std::io::Write;
    use std::os::unix::process::CommandExt;
    use std::path::PathBuf;
    use std::process::{Command, exit};
    use std::thread::{self, JoinHandle, sleep};
    use std::time::Duration;
    use sys::Errno;
    use sys::nix::sys::ptrace::{self, Event, Options};
    use sys::nix::sys::signal::{Signal, kill};
    use sys::nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    use sys::nix::unistd::Pid;

    /// How long a stopped process stays so: for another to come to where it waits for that one.
    const MOMENT: Duration = Duration::from_millis(10);

    /// What is to fail.
    enum What {
        None,
        One { process: usize, call: String, number: usize, action: Action },
        All { call: String, action: Action },
    }

    /// What is done at a call.
    #[derive(Clone, Copy)]
    enum Action {
        /// It answers this.
        Fail(i32),
        Kill,
        Stop,
        Hold,
    }

    /// A traced process.
    #[derive(Default)]
    struct Process {
        /// The how many-eth it is.
        order: usize,
        /// Whether it has stopped for the first time.
        has_begun: bool,
        /// Whether it is in a call.
        is_inside: bool,
        /// What the call is to answer.
        answer: Option<i32>,
        counts: HashMap<&'static str, usize>,
    }

    struct Tracer {
        what: What,
        log: File,
        /// The file that lets a held call go on.
        go: PathBuf,
        program: Pid,
        processes: HashMap<Pid, Process>,
        is_done: bool,
        /// Who has a stopped process go on.
        waking: Option<JoinHandle<()>>,
    }

    pub fn main() {
        let mut words = env::args_os().skip(1);
        let log = words.next().expect("a log");
        let what = words.next().expect("what is to fail");
        let what = what.to_str().expect("UTF-8");
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words);
        if log == "--traced" {
            ptrace::traceme().expect("PTRACE_TRACEME");
            panic!("{}", command.exec());
        }
        let mut traced = Command::new("/proc/self/exe");
        traced.args(["--traced", ""]).arg(command.get_program()).args(command.get_args());
        #[allow(clippy::zombie_processes, reason = "`follow` waits for it")]
        let child = traced.spawn().expect("fork");
        let program = Pid::from_raw(child.id().try_into().expect("a pid"));
        let go = PathBuf::from(&log).with_extension("go");
        let log = File::create(log).expect("the log");
        let processes = HashMap::new();
        let what = parse(what);
        let mut tracer = Tracer { what, log, go, program, processes, is_done: false, waking: None };
        let status = tracer.follow();
        // It may not be the program that has been stopped.
        tracer.waking.take().map(JoinHandle::join);
        tracer.let_new_go();
        exit(status);
    }

    fn parse(what: &str) -> What {
        let action = |word: &str| match word {
            "KILL" => Action::Kill,
            "STOP" => Action::Stop,
            "HOLD" => Action::Hold,
            errno => {
                let all = (1..200).map(Errno::from_raw);
                let found = all.into_iter().find(|one| format!("{one:?}") == errno);
                Action::Fail(found.unwrap_or_else(|| panic!("no {errno}")) as i32)
            }
        };
        match *what.split(':').collect::<Vec<_>>() {
            ["none"] => What::None,
            ["all", call, word] => What::All { call: call.to_owned(), action: action(word) },
            [process, call, count, word] => What::One {
                process: process.parse().expect("a process"),
                call: call.to_owned(),
                number: count.parse().expect("a number"),
                action: action(word),
            },
            _ => panic!("{what}?"),
        }
    }

    impl Tracer {
        /// Follows all until the program ends; gives its exit status. The kernel lets the others go.
        fn follow(&mut self) -> i32 {
            // The program has been executed: it stops for the first time.
            let options = Options::PTRACE_O_TRACESYSGOOD
                | Options::PTRACE_O_TRACEFORK
                | Options::PTRACE_O_TRACEVFORK
                | Options::PTRACE_O_TRACECLONE
                | Options::PTRACE_O_TRACEEXEC;
            waitpid(self.program, None).expect("the program");
            ptrace::setoptions(self.program, options).expect("PTRACE_SETOPTIONS");
            self.processes.insert(self.program, Process { has_begun: true, ..Process::default() });
            self.go_on(self.program, None);
            loop {
                if let Some(status) = self.follow_one(WaitPidFlag::__WALL) {
                    return status;
                }
            }
        }

        /// Waits for one of them to stop or end; gives the exit status of the program if it has ended.
        fn follow_one(&mut self, flags: WaitPidFlag) -> Option<i32> {
            match waitpid(None, Some(flags)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == self.program => return Some(code),
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == self.program => {
                    return Some(128 + signal as i32);
                }
                Ok(status) => self.stopped(status),
                Err(Errno::EINTR) => {}
                Err(errno) => panic!("waitpid: {errno}"),
            }
            None
        }

        /// Follows the others until the held call may be made.
        fn hold(&mut self) {
            wait_for("the word to go on", || {
                let ended = self.follow_one(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG);
                if let Some(status) = ended {
                    exit(status);
                }
                self.go.exists()
            });
        }

        fn stopped(&mut self, status: WaitStatus) {
            match status {
                WaitStatus::PtraceSyscall(pid) => {
                    self.at_call(pid);
                    self.go_on(pid, None);
                }
                WaitStatus::PtraceEvent(pid, _, event) => {
                    let is_other = pid != self.program;
                    let is_fork = event != Event::PTRACE_EVENT_EXEC as i32;
                    if let Ok(forked) = ptrace::getevent(pid).map(i32::try_from)
                        && is_fork
                    {
                        self.process(Pid::from_raw(forked.expect("a pid")));
                    }
                    if event == Event::PTRACE_EVENT_EXEC as i32 && is_other {
                        // What follows is not of the program under test.
                        let _ = ptrace::detach(pid, None);
                    } else {
                        self.go_on(pid, None);
                    }
                }
                WaitStatus::Stopped(pid, signal) => {
                    // The first stop is that of a new process.
                    let is_first = !self.process(pid).has_begun;
                    self.process(pid).has_begun = true;
                    self.go_on(pid, (!is_first).then_some(signal));
                }
                _ => {}
            }
        }

        /// The kernel begins to trace a new process by SIGSTOP, which stays with one that nobody traces any
        /// more.
        fn let_new_go(&self) {
            let new = self.processes.iter().filter(|(_, process)| !process.has_begun);
            for (pid, _) in new {
                let _ = kill(*pid, Signal::SIGCONT);
            }
        }

        fn process(&mut self, pid: Pid) -> &mut Process {
            let order = self.processes.len();
            self.processes.entry(pid).or_insert_with(|| Process { order, ..Process::default() })
        }

        /// Lets a stopped process go on to its next call, or without stops if all is done.
        fn go_on(&self, pid: Pid, signal: Option<Signal>) {
            // They fail where somebody has killed the process.
            let is_inside = self.processes.get(&pid).is_some_and(|it| it.answer.is_some());
            let _ = if self.is_done && !is_inside {
                ptrace::cont(pid, signal)
            } else {
                ptrace::syscall(pid, signal)
            };
        }

        fn at_call(&mut self, pid: Pid) {
            let Ok(mut regs) = ptrace::getregs(pid) else { return };
            let process = self.process(pid);
            process.is_inside = !process.is_inside;
            if !process.is_inside {
                if let Some(errno) = process.answer.take() {
                    regs.rax = i64::from(-errno).cast_unsigned();
                    let _ = ptrace::setregs(pid, regs);
                }
                return;
            }
            let Some(call) = calls::numbered(regs.orig_rax.cast_signed()) else {
                return;
            };
            let (order, count) = (process.order, process.counts.entry(call.name).or_default());
            *count += 1;
            let count = *count;
            let action = match &self.what {
                What::None => {
                    writeln!(self.log, "{order} {}", call.name).expect("the log");
                    return;
                }
                What::One { process, call: name, number, action } => {
                    let is_it = (*process, name.as_str(), *number) == (order, call.name, count);
                    (is_it && !self.is_done).then_some(*action)
                }
                What::All { call: name, action } => (name == call.name).then_some(*action),
            };
            let Some(action) = action else { return };
            self.is_done = matches!(self.what, What::One { .. });
            writeln!(self.log, "hit").expect("the log");
            match action {
                Action::Fail(errno) => {
                    // The kernel has no such call, and so makes none.
                    regs.orig_rax = u64::MAX;
                    let _ = ptrace::setregs(pid, regs);
                    self.process(pid).answer = Some(errno);
                }
                Action::Kill => {
                    let _ = kill(pid, Signal::SIGKILL);
                }
                Action::Stop => self.stop(pid),
                Action::Hold => self.hold(),
            }
        }

        /// Stops a process for a moment; it is not traced any more then, as a tracer would have to keep
        /// it stopped.
        fn stop(&mut self, pid: Pid) {
            let _ = kill(pid, Signal::SIGSTOP);
            let _ = ptrace::detach(pid, None);
            self.waking = Some(thread::spawn(move || {
                sleep(MOMENT);
                let _ = kill(pid, Signal::SIGCONT);
            }));
        }
    }
}
