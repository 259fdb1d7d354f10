//! Runs Go.
//!
//! Purpose: build one binary after the other (they share Go's build cache, so parallel builds would only compete) and
//! copy the files that tests need. Owns the lock and the source folder inside the tools folder. It must never write a
//! final name other than by rename.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Tools, recipe};
use crate::Error;

/// A heartbeat line appears this often, so that nobody takes a long build for a hung one.
const HEARTBEAT: Duration = Duration::from_secs(30);

pub(super) fn run(tools: &Tools, report: &dyn Fn(&str)) -> Result<(), Error> {
    let root = tools.folder();
    for folder in ["bin", "files", "src"] {
        create_folder(&root.join(folder))?;
    }
    let _lock = lock(&root.join("lock"), report)?;
    write_modules(root, tools.set)?;
    for module in tools.set.modules.iter().take(1) {
        check_go(&root.join("src").join(module.name))?;
    }

    let todo: Vec<_> =
        tools.set.programs.iter().filter(|program| !tools.program(program.name).is_file()).collect();
    let minutes = todo.iter().map(|program| program.seconds).sum::<u64>().div_ceil(60);
    if !todo.is_empty() {
        report(&format!(
            "building {} program{} into {}: about {minutes} minutes on 2 cores, only this once",
            todo.len(),
            if todo.len() == 1 { "" } else { "s" },
            root.display()
        ));
    }
    for (index, program) in todo.iter().enumerate() {
        report(&format!("[{}/{}] {} (about {} s)", index + 1, todo.len(), program.name, program.seconds));
        let started = Instant::now();
        build(root, program, report)?;
        report(&format!(
            "[{}/{}] {} built in {} s",
            index + 1,
            todo.len(),
            program.name,
            started.elapsed().as_secs()
        ));
    }
    for file in tools.set.files {
        copy(root, file)?;
    }
    Ok(())
}

fn lock(path: &Path, report: &dyn Fn(&str)) -> Result<File, Error> {
    let file = File::create(path).map_err(Error::file("create", path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            report("another run builds the tools: waiting for it");
            file.lock().map_err(Error::file("lock", path))?;
        }
        Err(TryLockError::Error(source)) => {
            return Err(Error::File { action: "lock", path: path.into(), source });
        }
    }
    Ok(file)
}

fn write_modules(root: &Path, set: &recipe::Set) -> Result<(), Error> {
    for module in set.modules {
        let folder = root.join("src").join(module.name);
        create_folder(&folder)?;
        for (name, text) in [("go.mod", module.go_mod), ("go.sum", module.go_sum)] {
            let path = folder.join(name);
            fs::write(&path, text).map_err(Error::file("write", path))?;
        }
    }
    Ok(())
}

/// A `go` command in one of the modules. GOWORK off and `-mod=readonly`: what is pinned is what is built.
fn go(folder: &Path) -> Command {
    let mut command = Command::new("go");
    command.current_dir(folder).env("GOWORK", "off").env("CGO_ENABLED", "0").stdin(Stdio::null());
    command
}

fn check_go(folder: &Path) -> Result<(), Error> {
    let output = go(folder).args(["env", "GOVERSION"]).output().map_err(Error::GoMissing)?;
    let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if new_enough(&found) {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::GoTooOld { found: if found.is_empty() { said } else { found } })
}

fn new_enough(version: &str) -> bool {
    let mut parts = version.trim_start_matches("go").split(['.', '-', ' ', 'r', 'b']);
    let mut number = || parts.next().and_then(|part| part.parse::<u32>().ok());
    matches!((number(), number()), (Some(major), Some(minor)) if (major, minor) >= (1, 26))
}

