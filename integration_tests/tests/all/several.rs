//! Several containers: namespaces that they share, as in a pod (`--join`), and commands for all that
//! match (`--regex`).

use integration_tests::command;
use integration_tests::host::namespace;
use integration_tests::test::Test;
use integration_tests::{Bundle, Container, tests};

pub const TESTS: &[Test] = tests![
    join_shares_namespaces,
    join_takes_the_configs_names_too,
    join_of_pids_sees_the_others_processes,
    join_of_uts_has_the_others_host_name,
    join_takes_several_containers,
    exec_enters_what_was_joined,
    join_of_no_container_is_refused,
    join_of_a_stopped_container_is_refused,
    join_of_no_namespace_is_refused,
    kill_by_a_regular_expression,
    delete_by_a_regular_expression,
    delete_tells_of_every_failure,
    regular_expression_that_is_none_is_refused,
];

/// A container beside `other` that sleeps, made with these flags.
#[track_caller]
fn beside(other: &Container, flags: &[&str]) -> Container {
    let mut container = Container::beside(other, Bundle::new().probing(&["sleep"]));
    container.create(flags);
    container.start();
    container.wait_line("ready");
    container
}

#[track_caller]
fn assert_shared(one: &Container, other: &Container, kinds: &[&str], shared: bool) {
    for kind in kinds {
        let same = namespace(one.pid(), kind) == namespace(other.pid(), kind);
        assert_eq!(same, shared, "{kind}");
    }
}

fn join_shares_namespaces() {
    let web = Container::running(Bundle::new());
    let ghost = beside(&web, &["--join", &format!("net,ipc={}", web.id())]);
    assert_shared(&ghost, &web, &["net", "ipc"], true);
    assert_shared(&ghost, &web, &["pid", "mnt", "uts"], false);
}

fn join_takes_the_configs_names_too() {
    let web = Container::running(Bundle::new());
    let ghost = beside(&web, &[&format!("--join=network,cgroup={}", web.id())]);
    assert_shared(&ghost, &web, &["net", "cgroup"], true);
}

fn join_of_pids_sees_the_others_processes() {
    let web = Container::running(Bundle::new());
    let ghost = beside(&web, &["--join", &format!("pid={}", web.id())]);
    assert_shared(&ghost, &web, &["pid"], true);
    // Both are in one place, and one goes without the other.
    ghost.kill("KILL");
    ghost.wait_stopped();
    ghost.delete();
    assert_eq!(web.status(), "running");
}

fn join_of_uts_has_the_others_host_name() {
    let named = |name: &str| {
        let name = name.to_owned();
        Bundle::new().config(move |config| config["hostname"] = name.into())
    };
    let web = Container::running(named("web"));
    let mut ghost = Container::beside(&web, named("ghost").probing(&["sleep"]));
    ghost.create(&["--join", &format!("uts={}", web.id())]);
    ghost.start();
    ghost.wait_line("ready");
    assert_shared(&ghost, &web, &["uts"], true);
    let name = web.exec(&[], &["/bin/probe", "report"]).succeeded().stdout;
    assert!(name.contains("\"web\""), "{name}");
}

fn join_takes_several_containers() {
    let web = Container::running(Bundle::new());
    let store = beside(&web, &[]);
    let flags = [format!("--join=net={}", web.id()), format!("--join=ipc={}", store.id())];
    let ghost = beside(&web, &[flags[0].as_str(), flags[1].as_str()]);
    assert_shared(&ghost, &web, &["net"], true);
    assert_shared(&ghost, &store, &["ipc"], true);
    assert_shared(&ghost, &store, &["net"], false);
}

/// The config's copy tells of the joined ones, though they were not in the bundle's.
fn exec_enters_what_was_joined() {
    let web = Container::running(Bundle::new());
    let bundle = Bundle::new().without_namespace("ipc").probing(&["sleep"]);
    let mut ghost = Container::beside(&web, bundle);
    ghost.create(&["--join", &format!("ipc={}", web.id())]);
    ghost.start();
    ghost.wait_line("ready");
    let link = ghost.exec(&[], &["/bin/probe", "report"]).succeeded().stdout;
    let wanted = namespace(web.pid(), "ipc");
    assert!(link.contains(&wanted), "{wanted}: {link}");
}

fn join_of_no_container_is_refused() {
    let _ = Container::new(Bundle::new())
        .call("create", &["--join", "net=nobody"])
        .failed_with("does not exist");
}

fn join_of_a_stopped_container_is_refused() {
    let web = Container::running(Bundle::new());
    web.kill("KILL");
    web.wait_stopped();
    let other = Container::beside(&web, Bundle::new());
    let _ = other.call("create", &[&format!("--join=net={}", web.id())]).failed_with("is stopped");
}

fn join_of_no_namespace_is_refused() {
    let web = Container::running(Bundle::new());
    let other = Container::beside(&web, Bundle::new());
    let wish = format!("--join=net,nonsense={}", web.id());
    let _ = other.call("create", &[&wish]).failed_with("is no namespace; they are net, ipc, pid");
    let _ = other.call("create", &["--join=net"]).failed_with("is not of the form KIND,...=ID");
}

/// Three containers of one store, the last of which `pattern` does not match.
fn three() -> ([Container; 3], String) {
    let first = Container::running(Bundle::new());
    let second = beside(&first, &[]);
    let third = beside(&first, &[]);
    let pattern = format!("^({}|{})$", first.id(), second.id());
    ([first, second, third], pattern)
}

fn kill_by_a_regular_expression() {
    let ([first, second, third], pattern) = three();
    let _ = command::run(first.command(&["kill", "--regex", &pattern, "KILL"])).succeeded();
    first.wait_stopped();
    second.wait_stopped();
    assert_eq!(third.status(), "running");
}

fn delete_by_a_regular_expression() {
    let ([first, _second, third], pattern) = three();
    let _ = command::run(first.command(&["delete", "--force", "--regex", &pattern])).succeeded();
    let left = command::run(first.command(&["list", "-q"])).succeeded().stdout;
    assert_eq!(left.trim(), third.id());
}

fn delete_tells_of_every_failure() {
    let ([first, second, third], pattern) = three();
    first.kill("KILL");
    first.wait_stopped();
    // The second one still runs, which does not keep the first one.
    let second_id = second.id().to_owned();
    let _ = command::run(first.command(&["delete", "--regex", &pattern]))
        .failed_with(&format!("{second_id}: cannot delete container {second_id}"));
    let left = command::run(third.command(&["list", "-q"])).succeeded().stdout;
    assert!(!left.contains(first.id()) && left.contains(&second_id), "{left}");
}

fn regular_expression_that_is_none_is_refused() {
    let container = Container::running(Bundle::new());
    let _ = command::run(container.command(&["kill", "--regex", "("]))
        .failed_with("is no regular expression");
    assert_eq!(container.status(), "running");
}
