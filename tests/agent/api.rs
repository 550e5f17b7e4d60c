//! The API is what its description says: every route is asked, and every answer is held against
//! docs/openapi.json.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use sparelink::io::web::password;
use sparelink::lab::agent::config;
use sparelink::lab::script::Settings;
use sparelink::lab::topology::{Home, Plan};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::figure;
use crate::http::{Answer, PORT, ask, host, watch};
use crate::stage::{SOON, Stage};

crate::tests![the_api_is_as_described];

const LAN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 77, 1));
/// By this path the description stands for all parts of the page.
const FILE: &str = "/{file}";
const JSON: &str = "Content-Type: application/json\r\n";
const OWN: &str = "X-Sparelink: 1\r\nContent-Type: application/json\r\n";

/// Whether to come by the socket or by the page, the request, its headers, its body, the status.
type Case = (bool, &'static str, &'static str, &'static str, u16);

const PAGE: bool = false;
const SOCKET: bool = true;

const CASES: &[Case] = &[
    (PAGE, "GET /", "", "", 200),
    (PAGE, "GET /", "If-None-Match: *\r\n", "", 304),
    (PAGE, "GET /", "Accept-Encoding: gzip\r\n", "", 200),
    (PAGE, "GET /", "Accept-Encoding: identity\r\n", "", 200),
    (PAGE, "GET /app.css", "", "", 200),
    (PAGE, "GET /app.js", "", "", 200),
    (PAGE, "GET /days.js", "", "", 200),
    (PAGE, "GET /apple-touch-icon.png", "", "", 200),
    (PAGE, "GET /favicon.ico", "", "", 200),
    (PAGE, "GET /icon-192.png", "", "", 200),
    (PAGE, "GET /icon-512.png", "", "", 200),
    (PAGE, "GET /icon-bad.svg", "", "", 200),
    (PAGE, "GET /icon-idle.svg", "", "", 200),
    (PAGE, "GET /icon-warn.svg", "", "", 200),
    (PAGE, "GET /icon.svg", "", "", 200),
    (PAGE, "GET /manifest.webmanifest", "", "", 200),
    (PAGE, "GET /nodes.js", "", "", 200),
    (PAGE, "GET /page.js", "", "", 200),
    (PAGE, "GET /record.js", "", "", 200),
    (PAGE, "GET /settings.css", "", "", 200),
    (PAGE, "GET /settings.js", "", "", 200),
    (PAGE, "GET /steer.js", "", "", 200),
    (PAGE, "GET /view.js", "", "", 200),
    (PAGE, "GET /words.js", "", "", 200),
    (PAGE, "GET /api/v1/status", "", "", 200),
    (SOCKET, "GET /api/v1/status", "", "", 200),
    (PAGE, "GET /api/v1/history", "", "", 200),
    (PAGE, "GET /api/v1/timeline", "", "", 200),
    (PAGE, "GET /api/v1/days", "", "", 200),
    (PAGE, "GET /metrics", "", "", 200),
    (PAGE, "GET /metrics", "Accept: application/openmetrics-text\r\n", "", 200),
    (PAGE, "DELETE /api/v1/status", "X-Sparelink: 1\r\n", "", 405),
    (PAGE, "POST /api/v1/switch", JSON, "{\"uplink\":\"mifi\"}", 403),
    (PAGE, "POST /api/v1/switch", "X-Sparelink: 1\r\n", "{\"uplink\":\"mifi\"}", 401),
    (PAGE, "POST /api/v1/pause", "X-Sparelink: 1\r\n", "{\"uplink\":\"mifi\"}", 401),
    (PAGE, "POST /api/v1/resume", "X-Sparelink: 1\r\n", "{\"uplink\":\"mifi\"}", 401),
    (PAGE, "POST /api/v1/probe", "X-Sparelink: 1\r\n", "{\"uplink\":\"mifi\"}", 401),
    (PAGE, "POST /api/v1/reload", "X-Sparelink: 1\r\n", "", 401),
    (SOCKET, "POST /api/v1/probe", JSON, "{\"uplink\":\"mifi\"}", 200),
    (SOCKET, "POST /api/v1/probe", JSON, "{\"uplink\":\"dsl\"}", 404),
    (PAGE, "POST /api/v1/login", JSON, "{\"password\":\"correct horse\"}", 403),
    (PAGE, "POST /api/v1/login", OWN, "{\"password\":\"correct horse\"}", 200),
    (
        PAGE,
        "POST /api/v1/password",
        OWN,
        "{\"password\":\"correct horse\",\"current\":\"correct horse\"}",
        200,
    ),
    (PAGE, "POST /api/v1/login", OWN, "{\"password\":\"correct house\"}", 401),
    (PAGE, "POST /api/v1/login", OWN, "{\"password\":\"correct house\"}", 429),
    (PAGE, "POST /api/v1/login", OWN, "{\"password\":1}", 422),
    (SOCKET, "POST /api/v1/login", JSON, "{\"password\":\"correct horse\"}", 409),
    (PAGE, "POST /api/v1/logout", "", "", 403),
    (PAGE, "POST /api/v1/logout", OWN, "{}", 200),
    (SOCKET, "POST /api/v1/switch", JSON, "{\"uplink\":\"mifi\",\"for_s\":60}", 200),
    (SOCKET, "POST /api/v1/switch", JSON, "{\"uplink\":\"dsl\"}", 404),
    (SOCKET, "POST /api/v1/switch", JSON, "{\"uplink\":", 400),
    (SOCKET, "POST /api/v1/switch", "", "{\"uplink\":\"mifi\"}", 415),
    (SOCKET, "POST /api/v1/switch", JSON, "{\"uplink\":\"auto\"}", 200),
    (
        SOCKET,
        "POST /api/v1/pause",
        JSON,
        "{\"uplink\":\"phone\",\"for_s\":600,\"reason\":\"<b>new\\nantenna\"}",
        200,
    ),
    (PAGE, "GET /api/v1/status", "", "", 200),
    (SOCKET, "POST /api/v1/switch", JSON, "{\"uplink\":\"phone\"}", 409),
    (SOCKET, "POST /api/v1/pause", JSON, "{\"uplink\":\"phone\",\"for_s\":0}", 422),
    (SOCKET, "POST /api/v1/resume", JSON, "{\"uplink\":\"phone\"}", 200),
    (SOCKET, "POST /api/v1/resume", JSON, "{\"uplink\":\"phone\"}", 409),
    (SOCKET, "POST /api/v1/reload", "", "", 200),
    (PAGE, "POST /api/v1/note", "X-Sparelink: 1\r\n", "{\"uplink\":\"cable\",\"text\":\"x\"}", 401),
    (SOCKET, "POST /api/v1/note", JSON, "{\"uplink\":\"cable\",\"text\":\"<b>17 Nov\"}", 200),
    (SOCKET, "POST /api/v1/note", JSON, "{\"uplink\":\"cable\",\"reported\":true}", 200),
    (SOCKET, "POST /api/v1/note", JSON, "{\"uplink\":\"cable\"}", 422),
    (SOCKET, "POST /api/v1/note", JSON, "{\"uplink\":\"cable\",\"text\":\"a\\nb\"}", 422),
    (SOCKET, "POST /api/v1/note", JSON, "{\"uplink\":\"dsl\",\"text\":\"x\"}", 404),
    (SOCKET, "POST /api/v1/note", JSON, "{\"uplink\":\"mifi\",\"text\":\"\"}", 409),
    (SOCKET, "GET /api/v1/status", "", "", 200),
    (PAGE, "POST /api/v1/led_test", "X-Sparelink: 1\r\n", "{}", 401),
    (SOCKET, "POST /api/v1/led_test", JSON, "{}", 200),
    (SOCKET, "POST /api/v1/led_test", JSON, "{\"led\":\"ACT\"}", 422),
    (PAGE, "POST /api/v1/notify/test", "X-Sparelink: 1\r\n", "{}", 401),
    (SOCKET, "POST /api/v1/notify/test", JSON, "{}", 200),
    (SOCKET, "POST /api/v1/notify/test", JSON, "{\"channel\":\"ntfy\"}", 404),
    (SOCKET, "POST /api/v1/notify/test", JSON, "{\"to\":\"ntfy\"}", 422),
    (PAGE, "POST /api/v1/notify/ack", "X-Sparelink: 1\r\n", "{}", 401),
    (SOCKET, "POST /api/v1/notify/ack", JSON, "{}", 409),
    (SOCKET, "POST /api/v1/notify/ack", JSON, "{\"all\":true}", 422),
    (PAGE, "GET /api/v1/settings", "", "", 401),
    (SOCKET, "GET /api/v1/settings", "", "", 200),
    (PAGE, "POST /api/v1/settings", OWN, "{\"revision\":\"0\",\"settings\":{}}", 401),
    (SOCKET, "POST /api/v1/settings", JSON, "{\"revision\":\"0\",\"settings\":{}}", 409),
    (SOCKET, "POST /api/v1/settings", JSON, "{\"revision\":0}", 422),
    (PAGE, "POST /api/v1/settings/keep", OWN, "{}", 401),
    (SOCKET, "POST /api/v1/settings/keep", JSON, "{}", 409),
    (SOCKET, "POST /api/v1/settings/undo", JSON, "{}", 409),
    (SOCKET, "POST /api/v1/settings/undo", JSON, "{\"all\":true}", 422),
    (
        PAGE,
        "POST /api/v1/password",
        OWN,
        "{\"password\":\"another horse\",\"code\":\"7K2M-9QXD\"}",
        409,
    ),
    (PAGE, "POST /api/v1/password", OWN, "{\"password\":\"short\",\"code\":\"7K2M-9QXD\"}", 422),
    (SOCKET, "POST /api/v1/password", JSON, "{\"password\":\"another horse\"}", 409),
    (PAGE, "GET /ack/{token}", "", "", 404),
    (PAGE, "POST /ack/{token}", "", "", 404),
    (PAGE, "GET /api/v1/history", "", "", 200),
];

async fn the_api_is_as_described() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let description = Description::read()?;
    every_route_is_described(&description, root)?;
    // The lab's board has LEDs, so there is something to test; that nobody has fitted them is one warning.
    let text = config(&Plan::default(), &Settings::default());
    let text = text + "[[notify]]\nto = \"exec:///bin/true\"\n";
    let text = text.replace("board = \"none\"", "board = \"lab\"");
    let stage = Stage::in_home_as(Home::build(&Plan::default()).await?, &text).await?;
    password::set(&password::file(&stage.agent.config_file()), "correct horse", None)?;
    let mut told = BTreeSet::new();
    for case in CASES {
        let (_, line, .., status) = case;
        let mut answer = send(&stage, case).await.with_context(|| format!("{case:?}"))?;
        // On a busy machine the wait after a wrong password may be over; the next one is longer.
        for _ in 0..5 {
            if *status == 429 && answer.status == 401 {
                answer = send(&stage, case).await?;
            }
        }
        ensure!(answer.status == *status, "{case:?}: {answer:?}");
        description.check(line, &answer).with_context(|| format!("{case:?}"))?;
        told.insert((line.split(' ').nth(1).unwrap_or_default().to_owned(), *status));
    }
    let mut events = watch(&stage.home.client, LAN).await?;
    let first = tokio::time::timeout(SOON, events.recv()).await?.context("no event")?;
    let schema = description.at("/components/schemas/Status")?;
    description.valid(&first.data, schema, "status")?;
    figure(&format!("{} requests, {} kinds of answers", CASES.len(), told.len()));

    // The check can fail.
    let mut wrong = first.data;
    wrong["uplinks"][0]["role"] = "boss".into();
    ensure!(description.valid(&wrong, schema, "").is_err(), "control: a word that is none");
    wrong["uplinks"][0]["role"] = "active".into();
    wrong["surprise"] = true.into();
    ensure!(description.valid(&wrong, schema, "").is_err(), "control: a field more");
    Ok(())
}

