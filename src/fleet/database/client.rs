//! Runs a database's client programs.

use crate::{
    error::{Error, Result, reason},
    monitor::Monitor,
    name::Shown,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{self, Read, Write},
    os::{fd::AsFd, unix::process::CommandExt},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// What is kept of what a program complains about.
const COMPLAINT_MAX: usize = 4096;
/// The most that an answer may be, in bytes.
const ANSWER_MAX: usize = 64 << 20;
/// How long a silent program is waited for before the reader looks whether all should stop.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// A program with its arguments and what it is told by its environment.
#[derive(Clone, Default)]
pub(in crate::fleet) struct Client {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
    /// User and group that it runs as.
    run_as: Option<(u32, u32)>,
}

impl Client {
    pub fn new(program: impl Into<OsString>) -> Self {
        Client { program: program.into(), ..Client::default() }
    }

    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub fn args<T: Into<OsString>>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Lets it run as a user of the system; as ourselves for `None`.
    pub fn run_as(mut self, user: Option<&str>) -> Result<Self> {
        if let Some(name) = user {
            self.run_as = Some(user_of_system(name)?);
        }
        Ok(self)
    }

    /// Lets it run as these ids.
    pub fn run_as_ids(mut self, ids: Option<(u32, u32)>) -> Self {
        self.run_as = ids;
        self
    }

    /// Program and arguments, for people.
    pub fn words(&self) -> Vec<Vec<u8>> {
        let words = std::iter::once(&self.program).chain(&self.args);
        words.map(|word| word.as_encoded_bytes().to_vec()).collect()
    }

    pub fn name(&self) -> String {
        Shown(self.program.as_encoded_bytes()).to_string()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        // What opens the repository is none of its business.
        for secret in ["VAULT_PASSWORD", "VAULT_NEW_PASSWORD"] {
            command.env_remove(secret);
        }
        for (name, value) in &self.env {
            command.env(name, value);
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        } else if self.run_as.is_some() {
            // Wherever we are, the other user may not be allowed in.
            command.current_dir("/");
        }
        if let Some((user, group)) = self.run_as {
            command.uid(user).gid(group);
        }
        // Ctrl-C in a terminal is for us: we end what we began, in order.
        command.process_group(0);
        command
    }

    /// Starts it; `input` when it is to be written to.
    pub fn start(&self, input: bool) -> io::Result<Running> {
        let mut command = self.command();
        command.stdin(if input { Stdio::piped() } else { Stdio::null() });
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|e| {
            let program = self.name();
            match e.kind() {
                io::ErrorKind::NotFound => io::Error::new(e.kind(), format!("{program} is not installed here")),
                kind => io::Error::new(kind, format!("cannot run {program}: {}", reason(&e))),
            }
        })?;
        let complaint = Arc::new(Mutex::new(Vec::new()));
        let listener = child.stderr.take().and_then(|mut stderr| {
            let complaint = complaint.clone();
            thread::Builder::new().name("complaints".into()).spawn(move || gather(&mut stderr, &complaint)).ok()
        });
        let (input, output) = (child.stdin.take(), child.stdout.take());
        Ok(Running { program: self.name(), child, input, output, complaint, listener, ended: None })
    }

    /// Runs it to its end, whatever it prints.
    pub fn run(&self, monitor: &dyn Monitor) -> Result<()> {
        self.each(b"", monitor, &mut |_| Ok(()))
    }

    /// Runs it to its end and returns what it printed.
    pub fn answer(&self, input: &[u8], monitor: &dyn Monitor) -> Result<String> {
        let mut answer = Vec::new();
        let failed = |why: &str| Error::Command { command: self.name(), why: why.into() };
        self.each(input, monitor, &mut |bytes| {
            answer.extend_from_slice(bytes);
            if answer.len() > ANSWER_MAX { Err(failed("its answer is too long")) } else { Ok(()) }
        })?;
        String::from_utf8(answer).map_err(|_| failed("its answer is not UTF-8"))
    }

    fn each(&self, input: &[u8], monitor: &dyn Monitor, take: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let failed = |why: String| Error::Command { command: self.name(), why };
        let mut running = self.start(true).map_err(|e| failed(reason(&e)))?;
        let stdin = running.input.take();
        let input = input.to_vec();
        // It may answer before it has read all.
        let writer = thread::Builder::new().name("questions".into()).spawn(move || {
            if let Some(mut stdin) = stdin {
                let _ = stdin.write_all(&input);
            }
        });
        let mut room = vec![0; 64 << 10];
        loop {
            monitor.check()?;
            match running.read(&mut room) {
                Ok(0) => break,
                Ok(read) => take(room.get(..read).unwrap_or_default())?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(failed(reason(&e))),
            }
        }
        let ended = running.wait(monitor)?;
        if let Ok(writer) = writer {
            let _ = writer.join();
        }
        ended.map_err(failed)
    }
}

