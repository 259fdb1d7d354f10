//! Child processes that never outlive the process that started them.
//!
//! Purpose: [`Supervisor::spawn`] runs a program in a process group of its own with its output in a log file. Owns the
//! groups and one folder. When the supervisor is dropped, or when its process dies in any way (panic, SIGKILL), every
//! group is killed and the folder removed. It must never start a program that is not yet registered for that.
//!
//! How: a `/bin/sh` reaper in its own group reads a pipe whose other end only we hold. We tell it every group; at the
//! end of the pipe, which the kernel guarantees, it kills them and removes the folder. A program waits for a line of
//! ours before it begins, so one that was not registered in time never begins.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::Error;

/// How long a part may take to become ready: seconds when the machine is idle, more beside a compiler.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

/// `$1`: the folder. Signals are ignored so that a Ctrl-C in the terminal, which ends the test, doesn't end the reaper.
const REAPER: &str = r#"
trap '' HUP INT TERM
groups=
while read -r what group; do
  case $what in
    +) groups="$groups $group" ;;
    -) left=; for each in $groups; do [ "$each" = "$group" ] || left="$left $each"; done; groups=$left ;;
  esac
done
for each in $groups; do kill -s KILL -- "-$each"; done
tries=0
until [ -z "$1" ] || { rm -rf -- "$1" && [ ! -e "$1" ]; } || [ "$tries" -ge 50 ]; do
  tries=$((tries + 1)); sleep 0.1
done
"#;

/// Waits for the word of its supervisor, then becomes the program.
const GATE: &str = r#"read -r go || exit 1; exec "$@" </dev/null"#;

/// Keeps the processes of one fleet. Dropping it ends them all and removes the folder.
#[derive(Debug)]
pub struct Supervisor {
    folder: PathBuf,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    reaper: Mutex<Reaper>,
    children: Mutex<Vec<Arc<Mutex<Child>>>>,
}

#[derive(Debug)]
struct Reaper {
    process: Child,
    pipe: Option<ChildStdin>,
}

impl Reaper {
    fn tell(&mut self, line: &str) -> std::io::Result<()> {
        match &mut self.pipe {
            Some(pipe) => pipe.write_all(line.as_bytes()),
            None => Err(std::io::Error::other("the supervisor has ended")),
        }
    }
}

impl Supervisor {
    /// Starts the reaper. `folder` is removed at the end; `held` stays open as long as anything may still run (a
    /// locked file stays locked). With the environment variable `SPARK_ROUTER_KEEP` set, the folder stays.
    pub fn start(folder: PathBuf, held: File) -> Result<Self, Error> {
        let keep = std::env::var_os("SPARK_ROUTER_KEEP").is_some();
        let mut process = Command::new("/bin/sh")
            .args(["-c", REAPER, "reaper"])
            .arg(if keep { Path::new("") } else { &folder })
            .stdin(Stdio::piped())
            .stdout(held)
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0)
            .spawn()
            .map_err(|source| Error::Process { action: "start", name: "/bin/sh".into(), source })?;
        let pipe = process.stdin.take();
        let reaper = Mutex::new(Reaper { process, pipe });
        Ok(Self { folder, inner: Arc::new(Inner { reaper, children: Mutex::default() }) })
    }

    /// The folder that goes away with the processes.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts `command` (program, arguments, environment and folder are taken from it) in a new process group. Its
    /// output is appended to `<folder>/logs/<name>.log`.
    pub fn spawn(&self, name: &str, command: &Command) -> Result<Process, Error> {
        let log = self.log(name)?;
        let output =
            File::options().create(true).append(true).open(&log).map_err(Error::file("create", &log))?;
        let errors = output.try_clone().map_err(Error::file("open", &log))?;
        let mut gated = Command::new("/bin/sh");
        gated.args(["-c", GATE, "gate"]).arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => gated.env(key, value),
                None => gated.env_remove(key),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            gated.current_dir(folder);
        }
        gated.stdin(Stdio::piped()).stdout(output).stderr(errors).process_group(0);
        self.inner.launch(&mut gated).map_err(Error::process("start", name)).map(|child| Process {
            name: name.to_owned(),
            log,
            child,
            supervisor: Arc::clone(&self.inner),
        })
    }

    /// Where the output of the process of that name goes.
    pub fn log(&self, name: &str) -> Result<PathBuf, Error> {
        let logs = self.folder.join("logs");
        fs::create_dir_all(&logs).map_err(Error::file("create", &logs))?;
        Ok(logs.join(format!("{name}.log")))
    }
}

