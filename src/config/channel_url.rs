//! The URLs of `[[notify]] to`, in the forms that people know from apprise.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use super::address::is_host_name;
use super::channels::{
    Commands, Hilink, Login, Mail, Mqtt, Secret, Server, Service, Verb, Webhook,
};

/// The parts of a URL, of which the user's are decoded.
struct Parts<'u> {
    scheme: &'u str,
    user: Cow<'u, str>,
    password: Cow<'u, str>,
    /// As it stands: a host, or what a service has in its place.
    host: &'u str,
    port: Option<u16>,
    /// From the first `/` or `?` on, query and all.
    path: &'u str,
}

/// How a server is spoken to; the scheme's last letter says so.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speech {
    Plain,
    Tls,
}

/// What a scheme's URL looks like.
const FORMS: [(&str, &str); 16] = [
    ("json", "json://HOST/PATH"),
    ("jsons", "jsons://HOST/PATH"),
    ("ntfy", "ntfy://HOST/TOPIC"),
    ("ntfys", "ntfys://HOST/TOPIC"),
    ("gotify", "gotify://HOST/TOKEN"),
    ("gotifys", "gotifys://HOST/TOKEN"),
    ("pover", "pover://USER@TOKEN"),
    ("tgram", "tgram://BOT_TOKEN/CHAT_ID"),
    ("mailto", "mailto://USER:PASSWORD@HOST?to=ADDRESS&from=ADDRESS"),
    ("mailtos", "mailtos://USER:PASSWORD@HOST?to=ADDRESS&from=ADDRESS"),
    ("hilink", "hilink://HOST_ADDRESS/+4915112345678?uplink=NAME"),
    ("sms", "sms://+4915112345678"),
    ("mqtt", "mqtt://USER:PASSWORD@HOST/TOPIC?commands=yes"),
    ("mqtts", "mqtts://USER:PASSWORD@HOST/TOPIC?commands=yes"),
    ("exec", "exec:///PATH/OF/PROGRAM"),
    ("https", "jsons://HOST/PATH"),
];

/// Where Home Assistant looks for devices, unless it is told otherwise.
const HOME_ASSISTANT: &str = "homeassistant";

/// More readers of one mail than these are a mailing list, which the server should have.
const MOST_READERS: usize = 8;

/// Why a URL is none, in words, and what to do about it. Neither has any of the URL in it but its scheme:
/// the rest may be secret.
pub(super) struct Unfit {
    pub(super) text: String,
    pub(super) hint: String,
}

/// Reads the URL of a channel, or of several: each reader of a mail is one.
pub(super) fn parse(url: &str) -> Result<Vec<Service>, Unfit> {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    let scheme = scheme.filter(|s| s.bytes().all(|b| b.is_ascii_alphanumeric()) && s.len() < 16);
    let Some(scheme) = scheme else {
        let hint = "for example \"ntfy://ntfy.sh/our-house-7f3k\"".to_owned();
        return Err(Unfit { text: "this is not the URL of a channel".to_owned(), hint });
    };
    let form = FORMS.iter().find(|(known, _)| *known == scheme).map(|(_, form)| *form);
    let Some(form) = form.filter(|_| !scheme.starts_with("http")) else {
        let known: Vec<&str> =
            FORMS.iter().map(|(known, _)| *known).take(FORMS.len() - 1).collect();
        let hint = form.map_or_else(
            || format!("known are {}", known.join(", ")),
            |form| format!("write {form}"),
        );
        return Err(Unfit { text: format!("{scheme}:// is not a channel"), hint });
    };
    let unfit = || Unfit {
        text: format!("this {scheme}:// URL is not complete"),
        hint: format!("it looks like {form}"),
    };
    if scheme == "tgram" {
        return telegram(url).map(|one| vec![one]).ok_or_else(unfit);
    }
    if scheme == "sms" {
        return modem(url).map(|one| vec![one]).ok_or_else(unfit);
    }
    let parts = split(url).ok_or_else(unfit)?;
    if scheme.starts_with("mailto") {
        return mails(&parts).ok_or_else(unfit);
    }
    service(&parts).map(|one| vec![one]).ok_or_else(unfit)
}

