//! `cargo xtask crds`: writes `crds/`, or says where it differs from the types.
//!
//! Purpose: the files that people install come from the Rust types and from nothing else. Owns `crds/`. It must never
//! write half: every file is rendered before the first one is written.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde_json::{Number, Value};

/// Arguments of `cargo xtask crds`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Write nothing; fail where a file differs from the types
    #[arg(long)]
    check: bool,
}

impl Arguments {
    /// As with `--check`.
    pub(crate) fn checking() -> Self {
        Self { check: true }
    }
}

/// Why `crds/` could not be written or is not what it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A definition could not be written as YAML.
    #[error("can't write {kind} as YAML: {message}")]
    Yaml {
        /// The kind.
        kind: String,
        /// What the serializer said.
        message: String,
    },
    /// A file could not be used.
    #[error("can't {action} {}", path.display())]
    File {
        /// `read`, `write` or `remove`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file is not what the types say.
    #[error("{} differ from the types: run `cargo xtask crds` and commit what it writes", .0.join(", "))]
    Drift(Vec<String>),
}

/// Writes or checks all definitions.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Error> {
    let folder = folder();
    let files = render()?;
    if arguments.check {
        return check(&folder, &files);
    }
    fs::create_dir_all(&folder).map_err(file("create", &folder))?;
    for stray in strays(&folder, &files)? {
        let path = folder.join(stray);
        fs::remove_file(&path).map_err(file("remove", &path))?;
    }
    for (name, text) in &files {
        let path = folder.join(name);
        fs::write(&path, text).map_err(file("write", &path))?;
        eprintln!("wrote crds/{name} ({} bytes)", text.len());
    }
    Ok(())
}

/// The repository's `crds/`, wherever the command is called from.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds")
}

/// File name and content of every definition, and the list of them for kustomize.
fn render() -> Result<Vec<(String, String)>, Error> {
    let mut files = Vec::new();
    for crd in spark_router_api::crds() {
        let kind = &crd.spec.names.kind;
        let failed = |message: String| Error::Yaml { kind: kind.clone(), message };
        let mut value = serde_json::to_value(&crd).map_err(|error| failed(error.to_string()))?;
        whole_numbers(&mut value);
        let yaml = serde_saphyr::to_string(&value).map_err(|error| failed(error.to_string()))?;
        let name = format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural);
        files.push((name, format!("# Written by `cargo xtask crds` from the types in crates/api.\n{yaml}")));
    }
    let mut list = "# Written by `cargo xtask crds`.\n\
                    apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n"
        .to_owned();
    for (name, _) in &files {
        list.push_str("- ");
        list.push_str(name);
        list.push('\n');
    }
    files.push(("kustomization.yaml".to_owned(), list));
    Ok(files)
}

/// Bounds are floats in the Rust type, but `minimum: 0.0` would look like a change to tools that compare text.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let whole = number.as_f64().and_then(|float| format!("{float:.0}").parse::<i64>().ok());
            if let Some(whole) = whole
                && number.is_f64()
                && number.as_f64() == Number::from(whole).as_f64()
            {
                *number = whole.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn check(folder: &Path, files: &[(String, String)]) -> Result<(), Error> {
    let mut drift = strays(folder, files)?;
    for (name, text) in files {
        let found = fs::read_to_string(folder.join(name)).ok();
        if found.as_deref() != Some(text) {
            drift.push(name.clone());
        }
    }
    if drift.is_empty() {
        Ok(())
    } else {
        Err(Error::Drift(drift.iter().map(|name| format!("crds/{name}")).collect()))
    }
}

/// Files in the folder that no type asks for.
fn strays(folder: &Path, files: &[(String, String)]) -> Result<Vec<String>, Error> {
    let mut strays = Vec::new();
    for entry in fs::read_dir(folder).map_err(file("read", folder))? {
        let name = entry.map_err(file("read", folder))?.file_name().to_string_lossy().into_owned();
        if !files.iter().any(|(known, _)| *known == name) {
            strays.push(name);
        }
    }
    Ok(strays)
}

fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_what_the_types_say() {
        if let Err(error) = run(&Arguments { check: true }) {
            panic!("{error}");
        }
    }

    #[test]
    fn a_difference_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let files = render().unwrap();
        for (name, text) in &files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        check(folder.path(), &files).unwrap();
        fs::write(folder.path().join(&files[0].0), "kind: Other\n").unwrap();
        fs::write(folder.path().join("stray.yaml"), "").unwrap();
        let error = check(folder.path(), &files).unwrap_err().to_string();
        assert!(error.contains(&files[0].0) && error.contains("crds/stray.yaml"), "{error}");
        assert!(error.contains("cargo xtask crds"), "{error}");
    }

    #[test]
    fn what_is_written_reads_back_the_same() {
        use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
        for (crd, (_, text)) in spark_router_api::crds().iter().zip(render().unwrap()) {
            let read: CustomResourceDefinition = serde_saphyr::from_str(&text).unwrap();
            assert_eq!(&read, crd);
            assert!(!text.contains(".0\n"), "a bound is written as a float");
        }
    }
}
