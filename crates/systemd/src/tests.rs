//! The talk, with a systemd of the tests' own.

#![allow(clippy::unwrap_used)]

use crate::address::Address;
use crate::bus::Connection;
use crate::wire::{Value, Writer};
use crate::{Bus, Manager, Property};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

/// What a fake manager does with a call of this name and number.
type Answer = fn(&mut UnixStream, &str, u32);

/// A manager whose other end is `answer`; gives what that was called.
fn manager(patience: Duration, answer: Answer) -> (Manager, JoinHandle<Vec<String>>) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let server = spawn(move || {
        let mut called = Vec::new();
        let mut input = Vec::new();
        let mut chunk = [0; 4096];
        let mut is_in = false;
        while let Ok(count @ 1..) = theirs.read(&mut chunk) {
            input.extend(&chunk[..count]);
            if !is_in {
                let end = input.windows(7).position(|some| some == b"BEGIN\r\n").unwrap() + 7;
                assert_eq!(&input[..end], b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n");
                input.drain(..end);
                theirs.write_all(b"DATA\r\nOK 0123\r\n").unwrap();
                is_in = true;
            }
            while let Ok(Some(length)) = crate::wire::message_length(&input) {
                if input.len() < length {
                    break;
                }
                let bytes: Vec<u8> = input.drain(..length).collect();
                let name = field(&bytes, b"\x03\x01s\0");
                let serial = u32::from_le_bytes(bytes[8..12].try_into().unwrap());
                called.push(name.clone());
                answer(&mut theirs, &name, serial);
            }
        }
        called
    });
    (managing(ours, false, patience), server)
}

fn managing(socket: UnixStream, is_private: bool, patience: Duration) -> Manager {
    let address = Address { path: b"/bus".to_vec(), is_abstract: false, is_private };
    let connection = Connection::new(socket.into(), &address);
    Manager::new(connection, Bus::System, patience)
}

/// The text of the header field that begins so.
fn field(message: &[u8], start: &[u8]) -> String {
    let at = message.windows(start.len()).position(|some| some == start).unwrap() + start.len();
    let length = message[at] as usize;
    String::from_utf8(message[at + 4..at + 4 + length].to_vec()).unwrap()
}