fn split(url: &str) -> Option<Parts<'_>> {
    if url.len() > 1024 || !url.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let (scheme, rest) = url.split_once("://")?;
    let (authority, path) = rest.find(['/', '?']).map_or((rest, ""), |end| rest.split_at(end));
    let (login, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (host, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, port)
        }
        None => host.find(':').map_or((host, ""), |colon| host.split_at(colon)),
    };
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|port| *port > 0).map(Some)?,
        None if port.is_empty() => None,
        None => return None,
    };
    let (user, password) = (decoded(user)?, decoded(password)?);
    Some(Parts { scheme, user, password, host, port, path })
}

fn decoded(text: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(text).decode_utf8().ok().filter(|text| !text.contains(char::is_control))
}

/// Telegram's token has a colon in it, which is no port.
fn telegram(url: &str) -> Option<Service> {
    let (_, rest) = url.split_once("://")?;
    let (token, chat) = rest.trim_end_matches('/').split_once('/').unwrap_or((rest, ""));
    let (token, chat) = if chat.is_empty() { ("", token) } else { (token, chat) };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b':' | b'@');
    (!chat.is_empty() && chat.bytes().chain(token.bytes()).all(plain)).then(|| Service::Telegram {
        server: Server { tls: true, host: "api.telegram.org".to_owned(), port: 443 },
        token: token.to_owned().into(),
        chat: chat.to_owned(),
    })
}

impl Parts<'_> {
    /// The server.
    fn server(&self, speech: Speech) -> Option<Server> {
        let tls = speech == Speech::Tls;
        let port = self.port.unwrap_or(if tls { 443 } else { 80 });
        is_host(self.host).then(|| Server { tls, host: self.host.to_owned(), port })
    }

    /// What stands behind the `?`, decoded; `None` if anything but these is there, or one twice.
    fn query<'k>(&self, known: &[&'k str]) -> Option<BTreeMap<&'k str, String>> {
        let mut found = BTreeMap::new();
        let (_, query) = self.path.split_once('?').unwrap_or_default();
        for (key, value) in query
            .split('&')
            .filter(|part| !part.is_empty())
            .map(|part| part.split_once('='))
            .map(Option::unwrap_or_default)
        {
            let key = known.iter().find(|known| **known == key)?;
            let twice = found.insert(*key, decoded(value)?.into_owned());
            if twice.is_some() {
                return None;
            }
        }
        Some(found)
    }

    /// A name without a password is a token, and as secret as one.
    fn login(&self) -> Login {
        let (user, password) = if self.password.is_empty() {
            (&self.password, &self.user)
        } else {
            (&self.user, &self.password)
        };
        Login { user: user.to_string(), password: password.to_string().into() }
    }

    /// The segments of the path, without a query.
    fn segments(&self) -> Vec<&str> {
        let path = self.path.split('?').next().unwrap_or_default();
        path.split('/').filter(|segment| !segment.is_empty()).collect()
    }
}

/// Reads the URL of a web server: where it is, who we say we are, path and query.
pub(super) fn http(url: &str) -> Option<(Server, Login, Secret)> {
    let parts = split(url)?;
    let speech = match parts.scheme.to_ascii_lowercase().as_str() {
        "http" => Speech::Plain,
        "https" => Speech::Tls,
        _ => return None,
    };
    let path = if parts.path.starts_with('/') { "" } else { "/" }.to_owned() + parts.path;
    let path = path.split('#').next().unwrap_or_default();
    Some((parts.server(speech)?, parts.login(), path.to_owned().into()))
}

fn is_host(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || is_host_name(text)
}

