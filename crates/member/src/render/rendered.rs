//! What an order became, carried from its placement to its create.
//!
//! Owns no state. A rendered order keeps the order and whoever rendered it: it can be taken for no other order, and it
//! is sent by nobody else. The hash is that of what is sent, because both are made at once and never apart.

use std::sync::Arc;

use serde_json::Value;
use spark_router_core::place::Inexpressible;

use super::order::Order;
use crate::canonical;

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
    body: Result<Vec<u8>, Inexpressible>,
    hash: String,
}

impl Rendered {
    /// What `by` makes of `order`: `before`, where that was made of the same, else what `make` gives (what is sent, and
    /// its hash; or what cannot be done).
    pub fn of(
        by: &Renderer,
        order: Order,
        before: Option<Arc<Self>>,
        make: impl FnOnce(&Order) -> Result<(Vec<u8>, String), Inexpressible>,
    ) -> Arc<Self> {
        match before {
            Some(before) if before.is_by(by) && before.order == order => before,
            _ => {
                let (body, hash) = match make(&order) {
                    Ok((body, hash)) => (Ok(body), hash),
                    Err(why) => {
                        let text = Value::String(format!("{}: {}", why.field, why.why));
                        (Err(why), canonical::hash(&text))
                    }
                };
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
    ///
    /// # Errors
    /// What of the order its member cannot do: nothing may be sent.
    pub fn body(&self) -> Result<&[u8], &Inexpressible> {
        self.body.as_deref()
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
            emr: None,
            start_deadline: None,
        }
    }

    #[test]
    fn it_is_made_once_for_the_same_order_and_anew_for_any_other() {
        let (one, other) = (Renderer::new(), Renderer::new());
        let make = |order: &Order| Ok((order.seq.to_string().into_bytes(), format!("hash of {}", order.seq)));
        let never =
            |order: &Order| -> Result<(Vec<u8>, String), Inexpressible> { panic!("{order:?} is made again") };
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
            assert_eq!((rendered.order(), rendered.body()), (&order, Ok(order.seq.to_string().as_bytes())));
        }
        let elsewhere = Rendered::of(&other, order(), Some(first.clone()), make);
        assert!(!Arc::ptr_eq(&first, &elsewhere) && elsewhere.is_by(&other) && !elsewhere.is_by(&one));
        assert_eq!(elsewhere.hash(), first.hash());
    }
}
