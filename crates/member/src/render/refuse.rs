//! What a template, and what a queue's or a member's parts, must not say.
//!
//! Owns no state. Pure: walks the tables and names the first place that is refused, with what to do. Judges what people
//! wrote, never what was made of it: a queue may add what its users may not.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use serde_json::Value;
use spark_router_api::{ApplicationParts, MemberClusterSpec, RoleParts, SparkQueueSpec, queue::Allowed};
use spark_router_core::resources::{cpu_milli, spark_size_bytes};

use super::{
    bans::{Ban, REFUSED, Refused, SIZES},
    keys::{KEYED, KEYED_CONF, OURS, THEIRS, WRITTEN_OUT},
    native,
    place::{Path, Pattern, Place, Role, is_per_role, is_set, parsed},
};

// Every pass over a job judges its template: the tables are spelled out once.
static CONFS: LazyLock<Vec<(Pattern, &Refused)>> = LazyLock::new(|| {
    let confs = REFUSED.iter().filter_map(|refused| match refused.path {
        ["spec", "sparkConf", pattern] => Some((*pattern, refused)),
        _ => None,
    });
    confs.flat_map(|(pattern, refused)| Pattern::all(pattern).map(move |it| (it, refused))).collect()
});
/// How the names begin that any of these could be about: most properties of a job are about something else.
static STARTS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let all = CONFS.iter().map(|(pattern, _)| pattern).chain(RESERVED.iter());
    all.map(|pattern| start(pattern.start()).to_ascii_lowercase()).collect()
});
static FIELDS: LazyLock<Vec<(Place, &Refused)>> = LazyLock::new(|| {
    let fields = REFUSED.iter().filter(|refused| !refused.path.contains(&"sparkConf"));
    fields.flat_map(|refused| places(refused.path).map(move |place| (place, refused))).collect()
});
static RESERVED: LazyLock<Vec<Pattern>> =
    LazyLock::new(|| KEYED_CONF.iter().flat_map(|pattern| Pattern::all(pattern)).collect());
static KEYED_PLACES: LazyLock<Vec<Place>> =
    LazyLock::new(|| KEYED.iter().flat_map(|path| places(path)).collect());
static WRITTEN_OUT_PLACES: LazyLock<Vec<Place>> =
    LazyLock::new(|| WRITTEN_OUT.iter().flat_map(|path| places(path)).collect());

const KEY_ADVICE: &str = "remove it: it belongs to the router or to Spark";

/// Something that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where it stands, like `spec.template.spec.driver.podName`.
    pub path: String,
    /// What to do about it.
    pub advice: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.advice)
    }
}

/// What of a template (`{apiVersion, kind, metadata, spec}`) is refused, if anything. `root` is how messages call it.
pub fn template(template: &Value, root: &str, allow: Allowed) -> Option<Refusal> {
    let lifted = native::lifted(template);
    let refusal = lifted_template(&lifted, root, allow)?;
    if native::is_apache(template) {
        return Some(Refusal { path: native::path(&refusal.path), ..refusal });
    }
    Some(refusal)
}

fn lifted_template(template: &Value, root: &str, allow: Allowed) -> Option<Refusal> {
    main_file(template, root)
        .or_else(|| written_out(template, root))
        .or_else(|| fields(template, root, allow))
        .or_else(|| keys(template, root))
}

/// Checks what a queue adds to templates.
///
/// # Errors
/// The first field that may not be set there, by its path, with what to do.
pub fn check_queue_parts(spec: &SparkQueueSpec) -> Result<(), String> {
    for (path, parts) in [("spec.defaults", &spec.defaults), ("spec.fixed", &spec.fixed)] {
        check_parts(path, parts)?;
    }
    for (name, size) in &spec.sizes {
        for (role, own) in [("driver", &size.driver), ("executor", &size.executor)] {
            let path = |field: &str| format!("spec.sizes[{name}].{role}.{field}");
            if let Some(request) = &own.core_request {
                cpu_milli(request.as_str()).map_err(|error| format!("{}: {error}", path("coreRequest")))?;
            }
            for (field, text) in [("memory", &own.memory), ("memoryOverhead", &own.memory_overhead)] {
                if let Some(text) = text {
                    spark_size_bytes(text).map_err(|error| format!("{}: {error}", path(field)))?;
                }
            }
        }
    }
    Ok(())
}

/// Checks what a member adds to applications: what a queue may not set, and nothing that changes what a job asks for.
///
/// # Errors
/// The first field that may not be set there, by its path, with what to do.
pub fn check_member_parts(spec: &MemberClusterSpec) -> Result<(), String> {
    for (path, parts) in [("spec.defaults", &spec.defaults), ("spec.fixed", &spec.fixed)] {
        check_parts(path, parts)?;
        let size = parts.spark_conf.keys().find(|name| SIZES.iter().any(|of| parsed(of, name).is_some()));
        if let Some(name) = size {
            return Err(format!(
                "{path}.sparkConf[{name}]: a member must not change what a job asks for, because that is counted before \
                 a member is chosen; set it in the SparkQueue or in the job"
            ));
        }
    }
    Ok(())
}

