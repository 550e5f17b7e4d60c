//! Where messages go, as the rest of the program sees it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::units::{IfName, Severity};

/// One channel: where messages go, and which.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifyConfig {
    /// By which commands, status and metrics call it: the word for its kind, with a number from the
    /// second of a kind on.
    pub name: String,
    pub to: Service,
    /// What is less grave is not told (`min`).
    pub min: Severity,
    /// When only what is critical is told at once.
    pub quiet: Option<Quiet>,
    /// A file that says what is secret in `to`: a path, or the name of a systemd credential or of a file in
    /// `secrets` below the state directory.
    pub secret_file: Option<PathBuf>,
    /// It is told only what nobody has seen.
    #[serde(default)]
    pub escalation: Option<Escalation>,
}

/// When a channel is told what another one was told, because nobody has said that they have seen it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalation {
    /// The name of the other one.
    pub of: String,
    /// How long after it happened.
    pub after: Duration,
}

/// In a URL, this stands for the uplink's name.
pub const UPLINK: &str = "{uplink}";

/// Where the sign of life goes, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatConfig {
    pub server: Server,
    pub login: Login,
    /// Path and query, which may be what makes it this box's. [`UPLINK`] in it is for a name.
    pub path: Secret,
    pub every: Duration,
    /// Whether each uplink gives its own sign, through itself.
    pub each_uplink: bool,
}

/// A part of each day, in minutes after midnight, local time; it may go over midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quiet {
    pub from: u16,
    pub to: u16,
}

impl Quiet {
    /// Whether a minute of the day is part of it.
    #[must_use]
    pub const fn contains(self, minute: u16) -> bool {
        if self.from <= self.to {
            self.from <= minute && minute < self.to
        } else {
            self.from <= minute || minute < self.to
        }
    }
}

/// A password, a token, a topic that nobody can guess. No log, answer or recording shows it: it is
/// written as `…`, and so it is not what it was when it is read again.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret itself, for who sends it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("…")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// A server as a URL names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Whether it is spoken to by TLS from the first byte.
    pub tls: bool,
    /// A name, or an address without brackets.
    pub host: String,
    pub port: u16,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Who the box says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// Empty: a password alone is a token.
    pub user: String,
    pub password: Secret,
}

/// What takes a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// `json://`, `jsons://`: a request to a URL.
    Webhook(Webhook),
    /// `ntfy://`, `ntfys://`: a topic of ntfy.
    Ntfy { server: Server, login: Login, topic: Secret },
    /// `gotify://`, `gotifys://`: an application of Gotify.
    Gotify { server: Server, prefix: String, token: Secret },
    /// `pover://USER@TOKEN`: Pushover.
    Pushover { server: Server, user: Secret, token: Secret },
    /// `tgram://TOKEN/CHAT`: a bot of Telegram.
    Telegram { server: Server, token: Secret, chat: String },
    /// `mailto://`, `mailtos://`: an e-mail to one person.
    Mail(Mail),
    /// `hilink://HOST/NUMBER?uplink=NAME`: an SMS by a mobile router.
    Hilink(Hilink),
    /// `sms://NUMBER`: an SMS by a modem of this box.
    Modem { number: Secret },
    /// `mqtt://`, `mqtts://`: a topic of a broker.
    Mqtt(Mqtt),
    /// `exec:///PATH`: a program on this box.
    Exec { program: PathBuf },
    /// The programs of a directory; no URL says it.
    Hooks { dir: PathBuf },
}

/// A request with the JSON of a message, or with a body of somebody else's making.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    pub server: Server,
    pub login: Login,
    /// Path and query, in which places such as `{id}` may stand.
    pub path: Secret,
    #[serde(default)]
    pub verb: Verb,
    /// What is sent in place of our JSON.
    #[serde(default)]
    pub template: Option<Template>,
}

/// What is sent, and as what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    pub kind: BodyKind,
    /// With places such as `{title}`. A service's password may be among it.
    pub body: Secret,
}

/// How values are written, and what the body says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyKind {
    Json,
    /// `a=b&c=d`
    Form,
}

/// By which method a webhook is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    #[default]
    Post,
    Put,
}

/// A topic of an MQTT broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mqtt {
    pub server: Server,
    /// Empty where the broker takes everybody.
    pub login: Login,
    pub topic: String,
    /// Below this Home Assistant looks for devices (`?discovery=`); `None`: it is not told of this box.
    #[serde(default)]
    pub discovery: Option<String>,
    #[serde(default)]
    pub commands: Commands,
}

/// Whether those who may publish at a broker may say what the box does (`?commands=`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Commands {
    #[default]
    Refused,
    Taken,
}

/// An SMS by the web interface of a mobile router that is an uplink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hilink {
    /// An address: who could look up a name is elsewhere when it matters.
    pub server: Server,
    /// Used only where the router wants one.
    pub login: Login,
    pub number: Secret,
    /// The uplink, by whose interface alone it is spoken to: two routers may have one address.
    pub uplink: String,
    /// The interface of that, as far as the configuration names it.
    pub interface: Option<IfName>,
}