/// A message of `kind` with header fields (number, signature, value) and a body.
fn message(kind: u8, fields: &[(u8, Value)], body: &[Value]) -> Vec<u8> {
    let mut written = Writer::default();
    for value in body {
        written.value(value);
    }
    let items = fields.iter().map(|(number, value)| {
        Value::Struct(vec![Value::Byte(*number), Value::Variant(Box::new(value.clone()))])
    });
    let mut message = Writer(vec![b'l', kind, 0, 1]);
    message.u32(written.0.len().try_into().unwrap());
    message.u32(77);
    message.value(&Value::Array { element: "(yv)".to_owned(), items: items.collect() });
    message.pad(8);
    message.0.extend(written.0);
    message.0
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn reply(stream: &mut UnixStream, to: u32, body: &[Value]) {
    let _ = stream.write_all(&message(2, &[(5, Value::U32(to)), (7, text(SYSTEMD))], body));
}

/// The bus tells that systemd has this name now.
fn owner_changed(stream: &mut UnixStream, new: &str) {
    let body = [text("org.freedesktop.systemd1"), text(SYSTEMD), text(new)];
    let fields = [(3, text("NameOwnerChanged")), (7, text("org.freedesktop.DBus"))];
    let _ = stream.write_all(&message(4, &fields, &body));
}

/// What a successor answers to those who follow it.
fn answer_as_successor(stream: &mut UnixStream, name: &str, to: u32, job: u32, state: &str) {
    let mut answer = |value| {
        let fields = [(5, Value::U32(to)), (7, text(SUCCESSOR))];
        let mut bytes = message(2, &fields, &[value]);
        // A job's path is an `o`, which nobody sends but systemd.
        if let Some(at) = bytes.windows(4).position(|some| some == b"(us)") {
            bytes[at + 2] = b'o';
        }
        let _ = stream.write_all(&bytes);
    };
    let variant = |value| Value::Variant(Box::new(value));
    match (name, job) {
        ("GetUnit" | "GetUnitByPID", _) => answer(text("/unit")),
        // Where there is a job, nothing but that is asked for.
        ("Get", 1..) => answer(variant(Value::Struct(vec![Value::U32(job), text("/job/2")]))),
        ("Get", 0) => answer(variant(text(state))),
        _ => answer(text("")),
    }
}

fn error(stream: &mut UnixStream, to: u32, name: &str, words: &str) {
    let fields = [(5, Value::U32(to)), (4, text(name))];
    stream.write_all(&message(3, &fields, &[text(words)])).unwrap();
}

fn job_removed(stream: &mut UnixStream, job: &str, result: &str) {
    let body = [Value::U32(5), text(job), text("x.scope"), text(result)];
    let fields = [(3, text("JobRemoved")), (7, text(SYSTEMD))];
    let _ = stream.write_all(&message(4, &fields, &body));
}

/// The fake's name on the bus.
const SYSTEMD: &str = ":1.0";

/// Its name once it has executed itself anew.
const SUCCESSOR: &str = ":1.99";

const LONG: Duration = Duration::from_secs(20);

fn properties() -> Vec<Property> {
    vec![Property::new("Delegate", Value::Bool(true))]
}

#[test]
fn a_scope_is_there_when_its_job_is_done() {
    let (mut manager, server) = manager(LONG, |stream, name, serial| match name {
        "StartTransientUnit" => {
            job_removed(stream, "/job/1", "failed");
            reply(stream, serial, &[text("/job/2")]);
            job_removed(stream, "/job/2", "done");
        }
        _ => reply(stream, serial, &[]),
    });
    manager.start_scope("x.scope", &properties()).unwrap();
    drop(manager);
    assert_eq!(server.join().unwrap(), ["Hello", "AddMatch", "AddMatch", "StartTransientUnit"]);
}

/// The job may be over before the call is answered.
#[test]
fn signals_that_come_before_the_answer_count() {
    let (mut manager, _server) = manager(LONG, |stream, name, serial| {
        if name == "StartTransientUnit" {
            job_removed(stream, "/job/2", "done");
        }
        reply(stream, serial, &[text("/job/2")]);
    });
    manager.start_scope("x.scope", &properties()).unwrap();
}

#[test]
fn a_job_that_fails_is_an_error() {
    let (mut manager, _server) = manager(LONG, |stream, name, serial| {
        reply(stream, serial, &[text("/job/2")]);
        if name == "StartTransientUnit" {
            job_removed(stream, "/job/2", "canceled");
        }
    });
    let refused = manager.start_scope("x.scope", &properties()).unwrap_err();
    assert!(refused.to_string().contains("\"canceled\""), "{refused}");
}

/// The bus says so for it, where a call was under way as it executed itself anew.
const GONE: &str = "org.freedesktop.DBus.Error.NoReply";

#[test]
fn a_call_that_systemd_went_away_with_is_made_again() {
    let (mut manager, server) = manager(LONG, |stream, name, serial| {
        static TIMES: AtomicU32 = AtomicU32::new(0);
        match name {
            "SetUnitProperties" if TIMES.fetch_add(1, Ordering::Relaxed) == 0 => {
                error(stream, serial, GONE, "Message recipient disconnected");
            }
            // Nobody has the name yet.
            "GetNameOwner" => {
                let nobody = "org.freedesktop.DBus.Error.NameHasNoOwner";
                error(stream, serial, nobody, "Could not get owner");
                owner_changed(stream, SUCCESSOR);
            }
            _ => reply(stream, serial, &[]),
        }
    });
    manager.set_properties("x.scope", &properties()).unwrap();
    drop(manager);
    let called = server.join().unwrap();
    let set = "SetUnitProperties";
    assert_eq!(called, ["Hello", set, "AddMatch", "AddMatch", "GetNameOwner", set]);
}

#[test]
fn a_job_goes_on_with_the_successor() {
    let (mut manager, server) = manager(LONG, |stream, name, serial| match name {
        "StartTransientUnit" => {
            reply(stream, serial, &[text("/job/2")]);
            owner_changed(stream, "");
            owner_changed(stream, SUCCESSOR);
        }
        "Get" => {
            answer_as_successor(stream, name, serial, 2, "");
            let body = [Value::U32(2), text("/job/2"), text("x.scope"), text("done")];
            let fields = [(3, text("JobRemoved")), (7, text(SUCCESSOR))];
            let _ = stream.write_all(&message(4, &fields, &body));
        }
        _ => answer_as_successor(stream, name, serial, 2, ""),
    });
    manager.start_scope("x.scope", &properties()).unwrap();
    drop(manager);
    assert_eq!(server.join().unwrap()[4..], ["Subscribe", "GetUnit", "Get"]);
}

/// The signal of its end may have come while there was nobody to hear it.
#[test]
fn a_job_that_the_successor_has_not_is_over() {
    for (state, is_there) in [("active", true), ("failed", false)] {
        let answer: Answer = if is_there {
            |stream, name, serial| after_a_start(stream, name, serial, "active")
        } else {
            |stream, name, serial| after_a_start(stream, name, serial, "failed")
        };
        let (mut manager, _server) = manager(LONG, answer);
        let started = manager.start_scope("x.scope", &properties());
        assert_eq!(started.is_ok(), is_there, "{state}: {started:?}");
    }
}

fn after_a_start(stream: &mut UnixStream, name: &str, serial: u32, state: &str) {
    if name == "StartTransientUnit" {
        reply(stream, serial, &[text("/job/2")]);
        owner_changed(stream, SUCCESSOR);
    } else {
        answer_as_successor(stream, name, serial, 0, state);
    }
}

/// The scope of a start whose answer was lost is ours, if it has our process.
#[test]
fn a_start_whose_answer_was_lost_is_found_again() {
    let (mut manager, _server) = manager(LONG, |stream, name, serial| {
        static TIMES: AtomicU32 = AtomicU32::new(0);
        match name {
            "StartTransientUnit" if TIMES.fetch_add(1, Ordering::Relaxed) == 0 => {
                error(stream, serial, GONE, "Message recipient disconnected");
            }
            "StartTransientUnit" => {
                error(stream, serial, "org.freedesktop.systemd1.UnitExists", "it exists.");
            }
            _ => answer_as_successor(stream, name, serial, 0, "active"),
        }
    });
    let pids = Value::Array { element: "u".to_owned(), items: vec![Value::U32(7)] };
    manager.start_scope("x.scope", &[Property::new("PIDs", pids)]).unwrap();
}

/// One that dies again and again is not followed for ever.
#[test]
fn who_always_goes_away_is_an_error() {
    let (mut manager, _server) = manager(LONG, |stream, name, serial| match name {
        "StopUnit" => error(stream, serial, GONE, "Message recipient disconnected"),
        _ => reply(stream, serial, &[]),
    });
    let refused = manager.stop("x.scope").unwrap_err();
    assert_eq!(refused.name(), Some(GONE));
}

/// Only the bus's own word counts.
#[test]
fn owners_that_others_tell_of_do_not_count() {
    let (mut manager, _server) = manager(LONG, |stream, name, serial| {
        if name == "StartTransientUnit" {
            reply(stream, serial, &[text("/job/2")]);
            let body = [text("org.freedesktop.systemd1"), text(SYSTEMD), text(":1.666")];
            let fields = [(3, text("NameOwnerChanged")), (7, text(":1.666"))];
            let _ = stream.write_all(&message(4, &fields, &body));
            job_removed(stream, "/job/2", "done");
        }
    });
    manager.start_scope("x.scope", &properties()).unwrap();
}

#[test]
fn a_failed_unit_of_that_name_gives_way_once() {
    let (mut manager, server) = manager(LONG, |stream, name, serial| match name {
        "StartTransientUnit" => {
            error(stream, serial, "org.freedesktop.systemd1.UnitExists", "it exists.");
        }
        _ => reply(stream, serial, &[]),
    });
    let refused = manager.start_scope("x.scope", &properties()).unwrap_err();
    assert!(refused.is_unit_exists() && refused.to_string() == "it exists", "{refused}");
    drop(manager);
    let start = "StartTransientUnit";
    assert_eq!(
        server.join().unwrap(),
        ["Hello", "AddMatch", "AddMatch", start, "ResetFailedUnit", start]
    );
}

#[test]
fn who_does_not_answer_is_an_error_in_time() {
    let (mut manager, server) = manager(Duration::from_millis(50), |_, _, _| {});
    let since = Instant::now();
    let refused = manager.start_scope("x.scope", &properties()).unwrap_err();
    assert!(refused.is_timeout() && since.elapsed() < LONG, "{refused}");
    assert!(refused.to_string().contains("answered StartTransientUnit within 50ms"), "{refused}");
    drop(manager);
    // The unit of that name may be somebody else's.
    assert_eq!(server.join().unwrap(), ["Hello", "AddMatch", "AddMatch", "StartTransientUnit"]);
}

#[test]
fn who_never_ends_the_job_is_an_error_in_time() {
    let (mut manager, server) = manager(Duration::from_millis(50), |stream, _, serial| {
        reply(stream, serial, &[text("/j")]);
    });
    let refused = manager.start_scope("x.scope", &properties()).unwrap_err();
    assert!(refused.is_timeout(), "{refused}");
    assert!(refused.to_string().contains("started x.scope within 50ms"), "{refused}");
    drop(manager);
    // What may come of it later is to be stopped.
    assert_eq!(server.join().unwrap().last().unwrap(), "StopUnit");
}

/// Any user may send a signal to anybody on the bus.
#[test]
fn signals_of_others_do_not_count() {
    let (mut manager, _server) = manager(LONG, |stream, name, serial| {
        if name == "StartTransientUnit" {
            let (job, x) = (text("/job/2"), text("x.scope"));
            let forged = [Value::U32(5), job.clone(), x, text("failed")];
            let fields = [(3, text("JobRemoved")), (7, text(":1.666"))];
            stream.write_all(&message(4, &fields, &forged)).unwrap();
            reply(stream, serial, &[job]);
            stream.write_all(&message(4, &fields, &forged)).unwrap();
            job_removed(stream, "/job/2", "done");
        }
    });
    manager.start_scope("x.scope", &properties()).unwrap();
}

#[test]
fn without_signals_no_job_is_waited_for() {
    let (mut manager, server) = manager(LONG, |stream, name, serial| match name {
        "AddMatch" => error(stream, serial, "org.freedesktop.DBus.Error.LimitsExceeded", "Full."),
        _ => reply(stream, serial, &[text("/job/2")]),
    });
    let refused = manager.start_scope("x.scope", &properties()).unwrap_err();
    assert_eq!(refused.name(), Some("org.freedesktop.DBus.Error.LimitsExceeded"));
    drop(manager);
    assert_eq!(server.join().unwrap().last().unwrap(), "StopUnit");
}

#[test]
fn answers_in_big_endian_are_answers() {
    let (mut manager, _server) = manager(LONG, |stream, name, serial| {
        if name != "StartTransientUnit" {
            return;
        }
        let serial = u8::try_from(serial).unwrap();
        let mut answer = b"B\x02\x01\x01\0\0\0\x0b\0\0\0\x09\0\0\0\x0f".to_vec();
        answer.extend([5, 1, b'u', 0, 0, 0, 0, serial, 8, 1, b'g', 0, 1, b'o', 0, 0]);
        answer.extend(b"\0\0\0\x06/job/2\0");
        answer.extend(
            b"B\x04\x01\x01\0\0\0\x25\0\0\0\x0a\0\0\0\x13\x03\x01s\0\0\0\0\x0aJobRemoved\0",
        );
        answer.extend(b"\0\0\0\0\0");
        answer.extend(b"\0\0\0\x05\0\0\0\x06/job/2\0\0\0\0\0\x07x.scope\0\0\0\0\x04done\0");
        // However it comes in.
        for byte in answer {
            stream.write_all(&[byte]).unwrap();
        }
    });
    manager.start_scope("x.scope", &properties()).unwrap();
}

#[test]
fn a_message_longer_than_the_socket_takes_goes_out_in_parts() {
    let (mut manager, _server) = manager(LONG, |stream, _, serial| reply(stream, serial, &[]));
    let long = Property::new("Description", text(&"x".repeat(4 << 20)));
    manager.set_properties("x.scope", &[long]).unwrap();
}

#[test]
fn who_takes_nothing_is_an_error_in_time() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let mut manager = managing(ours, false, Duration::from_millis(50));
    let long = Property::new("Description", text(&"x".repeat(4 << 20)));
    let refused = manager.set_properties("x.scope", &[long]).unwrap_err();
    assert!(refused.is_timeout(), "{refused}");
}