impl Inner {
    fn launch(&self, gated: &mut Command) -> std::io::Result<Arc<Mutex<Child>>> {
        // Held over both steps, so that the end of the supervisor never falls between them.
        let mut children = self.children.lock();
        let mut child = gated.spawn()?;
        let go = child.stdin.take();
        let child = Arc::new(Mutex::new(child));
        children.push(Arc::clone(&child));
        self.reaper.lock().tell(&format!("+ {}\n", child.lock().id()))?;
        if let Some(mut go) = go {
            go.write_all(b"go\n")?;
        }
        Ok(child)
    }

    fn forget(&self, group: u32) {
        self.children.lock().retain(|child| child.lock().id() != group);
        // If the reaper is gone there is nobody left to tell.
        let _ = self.reaper.lock().tell(&format!("- {group}\n"));
    }

    fn end(&self) {
        let children = std::mem::take(&mut *self.children.lock());
        for child in &children {
            // An error means that the group is already gone.
            let _ = signal(child.lock().id(), Signal::KILL);
        }
        for child in &children {
            let _ = child.lock().wait();
        }
        let mut reaper = self.reaper.lock();
        reaper.pipe = None;
        let _ = reaper.process.wait();
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.inner.end();
        if self.folder.exists() {
            eprintln!("logs and state are kept in {}", self.folder.display());
        }
    }
}

/// One running program. Dropping it does not end the program: the [`Supervisor`] does.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Arc<Mutex<Child>>,
    supervisor: Arc<Inner>,
}

impl Process {
    /// The name given at the start.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id, which is also the id of its group.
    pub fn id(&self) -> u32 {
        self.child.lock().id()
    }

    /// The file with its output.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How it ended; `None` while it runs.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.child.lock().try_wait().ok().flatten()
    }

    /// An error with the last lines of its log if it has ended.
    pub fn check(&self) -> Result<(), Error> {
        match self.ended() {
            None => Ok(()),
            Some(status) => Err(Error::Ended {
                name: self.name.clone(),
                status: status.to_string(),
                path: self.log.clone(),
                log: tail(&self.log, 15),
            }),
        }
    }

    /// Freezes the whole group (SIGSTOP): its sockets stay open and silent.
    pub fn pause(&self) -> Result<(), Error> {
        self.signal(Signal::STOP, "pause")
    }

    /// Lets a frozen group go on (SIGCONT).
    pub fn resume(&self) -> Result<(), Error> {
        self.signal(Signal::CONT, "resume")
    }

    /// Asks the program to end (SIGTERM) and does not wait.
    pub fn terminate(&self) -> Result<(), Error> {
        self.signal(Signal::TERM, "stop")
    }

    /// Kills the group (SIGKILL) and waits until its leader is gone.
    pub fn kill(&self) -> Result<ExitStatus, Error> {
        if self.ended().is_none() {
            self.signal(Signal::KILL, "kill")?;
        }
        let group = self.id();
        let status = self.child.lock().wait().map_err(Error::process("kill", &self.name))?;
        self.supervisor.forget(group);
        Ok(status)
    }

    fn signal(&self, which: Signal, action: &'static str) -> Result<(), Error> {
        signal(self.id(), which).map_err(Error::process(action, &self.name))
    }
}

fn signal(group: u32, which: Signal) -> std::io::Result<()> {
    let group = i32::try_from(group).ok().and_then(Pid::from_raw);
    let group = group.ok_or_else(|| std::io::Error::other("no such process id"))?;
    Ok(kill_process_group(group, which)?)
}

/// Polls `ready` until it is ok, the process ends, or [`PATIENCE`] is over.
pub(crate) async fn wait(
    what: &str,
    process: &Process,
    ready: impl AsyncFn() -> Result<(), String>,
) -> Result<(), Error> {
    let started = Instant::now();
    loop {
        process.check()?;
        let Err(last) = ready().await else { return Ok(()) };
        if started.elapsed() > PATIENCE {
            let log = tail(process.log(), 10);
            let detail = format!(": {last}; its last log lines were:\n{log}");
            return Err(Error::NotReady { what: what.to_owned(), seconds: PATIENCE.as_secs(), detail });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The last lines of a file, for error messages; empty if it can't be read.
pub fn tail(path: &Path, lines: usize) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
}
