//! Settings: shown to who has logged in, tried, kept or undone; the file stays the truth.

use std::fs;

use serde_json::json;

use super::login::{Home, PASSWORD};
use super::*;

const FILE: &str = "# Mine.\n[[uplink]]\nname = \"cable\" # the good one\ninterface = \"eth1\"\n\n\
                    [[notify]]\nto = \"ntfy://ntfy.sh/our-house\"\n";

struct Desk {
    home: Home,
    cookie: String,
}

impl Desk {
    async fn new(name: &str) -> Self {
        let home = Home::new(name, Some(PASSWORD));
        fs::write(home.dir.join("sparelink.toml"), FILE).unwrap();
        let cookie = home.enter(20).await;
        Self { home, cookie }
    }

    fn file(&self) -> String {
        fs::read_to_string(self.home.dir.join("sparelink.toml")).unwrap()
    }

    async fn shown(&self) -> Value {
        let answer = self.home.get("/api/v1/settings", &self.cookie).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.home.post(20, path, &self.cookie, &body.to_string()).await
    }

    /// Tries another hold, of the file as it is now.
    async fn hold(&self, hold: &str) -> Answer {
        let revision = self.shown().await["revision"].clone();
        self.post("settings", json!({"revision": revision, "settings": {"hold": hold}})).await
    }
}

#[test]
fn only_who_has_logged_in_sees_them_and_nobody_sees_secrets() {
    run(async {
        let desk = Desk::new("shown").await;
        assert_eq!(desk.home.get("/api/v1/settings", "").await.status, 401);
        let nothing = json!({"revision": "", "settings": {}}).to_string();
        assert_eq!(desk.home.post(20, "settings", "", &nothing).await.status, 401);
        let shown = desk.shown().await;
        assert_eq!(shown["settings"]["uplinks"][0]["name"], "cable");
        assert_eq!(shown["settings"]["notify"][0]["to"], "ntfy (our-h…)");
        assert!(!shown.to_string().contains("our-house"), "{shown}");
    });
}

#[test]
fn what_is_tried_is_written_and_undone_or_kept_as_somebody_says() {
    run(async {
        let desk = Desk::new("tried").await;
        let shown = desk.shown().await;
        let wanted = json!({"hold": "5m", "uplinks": [{"was": "cable", "metered": true}]});
        let asked = json!({"revision": shown["revision"], "settings": wanted, "preview": true});
        let preview = desk.post("settings", asked).await.json();
        assert_eq!(preview["changes"], json!(["hold 1m → 5m", "cable is metered"]));
        assert!(preview["difference"].to_string().contains("metered = true"), "{preview}");
        assert_eq!((desk.file().as_str(), &preview["confirm_within_s"]), (FILE, &Value::Null));

        let asked = json!({"revision": shown["revision"], "settings": wanted});
        let tried = desk.post("settings", asked.clone()).await;
        assert_eq!((tried.status, &tried.json()["confirm_within_s"]), (200, &json!(60)));
        assert!(desk.file().contains("hold = \"5m\"") && desk.file().starts_with("# Mine.\n"));
        let status = desk.home.get("/api/v1/status", "").await.json();
        let trial = &status["settings"]["trial"];
        assert_eq!((&trial["of"], &trial["by"]), (&json!("page"), &json!("192.168.1.20")));
        assert!(trial["seconds_left"].as_u64().unwrap() > 30, "{trial}");
        // A second person, meanwhile.
        assert_eq!(desk.hold("9m").await.status, 409);
        assert_eq!(desk.post("settings/undo", json!({})).await.status, 200);
        assert_eq!(desk.file(), FILE);
        assert_eq!(desk.post("settings/undo", json!({})).await.status, 409, "nothing is on trial");

        assert_eq!(desk.hold("7m").await.status, 200);
        assert_eq!(desk.post("settings/keep", json!({})).await.status, 200);
        assert!(desk.file().contains("hold = \"7m\""));
        let status = desk.home.get("/api/v1/status", "").await.json();
        assert_eq!(status["settings"]["trial"], Value::Null);
        assert_eq!(desk.post("settings/keep", json!({})).await.status, 409);
    });
}

