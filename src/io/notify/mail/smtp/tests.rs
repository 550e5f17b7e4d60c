//! Servers that do not do what they should. What they do by TLS is tried in `tests/agent/notify`.

use std::collections::BTreeSet;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;
use crate::config::Login;
use crate::units::Severity;

const PATIENCE: Duration = Duration::from_millis(400);
const EHLO: &str = "250-mail.example\r\n250-SIZE 1000\r\n250 STARTTLS\r\n";

fn mail(tls: bool) -> Mail {
    Mail {
        server: Server { tls, host: "mail.example".to_owned(), port: 587 },
        login: Login { user: "me".to_owned(), password: "s3cret".to_owned().into() },
        from: "box@home.example".to_owned(),
        to: "anna@home.example".to_owned().into(),
    }
}

fn message() -> Kept {
    Kept {
        id: "a-1".to_owned(),
        story: "a".to_owned(),
        event: "test".to_owned(),
        severity: Severity::Warning,
        title: "Title".to_owned(),
        text: "Text".to_owned(),
        next: String::new(),
        at: None,
        uplink: None,
        digest: false,
        to: BTreeSet::new(),
        ack: None,
        reply: None,
        withheld: 0,
    }
}

/// What came of a server that says these in turn, each when it has heard something (the first at once), and what it
/// was told.
fn play(mail: &Mail, says: &[&[u8]]) -> (Failure, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let letter = letter(mail, &message(), None).unwrap();
        let handed = converse(mail, &letter, Box::new(near), PATIENCE);
        let (result, heard) = tokio::join!(handed, serve(far, says));
        (result.unwrap_err(), heard)
    })
}

async fn serve(mut stream: DuplexStream, says: &[&[u8]]) -> String {
    let mut heard = Vec::new();
    for (n, say) in says.iter().enumerate() {
        let mut buffer = [0; 4096];
        if n > 0 {
            match stream.read(&mut buffer).await {
                Ok(many) if many > 0 => heard.extend_from_slice(&buffer[..many]),
                _ => break,
            }
        }
        let _ = stream.write_all(say).await;
    }
    let _ = stream.read_to_end(&mut heard).await;
    String::from_utf8_lossy(&heard).into_owned()
}

#[test]
fn nothing_secret_is_said_in_plain_text() {
    let mail = mail(false);
    let go: &[u8] = b"220 go\r\n";
    let planted: &[u8] = b"220 go\r\n250-planted\r\n250 AUTH PLAIN LOGIN\r\n235 welcome\r\n";
    let cases: [(&[&[u8]], &str, bool); 12] = [
        (&[b"220 hi\r\n", b"250-x\r\n250 AUTH PLAIN\r\n"], "offers no TLS here", true),
        (&[b"220 hi\r\n", b"502 what?\r\n"], "refuses the mail (502: what?)", true),
        (&[b"220 hi\r\n", EHLO.as_bytes(), planted], "does not speak TLS", false),
        (&[b"220 hi\r\n", EHLO.as_bytes(), go], "took the connection and does not", false),
        (&[b"220 hi\r\n", EHLO.as_bytes(), b"454 no key\r\n"], "yet (454: no key)", false),
        (&[b"421-busy\r\n421 later\r\n"], "does not take it yet (421: busy later)", false),
        (&[b"554 go away\r\n"], "refuses the mail (554: go away)", true),
        (&[b"HTTP/1.1 400 Bad Request\r\n"], "what answers there is no mail server", false),
        (&[b"\xff\xfe\xfd\r\n"], "what answers there is no mail server", false),
        (&[&[b'2'; 70_000]], "what answers there is no mail server", false),
        (&[&b"220-more\r\n".repeat(200)], "what answers there is no mail server", false),
        (&[b"22"], "took the connection and does not answer", false),
    ];
    for (says, why, refused) in cases {
        let (failure, heard) = play(&mail, says);
        assert!(failure.why.contains(why), "{why}: {failure:?}");
        assert!(failure.why.starts_with("mail.example"), "{failure:?}");
        assert_eq!(failure.refused, refused, "{failure:?}");
        assert_eq!(failure.pause.is_some(), why.contains("yet ("), "{failure:?}");
        for secret in ["AUTH", "s3cret", "MAIL", "anna", "Text"] {
            assert!(!heard.contains(secret), "{why}: {heard}");
        }
    }
    let (_, heard) = play(&mail, &[b"220 hi\r\n", EHLO.as_bytes(), go]);
    assert!(heard.contains("STARTTLS\r\n\u{16}\u{3}"), "control: the handshake has begun");
}

#[test]
fn a_server_by_tls_is_told_nothing_before_it() {
    let (failure, heard) = play(&mail(true), &[b"220 hi\r\n"]);
    assert!(failure.why.contains("mail.example: what answers there does not speak TLS"));
    assert!(!failure.refused && !heard.contains("EHLO"), "{failure:?}");
}

#[test]
fn what_a_server_says_is_bounded() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        let wire = Wire { stream: Mutex::new(Box::new(near)), greeting: b"", left: MOST };
        let endless = async move { while far.write_all(&[b'2'; 4096]).await.is_ok() {} };
        let mail = mail(true);
        let letter = letter(&mail, &message(), None).unwrap();
        let (result, ()) = tokio::join!(say(&mail, &letter, wire), endless);
        assert_eq!(result.unwrap_err().why, NO_MAIL_SERVER);
    });
}

#[test]
fn a_greeting_is_made_up_where_a_server_has_greeted_before() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let wire = Wire { stream: Mutex::new(Box::new(near)), greeting: GREETING, left: MOST };
        let says: [&[u8]; 7] = [
            b"",
            b"250-x\r\n250 AUTH LOGIN PLAIN\r\n",
            b"235 in\r\n",
            b"250 from\r\n",
            b"250 to\r\n",
            b"354 go\r\n",
            b"250 taken\r\n",
        ];
        let mail = mail(true);
        let letter = letter(&mail, &message(), None).unwrap();
        let (result, heard) = tokio::join!(say(&mail, &letter, wire), serve(far, &says));
        assert_eq!(result, Ok(()), "{heard}");
        let told = ["EHLO [127.0.0.1]\r\nAUTH PLAIN ", "MAIL FROM:<box@home.example>\r\n"];
        for told in told {
            assert!(heard.contains(told), "{heard}");
        }
        assert!(heard.contains("RCPT TO:<anna@home.example>\r\nDATA\r\n"), "{heard}");
        assert!(heard.contains("\r\n.\r\nQUIT\r\n"), "{heard}");
    });
}