/// Whether a text is an address as mail servers everywhere take it (RFC 5321, without quotes and beyond ASCII).
fn is_mail_address(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&b);
    text.rsplit_once('@').is_some_and(|(name, domain)| {
        let dots = name.starts_with('.') || name.ends_with('.') || name.contains("..");
        (1..=64).contains(&name.len()) && !dots && name.bytes().all(plain) && is_host_name(domain)
    })
}

/// A number as the network takes it (E.164), which may have been written for people. `+` stands in URLs as itself.
fn phone(text: &str) -> Option<String> {
    let text = decoded(text)?;
    let number: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')')).collect();
    let digits = number.strip_prefix('+').unwrap_or(&number);
    let plain = (3..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then_some(number)
}

/// One mail for each reader: who is refused does not hold up the others, and has an answer of his own.
fn mails(parts: &Parts<'_>) -> Option<Vec<Service>> {
    let query = parts.query(&["to", "from", "smtp"])?;
    let tls = parts.scheme.to_ascii_lowercase().ends_with('s');
    let host = query.get("smtp").map_or(parts.host, String::as_str).to_owned();
    if !is_host(&host) || !parts.segments().is_empty() {
        return None;
    }
    // As people know it: `mailtos://me:password@example.org` is a mail to oneself.
    let own = || {
        let host = if parts.user.contains('@') { "" } else { &format!("@{}", parts.host) };
        format!("{}{host}", parts.user)
    };
    let from = query.get("from").cloned().unwrap_or_else(own);
    let to = query.get("to").unwrap_or(&from);
    let readers: Vec<&str> = to.split(',').map(str::trim).collect();
    if readers.len() > MOST_READERS || !readers.iter().chain([&&*from]).all(|a| is_mail_address(a))
    {
        return None;
    }
    let server = Server { tls, host, port: parts.port.unwrap_or(if tls { 465 } else { 587 }) };
    let password = parts.password.to_string().into();
    let login = Login { user: parts.user.to_string(), password };
    let mail = |to: &&str| {
        let (server, login, from) = (server.clone(), login.clone(), from.clone());
        Service::Mail(Mail { server, login, from, to: (*to).to_owned().into() })
    };
    Some(readers.iter().map(mail).collect())
}

fn pushover(parts: &Parts<'_>) -> Option<Service> {
    let server = Server { tls: true, host: "api.pushover.net".to_owned(), port: 443 };
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric());
    // Without `@` it is the user, and the token stands in a file.
    let (user, token) =
        if parts.user.is_empty() { (parts.host, "") } else { (&*parts.user, parts.host) };
    if user.is_empty() || !plain(user) || !plain(token) {
        return None;
    }
    let (user, token) = (user.to_owned().into(), token.to_owned().into());
    Some(Service::Pushover { server, user, token })
}

fn hilink(parts: &Parts<'_>) -> Option<Service> {
    let query = parts.query(&["uplink"])?;
    let [number] = parts.segments()[..] else { return None };
    let server = parts.server(Speech::Plain)?;
    parts.host.parse::<IpAddr>().ok()?;
    let password = parts.password.to_string().into();
    Some(Service::Hilink(Hilink {
        server,
        login: Login { user: parts.user.to_string(), password },
        number: phone(number)?.into(),
        uplink: query.get("uplink").cloned().filter(|name| !name.is_empty())?,
        interface: None,
    }))
}

/// The number alone, which need not look like a host.
fn modem(url: &str) -> Option<Service> {
    let (_, number) = url.split_once("://")?;
    phone(number.trim_matches('/')).map(|number| Service::Modem { number: number.into() })
}

