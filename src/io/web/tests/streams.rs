//! Those who watch.

use super::super::site::STREAMS;
use super::*;
use crate::engine::events::entry::plain;

const WATCH: &[u8] = b"GET /api/v1/events HTTP/1.1\r\nHost: 192.168.1.1\r\n\r\n";

/// Reads until a text has come; everything up to there.
async fn read_until(client: &mut DuplexStream, end: &str) -> String {
    let mut text = String::new();
    let read = async {
        while !text.contains(end) {
            let mut buffer = [0; 4096];
            let length = client.read(&mut buffer).await.unwrap();
            assert!(length > 0, "it ended: {text}");
            text += &String::from_utf8_lossy(&buffer[..length]);
        }
    };
    let done = tokio::time::timeout(PATIENCE, read).await;
    assert!(done.is_ok(), "no {end:?} in {text}");
    text
}

#[test]
fn who_watches_sees_the_state_at_once_and_then_what_is_new() {
    run(async {
        let (site, feed) = site();
        assert!(!feed.is_watched(), "nothing need be worked out");
        let mut client = connect(&site, PAGE);
        client.write_all(WATCH).await.unwrap();
        let text = read_until(&mut client, "uplinks").await;
        assert!(text.contains("content-type: text/event-stream\r\n"), "{text}");
        assert!(text.contains("retry: 1000\n\nevent: status\ndata: {\"version\""), "{text}");
        assert!(feed.is_watched());
        feed.entry(&entry());
        let text = read_until(&mut client, "\n\n").await;
        assert!(
            text.contains("event: entry\ndata: {\"at\":null,\"code\":\"no_spare_left\""),
            "{text}"
        );
        let mut other = snapshot();
        other.sentence = "Internet works, on mifi".to_owned();
        feed.state(&other);
        read_until(&mut client, "on mifi").await;
        drop(client);
        let gone = async {
            while feed.is_watched() {
                tokio::time::sleep(Duration::from_millis(5)).await;
                feed.state(&other);
            }
        };
        tokio::time::timeout(PATIENCE, gone).await.expect("its slot is free again");
    });
}

#[test]
fn who_asks_for_changes_is_told_no_more_than_these() {
    run(async {
        let (site, feed) = site();
        let mut client = connect(&site, PAGE);
        client
            .write_all(b"GET /api/v1/events?changes HTTP/1.1\r\nHost: 192.168.1.1\r\n\r\n")
            .await
            .unwrap();
        let text = read_until(&mut client, "\n\n\r\n").await;
        assert!(text.contains("event: status\ndata: {\"version\""), "{text}");
        let mut other = snapshot();
        other.sentence = "Internet works, on mifi".to_owned();
        feed.state(&other);
        let text = read_until(&mut client, "\n\n").await;
        assert!(text.contains("event: changes\ndata: {"), "{text}");
        assert!(text.contains("\"/sentence\":\"Internet works, on mifi\""), "{text}");
        assert!(!text.contains("\"name\""), "what is the same is not told again: {text}");
        // Nothing changed, and it is heard all the same.
        feed.state(&other);
        let text = read_until(&mut client, "\n\n").await;
        assert!(text.contains("event: changes\ndata: {}\n\n"), "{text}");
        feed.entry(&entry());
        read_until(&mut client, "event: entry").await;
    });
}

#[test]
fn a_slow_reader_misses_states_and_is_let_go_when_it_misses_news() {
    run(async {
        let (site, feed) = site();
        let mut client = connect(&site, PAGE);
        client.write_all(WATCH).await.unwrap();
        read_until(&mut client, "uplinks").await;
        for _ in 0..1000 {
            feed.state(&snapshot());
            tokio::task::yield_now().await;
        }
        feed.entry(&entry());
        let text = read_until(&mut client, "no_spare_left").await;
        let states = text.matches("event: status").count();
        assert!(states < 200, "{states} of 1000 states were kept for it");
        for _ in 0..1000 {
            feed.entry(&entry());
        }
        let mut rest = Vec::new();
        let end = tokio::time::timeout(PATIENCE, client.read_to_end(&mut rest)).await;
        end.expect("it is let go").unwrap();
    });
}

#[test]
fn there_is_an_end_to_the_streams() {
    run(async {
        let (site, _feed) = site();
        let mut open = Vec::new();
        for _ in 0..STREAMS {
            let mut client = connect(&site, PAGE);
            client.write_all(WATCH).await.unwrap();
            read_until(&mut client, "uplinks").await;
            open.push(client);
        }
        let mut client = connect(&site, PAGE);
        client.write_all(WATCH).await.unwrap();
        let text = read_until(&mut client, "}").await;
        assert!(text.contains("503") && text.contains("too many pages are open"), "{text}");
    });
}

#[test]
fn hostile_names_stay_text() {
    let mut hostile = snapshot();
    hostile.uplinks[0].reason = "set aside: <script>\u{202e}\u{1b}[2J\r\nevent: entry".to_owned();
    let login = json::Login { needed: true, set: false, inside: None };
    let shown =
        serde_json::to_string(&json::Status::new(&hostile, login, Feed::default().settings()))
            .unwrap();
    assert!(!shown.contains('\u{1b}') && !shown.contains("\\u001b"), "{shown}");
    assert!(!shown.contains('\n') && !shown.contains('\u{202e}'), "{shown}");
    assert!(shown.contains("set aside: <script>[2J  event: entry"), "{shown}");
    assert_eq!(plain(&"x".repeat(1000)).len(), 200);
}