/// At systemd's own socket nobody has a name, and signals come unasked.
#[test]
fn systemd_itself_is_asked_without_a_bus() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(b"OK 0123\r\n").unwrap();
    theirs.write_all(&message(2, &[(5, Value::U32(1))], &[text("/job/2")])).unwrap();
    let done = [Value::U32(5), text("/job/2"), text("x.scope"), text("done")];
    theirs.write_all(&message(4, &[(3, text("JobRemoved"))], &done)).unwrap();
    let mut manager = managing(ours, true, LONG);
    manager.start_scope("x.scope", &properties()).unwrap();
    drop(manager);
    let mut said = Vec::new();
    theirs.read_to_end(&mut said).unwrap();
    let has = |text: &str| said.windows(text.len()).any(|some| some == text.as_bytes());
    assert!(has("StartTransientUnit") && !has("AddMatch") && !has("Hello"));
}

#[test]
fn who_is_rejected_is_told() {
    for (answer, words) in [
        ("DATA\r\nREJECTED EXTERNAL\r\n".to_owned(), "does not let us in: \"REJECTED EXTERNAL\""),
        ("x".repeat(10_000), "is no bus"),
    ] {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(answer.as_bytes()).unwrap();
        let mut manager = managing(ours, false, LONG);
        let refused = manager.stop("x.scope").unwrap_err().to_string();
        assert!(refused.contains(words), "{refused}");
    }
}