fn mqtt(parts: &Parts<'_>, speech: Speech) -> Option<Service> {
    let tls = speech == Speech::Tls;
    let port = parts.port.unwrap_or(if tls { 8883 } else { 1883 });
    let query = parts.query(&["discovery", "commands"])?;
    let topic = decoded(parts.path.split('?').next()?.strip_prefix('/')?)?;
    // The other two stand for several topics.
    let is_topic = |t: &str| (1..=256).contains(&t.len()) && !t.contains(['+', '#']);
    let discovery = match query.get("discovery").map_or(HOME_ASSISTANT, String::as_str) {
        "no" => None,
        prefix => Some(prefix.to_owned()),
    };
    let commands = match query.get("commands").map(String::as_str) {
        None | Some("no") => Commands::Refused,
        // Where Home Assistant does not look for us there is nobody to say anything.
        Some("yes") if discovery.is_some() => Commands::Taken,
        Some(_) => return None,
    };
    let password = parts.password.to_string().into();
    let server = Server { port, ..parts.server(speech)? };
    let plain = is_topic(&topic) && discovery.iter().all(|prefix| is_topic(prefix));
    plain.then(|| {
        let login = Login { user: parts.user.to_string(), password };
        let topic = topic.trim_end_matches('/').to_owned();
        Service::Mqtt(Mqtt { server, login, topic, discovery, commands })
    })
}

