//! The command line as people meet it: the binary is started, and what it says is compared.
//! The agent on the other end of the socket is a few lines that answer one request each.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

mod completions;
mod passwd;

#[test]
#[cfg(feature = "lab")]
fn help_reads_well() {
    let mut text = String::new();
    let commands = "status why history report notify check doctor plan replay switch pause resume note probe reload run \
                    passwd completions purge lab";
    for command in std::iter::once("").chain(commands.split(' ')) {
        let words = format!("{command} --help");
        let output = sparelink(&words);
        assert_eq!(output.status.code(), Some(0));
        let title = words.trim_start();
        text.push_str(&format!("$ sparelink {title}\n{}\n", stdout(&output)));
    }
    assert_golden("help.txt", &text);
}

#[test]
fn check_names_the_chain_or_every_mistake() {
    let good = sparelink("check --config tests/config/design.toml");
    let text = "tests/config/design.toml: ok, 3 uplinks: cable > mifi > phone\n";
    assert_eq!((stdout(&good), good.status.code()), (text.to_owned(), Some(0)));

    let bad = sparelink("check --config tests/config/pairs.toml");
    assert_eq!((stdout(&bad), bad.status.code()), (String::new(), Some(2)));
    let first = "tests/config/pairs.toml:8:13: ";
    assert!(stderr(&bad).starts_with(first), "{}", stderr(&bad));

    let none = sparelink("check --config /nonexistent.toml");
    assert_eq!(none.status.code(), Some(2));
    assert!(stderr(&none).starts_with("/nonexistent.toml: there is no such file\n  hint: "));
}

#[test]
fn a_program_is_told_each_mistake_with_its_place() {
    let told = |file: &str| {
        let output = sparelink(&format!("check --json {file}"));
        let answer: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        (answer, output.status.code())
    };
    let (good, code) = told("tests/config/design.toml");
    assert_eq!((&good["ok"], code), (&true.into(), Some(0)));
    assert_eq!(good["uplinks"], serde_json::json!(["cable", "mifi", "phone"]));
    assert_eq!((&good["mistakes"], &good["more"]), (&serde_json::json!([]), &0.into()));

    let (bad, code) = told("tests/config/pairs.toml");
    assert_eq!((&bad["ok"], code), (&false.into(), Some(2)));
    let first = &bad["mistakes"][0];
    assert_eq!((&first["line"], &first["column"]), (&8.into(), &13.into()), "{first}");
    assert!(first["text"].is_string() && first["hint"].is_string(), "{first}");

    // What is not read has no places: it is said as to people.
    let none = sparelink("check --json /nonexistent.toml");
    assert_eq!((stdout(&none), none.status.code()), (String::new(), Some(2)));
    assert!(stderr(&none).contains("there is no such file"));
}

#[test]
fn mistakes_on_the_command_line_end_with_2() {
    for words in ["statsu", "status --jsn", "switch", "run --config /nonexistent.toml"] {
        let output = sparelink(words);
        assert_eq!((stdout(&output), output.status.code()), (String::new(), Some(2)), "{words}");
        assert!(stderr(&output).contains("\n  hint: "), "{words}: {}", stderr(&output));
    }
}

/// What the real agent was told during an interruption, and what it decided.
#[test]
fn the_kept_interruption_is_decided_the_same_again() {
    let said = sparelink("replay tests/replay/interruption.jsonl");
    let hint = "was it meant? then record it again, see docs/TESTING.md";
    assert_eq!(said.status.code(), Some(0), "{}{}\n{hint}", stdout(&said), stderr(&said));
    for told in ["from cable to mifi", "Back on cable", "gave the same"] {
        assert!(stdout(&said).contains(told), "{told}: {}", stdout(&said));
    }
    // Control: another configuration decides otherwise.
    let text = fs::read_to_string("tests/replay/interruption.jsonl").unwrap();
    let dir = Dir::new("replay");
    let other = dir.0.join("other.jsonl");
    fs::write(&other, text.replace("\"severed\"", "\"lost\"").replacen("cable", "mifi", 1))
        .unwrap();
    let said = sparelink(&format!("replay {}", other.display()));
    assert_ne!(said.status.code(), Some(0), "{}", stdout(&said));
}

