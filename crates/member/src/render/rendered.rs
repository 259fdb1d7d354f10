//! What an order became, carried from its placement to its create.
//!
//! Owns no state. A rendered order keeps the order and whoever rendered it: it can be taken for no other order, and it
//! is sent by nobody else. The hash is that of what is sent, because both are made at once and never apart.

use std::sync::Arc;

use super::order::Order;

/// Somebody who renders orders, always the same way. Two are never equal, whatever they are made of.
#[derive(Clone, Debug)]
pub struct Renderer(Arc<u8>);

impl Renderer {
    /// One that is like no other.
    #[expect(clippy::new_without_default, reason = "a default is the same each time")]
    pub fn new() -> Self {
        Self(Arc::new(0))
    }
}

impl PartialEq for Renderer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// An order as it is sent.
#[derive(Debug)]
pub struct Rendered {
    by: Renderer,
    order: Order,
    body: Vec<u8>,
    hash: String,
}

impl Rendered {
    /// What `by` makes of `order`: `before`, where that was made of the same, else what `make` gives (what is sent, and
    /// its hash).
    pub fn of(
        by: &Renderer,
        order: Order,
        before: Option<Arc<Self>>,
        make: impl FnOnce(&Order) -> (Vec<u8>, String),
    ) -> Arc<Self> {
        match before {
            Some(before) if before.is_by(by) && before.order == order => before,
            _ => {
                let (body, hash) = make(&order);
                Arc::new(Self { by: by.clone(), order, body, hash })
            }
        }
    }

    /// Whether it was made by that one.
    pub fn is_by(&self, renderer: &Renderer) -> bool {
        self.by == *renderer
    }

    /// What it was made of.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// What is sent.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The hash of what is sent: goes into the placement before the create.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use spark_router_core::id::{Attempt, JobKey, JobUid, Namespace, QueueName, RemoteName};

    use super::*;
    use crate::render::QueueParts;

    fn order() -> Order {
        Order {
            job: JobUid::from("u-1"),
            key: JobKey { namespace: Namespace::from("team"), name: "daily".to_owned() },
            attempt: Attempt::FIRST,
            queue: QueueName::from("etl"),
            seq: 1,
            namespace: Namespace::from("spark"),
            name: RemoteName::from("daily-abc"),
            template: Arc::new(json!({"spec": {}})),
            remote_queue: None,
            parts: Some(Arc::default()),
        }
    }

    #[test]
    fn it_is_made_once_for_the_same_order_and_anew_for_any_other() {
        let (one, other) = (Renderer::new(), Renderer::new());
        let make = |order: &Order| (order.seq.to_string().into_bytes(), format!("hash of {}", order.seq));
        let never = |order: &Order| -> (Vec<u8>, String) { panic!("{order:?} is made again") };
        let first = Rendered::of(&one, order(), None, make);
        let again = Rendered::of(&one, order(), Some(first.clone()), never);
        assert!(Arc::ptr_eq(&first, &again), "equal, although none of it is shared");
        let size = serde_json::from_value(json!({"driver": {"cores": 2}})).unwrap();
        let changed: [fn(&mut Order); 6] = [
            |it| it.seq = 2,
            |it| it.attempt = Attempt(2),
            |it| it.name = RemoteName::from("daily-xyz"),
            |it| it.template = Arc::new(json!({"spec": {"mode": "cluster"}})),
            |it| it.remote_queue = Some("root.etl".into()),
            |it| it.parts = None,
        ];
        let changed = changed.into_iter().map(|change| {
            let mut order = order();
            change(&mut order);
            order
        });
        let sized = Order { parts: Some(Arc::new(QueueParts { size, ..QueueParts::default() })), ..order() };
        for order in changed.chain([sized]) {
            let rendered = Rendered::of(&one, order.clone(), Some(first.clone()), make);
            assert!(!Arc::ptr_eq(&first, &rendered), "{order:?}");
            assert_eq!((rendered.order(), rendered.body()), (&order, order.seq.to_string().as_bytes()));
        }
        let elsewhere = Rendered::of(&other, order(), Some(first.clone()), make);
        assert!(!Arc::ptr_eq(&first, &elsewhere) && elsewhere.is_by(&other) && !elsewhere.is_by(&one));
        assert_eq!(elsewhere.hash(), first.hash());
    }
}
