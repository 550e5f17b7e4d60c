//! Who knows the password may change things, and nobody learns of it.

use super::super::password;
use super::super::via::Via;
use super::*;

pub(super) const PASSWORD: &str = "correct horse battery";
const HOST: &str = "Host: 192.168.1.1:8300";
const JSON: &str = "Content-Type: application/json";
const OWN: &str = "X-Sparelink: 1";
const SWITCH: &str = "{\"uplink\":\"cable\"}";

/// A box with a directory for its password.
pub(super) struct Home {
    pub(super) dir: PathBuf,
    pub(super) site: Site,
    _feed: Feed,
}

impl Home {
    pub(super) fn new(name: &str, password: Option<&str>) -> Self {
        let name = format!("sparelink-login-{}-{name}", std::process::id());
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        if let Some(password) = password {
            password::set(&dir.join("password"), password, None).unwrap();
        }
        let (site, feed) = site_with(dir.join("password"));
        Self { dir, site, _feed: feed }
    }

    fn set(&self, password: &str) {
        password::set(&self.dir.join("password"), password, None).unwrap();
    }

    /// As the page of a machine with this last number in its address.
    pub(super) async fn post(&self, from: u8, path: &str, cookie: &str, body: &str) -> Answer {
        let cookie = format!("Cookie: {cookie}");
        let headers = [HOST, OWN, JSON, "Origin: http://192.168.1.1:8300", &cookie];
        request_to(&self.site, machine(from), &format!("POST /api/v1/{path}"), &headers, body).await
    }

    pub(super) async fn log_in(&self, from: u8, password: &str) -> Answer {
        let body = serde_json::json!({ "password": password }).to_string();
        self.post(from, "login", "", &body).await
    }

