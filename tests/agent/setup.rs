//! `sparelink setup` in a home: what it finds is right, and nobody is locked out by what it starts.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use sparelink::lab::netns::Netns;
use sparelink::lab::script::{Action, LineEvent};
use sparelink::lab::stage::{PRIVATE_DIR, child};
use sparelink::lab::topology::{Home, Plan};
use tokio::time::{Instant, sleep};

use crate::figure;
use crate::stage::{AGENT, Said, in_netns, shell};

crate::tests![
    #[ignore = "long: two minutes are given"]
    after_the_usual_two_minutes_everything_is_as_before,
    nobody_is_locked_out_by_what_goes_wrong,
    setup_begins_with_what_others_have_been_told,
    setup_proposes_what_works,
    setup_without_a_way_out_writes_nothing,
    what_is_interrupted_at_a_question_is_not_written,
    what_is_refused_at_a_question_is_not_written,
    what_setup_starts_stays_only_if_it_is_confirmed,
];

/// How long `keep` is waited for.
const WITHIN: Duration = Duration::from_secs(10);
/// Questions, five seconds of trying, a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// What follows each prompt, unless a test says otherwise.
const ANSWERS: [(&str, &str); 6] = [
    ("Order, the best first", ""),
    ("Names: dnsmasq", "n"),
    ("Password for changes", ""),
    ("Messages to your phone", ""),
    ("Write it to", "y"),
    ("Start it now?", "y"),
];

/// A place for a configuration, with somebody who starts services.
struct Place(PathBuf);

impl Place {
    /// A stand-in for systemctl starts the agent; as in a real system nothing runs before.
    fn new() -> Result<Self> {
        let dir = Path::new(PRIVATE_DIR).join("setup");
        fs::create_dir_all(dir.join("bin"))?;
        fs::create_dir_all("/run/systemd/system")?;
        let systemctl = dir.join("bin/systemctl");
        let shown = dir.display();
        let script = format!(
            "#!/bin/sh\ncd {shown}\n\
             runs() {{ [ -e pid ] && kill -0 $(cat pid) 2>/dev/null; }}\n\
             case $1 in\n\
             is-active) runs ;;\n\
             restart) $0 stop; {AGENT} run --config {shown}/sparelink.toml --run-dir {shown}/run \
             >>log 2>&1 </dev/null & echo $! >pid ;;\n\
             stop) runs && kill $(cat pid); while runs; do sleep 0.1; done; true ;;\n\
             enable) touch enabled ;;\n\
             esac\n"
        );
        fs::write(&systemctl, script)?;
        fs::set_permissions(&systemctl, Permissions::from_mode(0o755))?;
        Ok(Self(dir))
    }

    fn config(&self) -> PathBuf {
        self.0.join("sparelink.toml")
    }

    /// The words of a command that is run with our systemctl.
    fn words(&self, flags: &[&str]) -> Vec<OsString> {
        let path = format!("PATH={}/bin:/usr/sbin:/usr/bin:/sbin:/bin", self.0.display());
        let mut words: Vec<OsString> = [&path, AGENT, "setup"].map(OsString::from).into();
        words.extend(flags.iter().map(OsString::from));
        words.extend(["--config".into(), self.config().into_os_string()]);
        words.extend(["--run-dir".into(), self.0.join("run").into_os_string()]);
        words
    }

    /// Runs it to its end without a terminal.
    async fn setup(&self, router: &Netns, flags: &[&str]) -> Result<Said> {
        let mut command = child(Path::new("/usr/bin/env"), &self.words(flags));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let running = router.run(async move { command.spawn() }).await??;
        let output = tokio::task::spawn_blocking(move || running.wait_with_output()).await??;
        Ok(Said::from(output))
    }

    /// The same on a box that has nothing below `/etc` but these files.
    async fn setup_with(
        &self,
        router: &Netns,
        files: &[(&str, &str)],
        flags: &[&str],
    ) -> Result<Said> {
        let mut script = "mount -t tmpfs -o mode=0755 none /etc\n".to_owned();
        for (number, (path, text)) in files.iter().enumerate() {
            let kept = self.0.join(format!("file-{number}"));
            fs::write(&kept, text)?;
            script +=
                &format!("mkdir -p \"$(dirname '{path}')\"; cp {} '{path}'\n", kept.display());
        }
        let words = self.words(flags);
        let words = words.iter().map(|word| format!(" '{}'", word.to_string_lossy()));
        script += &format!("exec env{}\n", words.collect::<String>());
        let words = ["--mount", "/bin/sh", "-ec", &script];
        in_netns(router, "/usr/bin/unshare", &words).await
    }

