//! Things to do in a container.

use crate::files;
use serde_json::{Map, Value, json};
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;
use std::{env, fs, hint, thread};
use sys::nix::mount::{MsFlags, mount};
use sys::nix::sched::{CloneFlags, unshare};
use sys::nix::sys::signal::{SigSet, Signal};
use sys::nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use sys::nix::sys::stat::{Mode, SFlag, makedev, mknod};
use sys::nix::unistd::{chroot, sethostname, setsid};

/// Between one number and the next.
const BREATH: Duration = Duration::from_millis(10);

/// Prints "ready", then the name of every signal that comes, until SIGTERM.
pub fn sleep(status: u8) -> ExitCode {
    let signals = SigSet::all();
    signals.thread_block().expect("sigprocmask");
    println!("ready");
    loop {
        let signal = signals.wait().expect("sigwait");
        println!("{signal}");
        if let (Signal::SIGWINCH, Ok(size)) = (signal, sys::terminal::size(io::stdin())) {
            println!("{} rows, {} columns", size.rows, size.columns);
        }
        if signal == Signal::SIGTERM {
            return ExitCode::from(status);
        }
    }
}

/// Starts `count` sleeping children, kills them, and tells how many could be started.
pub fn with_children(count: usize) -> Value {
    let mut children: Vec<Child> = Vec::new();
    let mut refused = None;
    while children.len() < count {
        match myself(&["sleep"]).stdout(Stdio::null()).spawn() {
            Ok(child) => children.push(child),
            Err(error) => {
                refused = Some(files::name(&error));
                break;
            }
        }
    }
    for child in &mut children {
        child.kill().expect("kill");
        child.wait().expect("wait");
    }
    json!({ "started": children.len(), "refused": refused })
}

/// Sends messages to the service manager, and sleeps.
pub fn notify(messages: &[&str]) -> ExitCode {
    let path = env::var("NOTIFY_SOCKET").expect("NOTIFY_SOCKET");
    println!("{path}");
    let socket = UnixDatagram::unbound().expect("socket");
    for message in messages {
        // Nobody listens any more once it is ready.
        if socket.send_to(message.replace("\\n", "\n").as_bytes(), &path).is_err() {
            break;
        }
    }
    sleep(0)
}

/// Leaves an ended grandchild behind, prints its pid, and sleeps.
pub fn orphan() -> ExitCode {
    let status = myself(&["leave-child"]).status().expect("a child");
    assert!(status.success());
    sleep(0)
}

/// Ends without waiting for its own child, which becomes somebody else's.
#[expect(clippy::zombie_processes, reason = "somebody else is to reap it")]
pub fn leave_child() {
    let child = myself(&["exit", "0"]).spawn().expect("a child");
    println!("orphan {}", child.id());
}

/// Takes and fills memory.
pub fn touch_memory(mebibytes: usize) -> Value {
    let mut memory: Vec<Vec<u8>> = Vec::new();
    for _ in 0..mebibytes {
        memory.push(hint::black_box(vec![1; 1 << 20]));
    }
    json!({ "touched": memory.len() })
}

/// Waits for ever for a FUSE file system whose server is this process, and doesn't answer: with two
/// threads, of which the second waits for the first, without a look at signals or freezers.
pub fn hang() {
    let fuse = OpenOptions::new().read(true).write(true).open("/dev/fuse").expect("/dev/fuse");
    let data = format!("fd={},rootmode=40000,user_id=0,group_id=0", fuse.as_raw_fd());
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("fuse"), "/tmp", Some("fuse"), flags, Some(&*data)).expect("a mount of FUSE");
    let first = thread::spawn(|| fs::metadata("/tmp/x"));
    println!("ready");
    panic!("it has answered: {:?}, {:?}", fs::metadata("/tmp/y"), first.join());
}

/// Prints its pid and a number, over and over, the next each time.
pub fn count() -> ! {
    for number in 1_u64.. {
        println!("{} {number}", std::process::id());
        thread::sleep(BREATH);
    }
    unreachable!("numbers don't end")
}