fn build(root: &Path, program: &recipe::Program, report: &dyn Fn(&str)) -> Result<(), Error> {
    let source = root.join("src").join(program.module);
    let partial = root.join("bin").join(format!(".{}.partial", program.name));
    let log = root.join(format!("{}.log", program.name));
    let output = File::create(&log).map_err(Error::file("create", &log))?;
    let failed = |output: String| Error::Build { what: program.name.to_owned(), output };
    let mut child = go(&source)
        .args(["build", "-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags"])
        .arg(linker_flags(&source, program)?)
        .arg("-o")
        .arg(&partial)
        .arg(program.package)
        .stdout(Stdio::null())
        .stderr(output)
        .spawn()
        .map_err(Error::GoMissing)?;
    let started = Instant::now();
    let mut next = HEARTBEAT;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|error| failed(error.to_string()))? {
            break status;
        }
        if started.elapsed() >= next {
            report(&format!("      {}: {} s so far", program.name, next.as_secs()));
            next += HEARTBEAT;
        }
        thread::sleep(Duration::from_millis(200));
    };
    if !status.success() {
        return Err(failed(crate::supervise::tail(&log, 20)));
    }
    let path = root.join("bin").join(program.name);
    fs::rename(&partial, &path).map_err(Error::file("rename a built program to", path))?;
    fs::remove_file(&log).map_err(Error::file("remove", log))
}

/// Without the version in its linker flags an API server calls itself `v0.0.0-master`, which clients and CRD features
/// take seriously.
fn linker_flags(source: &Path, program: &recipe::Program) -> Result<String, Error> {
    if program.module != "kubernetes" {
        return Ok("-s -w".to_owned());
    }
    let version = list(source, "k8s.io/kubernetes", "{{.Version}}")?;
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or("1"), numbers.next().unwrap_or("0"));
    let x = "k8s.io/component-base/version";
    Ok(format!("-s -w -X {x}.gitVersion={version} -X {x}.gitMajor={major} -X {x}.gitMinor={minor}"))
}

fn list(source: &Path, module: &str, format: &str) -> Result<String, Error> {
    let output = go(source)
        .args(["list", "-mod=readonly", "-m", "-f", format, module])
        .output()
        .map_err(Error::GoMissing)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Error::Build { what: format!("the module list of {module}"), output: said })
}

fn copy(root: &Path, file: &recipe::Copied) -> Result<(), Error> {
    let target = root.join("files").join(file.name);
    if target.is_file() {
        return Ok(());
    }
    let source = root.join("src").join(file.module);
    let mut folder = list(&source, file.source_module, "{{.Dir}}")?;
    if folder.is_empty() {
        // Every program of the module came from the cache or from KUBEBUILDER_ASSETS, so Go never fetched it.
        let output =
            go(&source).args(["mod", "download", file.source_module]).output().map_err(Error::GoMissing)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Error::Build {
                what: format!("the download of {}", file.source_module),
                output: said,
            });
        }
        folder = list(&source, file.source_module, "{{.Dir}}")?;
    }
    let original = PathBuf::from(folder).join(file.path);
    let partial = root.join("files").join(format!(".{}.partial", file.name));
    // Read and write, not fs::copy: files of the module cache are read-only, and the copy would be too.
    let mut text = fs::read_to_string(&original).map_err(Error::file("read", original))?;
    if target.extension().is_some_and(|extension| extension == "json") {
        text = without_descriptions(&text)?;
    }
    fs::write(&partial, text).map_err(Error::file("write", &partial))?;
    fs::rename(&partial, &target).map_err(Error::file("rename a copied file to", target))
}

fn without_descriptions(yaml: &str) -> Result<String, Error> {
    let mut object: Value =
        serde_saphyr::from_str(yaml).map_err(|error| Error::Manifest(error.to_string()))?;
    strip(&mut object);
    Ok(object.to_string())
}

/// Only texts are descriptions; a property that is called so has a schema.
fn strip(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, value| !(key == "description" && value.is_string()));
            map.values_mut().for_each(strip);
        }
        Value::Array(values) => values.iter_mut().for_each(strip),
        _ => {}
    }
}

fn create_folder(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(Error::file("create", path))
}

#[cfg(test)]
mod tests {
    use super::{new_enough, without_descriptions};

    #[test]
    fn a_property_named_description_stays() {
        let text = without_descriptions("{description: long, properties: {description: {type: string}}}");
        assert_eq!(text.unwrap(), r#"{"properties":{"description":{"type":"string"}}}"#);
    }

    #[test]
    fn go_versions() {
        for good in ["go1.26", "go1.26.8", "go1.27rc1", "go2.0", "go1.30.1 X:nocoverageredesign"] {
            assert!(new_enough(good), "{good}");
        }
        for bad in ["go1.25.9", "go1.9", "", "devel +abc"] {
            assert!(!new_enough(bad), "{bad}");
        }
    }
}
