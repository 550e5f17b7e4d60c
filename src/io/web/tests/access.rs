//! Who may ask what.

use super::super::own_names::called;
use super::super::via::Via;
use super::*;

/// Changes something, as the page would.
const SWITCH: &str = "{\"uplink\":\"cable\"}";
const JSON: &str = "Content-Type: application/json";

async fn status_for(via: Via, headers: &[&str]) -> u16 {
    request(via, "GET /api/v1/status", headers, "").await.status
}

#[test]
fn only_names_that_nobody_else_can_have_are_answered() {
    run(async {
        let name = crate::io::clock::hostname().unwrap_or_default();
        let mine = called(&name);
        for host in
            ["192.168.1.1".to_owned(), "192.168.1.1:8300".to_owned(), "192.168.1.1:80".to_owned()]
                .into_iter()
                .chain(mine.iter().map(|name| format!("{name}:8300")))
                .chain(mine.iter().map(|name| format!("{}.", name.to_uppercase())))
        {
            assert_eq!(status_for(PAGE, &[&format!("Host: {host}")]).await, 200, "{host}");
        }
        // As the configuration has it.
        assert_eq!(status_for(PAGE, &["Host: GW.office.example.:8300"]).await, 200);
        assert_eq!(status_for(PAGE, &["Host: www.gw.office.example"]).await, 421);
        for host in [
            "evil.example",
            "evil.example:8300",
            "192.168.1.1.evil.example",
            "192.168.1.1.nip.io",
            "192.168.1.2",
            "192.168.1.10",
            "127.0.0.1:8300",
            "localhost",
            "localhost:8300",
            "[::1]",
            "[::1]:8300",
            "0.0.0.0",
            "[::ffff:192.168.1.1]",
            "3232235777",
            "0xc0a80101",
            "0300.0250.1.1",
            "192.168.257",
            "192.168.1.1:",
            "192.168.1.1:0",
            "192.168.1.1:99999",
            "192.168.1.1:x",
            "192.168.1.1@evil.example",
            "evil.example@192.168.1.1",
            "user:word@192.168.1.1",
            "",
            " ",
            "*",
            "lan",
            ".lan",
            "local",
            "sparelink.evil.example",
            "192.168.1.1, evil.example",
            "192.168.1.1/x",
            "http://192.168.1.1",
            "[fe80::1%25eth0]",
            "[fd00::1",
        ] {
            let status = status_for(PAGE, &[&format!("Host: {host}")]).await;
            assert!(status == 421 || status == 400, "{host:?}: {status}");
        }
        let answer = request(PAGE, "GET /", &["Host: evil.example"], "").await;
        assert_eq!(answer.status, 421);
        assert_eq!(answer.sentence(), "this box is not called that");
        assert_eq!(status_for(PAGE, &[]).await, 421, "no host at all");
        let twice = ["Host: 192.168.1.1", "Host: 192.168.1.1"];
        assert_eq!(status_for(PAGE, &twice).await, 421, "two hosts");
    });
}

#[test]
fn an_absolute_address_names_the_host_too() {
    run(async {
        let whole = |uri: &str| format!("GET {uri}/api/v1/status");
        let host = ["Host: 192.168.1.1:8300"];
        let asked = request(PAGE, &whole("http://192.168.1.1:8300"), &host, "").await;
        assert_eq!(asked.status, 200);
        let asked = request(PAGE, &whole("http://evil.example"), &host, "").await;
        assert_eq!(asked.status, 421);
        let other = ["Host: evil.example"];
        let asked = request(PAGE, &whole("http://192.168.1.1:8300"), &other, "").await;
        assert_eq!(asked.status, 421);
    });
}

#[test]
fn an_address_of_the_box_is_one_that_was_connected_to() {
    run(async {
        let at =
            |local: &str| Via::Page { local: local.parse().unwrap(), peer: local.parse().unwrap() };
        for (local, host, status) in [
            ("127.0.0.1", "127.0.0.1:8300", 200),
            ("127.0.0.1", "LocalHost:9000", 200),
            ("::1", "[::1]:8300", 200),
            ("::1", "localhost", 200),
            ("fd00::1", "[fd00::1]", 200),
            ("fd00::1", "[FD00:0::1]:8300", 200),
            ("fd00::1", "[fd00::2]", 421),
            ("fd00::1", "192.168.1.1", 421),
        ] {
            let asked = status_for(at(local), &[&format!("Host: {host}")]).await;
            assert_eq!(asked, status, "{host} at {local}");
        }
        assert_eq!(status_for(Via::Socket, &["Host: localhost"]).await, 200);
        assert_eq!(status_for(Via::Socket, &["Host: 192.168.1.1"]).await, 421);
    });
}

