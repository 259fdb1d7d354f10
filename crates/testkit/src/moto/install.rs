//! moto, from PyPI.
//!
//! Purpose: [`ensure`] gives a Python that has it, in an environment of the cache folder (about 140 MB). Owns that
//! folder; a file lock keeps two runs apart, and it gets its name only when it is whole.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Error, pyspark, tools};

/// The version that is installed. The extra `server` has many more packages and adds nothing that is used here.
const VERSION: &str = "5.2.5";
const BESIDE: [&str; 2] = ["flask", "flask-cors"];

/// Where it is, or will be.
pub fn folder() -> Result<PathBuf, Error> {
    Ok(tools::cache()?.join(format!("moto-{VERSION}")))
}

/// [`ensure`] without holding up other tasks; reports on stderr.
pub(super) async fn installed() -> Result<PathBuf, Error> {
    let installing = tokio::task::spawn_blocking(|| ensure(&|line| eprintln!("{line}")));
    installing.await.map_err(|error| Error::Moto(error.to_string()))?
}

/// The Python interpreter that has it; installs it first if it is missing and says so through `report`. Blocks: call it
/// from `spawn_blocking` in async code.
pub fn ensure(report: &dyn Fn(&str)) -> Result<PathBuf, Error> {
    let (cache, folder) = (tools::cache()?, folder()?);
    let interpreter = folder.join("bin/python3");
    if is_whole(&folder) {
        return Ok(interpreter);
    }
    let python = pyspark::python()?;
    fs::create_dir_all(&cache).map_err(Error::file("create", &cache))?;
    let path = cache.join(format!("moto-{VERSION}.lock"));
    let lock = File::create(&path).map_err(Error::file("create", &path))?;
    lock.lock().map_err(Error::file("lock", &path))?;
    if !is_whole(&folder) {
        install(&python, &cache, &folder, report)?;
    }
    Ok(interpreter)
}

fn is_whole(folder: &Path) -> bool {
    let Ok(versions) = fs::read_dir(folder.join("lib")) else { return false };
    versions.flatten().any(|entry| entry.path().join("site-packages/moto/server.py").is_file())
}

fn install(python: &Path, cache: &Path, folder: &Path, report: &dyn Fn(&str)) -> Result<(), Error> {
    report(&format!("installing moto {VERSION} from PyPI (140 MB, about a minute)"));
    let partial = cache.join(format!(".moto-{VERSION}.partial"));
    for stale in [&partial, &folder.to_path_buf()] {
        if stale.exists() {
            fs::remove_dir_all(stale).map_err(Error::file("remove", stale))?;
        }
    }
    run(Command::new(python).args(["-m", "venv"]).arg(&partial))?;
    let pip = ["-m", "pip", "install", "--disable-pip-version-check", "--quiet"];
    let moto = format!("moto=={VERSION}");
    run(Command::new(partial.join("bin/python3")).args(pip).arg(moto).args(BESIDE))?;
    // A Python environment finds itself by its own place, so it may be renamed; only its scripts may not, and none of
    // them is used.
    fs::rename(&partial, folder).map_err(Error::file("rename the Python environment to", folder))
}

fn run(command: &mut Command) -> Result<(), Error> {
    let words = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().map_err(Error::process("run", &words))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(Error::Moto(format!("{words} failed:\n{}", String::from_utf8_lossy(&said).trim())))
}
