//! What people type because other programs taught it to them.

/// Words that other programs taught people, and what they are here.
const USUAL: [(&str, &str); 12] = [
    ("start", START),
    ("stop", "stop the agent with: sudo systemctl stop sparelink"),
    ("restart", "restart the agent with: sudo systemctl restart sparelink"),
    ("enable", "start the agent at boot with: sudo systemctl enable --now sparelink"),
    ("log", LOG),
    ("logs", LOG),
    ("events", LOG),
    ("version", "did you mean --version?"),
    ("test", "did you mean probe UPLINK?"),
    ("auto", "did you mean switch auto?"),
    ("install", START),
    ("config", "did you mean check? The file is /etc/sparelink/sparelink.toml"),
];
const START: &str =
    "start the agent with: sudo systemctl start sparelink, or in a terminal: sudo sparelink run";
const LOG: &str = "did you mean history? The agent's log: journalctl -u sparelink";

/// The same for flags.
const USUAL_FLAGS: [(&str, &str); 4] = [
    ("-j", "did you mean --json?"),
    ("-v", "did you mean --version? run -v logs more"),
    ("-n", "did you mean history -n 20?"),
    ("-f", "did you mean status --watch, or history --follow?"),
];

/// What is meant by a flag that is none here.
pub(super) fn flag(name: &str) -> Option<String> {
    USUAL_FLAGS.iter().find(|(flag, _)| *flag == name).map(|(_, hint)| (*hint).to_owned())
}

/// What is meant by a command that is none here.
pub(super) fn command(word: &str) -> Option<String> {
    USUAL.iter().find(|(other, _)| *other == word).map(|(_, hint)| (*hint).to_owned())
}