#[test]
fn without_an_agent_it_says_so() {
    let dir = Dir::new("none");
    for command in ["status", "status --json", "status --watch", "switch auto", "history"] {
        let output = sparelink(&format!("{command} --run-dir {}", dir.0.display()));
        let text = format!(
            "error: no agent is running (no socket at {}/sparelink.sock)\n  hint: ",
            dir.0.display()
        );
        assert!(stderr(&output).starts_with(&text), "{command}: {}", stderr(&output));
        assert_eq!((stdout(&output), output.status.code()), (String::new(), Some(2)), "{command}");
    }
    // A socket that a dead agent left behind.
    drop(UnixListener::bind(dir.0.join("sparelink.sock")).unwrap());
    let output = sparelink(&format!("status --run-dir {}", dir.0.display()));
    assert!(stderr(&output).contains("(nothing answers at "), "{}", stderr(&output));
}

#[test]
fn status_tells_and_its_exit_code_too() {
    let uplink = |role: &str, health: &str| {
        format!(
            r#"{{"sentence":"So it is","uplinks":[{{"name":"cable","role":"{role}","health":"{health}","rtt_ms":9.5}}]}}"#
        )
    };
    let up = Agent::answers("up", 200, &uplink("active", "up")).ask("status");
    let table = "So it is.\n  Why:   cable is the only uplink\n  Next:  if cable fails, there is no other uplink\n\n \
                 →  1  cable  in use  9.5 ms\n\n\
                 No other uplink is configured. Paused: none.\n";
    assert_eq!((up.stdout.as_str(), up.code), (table, 0));
    assert!(up.request.starts_with("GET /api/v1/status HTTP/1.1\r\n"), "{}", up.request);

    let down = Agent::answers("down", 200, &uplink("active", "down")).ask("status --json");
    assert_eq!(down.code, 1);
    assert!(down.stdout.starts_with("{\n  \"sentence\""), "{}", down.stdout);
}

