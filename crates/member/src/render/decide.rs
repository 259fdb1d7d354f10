//! Deciding a fact of an application: always, or only where its template does not.
//!
//! Owns no state. Pure. Everything is done as the tables say; a fact that is decided here has one value in every place
//! that a member reads.

use serde_json::{Map, Value, json};

use super::{
    keys::{KUEUE_PREFIX, MUTATED_LABEL},
    place::{Place, Role, is_per_role, parsed},
    table::{FACTS, Fact, TWINS, Typed, Way},
};

/// Whose pods a fact is decided for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Both roles'.
    Both,
    /// One role's.
    One(Role),
}

impl Whose {
    fn roles(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| match self {
            Self::Both => true,
            Self::One(one) => one == *role,
        })
    }
}

impl From<Option<Role>> for Whose {
    fn from(role: Option<Role>) -> Self {
        role.map_or(Self::Both, Self::One)
    }
}

/// The fact gets this value, whatever the application says.
pub(super) fn fix(root: &mut Value, fact: Fact, whose: Whose, key: &str, value: &Value) {
    if fact == Fact::NodeSelector {
        hand_down_selector(root, whose, key);
    }
    each(fact, whose, key, |place, way, role| {
        place.remove(root);
        let hidden = fact == Fact::Label && key.starts_with(KUEUE_PREFIX);
        let writes = match way {
            Way::Write => true,
            Way::WriteForOne => whose != Whose::Both && !hidden,
            Way::Inside => role.is_some_and(|role| has_template(root, role) || !knows_roles(root)),
            Way::Clear | Way::Drop => false,
        };
        if writes {
            match role {
                Some(role) if place.is_in_template() => {
                    if with_template(root, role) {
                        place.set(root, value.clone());
                    }
                }
                _ => place.set(root, value.clone()),
            }
        }
    });
}

/// The fact gets this value for the roles for which the application says nothing.
pub(super) fn fill(root: &mut Value, fact: Fact, whose: Whose, key: &str, value: &Value) {
    let open: Vec<_> = whose.roles().filter(|role| !is_said(root, fact, *role, key)).collect();
    match open.as_slice() {
        [] => {}
        [one] => fix(root, fact, Whose::One(*one), key, value),
        _ => fix(root, fact, Whose::Both, key, value),
    }
}

/// The application says nothing of the fact any more.
pub(super) fn clear(root: &mut Value, fact: Fact, key: &str) {
    each(fact, Whose::Both, key, |place, _, _| place.remove(root));
}

/// A property gets this value, whatever the application says in any way that means the same.
pub(super) fn fix_conf(root: &mut Value, name: &str, value: &str) {
    if let Some((fact, whose, key)) = fact_of(name) {
        fix(root, fact, whose, key, &json!(value));
        return;
    }
    for (place, typed) in twins(name) {
        place.remove(root);
        match typed {
            Typed::Clear => {}
            Typed::Text => place.set(root, json!(value)),
            Typed::Flag => place.set(root, json!(value.trim().eq_ignore_ascii_case("true"))),
        }
    }
    property(name).set(root, json!(value));
}

/// A property gets this value where the application says nothing that means the same.
pub(super) fn fill_conf(root: &mut Value, name: &str, value: &str) {
    if let Some((fact, whose, key)) = fact_of(name) {
        fill(root, fact, whose, key, &json!(value));
    } else if property(name).get(root).is_none() && !is_said_typed(root, name) {
        fix_conf(root, name, value);
    }
}

/// A typed field gets this value where neither it nor its property is set.
pub(super) fn fill_field(root: &mut Value, role: Role, field: &'static str, conf: &str, value: Value) {
    let place = Place::new(&["spec", "{role}", "{key}"], Some(role), field);
    if place.get(root).is_none() && property(conf).get(root).is_none() {
        place.set(root, value);
    }
}

/// Whether the application says a property's value, as the property or typed.
pub(super) fn is_said_conf(root: &Value, name: &str) -> bool {
    property(name).get(root).is_some() || is_said_typed(root, name)
}

/// Whether the application says anything of a fact for a role.
pub(super) fn is_said(root: &Value, fact: Fact, role: Role, key: &str) -> bool {
    let mut said = false;
    each(fact, Whose::Both, key, |place, _, of| {
        said |= of.is_none_or(|of| of == role) && place.get(root).is_some();
    });
    said
}