/// An e-mail to one person, by a server that takes mail from who logs in (RFC 6409).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// Without `tls` it is asked for TLS by STARTTLS, and sent nothing without.
    pub server: Server,
    /// Empty where the server wants none.
    pub login: Login,
    pub from: String,
    /// Not secret, but nothing that a recording need have.
    pub to: Secret,
}

impl Mail {
    /// What stands behind the `@` of the sender.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.from.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl Service {
    /// The word for its kind, by which commands name a channel.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Ntfy { .. } => "ntfy",
            Self::Gotify { .. } => "gotify",
            Self::Pushover { .. } => "pushover",
            Self::Telegram { .. } => "telegram",
            Self::Mail(_) => "email",
            Self::Hilink(_) | Self::Modem { .. } => "sms",
            Self::Mqtt(_) => "mqtt",
            Self::Exec { .. } => "exec",
            Self::Hooks { .. } => "hooks",
        }
    }

    /// The server whose name has to be looked up, if there is one.
    #[must_use]
    pub const fn server(&self) -> Option<&Server> {
        match self {
            Self::Webhook(Webhook { server, .. })
            | Self::Ntfy { server, .. }
            | Self::Gotify { server, .. }
            | Self::Pushover { server, .. }
            | Self::Telegram { server, .. }
            | Self::Mail(Mail { server, .. })
            | Self::Mqtt(Mqtt { server, .. }) => Some(server),
            Self::Hilink(_) | Self::Modem { .. } | Self::Exec { .. } | Self::Hooks { .. } => None,
        }
    }

    /// Puts what is in a secret file in its place.
    pub fn know(&mut self, secret: Secret) {
        match self {
            Self::Webhook(Webhook { login, .. })
            | Self::Ntfy { login, .. }
            | Self::Mail(Mail { login, .. })
            | Self::Hilink(Hilink { login, .. })
            | Self::Mqtt(Mqtt { login, .. }) => login.password = secret,
            Self::Gotify { token, .. }
            | Self::Pushover { token, .. }
            | Self::Telegram { token, .. } => *token = secret,
            Self::Modem { .. } | Self::Exec { .. } | Self::Hooks { .. } => {}
        }
    }

    /// Whether it has the secret without which it refuses everybody.
    #[must_use]
    pub fn lacks_secret(&self) -> bool {
        match self {
            Self::Gotify { token, .. }
            | Self::Pushover { token, .. }
            | Self::Telegram { token, .. } => token.is_empty(),
            Self::Mail(Mail { login, .. })
            | Self::Hilink(Hilink { login, .. })
            | Self::Mqtt(Mqtt { login, .. }) => !login.user.is_empty() && login.password.is_empty(),
            Self::Webhook(_)
            | Self::Ntfy { .. }
            | Self::Modem { .. }
            | Self::Exec { .. }
            | Self::Hooks { .. } => false,
        }
    }
}

impl fmt::Display for Service {
    /// As people are shown it: enough to know it again, and nothing that is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Webhook(Webhook { server, .. }) => write!(f, "webhook ({})", server.host),
            Self::Ntfy { topic, .. } => {
                write!(f, "ntfy ({}…)", topic.reveal().chars().take(5).collect::<String>())
            }
            Self::Gotify { server, .. } => write!(f, "gotify ({})", server.host),
            Self::Mqtt(Mqtt { server, .. }) => write!(f, "mqtt ({})", server.host),
            Self::Pushover { .. } => f.write_str("pushover"),
            Self::Telegram { chat, .. } => write!(f, "telegram ({chat})"),
            // Whoever is in the LAN may see it.
            Self::Mail(Mail { to, .. }) => {
                let (name, domain) = to.reveal().split_once('@').unwrap_or_default();
                let first = name.chars().next().map_or_else(String::new, String::from);
                write!(f, "email ({first}…@{domain})")
            }
            Self::Hilink(Hilink { number, .. }) | Self::Modem { number } => {
                let number = number.reveal();
                write!(
                    f,
                    "sms (…{})",
                    number.get(number.len().saturating_sub(4)..).unwrap_or_default()
                )
            }
            Self::Exec { program } => write!(f, "exec ({})", program.display()),
            Self::Hooks { dir } => write!(f, "hooks ({})", dir.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quiet_hours_may_go_over_midnight() {
        let night = Quiet { from: 22 * 60, to: 7 * 60 };
        let noon = Quiet { from: 12 * 60, to: 14 * 60 };
        for (minute, at_night, at_noon) in [
            (0, true, false),
            (419, true, false),
            (420, false, false),
            (720, false, true),
            (1320, true, false),
        ] {
            assert_eq!(
                (night.contains(minute), noon.contains(minute)),
                (at_night, at_noon),
                "{minute}"
            );
        }
    }
}