    /// Logs in and returns the cookie as a browser would send it.
    pub(super) async fn enter(&self, from: u8) -> String {
        let answer = self.log_in(from, PASSWORD).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let cookie = answer.header("set-cookie").unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    pub(super) async fn get(&self, path: &str, cookie: &str) -> Answer {
        let cookie = format!("Cookie: {cookie}");
        request_to(&self.site, PAGE, &format!("GET {path}"), &[HOST, &cookie], "").await
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

#[test]
fn a_cookie_that_was_given_encrypted_is_never_sent_otherwise() {
    run(async {
        let home = Home::new("encrypted", Some(PASSWORD));
        let body = serde_json::json!({ "password": PASSWORD }).to_string();
        let through = Via::Page { local: IpAddr::from([192, 168, 1, 1]), peer: PROXY };
        for (proto, secure) in [("https", true), ("http", false)] {
            let proto = format!("X-Forwarded-Proto: {proto}");
            let name = "X-Forwarded-Host: gw.office.example";
            let headers = [HOST, OWN, JSON, name, "X-Forwarded-For: 10.0.0.7", &proto];
            let answer =
                request_to(&home.site, through, "POST /api/v1/login", &headers, &body).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            let cookie = answer.header("set-cookie").unwrap();
            assert_eq!(cookie.contains("; Secure"), secure, "{cookie}");
        }
        let plain = home.log_in(20, PASSWORD).await;
        assert!(!plain.header("set-cookie").unwrap().contains("Secure"));
    });
}

#[test]
fn a_client_behind_a_proxy_that_fails_waits_alone() {
    run(async {
        let home = Home::new("behind", Some(PASSWORD));
        let through = Via::Page { local: IpAddr::from([192, 168, 1, 1]), peer: PROXY };
        let try_as = |client: &'static str, password: &'static str| {
            let site = home.site.clone();
            async move {
                let body = serde_json::json!({ "password": password }).to_string();
                let client = format!("X-Forwarded-For: {client}");
                let headers = [HOST, OWN, JSON, &client];
                request_to(&site, through, "POST /api/v1/login", &headers, &body).await.status
            }
        };
        assert_eq!(try_as("10.0.0.7", "wrong horse").await, 401);
        assert_eq!(try_as("10.0.0.7", PASSWORD).await, 429, "control: it has to wait");
        assert_eq!(try_as("10.0.0.8", PASSWORD).await, 200, "the other does not");
    });
}

fn machine(last: u8) -> Via {
    let ip = |last| IpAddr::from([192, 168, 1, last]);
    Via::Page { local: ip(1), peer: ip(last) }
}

#[test]
fn the_password_opens_and_logging_out_closes() {
    run(async {
        let home = Home::new("opens", Some(PASSWORD));
        assert_eq!(home.post(20, "switch", "", SWITCH).await.status, 401);
        let status = home.get("/api/v1/status", "").await.json();
        assert_eq!(status["login"].to_string(), r#"{"in":false,"needed":true,"set":true}"#);
        let answer = home.log_in(20, PASSWORD).await;
        assert_eq!((answer.status, answer.json()["message"].as_str()), (200, Some("logged in")));
        let cookie = answer.header("set-cookie").unwrap();
        let (token, rest) = cookie.split_once(';').unwrap();
        assert_eq!(rest, " Path=/; Max-Age=2592000; HttpOnly; SameSite=Strict");
        assert_eq!(token.len(), "sparelink=".len() + 64, "{token}");
        for path in ["switch", "pause", "resume", "probe"] {
            assert_eq!(home.post(20, path, token, SWITCH).await.status, 200, "{path}");
        }
        // It is the browser that is known, not the address.
        assert_eq!(home.post(99, "reload", token, "").await.status, 200);
        let status = home.get("/api/v1/status", token).await.json();
        assert_eq!(status["login"]["in"], true);
        let other = home.enter(21).await;
        assert_ne!(other, token);
        let out = home.post(20, "logout", token, "{}").await;
        assert_eq!((out.status, out.json()["message"].as_str()), (200, Some("logged out")));
        assert!(out.header("set-cookie").unwrap().starts_with("sparelink=; Path=/; Max-Age=0;"));
        let late = home.post(20, "switch", token, SWITCH).await;
        assert_eq!(
            (late.status, late.sentence()),
            (401, "changing things needs a login".to_owned())
        );
        assert_eq!(late.json()["hint"], "log in first");
        assert_eq!(home.post(21, "switch", &other, SWITCH).await.status, 200, "the other stays");
        let guessed = format!("sparelink={}", "0".repeat(64));
        assert_eq!(home.post(20, "switch", &guessed, SWITCH).await.status, 401);
    });
}

#[test]
fn a_login_is_no_licence_for_other_pages() {
    run(async {
        let home = Home::new("licence", Some(PASSWORD));
        let cookie = format!("Cookie: {}", home.enter(20).await);
        let origins = [
            ("Origin: http://192.168.1.1:8300", true),
            ("Origin: http://evil.example", false),
            ("Origin: null", false),
            ("Origin: http://192.168.1.1", false),
            ("Origin: http://192.168.1.1:8300.evil.example", false),
            ("Sec-Fetch-Site: cross-site", false),
        ];
        for path in ["switch", "pause", "resume", "probe", "reload", "login", "logout"] {
            for (origin, own) in origins {
                for method in ["PUT", "DELETE", "PATCH", "POST"] {
                    if own && path == "logout" && method == "POST" {
                        continue;
                    }
                    let headers = [HOST, JSON, OWN, origin, &cookie];
                    let line = format!("{method} /api/v1/{path}");
                    let body = if path == "login" { "{}" } else { SWITCH };
                    let answer = request_to(&home.site, PAGE, &line, &headers, body).await;
                    let wanted = match (own, method) {
                        (false, _) => 403,
                        (true, "POST") if path == "login" => 422,
                        (true, "POST") => 200,
                        (true, _) => 405,
                    };
                    assert_eq!(answer.status, wanted, "{line} {origin}");
                }
            }
        }
        // A form of another page can send text/plain, and nothing of its own beside it.
        let form = [HOST, "Content-Type: text/plain", &cookie];
        let line = "POST /api/v1/switch";
        assert_eq!(request_to(&home.site, PAGE, line, &form, SWITCH).await.status, 403);
        let form = [HOST, "Content-Type: text/plain", OWN, &cookie];
        assert_eq!(request_to(&home.site, PAGE, line, &form, SWITCH).await.status, 415);
    });
}

#[test]
fn a_session_ends_with_the_password_it_was_begun_with() {
    run(async {
        let home = Home::new("changed", Some(PASSWORD));
        let cookie = home.enter(20).await;
        home.set("another horse");
        let late = home.post(20, "switch", &cookie, SWITCH).await;
        assert_eq!(late.status, 401);
        assert_eq!(home.log_in(21, PASSWORD).await.status, 401, "the old one");
        assert_eq!(home.log_in(22, "another horse").await.status, 200, "at once");
        password::remove(&home.dir.join("password")).unwrap();
        let nobody = home.log_in(23, "another horse").await;
        assert_eq!(
            (nobody.status, nobody.sentence()),
            (409, "no password has been set".to_owned())
        );
        assert_eq!(nobody.json()["hint"], "on the box, type: sparelink passwd");
        assert_eq!(home.get("/api/v1/status", "").await.json()["login"]["set"], false);
        let late = home.post(20, "switch", &cookie, SWITCH).await;
        assert_eq!(late.status, 401);
        assert!(late.json()["hint"].as_str().unwrap().ends_with("sparelink passwd"));
        std::fs::write(home.dir.join("password"), "correct horse battery\n").unwrap();
        let broken = home.log_in(24, PASSWORD).await;
        assert_eq!(broken.status, 500);
        assert!(broken.sentence().contains("cannot be read"), "{broken:?}");
    });
}

#[test]
fn who_guesses_has_to_wait() {
    run(async {
        let home = Home::new("guess", Some(PASSWORD));
        let wrong = home.log_in(20, "correct horse").await;
        assert_eq!((wrong.status, wrong.sentence()), (401, "the password is not right".to_owned()));
        assert_eq!(wrong.json()["hint"], "try again in a second");
        assert!(wrong.header("set-cookie").is_none());
        // On a busy machine a second may pass before the next try; each wait is longer.
        let mut soon = home.log_in(20, "correct horse").await;
        for _ in 0..5 {
            if soon.status == 401 {
                soon = home.log_in(20, "correct horse").await;
            }
        }
        assert_eq!(soon.status, 429, "{soon:?}");
        assert!(soon.sentence().starts_with("too many tries; wait "), "{soon:?}");
        assert_eq!(home.log_in(21, PASSWORD).await.status, 200, "another machine");
        let wait = soon.header("retry-after").unwrap().parse().unwrap();
        tokio::time::sleep(Duration::from_secs(wait)).await;
        assert_eq!(home.log_in(20, PASSWORD).await.status, 200);
        assert_eq!(home.log_in(20, PASSWORD).await.status, 200, "forgiven");
        // Over the socket nobody needs it, and nobody can try.
        let headers = ["Host: localhost", JSON];
        let body = format!("{{\"password\":\"{PASSWORD}\"}}");
        let socket =
            request_to(&home.site, Via::Socket, "POST /api/v1/login", &headers, &body).await;
        assert_eq!((socket.status, socket.sentence().as_str()), (409, "the socket needs no login"));
    });
}

#[test]
fn others_do_not_wait_while_a_password_is_looked_at() {
    run(async {
        let home = Home::new("wait", Some(PASSWORD));
        let tried = std::cell::Cell::new(0);
        let tries = async {
            let all = (20..26).map(|n| home.log_in(n, "a wrong password"));
            for answer in futures_util::future::join_all(all).await {
                assert_eq!(answer.status, 401);
                tried.set(tried.get() + 1);
            }
        };
        let reader = async {
            let mut read = 0;
            let begun = tokio::time::Instant::now();
            while tried.get() == 0 && begun.elapsed() < PATIENCE {
                assert_eq!(home.get("/api/v1/status", "").await.status, 200);
                read += 1;
            }
            read
        };
        let ((), read) = tokio::join!(tries, reader);
        assert!(read >= 3, "{read} answers while six passwords were looked at");
    });
}

#[test]
fn no_answer_has_a_secret_in_it() {
    run(async {
        let home = Home::new("secret", Some(PASSWORD));
        let cookie = home.enter(20).await;
        let token = cookie.strip_prefix("sparelink=").unwrap();
        let line = std::fs::read_to_string(home.dir.join("password")).unwrap();
        let hash = line.trim().rsplit('$').next().unwrap();
        let salt = line.trim().rsplit('$').nth(1).unwrap();
        let mut said = Vec::new();
        for path in ["/", "/api/v1/status", "/api/v1/history", "/api/v1/timeline", "/metrics", "/x"]
        {
            said.push(home.get(path, &cookie).await);
        }
        let quoted = format!("\"{PASSWORD}\"");
        for body in [
            quoted.clone(),
            format!("[{quoted}]"),
            format!("{{\"password\":[{quoted}]}}"),
            format!("{{\"password\":{quoted},\"x\":{quoted}}}"),
            format!("{{{quoted}:1}}"),
            format!("{{\"password\":{quoted}"),
            format!("{{\"password\":\"{PASSWORD}!\"}}"),
            format!("{{\"password\":{quoted}}}"),
        ] {
            said.push(home.post(30, "login", &cookie, &body).await);
        }
        said.push(home.post(20, "switch", &cookie, "{}").await);
        said.push(home.post(20, "logout", &cookie, "{}").await);
        for answer in said {
            let text = format!("{}\n{}", answer.head, String::from_utf8_lossy(&answer.body));
            for secret in [PASSWORD, token, hash, salt, "argon2"] {
                assert!(!text.contains(secret), "{secret} in {text}");
            }
        }
        assert!(line.contains(hash) && line.contains("argon2"), "control");
    });
}

#[test]
fn a_file_that_cannot_be_read_for_the_moment_ends_no_session() {
    run(async {
        let home = Home::new("moment", Some(PASSWORD));
        let cookie = home.enter(20).await;
        let (file, aside) = (home.dir.join("password"), home.dir.join("aside"));
        std::fs::rename(&file, &aside).unwrap();
        std::fs::create_dir(&file).unwrap();
        assert_eq!(home.post(20, "switch", &cookie, SWITCH).await.status, 401);
        std::fs::remove_dir(&file).unwrap();
        std::fs::rename(&aside, &file).unwrap();
        assert_eq!(home.post(20, "switch", &cookie, SWITCH).await.status, 200);
    });
}
