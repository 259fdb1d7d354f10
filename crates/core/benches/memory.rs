//! Memory of the waiting set: `cargo bench -p spark-router-core --bench memory`; divide `max alloc` by the number of jobs.
//!
//! Jobs of 1,000 classes in 50 queues that no member takes, with names and uids as long as real ones.

use std::{collections::BTreeMap, sync::Arc};

use divan::{AllocProfiler, Bencher, counter::ItemsCount};
use jiff::Timestamp;
use spark_router_core::{
    dispatch::{Applicant, Checkpoint, Dispatcher},
    id::{JobKey, JobUid, Namespace, QueueName},
    job::{Constraints, Request},
    place::QueueFacts,
    resources::Resources,
    selector::Selector,
};

#[global_allocator]
static ALLOCATOR: AllocProfiler<std::alloc::System> = AllocProfiler::system();

const QUEUES: usize = 50;
const SHAPES: usize = 20;

fn main() {
    divan::main();
}

/// The jobs themselves are in it, which in the router their store holds: what the dispatcher adds is less.
#[divan::bench(args = [100_000, 1_000_000], sample_count = 1, sample_size = 1)]
fn waiting_set(bencher: Bencher<'_, '_>, jobs: usize) {
    bencher.counter(ItemsCount::new(jobs)).bench_local(|| {
        let mut dispatcher = Dispatcher::default();
        let namespace = Namespace::from("team-analytics");
        dispatcher.set_namespace(namespace.clone(), Some(BTreeMap::new()));
        let mut requests = Vec::new();
        for n in 0..QUEUES * SHAPES {
            let queue = QueueName::new(format!("queue-{}", n % QUEUES));
            if n < QUEUES {
                let facts = QueueFacts::over(queue.clone(), Vec::new());
                dispatcher.set_queue(facts, Some(Selector::default()), Checkpoint::default());
            }
            requests.push(Arc::new(request(queue, n)));
        }
        for n in 0..jobs {
            dispatcher.enqueue(Applicant {
                uid: JobUid::new(format!("0b1c8f3e-6d1a-4c62-9d0e-{n:012}")),
                key: JobKey { namespace: namespace.clone(), name: format!("daily-report-of-region-{n:07}") },
                created: Timestamp::UNIX_EPOCH,
                request: requests[n % requests.len()].clone(),
                refused: Vec::new(),
            });
        }
        dispatcher
    });
}

fn request(queue: QueueName, n: usize) -> Request {
    let cpu_milli = 1000 + u64::try_from(n).unwrap_or_default();
    Request {
        queue,
        priority: 0,
        constraints: Constraints::default(),
        spark_version: "3.5.4".into(),
        expressed: <_>::default(),
        sub_queue: None,
        demand: Resources { jobs: 1, pods: 3, cpu_milli, memory_bytes: 1 << 30 },
        parts: 0,
        spec_hash: String::new(),
    }
}