#[test]
fn a_box_is_called_by_its_name_and_in_the_domains_of_a_home() {
    let names = [
        "router",
        "router.lan",
        "router.local",
        "router.home.arpa",
        "router.internal",
        "router.home",
        "router.localdomain",
        "router.fritz.box",
    ];
    assert_eq!(called("Router\n"), names);
    assert_eq!(called("router.fritz.box"), names);
    // A DHCP server may have set it, and point a page of its own at this box.
    assert_eq!(called("rebind.attacker.example").first().unwrap(), "rebind");
    assert!(!called("rebind.attacker.example").contains(&"rebind.attacker.example".to_owned()));
    for nobody in ["", "localhost", "localhost.localdomain", "a b", "<script>", "."] {
        assert_eq!(called(nobody), [""; 0], "{nobody}");
    }
}

#[test]
fn only_the_own_page_may_change_things_and_nobody_may_without_login() {
    run(async {
        let own = "X-Sparelink: 1";
        let host = "Host: 192.168.1.1:8300";
        for (headers, status) in [
            (&[own][..], 401),
            (&[own, "Origin: http://192.168.1.1:8300"], 401),
            (&[own, "Origin: http://192.168.1.1:8300", "Sec-Fetch-Site: same-origin"], 401),
            (&[], 403),
            (&["Origin: http://192.168.1.1:8300"], 403),
            (&[own, "Origin: http://evil.example"], 403),
            (&[own, "Origin: null"], 403),
            (&[own, "Origin: http://192.168.1.1"], 403),
            (&[own, "Origin: http://192.168.1.1:8301"], 403),
            (&[own, "Origin: http://192.168.1.1:8300.evil.example"], 403),
            (&[own, "Origin: file://"], 403),
            (&[own, "Origin: http://192.168.1.1:8300", "Origin: http://evil.example"], 403),
            (&[own, "Sec-Fetch-Site: cross-site"], 403),
            (&[own, "Sec-Fetch-Site: same-site"], 403),
        ] {
            for method in ["POST", "PUT", "DELETE", "PATCH"] {
                let headers = [&[host, JSON], headers].concat();
                let line = format!("{method} /api/v1/switch");
                let answer = request(PAGE, &line, &headers, SWITCH).await;
                // Another method gets no further than that, whoever asks.
                let wanted = if method == "POST" || status == 403 { status } else { 405 };
                assert_eq!(answer.status, wanted, "{method} {headers:?}");
                answer.sentence();
            }
        }
        let form = ["Host: localhost", "Content-Type: text/plain"];
        let answer = request(Via::Socket, "POST /api/v1/switch", &form, SWITCH).await;
        assert_eq!((answer.status, answer.sentence().contains("JSON")), (415, true));
        let asked = ["Host: localhost", JSON];
        let answer = request(Via::Socket, "POST /api/v1/switch", &asked, SWITCH).await;
        assert_eq!((answer.status, answer.json()["message"].as_str()), (200, Some("done")));
    });
}

#[test]
fn nobody_else_may_read_frame_or_guess() {
    run(async {
        let options = [
            "Host: 192.168.1.1:8300",
            "Origin: http://evil.example",
            "Access-Control-Request-Method: POST",
        ];
        let preflight = request(PAGE, "OPTIONS /api/v1/switch", &options, "").await;
        assert_eq!(preflight.status, 403);
        for path in ["/", "/app.js", "/api/v1/status", "/metrics", "/nothing"] {
            let answer = get(path).await;
            for (name, _) in super::super::guard::HEADERS {
                assert!(answer.header(name.as_str()).is_some(), "{path}: no {name}");
            }
            let policy = answer.header("content-security-policy").unwrap();
            assert!(policy.starts_with("default-src 'none';"), "{policy}");
            assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
            assert!(!answer.head.to_lowercase().contains("access-control"), "{path}");
            let cache = answer.header("cache-control").unwrap();
            assert_eq!(
                cache,
                if path == "/" || path == "/app.js" { "no-cache" } else { "no-store" }
            );
        }
    });
}

#[test]
fn the_page_is_sent_once_for_each_version() {
    run(async {
        let asks = ["Host: 192.168.1.1:8300", "Accept-Encoding: gzip"];
        let first = request(PAGE, "GET /", &asks, "").await;
        assert_eq!((first.status, first.header("content-encoding")), (200, Some("gzip")));
        assert_eq!(first.header("content-type"), Some("text/html; charset=utf-8"));
        let tag = format!("If-None-Match: {}", first.header("etag").unwrap());
        let again = request(PAGE, "GET /", &["Host: 192.168.1.1", &tag], "").await;
        assert_eq!((again.status, again.body.len()), (304, 0));
        let head = request(PAGE, "HEAD /", &["Host: 192.168.1.1"], "").await;
        assert_eq!((head.status, head.body.len()), (200, 0));
        // Who cannot unpack it, or does not say so, has it as it is.
        for plain in
            [&["Host: 192.168.1.1", "Accept-Encoding: identity"][..], &["Host: 192.168.1.1"]]
        {
            let answer = request(PAGE, "GET /", plain, "").await;
            assert_eq!((answer.status, answer.header("content-encoding")), (200, None));
            assert!(
                answer.body.starts_with(b"<!doctype html>") && answer.body.len() > first.body.len()
            );
            let weak = answer.header("etag").unwrap();
            assert_eq!(weak.strip_prefix("W/"), first.header("etag"));
            assert_eq!(answer.header("vary"), Some("accept-encoding"));
            let tag = format!("If-None-Match: {weak}");
            let again = request(PAGE, "GET /", &["Host: 192.168.1.1", &tag], "").await;
            assert_eq!(again.status, 304);
        }
    });
}

