//! The Spark properties of a job: each once, with where it was said.
//!
//! Owns no state. Whoever says a property twice with two values is told so: the Kubeflow operator lets the typed field win
//! without a word, and here nobody could know which one was meant.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    quote,
    reserved::{self, pod_label},
};
use crate::{
    Note, Problem,
    request::{MOST_PROPERTIES, PROPERTY},
};

/// A value, and where it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) value: String,
    pub(super) at: String,
}

/// Properties so far, and what is wrong with them.
#[derive(Clone, Debug, Default)]
pub(super) struct Properties {
    all: BTreeMap<String, Said>,
    problems: Vec<Problem>,
}

/// Where properties end up.
#[derive(Debug, Default)]
pub(super) struct Placed {
    /// In the classification `spark-defaults`.
    pub(super) defaults: BTreeMap<String, Said>,
    /// Options of spark-submit for the rest.
    pub(super) options: Vec<String>,
    /// Where the longest of the rest was said.
    pub(super) longest_at: Option<String>,
    pub(super) notes: Vec<Note>,
    pub(super) problems: Vec<Problem>,
}

impl Properties {
    /// Somebody who may not say everything says this.
    pub(super) fn say(&mut self, key: &str, value: &str, at: &str) {
        if let Some(reason) = fault(key, value).or_else(|| reserved::property(key, value)) {
            self.problems.push(Problem::new(at, reason));
            return;
        }
        match self.all.get(key) {
            None => self.set(key, value, at),
            Some(said) if said.value == value => {}
            Some(said) => {
                let reason = format!("says another value of {key} than {}; keep one of them", said.at);
                self.problems.push(Problem::new(at, reason));
            }
        }
    }

    /// The router says this, whatever was said.
    pub(super) fn set(&mut self, key: &str, value: &str, at: &str) {
        self.all.insert(key.to_owned(), Said { value: value.to_owned(), at: at.to_owned() });
    }

    /// Somebody says this where nobody else does.
    pub(super) fn fill(&mut self, key: &str, value: &str, at: &str) {
        if !self.all.contains_key(key) {
            self.say(key, value, at);
        }
    }

    /// What is said of a property.
    pub(super) fn get(&self, key: &str) -> Option<&Said> {
        self.all.get(key)
    }

    /// Takes back what is said of a property.
    pub(super) fn remove(&mut self, key: &str) {
        self.all.remove(key);
    }

    /// A variable that is said both as a text and from a Secret.
    fn check_variables(&mut self) {
        for role in ["driver", "executor"] {
            let text = if role == "driver" { "spark.kubernetes.driverEnv." } else { "spark.executorEnv." };
            let secret = format!("spark.kubernetes.{role}.secretKeyRef.");
            let names: BTreeSet<_> = self.all.keys().filter_map(|key| key.strip_prefix(text)).collect();
            let twice = self.all.iter().filter_map(|(key, said)| {
                let name = key.strip_prefix(&secret).filter(|name| names.contains(name))?;
                let other = &self.all.get(&format!("{text}{name}"))?.at;
                let reason =
                    format!("says another value of the variable {name} than {other}; keep one of them");
                Some(Problem::new(&said.at, reason))
            });
            let twice: Vec<_> = twice.collect();
            self.problems.extend(twice);
        }
    }

    /// The first hundred that fit go into `spark-defaults`, in the order of their keys: a map, where nothing has to be
    /// quoted. What is too long for it, what a file of properties would trim, and what is left goes on the command line,
    /// where only plain texts are certain to arrive.
    pub(super) fn place(mut self) -> Placed {
        self.check_variables();
        let mut placed = Placed { problems: self.problems, ..Placed::default() };
        let mut longest = 0;
        for (key, said) in self.all {
            let length = said.value.chars().count();
            let fits = length <= PROPERTY && said.value.trim() == said.value;
            if fits && placed.defaults.len() < MOST_PROPERTIES {
                if said.value.contains('\\') {
                    let text = "has a backslash: EMR on EKS writes it into a file of properties, and nobody knows whether it \
                                is kept";
                    placed.notes.push(Note::new(&said.at, text));
                }
                placed.defaults.insert(key, said);
                continue;
            }
            let option = format!("{key}={}", said.value);
            if let Some(odd) = quote::odd(&option) {
                let cause = if length > PROPERTY {
                    format!(
                        "has {length} characters, and EMR on EKS takes properties of more than {PROPERTY} only on its command line"
                    )
                } else if fits {
                    format!(
                        "is one of more than {MOST_PROPERTIES} properties, and EMR on EKS takes the rest only on its command line"
                    )
                } else {
                    "begins or ends with a blank, which EMR on EKS keeps only on its command line".to_owned()
                };
                let reason = format!("{cause}, where nobody knows what becomes of {odd:?}; say it otherwise");
                placed.problems.push(Problem::new(&said.at, reason));
                continue;
            }
            if option.len() > longest {
                longest = option.len();
                placed.longest_at = Some(said.at);
            }
            placed.options.extend(["--conf".to_owned(), option]);
        }
        placed
    }
}