    /// Ends the agent.
    fn stop(&self) -> Result<()> {
        let script = format!("{}/bin/systemctl stop", self.0.display());
        let status = child(Path::new("/bin/sh"), &["-c".into(), script.into()]).status()?;
        ensure!(status.success(), "the agent does not stop");
        Ok(())
    }

    /// Starts the agent in the router.
    async fn start(&self, router: &Netns) -> Result<()> {
        let script = format!("{}/bin/systemctl restart", self.0.display());
        let mut command = child(Path::new("/bin/sh"), &["-c".into(), script.into()]);
        let mut running = router.run(async move { command.spawn() }).await??;
        let status = tokio::task::spawn_blocking(move || running.wait()).await??;
        ensure!(status.success(), "the agent does not start");
        Ok(())
    }

    /// Whether setup has something to keep or to undo.
    fn is_on_trial(&self) -> bool {
        ["json", "undoing"].iter().any(|end| self.0.join(format!("setup-undo.{end}")).exists())
    }

    /// The agent's process.
    fn agent(&self) -> Result<Pid> {
        Ok(Pid::from_raw(fs::read_to_string(self.0.join("pid"))?.trim().parse()?))
    }

    /// Whoever waits to undo what nobody confirms.
    fn guards(&self) -> Result<Vec<Pid>> {
        let mut guards = Vec::new();
        for process in fs::read_dir("/proc")? {
            let name = process?.file_name();
            let Ok(pid) = name.to_string_lossy().parse() else { continue };
            let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            if words.contains("setup\0--undo") && words.contains(&*self.0.to_string_lossy()) {
                guards.push(Pid::from_raw(pid));
            }
        }
        ensure!(!guards.is_empty(), "nobody waits to undo it");
        Ok(guards)
    }

    /// Whether the agent runs.
    fn runs(&self) -> bool {
        let pid = fs::read_to_string(self.0.join("pid")).unwrap_or_default();
        Path::new("/proc").join(pid.trim()).join("net").exists() && !pid.is_empty()
    }
}

/// Setup at a terminal.
struct Terminal {
    child: Child,
    master: File,
    said: String,
    /// What has been answered already.
    read: usize,
}

impl Terminal {
    async fn open(place: &Place, router: &Netns) -> Result<Self> {
        let within = format!("{}s", WITHIN.as_secs());
        Self::open_with(place, router, &["--within", &within]).await
    }