/// Keeps the last of what a program complains about.
fn gather(from: &mut impl Read, into: &Mutex<Vec<u8>>) {
    let mut room = [0; 1024];
    while let Ok(read @ 1..) = from.read(&mut room) {
        let mut kept = into.lock().unwrap_or_else(|e| e.into_inner());
        kept.extend_from_slice(room.get(..read).unwrap_or_default());
        let surplus = kept.len().saturating_sub(COMPLAINT_MAX);
        kept.drain(..surplus);
    }
}

/// A program that runs. It is killed when it is dropped.
pub(in crate::fleet) struct Running {
    program: String,
    child: Child,
    /// Its input, until it is taken.
    pub input: Option<ChildStdin>,
    output: Option<ChildStdout>,
    complaint: Arc<Mutex<Vec<u8>>>,
    listener: Option<thread::JoinHandle<()>>,
    ended: Option<ExitStatus>,
}

impl Running {
    /// Reads what it prints; `Interrupted` when nothing has come for a while.
    pub fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let Some(output) = &mut self.output else { return Ok(0) };
        match poll(&mut [PollFd::new(&output.as_fd(), PollFlags::IN)], Some(&PATIENCE))? {
            0 => Err(io::ErrorKind::Interrupted.into()),
            _ => output.read(room),
        }
    }

    /// The next line that it prints, without its end; waits for it.
    pub fn line(&mut self) -> io::Result<String> {
        let (mut line, mut byte) = (Vec::new(), [0]);
        loop {
            match self.read(&mut byte) {
                Ok(0) => {
                    // Whoever closes its output ends: what it complained about is there then.
                    self.ended = self.child.wait().ok();
                    return Err(io::Error::other(self.why("ended early")));
                }
                Ok(_) if byte == *b"\n" => break,
                Ok(_) if line.len() > 4096 => return Err(io::Error::other("an answer is too long")),
                Ok(_) => line.extend_from_slice(&byte),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        String::from_utf8(line).map_err(io::Error::other)
    }

    /// How it ended, once it has: `Err` holds why it failed.
    pub fn ended(&mut self) -> io::Result<Option<Result<(), String>>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
        }
        let Some(status) = self.ended else { return Ok(None) };
        Ok(Some(if status.success() { Ok(()) } else { Err(self.why(&format!("failed ({status})"))) }))
    }

    /// Waits for its end.
    pub fn wait(&mut self, monitor: &dyn Monitor) -> Result<Result<(), String>> {
        loop {
            monitor.check()?;
            let ended = self.ended();
            if let Some(ended) = ended.map_err(|e| Error::Command { command: self.program.clone(), why: reason(&e) })? {
                return Ok(ended);
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What went wrong, with the last that it complained about. Safe to print.
    fn why(&mut self, what: &str) -> String {
        // All that it complained about is there when it has ended.
        if self.ended.is_some()
            && let Some(listener) = self.listener.take()
        {
            let _ = listener.join();
        }
        let complaint = self.complaint.lock().unwrap_or_else(|e| e.into_inner());
        let lines = complaint.split(|&b| b == b'\n').filter(|line| !line.trim_ascii().is_empty());
        let last: Vec<String> = lines.map(|line| Shown(line).to_string()).collect();
        let last = last.get(last.len().saturating_sub(3)..).unwrap_or_default().join("; ");
        let what = format!("{} {what}", self.program);
        if last.is_empty() { what } else { format!("{what}: {last}") }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.input = None;
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A client's output as a stream for a snapshot: `look` sees all bytes, `last` is asked once the client has ended well, and says
/// why that was not all after all.
pub(super) struct Output<L> {
    running: Running,
    look: L,
    ended: bool,
    done: bool,
}

/// What accompanies a dump.
pub(super) trait Look: Send {
    /// More of the dump.
    fn see(&mut self, bytes: &[u8]);
    /// The dump has ended well, as its client says. `Interrupted` when what it takes to tell is not known yet.
    fn last(&mut self) -> io::Result<()>;
    /// The client failed. Says why, when that is not its own fault.
    fn failed(&mut self, why: String) -> String {
        why
    }
}

impl<L: Look> Output<L> {
    pub fn new(running: Running, look: L) -> Self {
        Output { running, look, ended: false, done: false }
    }
}

impl<L: Look> Read for Output<L> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if self.done || room.is_empty() {
            return Ok(0);
        }
        if !self.ended {
            let read = self.running.read(room)?;
            if read > 0 {
                self.look.see(room.get(..read).unwrap_or_default());
                return Ok(read);
            }
            self.ended = true;
        }
        match self.running.ended()? {
            Some(Ok(())) => {}
            Some(Err(why)) => return Err(io::Error::other(self.look.failed(why))),
            None => {
                thread::sleep(Duration::from_millis(5));
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
        self.look.last()?;
        self.done = true;
        Ok(0)
    }
}

/// The last bytes of a stream.
#[derive(Default)]
pub(super) struct Tail(Vec<u8>);

impl Tail {
    /// So many are kept.
    const LEN: usize = 512;

    pub fn see(&mut self, bytes: &[u8]) {
        let bytes = bytes.get(bytes.len().saturating_sub(Self::LEN)..).unwrap_or_default();
        self.0.extend_from_slice(bytes);
        let surplus = self.0.len().saturating_sub(Self::LEN);
        self.0.drain(..surplus);
    }

    /// Fails unless `words` are among them: the client's last line.
    pub fn expect(&self, words: &str) -> io::Result<()> {
        if self.0.windows(words.len()).any(|window| window == words.as_bytes()) {
            return Ok(());
        }
        Err(io::Error::other(format!("the dump was cut short: it does not end with \"{words}\"")))
    }
}

/// Writes a dump to a client that loads it.
pub(super) fn feed(client: &Client, contents: super::Contents<'_>, monitor: &dyn Monitor) -> Result<()> {
    let failed = |why: String| Error::Command { command: client.name(), why };
    let mut running = client.start(true).map_err(|e| failed(reason(&e)))?;
    // What it prints is of no interest, but it must not wait for a reader.
    let mut output = running.output.take();
    let drain = thread::Builder::new().name("answers".into()).spawn(move || {
        if let Some(output) = &mut output {
            let _ = io::copy(output, &mut io::sink());
        }
    });
    let Some(input) = running.input.take() else { return Err(failed("it takes no input".into())) };
    let mut input = io::BufWriter::with_capacity(256 << 10, input);
    let written = contents(&mut input)
        .and_then(|()| input.flush().map_err(|source| Error::Target { path: client.name(), source }));
    // Its input ends here, whatever is left in the buffer of one that has gone.
    drop(input.into_parts());
    // That it ended is why it could not be written to: what it says comes first.
    let broken = matches!(&written, Err(Error::Target { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe);
    if !broken {
        written?;
    }
    let ended = running.wait(monitor)?;
    if let Ok(drain) = drain {
        let _ = drain.join();
    }
    ended.map_err(failed)?;
    if broken { Err(failed("it stopped reading before all was written".into())) } else { Ok(()) }
}

/// User and group of a name, as `/etc/passwd` has them.
pub(in crate::fleet) fn user_of_system(name: &str) -> Result<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is = fields.next() == Some(name);
        let (user, group) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        is.then_some((user, group))
    });
    found.ok_or_else(|| Error::usage(format!("this system has no user \"{}\"", Shown(name.as_bytes()))))
}

/// True when a program of this name is in one of the folders where programs are.
pub(in crate::fleet) fn is_installed(program: &str) -> bool {
    let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    folders.iter().any(|folder| std::path::Path::new(folder).join(OsStr::new(program)).is_file())
}