#[test]
fn requests_say_what_was_typed() {
    let done = r#"{"message":"the traffic goes by mifi"}"#;
    let cases = [
        ("switch mifi --for 1500ms", "switch", r#"{"for_s":2,"uplink":"mifi"}"#),
        ("switch auto", "switch", r#"{"for_s":null,"uplink":"auto"}"#),
        (
            "pause mifi --for 2h --reason lent",
            "pause",
            r#"{"for_s":7200,"reason":"lent","uplink":"mifi"}"#,
        ),
        ("resume mifi", "resume", r#"{"uplink":"mifi"}"#),
        ("probe mifi", "probe", r#"{"uplink":"mifi"}"#),
        ("reload", "reload", "{}"),
    ];
    for (words, route, body) in cases {
        let got = Agent::answers(route, 200, done).ask(words);
        assert_eq!((got.stdout.as_str(), got.code), ("the traffic goes by mifi\n", 0), "{words}");
        let line = format!("POST /api/v1/{route} HTTP/1.1\r\n");
        assert!(got.request.starts_with(&line) && got.request.ends_with(body), "{}", got.request);
    }
}

#[test]
fn a_refusal_is_told_in_the_agents_words() {
    let problem = |status: u16| {
        format!(
            r#"{{"type":"about:blank","title":"no","status":{status},"detail":"there is no uplink x"}}"#
        )
    };
    for (status, code) in [(404, 2), (409, 1)] {
        let got = Agent::answers(&format!("no{status}"), status, &problem(status)).ask("switch x");
        assert_eq!((got.stdout.as_str(), got.code), ("", code));
        assert_eq!(got.stderr, "error: there is no uplink x\n");
    }
}

#[test]
fn history_lists_what_happened() {
    let events = r#"[{"at":"2026-01-01T12:00:00Z","code":"x","uplink":"mifi","text":"it rained"}]"#;
    let got = Agent::answers("history", 200, events).ask("history");
    assert!(got.stdout.ends_with("2026-01-01 15:00:00  mifi: it rained\n"), "{}", got.stdout);
    assert_eq!(got.code, 0);
}

#[test]
fn an_uplink_that_was_mistyped_is_guessed_in_the_history_too() {
    // Both requests get this: no event, and a status.
    let answer = r#"{"events":[],"uplinks":[{"name":"cable"},{"name":"mifi"}]}"#;
    let got = Agent::answers_times("mistyped", 2, 200, answer).ask("history --uplink mfi");
    assert_eq!((got.stdout.as_str(), got.code), ("", 2));
    assert!(got.stderr.contains("did you mean mifi? the uplinks are"), "{}", got.stderr);
    // Control: of one that there is nothing has happened.
    let got = Agent::answers_times("typed", 2, 200, answer).ask("history --uplink mifi");
    assert_eq!((got.stdout.as_str(), got.code), ("nothing of that kind has happened\n", 0));
}

#[test]
fn no_word_at_all_shows_the_status_or_how_to_begin() {
    let dir = Dir::new("begin");
    let none = sparelink(&format!("--run-dir {}", dir.0.display()));
    let text = stdout(&none);
    assert!(
        text.contains("No agent is running here.") && text.contains("sparelink --help"),
        "{text}"
    );
    assert_eq!((stderr(&none), none.status.code()), (String::new(), Some(0)));

    let status = Agent::answers("unnamed", 200, r#"{"sentence":"So it is","works":true}"#).ask("");
    assert!(status.stdout.starts_with("So it is.\n"), "{}", status.stdout);
    assert_eq!(status.code, 0);
}

#[test]
fn watching_ends_with_its_reader_and_waits_in_one_line_for_an_agent() {
    let agent = Agent::answers_times("watch", 2, 200, r#"{"sentence":"So it is","works":true}"#);
    let words = format!("status --watch --run-dir {}", agent.dir.0.display());
    let mut watching =
        command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It sees the agent twice, then none; its error is told once however often it asks.
    agent.request.join().unwrap();
    fs::remove_file(agent.dir.0.join("sparelink.sock")).unwrap();
    let mut told = BufReader::new(watching.stderr.take().unwrap()).lines();
    let line = told.next().unwrap().unwrap();
    assert!(line.starts_with("agent gone since ") && line.ends_with(", waiting"), "{line}");
    std::thread::sleep(Duration::from_secs(3));
    // The agent is back; its answer finds nobody who reads.
    drop(watching.stdout.take());
    let back = Agent::answers("watch", 200, r#"{"sentence":"So it is","works":true}"#);
    back.request.join().unwrap();
    let mut looks = 0;
    while watching.try_wait().unwrap().is_none() {
        looks += 1;
        assert!(looks < 1000, "it is not read any more, and it goes on");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(told.count(), 0, "told once");
}

/// An agent that answers one request.
struct Agent {
    dir: Dir,
    request: JoinHandle<String>,
}

/// What came of a command.
struct Answer {
    stdout: String,
    stderr: String,
    code: i32,
    /// What the agent was asked.
    request: String,
}

impl Agent {
    fn answers(name: &str, status: u16, body: &str) -> Self {
        Self::answers_times(name, 1, status, body)
    }

    /// The same for several requests; the last is the one that is returned.
    fn answers_times(name: &str, times: usize, status: u16, body: &str) -> Self {
        let dir = Dir::new(name);
        let listener = UnixListener::bind(dir.0.join("sparelink.sock")).unwrap();
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let request = std::thread::spawn(move || {
            let mut request = String::new();
            for _ in 0..times {
                let (mut stream, _) = listener.accept().unwrap();
                request = read_request(&mut stream);
                stream.write_all(answer.as_bytes()).unwrap();
            }
            request
        });
        Self { dir, request }
    }

    fn ask(self, words: &str) -> Answer {
        let output = sparelink(&format!("{words} --run-dir {}", self.dir.0.display()));
        Answer {
            stdout: stdout(&output),
            stderr: stderr(&output),
            code: output.status.code().unwrap(),
            request: self.request.join().unwrap(),
        }
    }
}

/// Reads head and body of a request.
fn read_request(stream: &mut impl Read) -> String {
    let mut request = String::new();
    let mut piece = [0; 4096];
    loop {
        let read = stream.read(&mut piece).unwrap();
        request.push_str(std::str::from_utf8(&piece[..read]).unwrap());
        if let Some((head, body)) = request.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if read == 0 || body.len() >= length.map_or(0, |n| n.parse().unwrap()) {
                return request;
            }
        }
    }
}

/// A directory of this test and this process, removed at the end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("sl-cli-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn sparelink(words: &str) -> Output {
    command(words).output().unwrap()
}

/// The program, in a time zone three hours ahead of UTC.
#[expect(clippy::disallowed_methods, reason = "the test starts what it tests")]
fn command(words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sparelink"));
    command.args(words.split_whitespace()).env("TZ", "TST-3");
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[cfg(feature = "lab")]
#[expect(clippy::disallowed_methods, reason = "a switch for the person who runs the tests")]
fn assert_golden(name: &str, got: &str) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cli").join(name);
    if std::env::var("UPDATE_GOLDEN").is_ok() {
        fs::write(&file, got).unwrap();
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert!(expected == got, "{name} would be:\n{got}\nUPDATE_GOLDEN=1 accepts this");
}
