//! Proves that batch schedulers take turns where they must, and that none outlives the test that started it.
//!
//! Kueue needs `unshare`; without it that half says so and is skipped, unless `SPARK_ROUTER_REQUIRE_KUEUE=1`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use spark_router_testkit::yunikorn::{self, YuniKorn};
use spark_router_testkit::{Fleet, KwokOptions, MemberOptions, Part, chain, kueue};

const QUEUES: &str = "partitions:\n- name: default\n  queues:\n  - name: root\n    submitacl: '*'\n    queues: [{name: etl}]\n";

async fn fleet() -> Fleet {
    let options = MemberOptions { kwok: Some(KwokOptions::default()), ..MemberOptions::default() };
    let fleet = Fleet::builder().member_with("m1", options).start().await;
    fleet.unwrap_or_else(|error| panic!("{}", chain(&error)))
}

/// What the killed process runs. It never returns.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a part of the_next_one_gets_its_turn_when_a_test_is_killed, which runs it in a process of its own"]
async fn batch_schedulers_for_ever() {
    let fleet = fleet().await;
    let _yunikorn = YuniKorn::start(fleet.member("m1"), QUEUES).await.unwrap();
    if kueue::wanted().unwrap_or_else(|error| panic!("{}", chain(&error))) {
        kueue::start(fleet.member("m1")).await.unwrap_or_else(|error| panic!("{}", chain(&error)));
        println!("\nKUEUE={}", fleet.member("m1").process(Part::Kueue).unwrap().id());
    }
    println!("\nFOLDER={}", fleet.supervisor().folder().display());
    std::future::pending::<()>().await;
}

#[test]
fn the_next_one_gets_its_turn_when_a_test_is_killed() {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "batch_schedulers_for_ever", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut kueue = None;
    let mut folder = None;
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        if let Some(id) = line.strip_prefix("KUEUE=") {
            kueue = Some(format!("/proc/{id}"));
        }
        if let Some(path) = line.strip_prefix("FOLDER=") {
            folder = Some(path.to_owned());
            break;
        }
    }
    let folder = folder.expect("the child starts both");
    assert!(kueue.as_ref().is_none_or(|kueue| Path::new(kueue).exists()));

    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let fleet = fleet().await;
        let ((), second) = tokio::join!(
            async {
                // The second one waits as long as the first one is there.
                tokio::time::sleep(Duration::from_secs(2)).await;
                assert!(TcpStream::connect(("127.0.0.1", yunikorn::PORT)).is_ok());
                assert!(fleet.member("m1").process(Part::YuniKorn).is_err(), "both run at once");
                child.kill().unwrap();
                child.wait().unwrap();
            },
            YuniKorn::start(fleet.member("m1"), QUEUES),
        );
        let second = second.unwrap_or_else(|error| panic!("{}", chain(&error)));
        fleet.check().unwrap();
        drop(second);
    });

    let started = Instant::now();
    while Path::new(&folder).exists() || kueue.as_ref().is_some_and(|kueue| Path::new(kueue).exists()) {
        assert!(started.elapsed() < Duration::from_secs(10), "left: {folder} {kueue:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
