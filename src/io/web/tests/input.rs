//! What people and programs get wrong.

use proptest::prelude::*;

use super::super::via::Via;
use super::*;

async fn post(path: &str, body: &str) -> Answer {
    let headers = ["Host: localhost", "Content-Type: application/json"];
    request(Via::Socket, &format!("POST {path}"), &headers, body).await
}

#[test]
fn wrong_input_gets_one_plain_sentence() {
    run(async {
        for (path, body, status) in [
            ("/api/v1/switch", "{", 400),
            ("/api/v1/switch", "uplink=cable", 400),
            ("/api/v1/switch", "", 415),
            ("/api/v1/switch", "{}", 422),
            ("/api/v1/switch", "[]", 422),
            ("/api/v1/switch", "null", 422),
            ("/api/v1/switch", "{\"uplink\":1}", 422),
            ("/api/v1/switch", "{\"uplink\":\"cable\",\"force\":true}", 422),
            ("/api/v1/switch", "{\"uplink\":\"cable\",\"for_s\":-1}", 422),
            ("/api/v1/switch", "{\"uplink\":\"cable\",\"for_s\":0}", 422),
            ("/api/v1/switch", "{\"uplink\":\"cable\",\"for_s\":18446744073709551615}", 422),
            ("/api/v1/pause", "{\"uplink\":\"cable\",\"for_s\":1e99}", 422),
            ("/api/v1/pause", "{\"uplink\":\"cable\",\"for_s\":31536001}", 422),
            ("/api/v1/pause", "{\"uplink\":\"dsl\"}", 404),
            ("/api/v1/resume", "{\"uplink\":\"\\u0000\"}", 404),
            ("/api/v1/nothing", "{}", 404),
            ("/api/v1/status", "{}", 405),
            ("/", "{}", 405),
        ] {
            let headers = ["Host: localhost", "Content-Type: application/json"];
            let headers = if body.is_empty() { &headers[..1] } else { &headers[..] };
            let answer = request(Via::Socket, &format!("POST {path}"), headers, body).await;
            assert_eq!(answer.status, status, "{path} {body}");
            answer.sentence();
        }
        let unknown = post("/api/v1/switch", "{\"uplink\":\"dsl\"}").await;
        assert_eq!(unknown.sentence(), "there is no uplink of that name");
        assert_eq!(unknown.json()["hint"], "the uplinks are cable");
        let near = post("/api/v1/switch", "{\"uplink\":\"cabel\"}").await;
        assert_eq!(near.json()["hint"], "did you mean cable? the uplinks are cable");
        let missing = post("/api/v1/switch", "{}").await;
        assert!(missing.sentence().contains("missing field `uplink`"), "{missing:?}");
        let wrong = get("/api/v1/switch").await;
        assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST")));
    });
}

