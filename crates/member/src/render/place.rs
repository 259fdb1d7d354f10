//! Places in an application: reading, writing and clearing what a row of the tables names.
//!
//! Owns no state. Pure operations on JSON. Must never fail: an application that is not shaped as it should be is the
//! member's to refuse.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// A place as the tables write it. `{role}` and `{key}` stand for a role and a key; `#` begins the name of Spark's
/// container in a list, which is the first one where none has that name; `@` begins the name of an item in a list; a
/// lone `*` is every item.
pub(super) type Path = &'static [&'static str];

/// The properties: their names are compared without regard to case and surrounding blanks. Spark itself is stricter; a
/// name that is only almost one must not slip through where something else is more lenient.
const CONF: &str = "sparkConf";

/// Whose pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The driver's.
    Driver,
    /// The executors'.
    Executor,
}

impl Role {
    /// Both.
    pub(super) const ALL: [Self; 2] = [Self::Driver, Self::Executor];

    /// As fields and properties spell it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Driver => "driver",
            Self::Executor => "executor",
        }
    }

    /// The other one.
    pub(super) fn other(self) -> Self {
        match self {
            Self::Driver => Self::Executor,
            Self::Executor => Self::Driver,
        }
    }
}

/// A place with everything filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place(Vec<String>);

/// Whether a place is about one role.
pub(super) fn is_per_role(path: Path) -> bool {
    path.iter().any(|step| step.contains("{role}"))
}

impl Place {
    /// Fills in what is open in a path.
    pub(super) fn new(path: Path, role: Option<Role>, key: &str) -> Self {
        Self(path.iter().map(|step| filled(step, role, key)).collect())
    }

    /// What is there; nothing where it is empty.
    pub(super) fn get<'a>(&self, root: &'a Value) -> Option<&'a Value> {
        self.raw(root).filter(|value| is_set(value))
    }

    /// What is there, be it empty.
    pub(super) fn raw<'a>(&self, root: &'a Value) -> Option<&'a Value> {
        let mut value = root;
        for (parent, step) in self.steps() {
            value = match value {
                Value::Object(map) => &map[found(map, parent, step)?.as_str()],
                Value::Array(items) => items.get(index(items, step)?)?,
                _ => return None,
            };
        }
        Some(value)
    }

    /// Takes away what is there.
    pub(super) fn remove(&self, root: &mut Value) {
        let Some((last, parents)) = self.0.split_last() else { return };
        let mut value = root;
        let mut name = "";
        for (parent, step) in parents.iter().enumerate().map(|(at, step)| (self.before(at), step)) {
            name = step;
            value = match value {
                Value::Object(map) => match found(map, parent, step).and_then(|key| map.get_mut(&key)) {
                    Some(child) => child,
                    None => return,
                },
                Value::Array(items) => match index(items, step).and_then(|at| items.get_mut(at)) {
                    Some(child) => child,
                    None => return,
                },
                _ => return,
            };
        }
        match value {
            Value::Object(map) if name == CONF => map.retain(|key, _| !same_key(key, last)),
            Value::Object(map) => drop(map.remove(last)),
            Value::Array(items) => {
                while let Some(at) = index(items, last) {
                    items.remove(at);
                }
            }
            _ => {}
        }
    }

    /// Writes a value, with the objects on the way to it. An item of a list is written into only where it is there.
    pub(super) fn set(&self, root: &mut Value, new: Value) {
        self.remove(root);
        let mut value = root;
        for (parent, step) in self.0.iter().enumerate().map(|(at, step)| (self.before(at), step)) {
            if step.starts_with(['#', '@']) {
                let Value::Array(items) = value else { return };
                match index(items, step).and_then(|at| items.get_mut(at)) {
                    Some(item) => value = item,
                    None => return,
                }
                continue;
            }
            if !value.is_object() {
                *value = Value::Object(Map::new());
            }
            let Value::Object(map) = value else { return };
            let key = found(map, parent, step).unwrap_or_else(|| step.clone());
            value = map.entry(key).or_insert(Value::Null);
        }
        *value = new;
    }

    /// Whether it is in a role's pod template.
    pub(super) fn is_in_template(&self) -> bool {
        self.0.get(2).is_some_and(|step| step == "template")
    }

    /// Every place that it stands for, `*` resolved.
    pub(super) fn expanded(&self, root: &Value) -> Vec<Self> {
        let Some(at) = self.0.iter().position(|step| step == "*") else { return vec![self.clone()] };
        let list = Self(self.0.iter().take(at).cloned().collect());
        let items = match list.get(root) {
            Some(Value::Array(items)) => items.len(),
            _ => 0,
        };
        (0..items)
            .flat_map(|item| {
                let mut steps = self.0.clone();
                if let Some(step) = steps.get_mut(at) {
                    *step = item.to_string();
                }
                Self(steps).expanded(root)
            })
            .collect()
    }

    /// As messages write it below `root`: `root.spec.volumes[0].hostPath`, `root.spec.sparkConf[spark.master]`.
    pub(super) fn shown(&self, root: &str) -> String {
        let mut text = root.to_owned();
        for (parent, step) in self.steps() {
            let is_item = step.parse::<usize>().is_ok();
            let is_key = [CONF, "labels", "annotations"].contains(&parent);
            let _ = if is_item || is_key { write!(text, "[{step}]") } else { write!(text, ".{step}") };
        }
        text
    }

    fn steps(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().enumerate().map(|(at, step)| (self.before(at), step.as_str()))
    }

    /// The name of what a step is taken in.
    fn before(&self, at: usize) -> &str {
        at.checked_sub(1).and_then(|at| self.0.get(at)).map_or("", String::as_str)
    }
}

