//! Proves that nothing outlives a test process: no process, no folder, and the address is free again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on shall say so and end")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use spark_router_testkit::{Fleet, MemberOptions, chain};

/// Ids and command lines of all processes that name this folder.
fn processes(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| {
        let bytes = std::fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&bytes).replace('\0', " ");
        let state = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // A zombie has ended; only its parent, here init, may take it away.
        let ended = state.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'));
        (line.contains(folder) && !ended).then_some(line)
    });
    lines.collect()
}

/// What the killed process runs. It never returns.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a part of nothing_outlives_a_killed_test, which runs it in a process of its own"]
async fn a_fleet_for_ever() {
    let fleet = Fleet::builder().hub().member_with("m1", MemberOptions::spark()).start().await;
    let fleet = fleet.unwrap_or_else(|error| panic!("{}", chain(&error)));
    println!("\nFOLDER={}", fleet.supervisor().folder().display());
    std::future::pending::<()>().await;
}

#[test]
fn nothing_outlives_a_killed_test() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_fleet_for_ever", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let folder = lines.into_iter().find_map(|line| line.strip_prefix("FOLDER=").map(str::to_owned));
    let folder = folder.expect("the child starts a fleet");
    assert!(Path::new(&folder).exists());
    // etcd, two API servers, two controller-managers, scheduler, KWOK, the operator, the reaper.
    assert_eq!(processes(&folder).len(), 9, "{:#?}", processes(&folder));

    child.kill().unwrap();
    child.wait().unwrap();
    let killed = Instant::now();
    while !processes(&folder).is_empty() || Path::new(&folder).exists() {
        assert!(killed.elapsed() < Duration::from_secs(10), "left: {:#?} {folder}", processes(&folder));
        std::thread::sleep(Duration::from_millis(20));
    }
    eprintln!("all gone {:?} after SIGKILL", killed.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_ends_early_says_why() {
    let fleet = Fleet::builder().start().await.unwrap_or_else(|error| panic!("{}", chain(&error)));
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "echo the disk is full >&2; exit 7"]);
    let process = fleet.supervisor().spawn("short", &command).unwrap();
    let started = Instant::now();
    while process.ended().is_none() {
        assert!(started.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let message = chain(&process.check().unwrap_err());
    assert!(message.contains("exit status: 7") && message.contains("the disk is full"), "{message}");
}
