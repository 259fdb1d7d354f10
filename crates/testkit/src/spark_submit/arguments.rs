//! The command line of `spark-submit`, as far as the operator uses it.
//!
//! Purpose: parse it as Spark does (the last `--conf` of a key wins). Owns no state. It must never skip an argument
//! that it does not know: the next word would be taken for the main file.

use std::collections::BTreeMap;

/// One call of `spark-submit`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Submission {
    /// `--name`.
    pub name: String,
    /// `--class`.
    pub class: Option<String>,
    /// Every `--conf`, and the options that are short for one.
    pub conf: BTreeMap<String, String>,
    /// The main file.
    pub main: String,
    /// What follows the main file.
    pub arguments: Vec<String>,
}

/// Options with a value that become a conf.
const SHORT_FOR: &[(&str, &str)] = &[
    ("--master", "spark.master"),
    ("--deploy-mode", "spark.submit.deployMode"),
    ("--jars", "spark.jars"),
    ("--packages", "spark.jars.packages"),
    ("--exclude-packages", "spark.jars.excludes"),
    ("--repositories", "spark.jars.repositories"),
    ("--py-files", "spark.submit.pyFiles"),
    ("--files", "spark.files"),
    ("--archives", "spark.archives"),
    ("--proxy-user", "spark.submit.proxyUser"),
];

impl Submission {
    /// Parses the words after the program's name; the error is what goes to stderr.
    pub fn parse<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut submission = Self::default();
        while let Some(word) = words.next() {
            if !word.starts_with("--") {
                word.clone_into(&mut submission.main);
                submission.arguments = words.map(str::to_owned).collect();
                return Ok(submission);
            }
            if word == "--load-spark-defaults" {
                continue;
            }
            let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
            match word {
                "--name" => value.clone_into(&mut submission.name),
                "--class" => submission.class = Some(value.to_owned()),
                "--conf" => {
                    let (key, value) =
                        value.split_once('=').ok_or_else(|| format!("Spark config without '=': {value}"))?;
                    submission.conf.insert(key.to_owned(), value.to_owned());
                }
                _ => {
                    let (_, key) = SHORT_FOR
                        .iter()
                        .find(|(option, _)| *option == word)
                        .ok_or_else(|| format!("unrecognized option {word}"))?;
                    submission.conf.insert((*key).to_owned(), value.to_owned());
                }
            }
        }
        Err("Missing application resource.".to_owned())
    }

    /// A conf, unless it is empty.
    pub fn conf(&self, key: &str) -> Option<&str> {
        self.conf.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// All confs below a prefix, without it.
    pub fn confs<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.conf.iter().filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?, value.as_str())))
    }

    /// An annotation of the driver below [`super::ANNOTATIONS`].
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.conf(&format!("spark.kubernetes.driver.annotation.{}{name}", super::ANNOTATIONS))
    }

    /// What the driver runs: Python and R have runners of Spark's own.
    pub(super) fn driver_class(&self) -> Option<&str> {
        if self.is_python() {
            Some("org.apache.spark.deploy.PythonRunner")
        } else if self.is_r() {
            Some("org.apache.spark.deploy.RRunner")
        } else {
            self.class.as_deref()
        }
    }

    pub(super) fn is_python(&self) -> bool {
        self.main.to_lowercase().ends_with(".py")
    }

    pub(super) fn is_r(&self) -> bool {
        self.main.to_lowercase().ends_with(".r")
    }
}

#[cfg(test)]
mod tests {
    use super::Submission;

    #[test]
    fn the_last_conf_wins_and_values_may_hold_equal_signs() {
        let words = ["--master", "k8s://x", "--conf", "a=1", "--conf", "a=b=c", "main.py", "--conf", "x"];
        let parsed = Submission::parse(words.into_iter()).unwrap();
        assert_eq!(parsed.conf("a"), Some("b=c"));
        assert_eq!(parsed.conf("spark.master"), Some("k8s://x"));
        assert_eq!((parsed.main.as_str(), parsed.arguments.len()), ("main.py", 2));
    }

    #[test]
    fn unknown_options_and_a_missing_main_file_are_refused() {
        assert!(Submission::parse(["--what", "x", "main.py"].into_iter()).is_err());
        assert!(Submission::parse(["--name", "x"].into_iter()).is_err());
    }
}