#[test]
fn a_closed_connection_is_an_error() {
    let (mut manager, _server) = manager(LONG, |stream, _, _| {
        let _ = stream.shutdown(std::net::Shutdown::Both);
    });
    let refused = manager.start_scope("x.scope", &properties()).unwrap_err().to_string();
    assert!(refused.contains("/bus"), "{refused}");
}

#[test]
fn nonsense_is_an_error() {
    let (mut manager, _server) =
        manager(LONG, |stream, _, _| stream.write_all(&[b'x'; 64]).unwrap());
    let refused = manager.start_scope("x.scope", &properties()).unwrap_err().to_string();
    assert!(refused.contains("no message"), "{refused}");
}

#[test]
fn a_unit_that_is_gone_is_stopped() {
    let (mut manager, server) = manager(LONG, |stream, name, serial| match name {
        "KillUnit" | "StopUnit" => {
            error(stream, serial, "org.freedesktop.systemd1.NoSuchUnit", "not loaded.");
        }
        _ => reply(stream, serial, &[]),
    });
    manager.stop("x.scope").unwrap();
    drop(manager);
    assert_eq!(server.join().unwrap(), ["Hello", "AddMatch", "AddMatch", "KillUnit", "StopUnit"]);
}

#[test]
fn a_unit_is_stopped_when_its_job_is_done_and_nothing_kept_of_it() {
    let (mut manager, server) = manager(LONG, |stream, name, serial| match name {
        "StopUnit" => {
            reply(stream, serial, &[text("/job/3")]);
            job_removed(stream, "/job/3", "done");
        }
        "ResetFailedUnit" => {
            error(stream, serial, "org.freedesktop.systemd1.NoSuchUnit", "not loaded.");
        }
        _ => reply(stream, serial, &[]),
    });
    manager.stop("x.scope").unwrap();
    drop(manager);
    let called = server.join().unwrap();
    assert_eq!(
        called,
        ["Hello", "AddMatch", "AddMatch", "KillUnit", "StopUnit", "ResetFailedUnit"]
    );
}