#[test]
fn a_person_is_told_in_a_page_and_a_program_in_json() {
    run(async {
        let person = "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8";
        let ours = "Host: 192.168.1.1:8300";
        let html = Some("text/html; charset=utf-8");
        for (line, host, status, words) in [
            ("GET /nothing", ours, 404, "There is nothing here."),
            ("GET /", "Host: evil.example:8300", 421, "href=\"http://192.168.1.1:8300/\""),
            ("GET /", "Host: evil.example", 421, "href=\"http://192.168.1.1/\""),
            ("GET /", "Host: \"><b>:8300", 421, "href=\"http://192.168.1.1/\""),
        ] {
            let answer = request(PAGE, line, &[host, person], "").await;
            assert_eq!((answer.status, answer.header("content-type")), (status, html), "{host}");
            let body = String::from_utf8(answer.body.clone()).unwrap();
            assert!(body.starts_with("<!doctype html>") && body.contains(words), "{body}");
            assert!(!body.contains("evil") && !body.contains("<b>"), "it repeats nothing: {body}");
            assert!(answer.header("content-security-policy").is_some());
            for accept in ["Accept: */*", "Accept: application/json", "Accept-Language: en"] {
                let program = request(PAGE, line, &[host, accept], "").await;
                assert_eq!(program.status, status);
                program.sentence();
            }
        }
        let v6 = Via::Page { local: "fd00::1".parse().unwrap(), peer: "fd00::2".parse().unwrap() };
        let answer = request(v6, "GET /", &["Host: evil.example:8300", person], "").await;
        let body = String::from_utf8(answer.body).unwrap();
        assert!(body.contains("href=\"http://[fd00::1]:8300/\""), "{body}");
    });
}

#[test]
fn a_trusted_proxy_says_who_asks_and_by_which_name() {
    run(async {
        let proxy = Via::Page { local: "192.168.1.1".parse().unwrap(), peer: PROXY };
        let host = "Host: 192.168.1.1:8300";
        let named = |name: &str| format!("X-Forwarded-Host: {name}");
        for (via, name, status) in [
            (proxy, "gw.office.example", 200),
            (proxy, "evil.example", 421),
            // From anybody else it means nothing.
            (PAGE, "evil.example", 200),
        ] {
            assert_eq!(status_for(via, &[host, &named(name)]).await, status, "{name}");
        }
        let own = "X-Sparelink: 1";
        let origin = "Origin: https://gw.office.example";
        let change = |via, name: &str| {
            let name = named(name);
            async move {
                let headers = [host, own, JSON, origin, &name];
                request(via, "POST /api/v1/switch", &headers, SWITCH).await.status
            }
        };
        assert_eq!(change(proxy, "gw.office.example").await, 401, "it wants a login only");
        assert_eq!(change(PAGE, "gw.office.example").await, 403);
    });
}

#[test]
fn the_socket_is_for_its_group_and_for_nobody_else() {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};

    let dir = std::env::temp_dir().join(format!("sparelink-socket-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let (socket, victim) = (dir.join("sparelink.sock"), dir.join("victim"));
    std::fs::write(&victim, "precious").unwrap();
    let before = std::fs::metadata(&victim).unwrap().permissions().mode();
    // What an earlier agent or anybody else left at its place goes, and what a link points at stays.
    symlink(&victim, &socket).unwrap();
    for _ in 0..2 {
        drop(super::super::listen(&dir).unwrap());
        let meta = std::fs::symlink_metadata(&socket).unwrap();
        assert!(meta.file_type().is_socket());
        assert_eq!(meta.permissions().mode() & 0o7777, 0o660);
        assert_eq!(meta.uid(), nix::unistd::geteuid().as_raw());
    }
    assert_eq!(std::fs::metadata(&victim).unwrap().permissions().mode(), before);
    assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
    std::fs::create_dir(dir.join("other")).unwrap();
    std::fs::create_dir(dir.join("other/sparelink.sock")).unwrap();
    assert!(super::super::listen(&dir.join("other")).is_err(), "a directory stands there");
    std::fs::remove_dir_all(dir).unwrap();
}