fn check_parts(path: &str, parts: &ApplicationParts) -> Result<(), String> {
    for name in parts.spark_conf.keys() {
        let refusal = |advice: &str| format!("{path}.sparkConf[{name}]: {advice}");
        if !is_key(name) {
            return Err(refusal(MALFORMED));
        }
        if reserved_property(name) {
            return Err(refusal(KEY_ADVICE));
        }
        let banned = CONFS.iter().find(|(pattern, of)| {
            matches!(of.ban, Ban::Always | Ban::Unless(_)) && pattern.rest_of(name).is_some()
        });
        if let Some((_, banned)) = banned {
            return Err(refusal(banned.advice));
        }
    }
    let role = |name: &str, role: &RoleParts| {
        [
            (format!("{name}.labels"), role.labels.clone()),
            (format!("{name}.annotations"), role.annotations.clone()),
        ]
    };
    let own =
        [("labels".to_owned(), parts.labels.clone()), ("annotations".to_owned(), parts.annotations.clone())];
    let roles = role("driver", &parts.driver).into_iter().chain(role("executor", &parts.executor));
    for (field, entries) in own.into_iter().chain(roles) {
        check_keys(&format!("{path}.{field}"), &entries, is_reserved)?;
    }
    for (name, role) in [("driver", &parts.driver), ("executor", &parts.executor)] {
        check_keys(&format!("{path}.{name}.nodeSelector"), &role.node_selector, |_| false)?;
    }
    Ok(())
}

fn check_keys(
    path: &str,
    entries: &BTreeMap<String, String>,
    is_reserved: fn(&str) -> bool,
) -> Result<(), String> {
    for key in entries.keys() {
        if !is_key(key) {
            return Err(format!("{path}[{key}]: {MALFORMED}"));
        }
        if is_reserved(key) {
            return Err(format!("{path}[{key}]: {KEY_ADVICE}"));
        }
    }
    Ok(())
}

/// The main file is the first word of `spark-submit` that is no option: one that looks like an option is one, and takes
/// what follows it along.
fn main_file(template: &Value, root: &str) -> Option<Refusal> {
    let file = template.pointer("/spec/mainApplicationFile")?.as_str()?;
    file.trim_start().starts_with('-').then(|| Refusal {
        path: format!("{root}.spec.mainApplicationFile"),
        advice: format!("{file:?} is an option of spark-submit, not a file; name the file to run"),
    })
}

const MALFORMED: &str = "a key must not have blanks or an equals sign; correct it";

/// A key that would end early on the operator's command line.
fn written_out(template: &Value, root: &str) -> Option<Refusal> {
    WRITTEN_OUT_PLACES.iter().find_map(|place| {
        let Value::Object(map) = place.get(template)? else { return None };
        let key = map.keys().find(|key| !is_key(key))?;
        Some(Refusal { path: format!("{}[{key}]", place.shown(root)), advice: MALFORMED.to_owned() })
    })
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && !key.contains(|c: char| c == '=' || c.is_whitespace() || c.is_control())
}

fn fields(template: &Value, root: &str, allow: Allowed) -> Option<Refusal> {
    let is_banned = |refused: &Refused, value: &Value| match refused.ban {
        Ban::Always => true,
        Ban::Unless(fine) => value.as_str().is_none_or(|text| text.trim() != fine),
        Ban::PodTemplateFiles => !allow.pod_template_files,
        Ban::HostPaths => !allow.host_paths,
    };
    let properties = template.pointer("/spec/sparkConf").and_then(Value::as_object).into_iter().flatten();
    let by_property = properties.filter(|(name, _)| may_matter(name)).find_map(|(name, value)| {
        let (_, refused) = CONFS
            .iter()
            .find(|(pattern, refused)| pattern.rest_of(name).is_some() && is_banned(refused, value))?;
        let (path, advice) = (format!("{root}.spec.sparkConf[{name}]"), refused.advice.to_owned());
        Some(Refusal { path, advice })
    });
    by_property.or_else(|| {
        FIELDS.iter().find_map(|(place, refused)| {
            let place = place.expanded(template).into_iter().find(|place| {
                // An empty host path is one too; an empty name is none.
                place.raw(template).is_some_and(|value| {
                    let says = is_set(value) || refused.ban == Ban::HostPaths && !value.is_null();
                    says && is_banned(refused, value)
                })
            })?;
            Some(Refusal { path: place.shown(root), advice: refused.advice.to_owned() })
        })
    })
}

/// Labels and annotations of the router and of Spark.
fn keys(template: &Value, root: &str) -> Option<Refusal> {
    let reserved = |path: String| Refusal { path, advice: KEY_ADVICE.to_owned() };
    let found = KEYED_PLACES.iter().find_map(|place| {
        let Value::Object(map) = place.get(template)? else { return None };
        let key = map.keys().find(|key| is_reserved(key))?;
        Some(reserved(format!("{}[{key}]", place.shown(root))))
    });
    found.or_else(|| {
        let conf = template.pointer("/spec/sparkConf")?.as_object()?;
        let (name, _) = conf.iter().find(|(name, value)| {
            let is_given = name.trim().eq_ignore_ascii_case("spark.kubernetes.executor.decommissionLabel");
            may_matter(name)
                && (reserved_property(name) || is_given && value.as_str().is_some_and(is_reserved))
        })?;
        Some(reserved(format!("{root}.spec.sparkConf[{name}]")))
    })
}

/// The first two words of a property's name.
fn start(name: &str) -> &str {
    let end = name.match_indices('.').nth(1).map_or(name.len(), |(at, _)| at);
    name.get(..end).unwrap_or(name)
}

fn may_matter(name: &str) -> bool {
    STARTS.contains(&start(name.trim()).to_ascii_lowercase())
}

fn reserved_property(name: &str) -> bool {
    RESERVED.iter().any(|pattern| pattern.rest_of(name).is_some_and(is_reserved))
}

/// Whether a label or annotation is nobody's but the router's, Spark's or its operator's.
fn is_reserved(key: &str) -> bool {
    let key = key.trim().to_ascii_lowercase();
    key.starts_with(OURS) || THEIRS.contains(&key.as_str())
}

fn places(path: Path) -> impl Iterator<Item = Place> {
    let roles = if is_per_role(path) { Role::ALL.map(Some).to_vec() } else { vec![None] };
    roles.into_iter().map(move |role| Place::new(path, role, ""))
}