/// Counts with a file open that is locked, or that has another name than it was opened by.
pub fn hold(what: &str) -> ! {
    let (name, other) = ("/dev/shm/held", "/dev/shm/other");
    let file = fs::File::create(name).expect("create");
    match what {
        "locked" => file.try_lock().expect("flock"),
        "unlinked" => {
            fs::hard_link(name, other).expect("link");
            fs::remove_file(name).expect("unlink");
        }
        _ => panic!("{what} is neither locked nor unlinked"),
    }
    count()
}

/// Sends a number to itself over a TCP connection, prints it, and goes on with the next.
pub fn talk() -> ! {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("listen");
    let mut client = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
    let (mut server, _) = listener.accept().expect("accept");
    for number in 1_u64.. {
        client.write_all(&number.to_le_bytes()).expect("send");
        let mut received = [0; 8];
        server.read_exact(&mut received).expect("receive");
        println!("{} {}", std::process::id(), u64::from_le_bytes(received));
        thread::sleep(BREATH);
    }
    unreachable!("numbers don't end")
}

/// Never gives the processor back.
pub fn spin() -> ! {
    loop {
        hint::spin_loop();
    }
}

/// Tries each of the named system calls with harmless arguments: "yes", or the error's name.
pub fn try_all(names: &[&str]) -> Value {
    let tried = names.iter().map(|name| ((*name).to_owned(), json!(files::answer(attempt(name)))));
    Value::Object(tried.collect::<Map<_, _>>())
}

fn attempt(name: &str) -> io::Result<()> {
    let none = Option::<&str>::None;
    match name {
        "chroot" => chroot("/")?,
        "getcwd" => drop(env::current_dir()?),
        "keyctl" => sys::keyring::join_session(c"probe")?,
        "mkdir" => fs::create_dir("/tmp/probe-made-this")?,
        "mknod" => {
            mknod("/tmp/zero", SFlag::S_IFCHR, Mode::from_bits_retain(0o666), makedev(1, 5))?;
        }
        "mount" => mount(Some("none"), "/tmp", Some("tmpfs"), MsFlags::empty(), none)?,
        "mount-shared" => mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SHARED, none)?,
        "remount-root-rw" => mount(none, "/", none, MsFlags::MS_REMOUNT | MsFlags::MS_BIND, none)?,
        "personality-linux" => sys::process::set_personality(0)?,
        "personality-linux32" => sys::process::set_personality(8)?,
        "personality-no-randomize" => sys::process::set_personality(0x0004_0000)?,
        "raw-socket" => {
            drop(socket(AddressFamily::Inet, SockType::Raw, SockFlag::empty(), None)?);
        }
        "sethostname" => sethostname("probe")?,
        // glibc makes a thread by clone3, and by clone only where clone3 says ENOSYS.
        "thread" => {
            thread::Builder::new().spawn(|| ())?.join().expect("a thread that does nothing");
        }
        "unix-socket" => {
            drop(socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None)?);
        }
        "unshare-mount" => unshare(CloneFlags::CLONE_NEWNS)?,
        "unshare-user" => unshare(CloneFlags::CLONE_NEWUSER)?,
        other => panic!("{other} is not one of the calls that can be tried"),
    }
    Ok(())
}

/// Runs `command` as the leader of a session whose controlling terminal is `terminal`.
pub fn session(terminal: &str, command: &[&str]) {
    setsid().expect("setsid");
    // A session's leader gets the first terminal that it opens.
    let open = || OpenOptions::new().read(true).write(true).open(terminal).expect("terminal");
    let (program, arguments) = command.split_first().expect("a command");
    let mut command = Command::new(program);
    command.args(arguments).stdin(open()).stdout(open()).stderr(open());
    panic!("{program}: {}", command.exec());
}

/// This program again, with other arguments.
fn myself(arguments: &[&str]) -> Command {
    let mut command = Command::new("/bin/probe");
    command.args(arguments);
    command
}
