//! Members, queues and namespaces that a simulation runs over.
//!
//! Owns no state. What a member's own quota or scheduler would signal does not exist here: declared numbers count.

use std::collections::BTreeMap;

use spark_router_core::{
    dispatch::{Checkpoint, Dispatcher},
    id::{ClusterName, Namespace, QueueName},
    place::{MemberFacts, QueueFacts},
    selector::Selector,
};

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// Members by name, all of them ready.
    pub members: BTreeMap<ClusterName, MemberFacts>,
    /// Queues and the namespaces that they admit (`None`: nobody).
    pub queues: BTreeMap<QueueName, (QueueFacts, Option<Selector>)>,
    /// Labels of namespaces, beside the one with its name that each has by itself.
    pub namespaces: BTreeMap<Namespace, BTreeMap<String, String>>,
}

impl Fleet {
    /// A dispatcher that knows all members and queues.
    pub(crate) fn dispatcher(&self) -> Dispatcher {
        let mut dispatcher = Dispatcher::default();
        for (name, facts) in &self.members {
            dispatcher.set_member(name.clone(), facts.clone());
        }
        for (facts, admits) in self.queues.values() {
            // Jobs ask for what they need: nothing that a queue sets on them changes it.
            let mut facts = QueueFacts { parts: 0, ..facts.clone() };
            for route in &mut facts.routes {
                route.signal = None;
            }
            dispatcher.set_queue(facts, admits.clone(), Checkpoint::default());
        }
        dispatcher
    }

    /// Labels of a namespace, with the one that Kubernetes gives to each.
    pub(crate) fn labels_of(&self, namespace: &Namespace) -> BTreeMap<String, String> {
        let mut labels = self.namespaces.get(namespace).cloned().unwrap_or_default();
        labels.insert("kubernetes.io/metadata.name".to_owned(), namespace.to_string());
        labels
    }
}