fn service(parts: &Parts<'_>) -> Option<Service> {
    let scheme = parts.scheme.to_ascii_lowercase();
    let speech = if scheme.ends_with('s') { Speech::Tls } else { Speech::Plain };
    let segments = parts.segments();
    Some(match scheme.as_str() {
        "json" | "jsons" => {
            let path = if parts.path.starts_with('/') { "" } else { "/" }.to_owned() + parts.path;
            let path = path.into();
            Service::Webhook(Webhook {
                server: parts.server(speech)?,
                login: parts.login(),
                path,
                verb: Verb::Post,
                template: None,
            })
        }
        "ntfy" | "ntfys" => {
            // One segment alone is a topic at the public server, which speaks TLS only.
            let (host, topic) = match segments.as_slice() {
                [] => ("ntfy.sh", parts.host),
                [topic] => (parts.host, *topic),
                [_, _, ..] => return None,
            };
            let topic = Some(topic).filter(|topic| {
                let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
                (1..=64).contains(&topic.len()) && topic.bytes().all(plain)
            })?;
            let public = host.eq_ignore_ascii_case("ntfy.sh");
            let server = Parts { host, user: "".into(), password: "".into(), ..*parts };
            let server = server.server(if public { Speech::Tls } else { speech })?;
            Service::Ntfy { server, login: parts.login(), topic: topic.to_owned().into() }
        }
        "gotify" | "gotifys" => {
            let server = parts.server(speech)?;
            let (token, prefix) = segments.split_last().unwrap_or((&"", &[]));
            let prefix = prefix.iter().map(|segment| format!("/{segment}")).collect();
            Service::Gotify { server, prefix, token: (*token).to_owned().into() }
        }
        "pover" => pushover(parts)?,
        "hilink" => hilink(parts)?,
        "mqtt" | "mqtts" => mqtt(parts, speech)?,
        "exec" => {
            let program = decoded(parts.path)?;
            let whole = parts.host.is_empty() && program.len() > 1;
            whole.then(|| Service::Exec { program: PathBuf::from(program.as_ref()) })?
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Service {
        all(url).remove(0)
    }

    fn all(url: &str) -> Vec<Service> {
        parse(url).map_err(|unfit| format!("{url}: {}; {}", unfit.text, unfit.hint)).unwrap()
    }

    #[test]
    fn urls_of_every_form() {
        let shown = [
            ("json://192.168.1.2:8080/hook?a=b", "webhook (192.168.1.2)"),
            ("jsons://user:p%40ss@hooks.example/services/T/B", "webhook (hooks.example)"),
            ("ntfy://ntfy.sh/our-house-7f3k", "ntfy (our-h…)"),
            ("ntfy://our-house-7f3k", "ntfy (our-h…)"),
            ("ntfys://tk_a@push.example:8443/alarm", "ntfy (alarm…)"),
            ("gotify://192.168.1.2/AbC", "gotify (192.168.1.2)"),
            ("gotifys://[2001:db8::1]:8443/sub/path/AbC", "gotify (2001:db8::1)"),
            ("pover://user@token", "pushover"),
            ("tgram://123456:AB-cd_E/-100123", "telegram (-100123)"),
            ("mailtos://me:p@mail.example?to=anna@home.example", "email (a…@home.example)"),
            ("mailto://192.168.1.2:25/?to=a@b.example&from=box@b.example", "email (a…@b.example)"),
            ("hilink://192.168.8.1/+49-151-12345678?uplink=mifi", "sms (…5678)"),
            ("hilink://admin:p@192.168.8.1:8080/015112345678?uplink=my%20fi", "sms (…5678)"),
            ("sms://+4915112345678", "sms (…5678)"),
            ("sms:///%2B49-151-12345678/", "sms (…5678)"),
            ("mqtt://192.168.1.2/home/sparelink", "mqtt (192.168.1.2)"),
            ("mqtts://box:p@broker.example:8884/a%20b", "mqtt (broker.example)"),
            ("exec:///usr/local/bin/tell%20me", "exec (/usr/local/bin/tell me)"),
        ];
        for (url, words) in shown {
            let service = read(url);
            assert_eq!(service.to_string(), words, "{url}");
            assert!(!service.lacks_secret(), "{url}");
        }
        let Service::Webhook(Webhook { server, login, path, .. }) =
            read("jsons://user:p%40ss@hooks.example/services/T/B?x=1")
        else {
            panic!("no webhook");
        };
        assert_eq!((server.to_string().as_str(), server.tls), ("hooks.example:443", true));
        assert_eq!((login.user.as_str(), login.password.reveal()), ("user", "p@ss"));
        assert_eq!(path.reveal(), "/services/T/B?x=1");
        let Service::Ntfy { server, .. } = read("ntfy://our-house-7f3k") else { panic!("no ntfy") };
        assert_eq!((server.to_string().as_str(), server.tls), ("ntfy.sh:443", true));
        let Service::Gotify { prefix, token, .. } = read("gotify://h/sub/path/AbC") else {
            panic!("no gotify")
        };
        assert_eq!((prefix.as_str(), token.reveal()), ("/sub/path", "AbC"));
    }

    #[test]
    fn mails_go_from_whom_to_whom() {
        for (url, server, tls, user, password, from, to) in [
            (
                "mailtos://me%40home.example:p%3Fss@home.example?smtp=smtp.home.example&to=a@x.example,b@y.example",
                "smtp.home.example:465",
                true,
                "me@home.example",
                "p?ss",
                "me@home.example",
                &["a@x.example", "b@y.example"][..],
            ),
            (
                "mailto://me@home.example:p@mail.example",
                "mail.example:587",
                false,
                "me@home.example",
                "p",
                "me@home.example",
                &["me@home.example"],
            ),
            (
                "mailto://me:p@home.example:2525/?from=box@home.example",
                "home.example:2525",
                false,
                "me",
                "p",
                "box@home.example",
                &["box@home.example"],
            ),
        ] {
            let mails = all(url);
            assert_eq!(mails.len(), to.len(), "{url}");
            for (mail, to) in mails.iter().zip(to) {
                let Service::Mail(mail) = mail else { panic!("no mail: {url}") };
                assert_eq!((mail.server.to_string().as_str(), mail.server.tls), (server, tls));
                let login = (mail.login.user.as_str(), mail.login.password.reveal());
                assert_eq!(login, (user, password), "{url}");
                assert_eq!((mail.from.as_str(), mail.to.reveal()), (from, *to), "{url}");
            }
        }
    }

    #[test]
    fn what_is_secret_may_stand_elsewhere() {
        for url in [
            "pover://user",
            "tgram://-100123",
            "gotify://192.168.1.2",
            "mailtos://me@mail.example",
            "hilink://me@192.168.8.1/+49151?uplink=mifi",
            "mqtt://me@h/topic",
        ] {
            let mut service = read(url);
            assert!(service.lacks_secret(), "{url}");
            service.know("t0ken".to_owned().into());
            assert!(!service.lacks_secret(), "{url}");
            let seen =
                format!("{service} {service:?} {}", serde_json::to_string(&service).unwrap());
            assert!(!seen.contains("t0ken"), "{seen}");
        }
    }

    #[test]
    fn nothing_secret_is_shown_or_recorded() {
        for url in [
            "json://h/s3cret?a=s3cret",
            "jsons://user:s3cret@h/",
            "ntfys://s3cret@push.example/topic-s3cret",
            "gotify://h/s3cret",
            "pover://s3cret@s3cret",
            "tgram://s3cret/-100123",
            "mailtos://me:s3cret@mail.example?to=as3cret@b.example",
            "hilink://me:s3cret@192.168.8.1/+4915112345678?uplink=mifi",
            "mqtts://me:s3cret@h/topic",
        ] {
            let service = read(url);
            let seen =
                format!("{service} {service:?} {}", serde_json::to_string(&service).unwrap());
            assert!(!seen.contains("s3cret"), "{url}: {seen}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_the_secret() {
        for (url, text, hint) in [
            ("ntfy.sh/topic", "not the URL of a channel", "ntfy://ntfy.sh/our-house-7f3k"),
            ("htps://s3cret@h/", "htps:// is not a channel", "known are json, jsons, ntfy"),
            ("https://s3cret@h/", "https:// is not a channel", "write jsons://HOST/PATH"),
            ("json://", "not complete", "json://HOST/PATH"),
            ("json://s3cret@h:0/", "not complete", "json://HOST/PATH"),
            ("json://s3cret@h h/", "not complete", "json://HOST/PATH"),
            ("json://s3cret@bü/", "not complete", "json://HOST/PATH"),
            ("ntfy://h/s3cret/b", "not complete", "ntfy://HOST/TOPIC"),
            ("pover://", "not complete", "pover://USER@TOKEN"),
            ("tgram://", "not complete", "tgram://BOT_TOKEN/CHAT_ID"),
            ("exec://usr/bin/s3cret", "not complete", "exec:///PATH"),
            ("hilink://s3cret@192.168.8.1/+49151", "not complete", "hilink://HOST_ADDRESS/"),
            ("hilink://hi.link/+49151?uplink=s3cret", "not complete", "hilink://HOST_ADDRESS/"),
            ("hilink://192.168.8.1/s3cret?uplink=mifi", "not complete", "hilink://HOST_ADDRESS/"),
            ("mqtt://me:s3cret@h", "not complete", "mqtt://USER:PASSWORD@HOST/TOPIC"),
            ("mqtt://me:s3cret@h/a/#", "not complete", "mqtt://USER:PASSWORD@HOST/TOPIC"),
            ("mqtts://me:s3cret@h/a%00", "not complete", "mqtts://USER:PASSWORD@HOST/TOPIC"),
            ("mailtos://me:s3cret@h?to=a", "not complete", "mailtos://USER:PASSWORD@HOST?to="),
            ("mailtos://me:s3cret@h?to=a@b.example,", "not complete", "mailtos://"),
            ("mailtos://me:s3cret@h?to=a@b&s3cret=1", "not complete", "mailtos://"),
            ("mailtos://me:s3cret@h?to=a@b&to=a@b", "not complete", "mailtos://"),
            ("mailtos://me:s3cret@h?to=a%0d%0aRCPT@b", "not complete", "mailtos://"),
            ("mailtos://h", "not complete", "mailtos://"),
            ("mailto://h?to=a@b.example&from=b\u{fc}@b.example", "not complete", "mailto://"),
        ] {
            let unfit = parse(url).err().unwrap_or_else(|| panic!("{url} passes"));
            assert!(
                unfit.text.contains(text) && unfit.hint.contains(hint),
                "{url}: {}",
                unfit.text
            );
            assert!(!format!("{} {}", unfit.text, unfit.hint).contains("s3cret"), "{url}");
        }
    }
}