/// The fact that a property sets.
pub(super) fn fact_of(name: &str) -> Option<(Fact, Whose, &str)> {
    FACTS.iter().find_map(|(fact, aliases)| {
        aliases.iter().find_map(|alias| match alias.path {
            ["spec", "sparkConf", pattern] => {
                parsed(pattern, name).map(|(role, key)| (*fact, role.into(), key))
            }
            _ => None,
        })
    })
}

/// The property of that name.
pub(super) fn property(name: &str) -> Place {
    Place::new(&["spec", "sparkConf", "{key}"], None, name.trim())
}

/// Visits every place of a fact.
fn each(fact: Fact, whose: Whose, key: &str, mut visit: impl FnMut(&Place, Way, Option<Role>)) {
    let rows = FACTS.iter().filter(|(of, _)| *of == fact).flat_map(|(_, aliases)| *aliases);
    for alias in rows {
        if is_per_role(alias.path) {
            for role in whose.roles() {
                visit(&Place::new(alias.path, Some(role), key), alias.way, Some(role));
            }
        } else if whose == Whose::Both || alias.way == Way::Drop {
            visit(&Place::new(alias.path, None, key), alias.way, None);
        }
    }
}

fn twins(name: &str) -> impl Iterator<Item = (Place, Typed)> {
    TWINS.iter().filter_map(move |twin| {
        let (role, key) = parsed(twin.conf, name)?;
        Some((Place::new(twin.path, role, key), twin.way))
    })
}

fn is_said_typed(root: &Value, name: &str) -> bool {
    twins(name).any(|(place, _)| place.get(root).is_some())
}

/// The node selector of both roles becomes one of each, which means the same: beside a role's own the operator's webhook
/// refuses it. What only one role gets decided, the other keeps.
fn hand_down_selector(root: &mut Value, whose: Whose, key: &str) {
    let common = Place::new(&["spec", "nodeSelector"], None, "");
    let entries = match common.get(root) {
        Some(Value::Object(entries)) => entries.clone(),
        _ => Map::new(),
    };
    common.remove(root);
    for (key, value) in entries {
        property(&format!("spark.kubernetes.node.selector.{key}")).set(root, value.clone());
        for role in Role::ALL {
            let own = Place::new(&["spec", "{role}", "nodeSelector", "{key}"], Some(role), &key);
            if own.get(root).is_none() {
                own.set(root, value.clone());
            }
        }
    }
    let Whose::One(role) = whose else { return };
    let shared = property(&format!("spark.kubernetes.node.selector.{key}"));
    let Some(value) = shared.get(root).cloned() else { return };
    shared.remove(root);
    let other = Some(role.other());
    let own = property(&format!("spark.kubernetes.{}.node.selector.{key}", role.other().as_str()));
    if own.get(root).is_none() {
        own.set(root, value.clone());
        if !knows_roles(root) && with_template(root, role.other()) {
            Place::new(&["spec", "{role}", "template", "spec", "nodeSelector", "{key}"], other, key)
                .set(root, value.clone());
        }
    }
    let typed = Place::new(&["spec", "{role}", "nodeSelector", "{key}"], other, key);
    if typed.get(root).is_none() {
        typed.set(root, value);
    }
}

const TEMPLATE: super::place::Path = &["spec", "{role}", "template"];

fn has_template(root: &Value, role: Role) -> bool {
    Place::new(TEMPLATE, Some(role), "").get(root).is_some()
}

/// Gives a role a pod template where it has none: the one that the operator would write itself. The operator then no
/// longer marks the pod for its webhook, so the mark is set here. False: this Spark knows no pod templates.
fn with_template(root: &mut Value, role: Role) -> bool {
    if has_template(root, role) {
        return true;
    }
    if version(root) < (3, 0) {
        return false;
    }
    let container = format!("spark-kubernetes-{}", role.as_str());
    Place::new(TEMPLATE, Some(role), "").set(root, json!({"spec": {"containers": [{"name": container}]}}));
    Place::new(&["spec", "{role}", "labels", "{key}"], Some(role), MUTATED_LABEL).set(root, json!("true"));
    true
}

/// Whether this Spark has node selectors and schedulers by role. Before, only a pod template has.
fn knows_roles(root: &Value) -> bool {
    version(root) >= (3, 3)
}

/// Major and minor version of the application's Spark; one that cannot be read counts as new.
fn version(root: &Value) -> (u32, u32) {
    let text = root.pointer("/spec/sparkVersion").and_then(Value::as_str).unwrap_or_default();
    let mut numbers = text.split('.').map(|number| number.parse().unwrap_or(u32::MAX));
    (numbers.next().unwrap_or(u32::MAX), numbers.next().unwrap_or(u32::MAX))
}