/// What is wrong with a property whoever says it.
fn fault(key: &str, value: &str) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/-@%+,~$".contains(c);
    if key.is_empty() || !key.chars().all(is_plain) {
        return Some(format!(
            "{key:?} is no name of a property that is certain to arrive; it is made of letters, digits and ._/-@%+,~$"
        ));
    }
    let length = key.chars().count();
    if length > PROPERTY {
        return Some(format!("its key has {length} characters; EMR on EKS takes {PROPERTY}"));
    }
    if value.trim().is_empty() {
        return Some("is blank, which EMR on EKS does not take; set it or leave it out".to_owned());
    }
    if let Some(control) = value.chars().find(|c| c.is_control()) {
        return Some(format!("has the control character {control:?}; write it on one line"));
    }
    // Spark would make the pods, and the API server would refuse them.
    (pod_label(key).is_some() && !is_label(value)).then(|| {
        "is no value of a label: at most 63 letters, digits and ._-, a letter or digit at both ends"
            .to_owned()
    })
}

fn is_label(value: &str) -> bool {
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    value.len() <= 63
        && is_end(value.chars().next())
        && is_end(value.chars().last())
        && value.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(all: &[(&str, &str, &str)]) -> Properties {
        let mut properties = Properties::default();
        for (key, value, at) in all {
            properties.say(key, value, at);
        }
        properties
    }

    fn problems(all: &[(&str, &str, &str)]) -> Vec<String> {
        said(all).place().problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn two_values_are_refused_and_one_said_twice_is_not() {
        assert!(problems(&[("spark.a", "1", "x"), ("spark.a", "1", "y")]).is_empty());
        assert_eq!(
            problems(&[("spark.a", "1", "x"), ("spark.a", "2", "y")]),
            ["y: says another value of spark.a than x; keep one of them"]
        );
    }

    #[test]
    fn a_variable_is_a_text_or_from_a_secret() {
        let text = ("spark.executorEnv.A", "1", "x");
        let found = problems(&[text, ("spark.kubernetes.executor.secretKeyRef.A", "s:k", "y")]);
        assert_eq!(found, ["y: says another value of the variable A than x; keep one of them"]);
        assert!(problems(&[text, ("spark.kubernetes.driver.secretKeyRef.A", "s:k", "y")]).is_empty());
    }

    #[test]
    fn blank_and_broken_ones_are_refused() {
        for (key, value, part) in [
            ("spark.a", "", "is blank"),
            ("spark.a", " \t", "is blank"),
            ("spark.a", "a\nb", "control character '\\n'"),
            ("spark a", "1", "no name of a property"),
            ("spark.a=b", "1", "no name of a property"),
            ("spark.a:b", "1", "no name of a property"),
            ("", "1", "no name of a property"),
            ("spark.kubernetes.driver.label.a", "-b", "no value of a label"),
            ("spark.kubernetes.driver.label.a", &"b".repeat(64), "no value of a label"),
            (&"k".repeat(1025), "1", "its key has 1025 characters"),
        ] {
            let found = problems(&[(key, value, "x")]);
            assert!(found.len() == 1 && found[0].contains(part), "{key}={value}: {found:?}");
        }
    }

    #[test]
    fn what_a_file_of_properties_would_change_goes_on_the_command_line() {
        let long = "v".repeat(1025);
        let placed = said(&[
            ("spark.blank", " a", "x"),
            ("spark.end", "a ", "x"),
            ("spark.long", &long, "l"),
            ("spark.slash", "a\\b", "s"),
            ("spark.fits", &long[1..], "x"),
        ])
        .place();
        assert_eq!(placed.defaults.keys().collect::<Vec<_>>(), ["spark.fits", "spark.slash"]);
        assert_eq!(
            placed.options,
            ["--conf", "spark.blank= a", "--conf", "spark.end=a ", "--conf", &format!("spark.long={long}")]
        );
        assert_eq!(placed.longest_at.as_deref(), Some("l"));
        assert_eq!(placed.notes.len(), 1, "{:?}", placed.notes);
        assert!(placed.notes[0].path == "s" && placed.problems.is_empty());
    }

    #[test]
    fn what_cannot_be_quoted_is_refused_with_the_cause() {
        let long = format!("\"{}", "v".repeat(1024));
        let found = problems(&[
            ("spark.long", &long, "l"),
            ("spark.blank", " $", "b"),
            ("spark.fits", "\"$`\\", "f"),
        ]);
        assert!(
            found[0].starts_with("b: begins or ends with a blank") && found[0].contains("'$'"),
            "{found:?}"
        );
        assert!(found[1].starts_with("l: has 1025 characters") && found[1].contains("'\"'"), "{found:?}");
        assert_eq!(found.len(), 2);
        let mut many = Properties::default();
        for n in 0..100 {
            many.say(&format!("spark.a{n:03}"), "$", "a");
        }
        many.say("spark.b", "$", "b");
        let found = many.place().problems;
        assert!(found.len() == 1 && found[0].reason.starts_with("is one of more than 100"), "{found:?}");
    }
}
