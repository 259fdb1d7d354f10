//! What holds for every fleet, every stream of jobs and every failure.

use proptest::prelude::*;

use super::*;

proptest! {
    /// Jobs come, end and are withdrawn in any order: no member ever holds more than it declares, every job is in at
    /// most one place, and the books balance when all is over.
    #[test]
    fn the_books_balance(
        caps in prop::collection::vec(0u64..4, 1..5),
        steps in prop::collection::vec((0u8..20, 0u8..4), 1..200),
    ) {
        let names: Vec<_> = (0..caps.len()).map(|n| format!("m{n}")).collect();
        let members: Vec<_> = names.iter().zip(&caps).map(|(n, c)| (n.as_str(), 1, Some(*c))).collect();
        let mut d = dispatcher(&members);
        let mut placed: BTreeMap<String, Placement> = BTreeMap::new();
        for (job, action) in steps {
            let name = format!("job-{job}");
            let uid = JobUid::new(name.clone());
            match action {
                0 | 1 if !placed.contains_key(&name) => d.enqueue(applicant(&name, "etl", i32::from(job % 3))),
                2 => {
                    placed.remove(&name);
                    d.forget(&uid);
                }
                3 => if let Some(placement) = placed.remove(&name) {
                    d.withdraw(&uid, Some(&placement), Withdrawal::Other, now());
                },
                _ => {}
            }
            for uid in decided(&mut d, now()) {
                let Some(Answer::Place(decision)) = d.answer(&uid) else { panic!("a decided job has a decision") };
                commit(&mut d, &uid);
                prop_assert!(placed.insert(uid.to_string(), placement(&decision)).is_none(), "placed twice");
            }
            for (name, _, cap) in &members {
                prop_assert!(d.on_member(&ClusterName::from(*name)).jobs <= cap.unwrap());
            }
            let total = u64::try_from(placed.len()).unwrap();
            prop_assert_eq!(d.of_queue(&QueueName::from("etl")).jobs, total);
            let room: u64 = caps.iter().sum();
            prop_assert!(d.standing(&QueueName::from("etl")).0.queued == 0 || total == room, "nobody waits beside room");
        }
    }
}