    async fn open_with(place: &Place, router: &Netns, words: &[&str]) -> Result<Self> {
        let pty = openpty(None, None)?;
        let master: OwnedFd = pty.master;
        let flags = OFlag::from_bits_truncate(fcntl(&master, FcntlArg::F_GETFL)?);
        fcntl(&master, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        let mut command = child(Path::new("/usr/bin/env"), &place.words(words));
        command.stdin(Stdio::from(pty.slave.try_clone()?));
        command.stdout(Stdio::from(pty.slave.try_clone()?)).stderr(Stdio::from(pty.slave));
        let child = router.run(async move { command.spawn() }).await??;
        Ok(Self { child, master: File::from(master), said: String::new(), read: 0 })
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    fn look(&mut self) -> Result<()> {
        let mut bytes = [0; 4096];
        match self.master.read(&mut bytes) {
            Ok(count) => self.said.push_str(&String::from_utf8_lossy(&bytes[..count])),
            // The other end is closed: it has ended.
            Err(error) if error.raw_os_error() == Some(nix::libc::EIO) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn types(&mut self, text: &str) -> Result<()> {
        self.master.write_all(format!("{text}\n").as_bytes())?;
        Ok(())
    }

    /// Answers questions until it has said that.
    async fn until(&mut self, words: &str, answers: &BTreeMap<&str, &str>) -> Result<()> {
        let begun = Instant::now();
        loop {
            self.look()?;
            let new = &self.said[self.read..];
            if let Some(at) = new.find(words) {
                self.read += at + words.len();
                return Ok(());
            }
            let question = answers.iter().find_map(|(q, a)| Some((new.find(q)? + q.len(), *a)));
            if let Some((end, answer)) = question {
                self.read += end;
                // The rest of the prompt, so that the answer is read as one.
                sleep(Duration::from_millis(100)).await;
                self.types(answer)?;
            }
            ensure!(begun.elapsed() < PATIENCE, "it never said {words:?}: {}", self.said);
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Its exit code.
    async fn ends(&mut self) -> Result<Option<i32>> {
        let begun = Instant::now();
        loop {
            self.look()?;
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.code());
            }
            ensure!(begun.elapsed() < PATIENCE, "it does not end: {}", self.said);
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn setup_proposes_what_works() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    let place = Place::new()?;
    home.apply(&Action::line("mifi", LineEvent::Portal)).await?;
    let said = place.setup(&home.router, &["--print"]).await?.must(0)?;
    ensure!(!place.config().exists(), "--print has written: {said:?}");
    let config = sparelink::config::parse(&said.out, "printed").context("what is printed")?;
    let chain: Vec<String> = config
        .uplinks
        .iter()
        .filter_map(|u| Some(u.device.interface.as_ref()?.to_string()))
        .collect();
    ensure!(chain == ["wan0", "wlan0"], "{said:?}");
    let lan: Vec<String> =
        config.lan.iter().flat_map(|lan| &lan.interfaces).map(ToString::to_string).collect();
    ensure!(lan == ["lan0"], "{said:?}");
    ensure!(said.err.matches("Internet works, ").count() == 2, "{said:?}");
    ensure!(said.err.contains("sign-in"), "{said:?}");
    let written = place.setup(&home.router, &["--yes"]).await?.must(0)?;
    ensure!(fs::read_to_string(place.config())? == said.out, "{written:?}");
    // Beside an agent there is no room for another: it is asked what it knows.
    place.start(&home.router).await?;
    let begun = Instant::now();
    loop {
        let beside = place.setup(&home.router, &["--print"]).await?.must(0)?;
        let strange = beside.err.contains("none of its uplinks");
        let works = beside.err.matches("Internet works, ").count() == 2;
        if strange && works && beside.out == said.out {
            break;
        }
        ensure!(begun.elapsed() < PATIENCE, "beside an agent: {beside:?}");
        sleep(Duration::from_millis(200)).await;
    }
    place.stop()?;
    // No terminal, and no flag that says what to do.
    let asked = place.setup(&home.router, &[]).await?.must(2)?;
    ensure!(asked.err.contains("this is no terminal"), "{asked:?}");
    Ok(())
}

async fn setup_begins_with_what_others_have_been_told() -> Result<()> {
    const MWAN3: &str = "config interface 'lte'\n\toption enabled '1'\n\toption interval '5'\n\
        config interface 'wan'\n\toption enabled '1'\n\
        config interface 'away'\n\toption enabled '1'\n\
        config interface 'off'\n\
        config member 'm_wan'\n\toption interface 'wan'\n\toption metric '2'\n\
        config member 'm_lte'\n\toption interface 'lte'\n\toption metric '1'\n\
        config policy 'p'\n\tlist use_member 'm_wan'\n\tlist use_member 'm_lte'\n\
        config rule 'all'\n\toption dest_ip '0.0.0.0/0'\n\toption use_policy 'p'\nbroken\n";
    const NETWORK: &str = "config interface 'wan'\n\toption device 'wan0'\n\
        config interface 'lte'\n\toption device 'usb0'\n\
        config interface 'off'\n\toption device 'wlan0'\n\
        config interface 'away'\n\toption device 'eth9'\n";
    let home = Home::build(&Plan::default()).await?;
    let place = Place::new()?;
    let chain = |said: &Said| -> Result<Vec<String>> {
        let config = sparelink::config::parse(&said.out, "printed").context("what is printed")?;
        let of = |u: &sparelink::config::UplinkConfig| {
            Some(format!("{} {}", u.name, u.device.interface.as_ref()?))
        };
        Ok(config.uplinks.iter().filter_map(of).collect())
    };
    let files = [("/etc/config/mwan3", MWAN3), ("/etc/config/network", NETWORK)];
    let flags = ["--from", "mwan3", "--print"];
    let said = place.setup_with(&home.router, &files, &flags).await?.must(0)?;
    ensure!(chain(&said)? == ["lte usb0", "wan wan0", "away eth9"], "{said:?}");
    ensure!(said.err.matches("Internet works, ").count() == 2, "it is proven as always: {said:?}");
    for told in [
        "eth9     Ethernet: not seen now",
        "dropped: /etc/config/mwan3:21:1: \"broken\" begins no statement",
        "dropped: /etc/config/mwan3: interface lte: interval: sparelink learns",
        "dropped: /etc/config/mwan3: interface off: it is not enabled there",
        "/etc/init.d/mwan3 stop",
    ] {
        ensure!(said.err.contains(told), "no `{told}`: {said:?}");
    }
    let comment = "# dropped: /etc/config/mwan3: interface lte: interval: ";
    ensure!(said.out.contains(comment), "{said:?}");
    let lan = "interfaces = [\"lan0\"]";
    ensure!(said.out.contains(lan), "the LAN is found as always: {said:?}");

    let profile = |id: &str, dev: &str, more: &str| {
        format!("[connection]\nid={id}\ntype=ethernet\ninterface-name={dev}\n[ipv4]\n{more}\n")
    };
    let dir = "/etc/NetworkManager/system-connections";
    let paths = ["a", "b", "c"].map(|name| format!("{dir}/{name} 1.nmconnection"));
    let texts = [
        profile("Wired connection 1", "wan0", "method=auto\nroute-metric=300"),
        profile("Anna's phone", "usb0", "method=auto"),
        profile("spare", "wlan0", "method=auto\nnever-default=true"),
    ];
    let files: Vec<(&str, &str)> =
        paths.iter().zip(&texts).map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let flags = ["--from", "networkmanager", "--yes"];
    let said = place.setup_with(&home.router, &files, &flags).await?.must(0)?;
    ensure!(said.err.contains("it says never-default"), "{said:?}");
    let text = fs::read_to_string(place.config())?;
    let written = Said { out: text, ..said };
    ensure!(chain(&written)? == ["Anna-s-phone usb0", "Wired-connection-1 wan0"], "{written:?}");

    // Nothing to begin with, and nothing is written.
    fs::remove_file(place.config())?;
    for (program, told) in [
        ("mwan3", "there is no /etc/config/mwan3"),
        ("networkmanager", "there is no /etc/NetworkManager/system-connections/*.nmconnection"),
        ("mwan", "did you mean mwan3?"),
    ] {
        let said =
            place.setup_with(&home.router, &[], &["--from", program, "--yes"]).await?.must(2)?;
        ensure!(said.err.contains(told) && said.err.contains("hint: "), "{said:?}");
    }
    ensure!(!place.config().exists(), "something was written");
    Ok(())
}

async fn setup_without_a_way_out_writes_nothing() -> Result<()> {
    let home = Home::build(&Plan::named(&["cable".to_owned()])).await?;
    let place = Place::new()?;
    home.apply(&Action::line("cable", LineEvent::Vanish)).await?;
    let said = place.setup(&home.router, &["--yes"]).await?.must(1)?;
    ensure!(said.err.contains("nothing leads to the Internet here"), "{said:?}");
    ensure!(said.err.contains("nothing is written") && !place.config().exists(), "{said:?}");
    Ok(())
}

/// How somebody is lost, or not, after setup has started the agent.
#[derive(Clone, Copy, Debug)]
enum Then {
    Undo,
    Silent,
    /// Types the end of what is typed.
    EndOfInput,
    /// Says something else, and goes for a coffee.
    OtherWords,
    /// The session is gone.
    HangUp,
    /// Setup is ended.
    Terminate,
    /// It is stopped where it is, and never goes on.
    Stall,
    /// The agent is killed.
    AgentDies,
    /// Somebody else sets it up meanwhile.
    SecondSetup,
    /// Nobody is left who would undo it, and the box boots.
    PowerCut,
}

/// Given up at a question: nothing is there.
async fn what_is_refused_at_a_question_is_not_written() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    let place = Place::new()?;
    let mut terminal = Terminal::open(&place, &home.router).await?;
    let refuses = BTreeMap::from_iter(ANSWERS.into_iter().chain([("Write it to", "n")]));
    terminal.until("nothing is written", &refuses).await?;
    terminal.ends().await?;
    ensure!(!place.config().exists() && !place.runs(), "{}", terminal.said);
    Ok(())
}

/// Hung up at each question, by turns with Ctrl-C and the end of what is typed: nothing is there.
async fn what_is_interrupted_at_a_question_is_not_written() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    let place = Place::new()?;
    // Which are asked here; after `Write it to` it is written.
    let mut terminal = Terminal::open(&place, &home.router).await?;
    let refuses = BTreeMap::from_iter(ANSWERS.into_iter().chain([("Write it to", "n")]));
    terminal.until("nothing is written", &refuses).await?;
    let said = std::mem::take(&mut terminal.said);
    let questions = ANSWERS.iter().filter(|(question, _)| said.contains(question));
    let mut interrupted = 0;
    for (question, _) in questions {
        let mut others: BTreeMap<&str, &str> = ANSWERS.into();
        others.remove(question);
        let mut terminal = Terminal::open(&place, &home.router).await?;
        terminal.until(question, &others).await?;
        sleep(Duration::from_millis(100)).await;
        match interrupted % 3 {
            0 => drop(terminal),
            by => {
                // There a terminal makes no signal of Ctrl-C.
                let by_word = question.starts_with("Password");
                match by {
                    1 if by_word => terminal.master.write_all(b"\x03")?,
                    1 => kill(terminal.pid(), Signal::SIGINT)?,
                    _ => terminal.master.write_all(b"\x04")?,
                }
                let code = terminal.ends().await?;
                ensure!(code != Some(0), "at {question:?} it ended well: {}", terminal.said);
                let echoes = tcgetattr(&terminal.master)?.local_flags.contains(LocalFlags::ECHO);
                ensure!(echoes, "at {question:?}: what is typed is not seen any more");
            }
        }
        interrupted += 1;
        let left: Vec<_> = fs::read_dir(&place.0)?.flatten().map(|e| e.file_name()).collect();
        ensure!(left == ["bin"], "at {question:?}: {left:?}");
    }
    ensure!(interrupted >= 4, "control: {interrupted} questions: {said}");
    figure(&format!("{interrupted} questions"));
    Ok(())
}

/// Sets up a home, and then this happens: how long it took until everything was as before.
async fn undone_after(
    place: &Place,
    home: &Home,
    then: Then,
    before: Option<&str>,
) -> Result<Duration> {
    if let Some(text) = before {
        fs::write(place.config(), text)?;
    }
    let mut terminal = begun(place, home).await?;
    let begun = Instant::now();
    match then {
        Then::Undo => terminal.types("undo")?,
        Then::OtherWords => {
            ["yes", "keep it", ""].iter().try_for_each(|word| terminal.types(word))?
        }
        Then::Silent => {}
        Then::EndOfInput => terminal.master.write_all(b"\x04")?,
        Then::HangUp => drop(terminal),
        Then::Terminate => kill(terminal.pid(), Signal::SIGTERM)?,
        Then::Stall => kill(terminal.pid(), Signal::SIGSTOP)?,
        Then::AgentDies => kill(place.agent()?, Signal::SIGKILL)?,
        Then::SecondSetup => {
            let second = place.setup(&home.router, &["--yes"]).await?.must(2)?;
            ensure!(second.err.contains("on trial already"), "{second:?}");
        }
        Then::PowerCut => {
            for pid in [terminal.pid(), place.agent()?].into_iter().chain(place.guards()?) {
                kill(pid, Signal::SIGKILL)?;
            }
            sleep(WITHIN + Duration::from_secs(2)).await;
            ensure!(place.is_on_trial(), "control: somebody was left who undid it");
            place.setup(&home.router, &["--undo"]).await?.must(0)?;
        }
    }
    let as_before = || match before {
        Some(text) => fs::read_to_string(place.config()).is_ok_and(|now| now == text),
        None => !place.config().exists(),
    };
    // Services are seen to after the files.
    while place.runs() || !as_before() || place.is_on_trial() {
        let now = fs::read_to_string(place.config());
        ensure!(begun.elapsed() < PATIENCE, "{then:?}: {now:?}");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(begun.elapsed())
}

/// All questions answered, the agent runs.
async fn begun(place: &Place, home: &Home) -> Result<Terminal> {
    let mut terminal = Terminal::open(place, &home.router).await?;
    terminal.until("Started.", &ANSWERS.into()).await?;
    ensure!(place.runs(), "control: the agent does not run: {}", terminal.said);
    let written = fs::read_to_string(place.config())?;
    ensure!(written.contains("Written by sparelink setup"), "control: {written}");
    Ok(terminal)
}

async fn what_setup_starts_stays_only_if_it_is_confirmed() -> Result<()> {
    const BEFORE: &str = "# mine\n";
    let home = Home::build(&Plan::default()).await?;
    let place = Place::new()?;
    let mut longest = Duration::ZERO;
    for (then, before) in [
        (Then::Silent, None),
        (Then::HangUp, None),
        (Then::OtherWords, Some(BEFORE)),
        (Then::Undo, Some(BEFORE)),
    ] {
        longest = longest.max(undone_after(&place, &home, then, before).await?);
    }
    let undone = place.setup(&home.router, &["--undo"]).await?.must(0)?;
    ensure!(undone.out.contains("nothing is on trial"), "{undone:?}");
    let late = place.setup(&home.router, &["--keep"]).await?.must(1)?;
    ensure!(late.err.contains("undone already"), "{late:?}");
    let mut terminal = begun(&place, &home).await?;
    terminal.types("keep")?;
    terminal.until("kept", &BTreeMap::new()).await?;
    sleep(WITHIN + Duration::from_secs(2)).await;
    ensure!(place.runs() && place.0.join("enabled").exists(), "it was undone all the same");
    place.stop()?;
    figure(&format!(
        "4 of 4 undone within {:.1} s of {} s",
        longest.as_secs_f64(),
        WITHIN.as_secs()
    ));
    Ok(())
}

async fn nobody_is_locked_out_by_what_goes_wrong() -> Result<()> {
    const BEFORE: &str = "# mine\n";
    let home = Home::build(&Plan::default()).await?;
    let place = Place::new()?;
    let mut longest = Duration::ZERO;
    let kinds =
        [Then::Terminate, Then::Stall, Then::AgentDies, Then::SecondSetup, Then::EndOfInput];
    for then in kinds {
        longest = longest.max(undone_after(&place, &home, then, Some(BEFORE)).await?);
    }
    // Later than the others: by whom it is undone is the next boot.
    undone_after(&place, &home, Then::PowerCut, Some(BEFORE)).await?;
    figure(&format!(
        "{0} of {0} undone within {1:.1} s of {2} s, and after a power cut",
        kinds.len(),
        longest.as_secs_f64(),
        WITHIN.as_secs()
    ));
    Ok(())
}

/// Who is silent and says nothing of a time, after a switch of the LAN has gone dark for them as well.
async fn after_the_usual_two_minutes_everything_is_as_before() -> Result<()> {
    let home = Home::build(&Plan::default()).await?;
    let place = Place::new()?;
    let mut terminal = Terminal::open_with(&place, &home.router, &[]).await?;
    terminal.until("Started.", &ANSWERS.into()).await?;
    ensure!(place.runs(), "control: the agent does not run: {}", terminal.said);
    let begun = Instant::now();
    shell(&home.router, "ip link set lan0 down").await?;
    drop(terminal);
    while place.runs() || place.config().exists() || place.is_on_trial() {
        ensure!(begun.elapsed() < Duration::from_secs(130), "it is on trial still");
        sleep(Duration::from_millis(200)).await;
    }
    ensure!(begun.elapsed() > Duration::from_secs(100), "control: {:?} are given", begun.elapsed());
    figure(&format!("undone after {:.1} s", begun.elapsed().as_secs_f64()));
    Ok(())
}
