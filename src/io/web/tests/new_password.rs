//! A password is set on the page by who has the one that holds, or a code from the box.

use super::super::password;
use super::login::{Home, PASSWORD};
use super::*;

const NEW: &str = "another horse";

fn body(fields: &[(&str, &str)]) -> String {
    let fields = fields.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value)));
    Value::Object(fields.collect()).to_string()
}

#[test]
fn the_first_one_needs_the_code_which_is_good_once() {
    run(async {
        let home = Home::new("code", None);
        let file = home.dir.join("password");
        let with = |code: &str| body(&[("password", NEW), ("code", code)]);
        let answer = home.post(20, "password", "", &with("7K2M-9QXD")).await;
        assert_eq!(
            (answer.status, answer.sentence()),
            (409, "there is no code, or it has been used".to_owned())
        );
        let code = password::new_code(&file, None).unwrap();
        let wrong = home.post(20, "password", "", &with("0000-0000")).await;
        assert_eq!((wrong.status, wrong.sentence()), (401, "the code is not right".to_owned()));
        let soon = home.post(20, "password", "", &with(&code)).await;
        assert_eq!(soon.status, 429, "who guesses waits");
        let short =
            home.post(21, "password", "", &body(&[("password", "short"), ("code", &code)])).await;
        assert_eq!(short.status, 422);
        let right = home.post(21, "password", "", &with(&code.to_lowercase())).await;
        assert_eq!(right.status, 200, "{right:?}");
        // Whoever set it is in.
        let cookie = right.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let status = home.get("/api/v1/status", &cookie).await.json();
        assert_eq!(status["login"]["in"], true);
        let again = home.post(22, "password", "", &with(&code)).await;
        assert_eq!(again.status, 409, "it is used");
        assert_eq!(home.log_in(23, NEW).await.status, 200);
    });
}

#[test]
fn another_one_needs_the_one_that_holds() {
    run(async {
        let home = Home::new("another", Some(PASSWORD));
        let cookie = home.enter(20).await;
        let with = |current: &str| body(&[("password", NEW), ("current", current)]);
        assert_eq!(home.post(21, "password", &cookie, &with("wrong horse")).await.status, 401);
        assert_eq!(home.log_in(22, PASSWORD).await.status, 200, "it is as before");
        for fields in
            [vec![("password", NEW)], vec![("password", NEW), ("current", PASSWORD), ("code", "X")]]
        {
            assert_eq!(home.post(20, "password", &cookie, &body(&fields)).await.status, 422);
        }
        assert_eq!(home.post(20, "password", &cookie, &with(PASSWORD)).await.status, 200);
        let status = home.get("/api/v1/status", &cookie).await.json();
        assert_eq!(status["login"]["in"], false, "sessions of the old one are over");
        assert_eq!(home.log_in(24, NEW).await.status, 200);
    });
}