#[test]
fn a_stale_page_and_wrong_values_change_nothing() {
    run(async {
        let desk = Desk::new("stale").await;
        let old = desk.shown().await["revision"].clone();
        let edited = format!("{FILE}# by hand\n");
        fs::write(desk.home.dir.join("sparelink.toml"), &edited).unwrap();
        let stale =
            desk.post("settings", json!({"revision": old, "settings": {"hold": "5m"}})).await;
        assert_eq!(stale.status, 409);
        assert_eq!(stale.sentence(), "the file was changed meanwhile; nothing was written");
        for (hold, word) in [("5", "unit"), ("-5s", "hold"), ("", "hold"), ("5m\"\n[web]", "hold")]
        {
            let wrong = desk.hold(hold).await;
            assert_eq!(wrong.status, 422, "{hold}");
            let told = wrong.json().to_string();
            assert!(told.contains(word), "{hold}: {told}");
        }
        let revision = desk.shown().await["revision"].clone();
        let unknown = json!({"revision": revision, "settings": {"web": {"listen": []}}});
        assert_eq!(desk.post("settings", unknown).await.status, 422);
        let same = json!({"revision": revision, "settings": {"hold": "60s"}});
        assert_eq!(
            desk.post("settings", same).await.json()["message"],
            "nothing would be different"
        );
        assert_eq!(desk.file(), edited);
        // A file with mistakes is told of, and left alone.
        fs::write(desk.home.dir.join("sparelink.toml"), "[[uplink]]\nname = 1\n").unwrap();
        let answer = desk.home.get("/api/v1/settings", &desk.cookie).await;
        assert_eq!(answer.status, 422, "{answer:?}");
    });
}

#[test]
fn a_disk_that_cannot_be_written_leaves_the_file_as_it_is() {
    run(async {
        let desk = Desk::new("disk").await;
        // What the new text is written to stands in the way, and cannot be removed as a file.
        fs::create_dir(desk.home.dir.join("sparelink.new")).unwrap();
        let refused = desk.hold("5m").await;
        assert_eq!(refused.status, 500);
        assert!(refused.sentence().ends_with("it is as before"), "{refused:?}");
        assert_eq!(desk.file(), FILE);
        fs::remove_dir(desk.home.dir.join("sparelink.new")).unwrap();
        assert_eq!(desk.hold("5m").await.status, 200, "control: nothing is left on trial");
    });
}

#[test]
fn what_nobody_confirms_is_undone_by_itself_also_after_a_restart() {
    run(async {
        let desk = Desk::new("unconfirmed").await;
        assert_eq!(desk.hold("5m").await.status, 200);
        // As if it had been tried a minute ago.
        let record = desk.home.dir.join("setup-undo.json");
        let mut kept: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
        kept["begun"] = json!(kept["begun"].as_u64().unwrap() - 59_500_000);
        fs::write(&record, kept.to_string()).unwrap();
        assert!(desk.file().contains("5m"), "control");
        let watch = tokio::spawn(desk.home.site.desk.clone().watch());
        for _ in 0..1000 {
            if desk.file() == FILE {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(desk.file(), FILE);
        // And the next one is waited for as well: it is kept here.
        assert_eq!(desk.hold("6m").await.status, 200);
        assert_eq!(desk.post("settings/keep", json!({})).await.status, 200);
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert!(desk.file().contains("6m"));
        watch.abort();
    });
}

#[test]
fn a_set_up_is_kept_for_whoever_waits_to_undo_it_and_is_not_undone_here() {
    use crate::io::trial::{self, Attempt, By};
    run(async {
        let desk = Desk::new("setup").await;
        let file = desk.home.dir.join("sparelink.toml");
        let record = trial::record(&file);
        let attempt = Attempt {
            by: By::Setup,
            within: Duration::from_secs(120),
            files: std::slice::from_ref(&file),
            becomes: None,
            running: Vec::new(),
            stopped: Vec::new(),
            group: None,
        };
        trial::begin(&record, attempt).unwrap();
        let refused = desk.post("settings/undo", json!({})).await;
        assert_eq!((refused.status, record.exists()), (409, true));
        assert_eq!(desk.post("settings/keep", json!({})).await.status, 200);
        assert!(!record.exists() && trial::undo(&record, Duration::ZERO).unwrap().is_none());
        assert!(trial::was_kept_for(&record).unwrap(), "whoever waits starts it at boot");
        assert!(!trial::was_kept_for(&record).unwrap(), "once");
    });
}