#[test]
fn the_managers_cgroup_is_told() {
    let (mut manager, _server) = manager(LONG, |stream, name, serial| match name {
        "Get" => reply(stream, serial, &[Value::Variant(Box::new(text("/user.slice/u.service")))]),
        _ => reply(stream, serial, &[]),
    });
    assert_eq!(manager.control_group().unwrap(), "/user.slice/u.service");
}

#[test]
fn the_version_is_a_number() {
    let (mut manager, _server) = manager(LONG, |stream, _, serial| {
        reply(stream, serial, &[Value::Variant(Box::new(text("252.39-1~deb12u1")))]);
    });
    assert_eq!(manager.version().unwrap(), 252);
}

#[test]
fn a_stop_that_is_called_off_is_an_error() {
    let (mut manager, _server) = manager(LONG, |stream, name, serial| {
        reply(stream, serial, &[text("/job/3")]);
        if name == "StopUnit" {
            job_removed(stream, "/job/3", "canceled");
        }
    });
    let refused = manager.stop("x.scope").unwrap_err().to_string();
    assert!(refused.contains("stop x.scope has ended as \"canceled\""), "{refused}");
}

#[test]
fn who_is_not_let_in_is_told() {
    let (mut manager, _server) = manager(LONG, |stream, name, serial| {
        if name == "Hello" {
            error(stream, serial, "org.freedesktop.DBus.Error.AccessDenied", "No.");
        }
    });
    let refused = manager.stop("x.scope").unwrap_err().to_string();
    assert!(refused.starts_with("No (needs root"), "{refused}");
}