async fn send(stage: &Stage, &(socket, line, headers, body, _): &Case) -> Result<Answer> {
    if !socket {
        let headers = format!("Host: {}\r\n{headers}", host(LAN));
        let to = SocketAddr::new(LAN, PORT);
        return ask(&stage.home.client, to, line, &headers, body).await;
    }
    let path = stage.agent.run_dir().join("sparelink.sock");
    let mut stream = tokio::net::UnixStream::connect(path).await?;
    let length = body.len();
    let text = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Answer::parse(&answer)
}

/// What the server has and what is described are the same, and all of it is asked here.
fn every_route_is_described(description: &Description, root: &Path) -> Result<()> {
    let source = std::fs::read_to_string(root.join("src/io/web/api.rs"))?;
    let routes = source.split(".route(").skip(1).filter_map(|rest| {
        let mut words = rest.split(['"', '(', ' ', ',']).filter(|w| !w.trim().is_empty());
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    });
    let mut routes: BTreeSet<(String, String)> = routes.collect();
    ensure!(routes.len() >= 9, "control: routes were found: {routes:?}");
    for file in std::fs::read_dir(root.join("web"))? {
        let name = file?.file_name().to_string_lossy().into_owned();
        let path = if name == "index.html" { "/".to_owned() } else { format!("/{name}") };
        routes.insert((path, "get".to_owned()));
    }
    let paths = description.at("/paths")?.as_object().context("no paths")?;
    let mut described = BTreeSet::new();
    for (path, methods) in paths {
        for method in methods.as_object().into_iter().flat_map(|all| all.keys()) {
            match path.as_str() {
                FILE => {
                    let files = description.at("/paths/~1{file}/get/parameters/0/schema/enum")?;
                    let files = files.as_array().context("no files")?.iter();
                    let paths = files.filter_map(Value::as_str).map(|file| format!("/{file}"));
                    described.extend(paths.map(|path| (path, method.clone())));
                }
                path => drop(described.insert((path.to_owned(), method.clone()))),
            }
        }
    }
    ensure!(described == routes, "described {described:?}\nand there {routes:?}");
    for (path, method) in &routes {
        let line = format!("{} {path}", method.to_uppercase());
        let asked = CASES.iter().any(|case| case.1 == line && case.4 < 400);
        // Of what is critical tests/agent/notify asks, where there is something; of settings tests/agent/settings, with
        // the revision that a file has.
        let elsewhere = [
            "/api/v1/events",
            "/api/v1/notify/ack",
            "/ack/{token}",
            "/api/v1/settings",
            "/api/v1/settings/keep",
            "/api/v1/settings/undo",
        ];
        ensure!(asked || elsewhere.contains(&path.as_str()), "nobody asks {line}");
    }
    Ok(())
}