/// A pattern with its role and key filled in.
pub(super) fn filled(step: &str, role: Option<Role>, key: &str) -> String {
    let step = match role {
        // The container has Spark's own name for the role.
        Some(role) if step == "#{role}" => format!("#spark-kubernetes-{}", role.as_str()),
        Some(role) => step.replace("{role}", role.as_str()),
        None => step.to_owned(),
    };
    step.replace("{key}", key)
}

/// The names of properties that a row stands for.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    role: Option<Role>,
    start: String,
    is_open: bool,
}

impl Pattern {
    /// One for each role where the text names a role. An open end is written `{key}` or `*`.
    pub(super) fn all(text: &'static str) -> impl Iterator<Item = Self> {
        let roles = if text.contains("{role}") { Role::ALL.map(Some).to_vec() } else { vec![None] };
        roles.into_iter().map(move |role| {
            let start = text.strip_suffix("{key}").or_else(|| text.strip_suffix('*'));
            Self { role, start: filled(start.unwrap_or(text), role, ""), is_open: start.is_some() }
        })
    }

    /// What every name that fits begins with.
    pub(super) fn start(&self) -> &str {
        &self.start
    }

    /// The open end of a name, if the name fits.
    pub(super) fn rest_of<'a>(&self, name: &'a str) -> Option<&'a str> {
        let name = name.trim();
        let (head, rest) = (name.get(..self.start.len())?, name.get(self.start.len()..)?);
        (head.eq_ignore_ascii_case(&self.start) && (self.is_open || rest.is_empty())).then_some(rest)
    }
}

/// What a property's name says, read by a pattern: the role (none where the pattern names none) and the open end.
pub(super) fn parsed<'a>(pattern: &'static str, name: &'a str) -> Option<(Option<Role>, &'a str)> {
    Pattern::all(pattern).find_map(|pattern| Some((pattern.role, pattern.rest_of(name)?)))
}

/// Whether a value says anything. Go writes absent pointers as `null`, and takes empty texts, lists and maps for absent.
pub(super) fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn same_key(one: &str, other: &str) -> bool {
    one.trim().eq_ignore_ascii_case(other.trim())
}

/// The key of a map that a step means.
fn found(map: &Map<String, Value>, parent: &str, step: &str) -> Option<String> {
    if map.contains_key(step) {
        return Some(step.to_owned());
    }
    if parent == CONF { map.keys().find(|key| same_key(key, step)).cloned() } else { None }
}

/// The number of the item that a step means.
fn index(items: &[Value], step: &str) -> Option<usize> {
    let named =
        |name: &str| items.iter().position(|item| item.get("name").and_then(Value::as_str) == Some(name));
    if let Some(name) = step.strip_prefix('#') {
        return named(name).or(if items.is_empty() { None } else { Some(0) });
    }
    if let Some(name) = step.strip_prefix('@') {
        return named(name);
    }
    step.parse().ok().filter(|at| *at < items.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn properties_are_found_whatever_their_case_and_blanks() {
        let place = Place::new(&["spec", "sparkConf", "spark.{role}.memory"], Some(Role::Driver), "");
        let mut root =
            json!({"spec": {"sparkConf": {" spark.Driver.memory": "1g", "spark.executor.memory": "2g"}}});
        assert_eq!(place.get(&root), Some(&json!("1g")));
        place.set(&mut root, json!("3g"));
        assert_eq!(
            root,
            json!({"spec": {"sparkConf": {"spark.driver.memory": "3g", "spark.executor.memory": "2g"}}})
        );
        place.remove(&mut root);
        assert_eq!(place.get(&root), None);
    }

    #[test]
    fn sparks_container_is_the_one_of_its_name_or_the_first() {
        let path: Path = &["spec", "{role}", "template", "spec", "containers", "#{role}", "image"];
        let place = Place::new(path, Some(Role::Driver), "");
        let with = |containers: Value| json!({"spec": {"driver": {"template": {"spec": {"containers": containers}}}}});
        let named =
            with(json!([{"name": "x", "image": "x"}, {"name": "spark-kubernetes-driver", "image": "s"}]));
        assert_eq!(place.get(&named), Some(&json!("s")));
        assert_eq!(place.get(&with(json!([{"name": "x", "image": "x"}]))), Some(&json!("x")));
        let mut none = with(json!([]));
        place.set(&mut none, json!("s"));
        assert_eq!(none, with(json!([])));
    }

    #[test]
    fn lists_are_read_item_by_item_and_shown_as_such() {
        let place = Place::new(&["spec", "volumes", "*", "hostPath"], None, "");
        let root = json!({"spec": {"volumes": [{"name": "a"}, {"name": "b", "hostPath": {"path": "/"}}]}});
        let found: Vec<_> =
            place.expanded(&root).into_iter().filter(|place| place.get(&root).is_some()).collect();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].shown("t"), "t.spec.volumes[1].hostPath");
    }

    #[test]
    fn names_of_properties_are_read_by_pattern() {
        let pattern = "spark.kubernetes.{role}.label.{key}";
        assert_eq!(parsed(pattern, "spark.kubernetes.driver.label.a/b"), Some((Some(Role::Driver), "a/b")));
        assert_eq!(parsed(pattern, "Spark.kubernetes.Executor.label.q "), Some((Some(Role::Executor), "q")));
        assert_eq!(parsed(pattern, "spark.kubernetes.driver.annotation.a"), None);
        assert_eq!(parsed("spark.master", "spark.master"), Some((None, "")));
        assert_eq!(parsed("spark.master", "spark.masters"), None);
        assert_eq!(parsed("spark.memory.offHeap.*", "spark.memory.offHeap.size"), Some((None, "size")));
    }
}