#[test]
fn what_is_too_large_is_refused_in_time() {
    run(async {
        let long = format!("{{\"uplink\":\"{}\"}}", "x".repeat(17_000));
        let answer = post("/api/v1/switch", &long).await;
        assert_eq!(answer.status, 413);
        assert_eq!(answer.sentence(), "this body is longer than 16 kB");
        let claims =
            ["Host: localhost", "Content-Type: application/json", "Content-Length: 99999999999"];
        let answer = request(Via::Socket, "POST /api/v1/switch", &claims, "").await;
        assert_eq!(answer.status, 413);
        let header = format!("X-Long: {}", "x".repeat(20_000));
        assert_eq!(request(PAGE, "GET /", &["Host: 192.168.1.1", &header], "").await.status, 431);
        let many: Vec<String> = (0..80).map(|n| format!("X-{n}: 1")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(request(PAGE, "GET /", &many, "").await.status, 431);
        let path = format!("GET /{}", "x".repeat(9000));
        let answer = request(PAGE, &path, &["Host: 192.168.1.1"], "").await;
        assert!([414, 431].contains(&answer.status), "{answer:?}");
    });
}

#[test]
fn no_path_leads_out() {
    run(async {
        for path in [
            "/../etc/passwd",
            "/..%2fetc/passwd",
            "/%2e%2e/%2e%2e/etc/passwd",
            "//etc/passwd",
            "/app.js/../../Cargo.toml",
            "/app.js%00.css",
            "/\\..\\x",
            "/./app.js",
            "/web/app.js",
            "/index.html",
            "/api/v1/status/",
            "/API/v1/status",
            "/api/v1/%73tatus%00",
        ] {
            let answer = get(path).await;
            assert!([400, 404].contains(&answer.status), "{path}: {answer:?}");
        }
        assert_eq!(get("/app.js?version=2").await.status, 200, "control");
    });
}

#[test]
fn who_says_nothing_is_let_go() {
    run(async {
        let (site, _feed) = site();
        let mut silent = connect(&site, PAGE);
        let mut slow = connect(&site, PAGE);
        let begun = tokio::time::Instant::now();
        let trickle = async {
            // A byte now and then, and never the end of the head.
            for byte in b"GET / HTTP/1.1\r\nHost: 192.168.1.1\r\n".iter().cycle() {
                if slow.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let mut rest = Vec::new();
        let both = async { tokio::join!(silent.read_to_end(&mut rest), trickle) };
        tokio::time::timeout(PATIENCE, both).await.expect("they are still there").0.ok();
        assert!(begun.elapsed() >= Duration::from_secs(4), "after {:?}", begun.elapsed());
    });
}

/// What a hotspot calls itself is text without what no text is made of; the page shows it as text.
#[test]
fn a_hotspots_name_is_text() {
    run(async {
        let status = get("/api/v1/status").await;
        let status: Value = serde_json::from_slice(&status.body).unwrap();
        assert_eq!(status["uplinks"][0]["ssid"], "Anna's <b>phone");
    });
}

/// Pieces of which requests are made, right and wrong ones.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known = [
        "GET ",
        "POST ",
        "HEAD ",
        "/",
        "/api/v1/",
        "status",
        "switch",
        "events",
        "history",
        " HTTP/1.1\r\n",
        "Host: 192.168.1.1\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "\r\n\r\n",
        "Content-Type: application/json\r\n",
        "{\"uplink\":",
        "\"cable\"}",
        "X-Sparelink: 1\r\n",
        "Connection: close\r\n",
        "Expect: 100-continue\r\n",
        "%00",
        "\u{7f}",
        ": ",
        "\r\n",
    ];
    prop_oneof![
        4 => proptest::sample::select(known.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..12),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever arrives, nothing panics, and what is answered is an answer.
    #[test]
    fn any_bytes_get_an_answer_or_nothing(pieces in proptest::collection::vec(piece(), 0..24), socket: bool) {
        let mut bytes = pieces.concat();
        // So that what is half a request ends here, and not only when its time is up.
        bytes.truncate(2000);
        run(async {
            let (site, _feed) = site();
            let mut client = connect(&site, if socket { Via::Socket } else { PAGE });
            drop(client.write_all(&bytes).await);
            drop(client.shutdown().await);
            let mut answer = vec![0; 64];
            let read = client.read(&mut answer);
            if let Ok(Ok(length @ 1..)) = tokio::time::timeout(Duration::from_millis(200), read).await {
                assert!(answer[..length].starts_with(b"HTTP/1."), "{answer:?}");
            }
        });
    }

    /// Any JSON for any change is refused in one sentence, or understood.
    #[test]
    fn any_json_gets_a_sentence(text in "\\PC{0,40}", number: i64, what in 0..3_usize) {
        let path = ["/api/v1/switch", "/api/v1/pause", "/api/v1/resume"][what];
        let body = serde_json::json!({ "uplink": text, "for_s": number }).to_string();
        run(async {
            let answer = post(path, &body).await;
            if answer.status != 200 {
                answer.sentence();
            }
        });
    }
}