/// The document, and as much of JSON Schema as it uses.
pub(crate) struct Description(Value);

impl Description {
    /// That in docs.
    pub(crate) fn read() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(root.join("docs/openapi.json"))?;
        Ok(Self(serde_json::from_str(&text)?))
    }

    fn at(&self, pointer: &str) -> Result<&Value> {
        self.0.pointer(pointer).with_context(|| format!("no {pointer}"))
    }

    pub(crate) fn check(&self, line: &str, answer: &Answer) -> Result<()> {
        let (method, path) = line.split_once(' ').context("no path")?;
        let route = |path: &str| format!("/paths/{}", path.replace('/', "~1"));
        let method = method.to_lowercase();
        let methods = self
            .at(&route(path))
            .or_else(|_| self.at(&route(FILE)))?
            .as_object()
            .context("no methods")?;
        // A method that is not there gets what every route says of it.
        let known = methods.get(&method).or_else(|| methods.values().next()).context("none")?;
        let described = &known["responses"][answer.status.to_string()];
        ensure!(described.is_object(), "{} is not described", answer.status);
        let Some(content) = described.get("content").and_then(Value::as_object) else {
            ensure!(answer.body.is_empty(), "a body that is not described");
            return Ok(());
        };
        let kind = content.get(answer.kind()).with_context(|| format!("{:?}", answer.kind()))?;
        match kind.get("schema") {
            Some(schema) => self.valid(&answer.json()?, schema, ""),
            None => Ok(()),
        }
    }

    fn valid(&self, value: &Value, schema: &Value, at: &str) -> Result<()> {
        for (word, rule) in schema.as_object().context("a schema is an object")? {
            let holds = match word.as_str() {
                "$ref" => {
                    let name = rule.as_str().and_then(|name| name.strip_prefix('#'));
                    self.valid(value, self.at(name.context("no name")?)?, at)?;
                    true
                }
                "description" => true,
                "type" => match rule.as_array() {
                    Some(kinds) => kinds.iter().any(|kind| is(value, kind)),
                    None => is(value, rule),
                },
                "enum" => rule.as_array().is_some_and(|words| words.contains(value)),
                "const" => value == rule,
                "minimum" => value.as_f64().zip(rule.as_f64()).is_none_or(|(v, r)| v >= r),
                "maximum" => value.as_f64().zip(rule.as_f64()).is_none_or(|(v, r)| v <= r),
                "minItems" => value.as_array().map(Vec::len) >= length(rule),
                "maxItems" => value.as_array().map(Vec::len) <= length(rule),
                "format" => rule == "date-time" && value.as_str().is_none_or(is_time),
                "pattern" => value
                    .as_str()
                    .is_some_and(|text| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')),
                "oneOf" => {
                    let ways = rule.as_array().context("no ways")?;
                    ways.iter().filter(|way| self.valid(value, way, at).is_ok()).count() == 1
                }
                "required" => {
                    let names = rule.as_array().into_iter().flatten().filter_map(Value::as_str);
                    let missing: Vec<&str> = names.filter(|n| value.get(n).is_none()).collect();
                    ensure!(missing.is_empty(), "{at}: no {missing:?}");
                    true
                }
                // Names that nobody knows before, and what is behind each.
                "additionalProperties" if rule.is_object() => {
                    for (name, value) in value.as_object().into_iter().flatten() {
                        self.valid(value, rule, &format!("{at}/{name}"))?;
                    }
                    true
                }
                "additionalProperties" => {
                    let known = schema["properties"].as_object().context("no properties")?;
                    let names = value.as_object().into_iter().flat_map(|all| all.keys());
                    let more: Vec<&String> = names.filter(|n| !known.contains_key(*n)).collect();
                    ensure!(more.is_empty(), "{at}: {more:?} is not described");
                    rule == &Value::Bool(false)
                }
                "properties" => {
                    for (name, schema) in rule.as_object().context("no properties")? {
                        if let Some(value) = value.get(name) {
                            self.valid(value, schema, &format!("{at}/{name}"))?;
                        }
                    }
                    true
                }
                "items" => {
                    for (n, value) in value.as_array().into_iter().flatten().enumerate() {
                        self.valid(value, rule, &format!("{at}/{n}"))?;
                    }
                    true
                }
                other => bail!("this test does not know {other}"),
            };
            ensure!(holds, "{at}: {value} is not {word} {rule}");
        }
        Ok(())
    }
}

fn is(value: &Value, kind: &Value) -> bool {
    match kind.as_str() {
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        _ => false,
    }
}

fn length(rule: &Value) -> Option<usize> {
    usize::try_from(rule.as_u64()?).ok()
}

/// RFC 3339, as far as a test needs to look.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    text.len() >= 20 && bytes[4] == b'-' && bytes[10] == b'T' && text.ends_with('Z')
}
