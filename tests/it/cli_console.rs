//! `console`: the link reaches the person's browser and nobody else, and stands in no list of processes.

use crate::support::{
    app::{
        Persona::{Alice, Mallory},
        TestApp,
    },
    arguments_of_all,
    database::on_sqlite,
    person::{Ended, Person},
    skip, until,
};
use reqwest::{Client, redirect};
use serde_json::Value;
use std::{
    fs, os::unix::fs::PermissionsExt, os::unix::process::CommandExt, path::Path, process::Command, time::Duration,
};

/// Somebody whose browser does no more than write down what it was started with.
fn with_browser(test: &TestApp) -> Person {
    let person = Person::new().with("HALLPASS_SERVER", &test.url).with("HALLPASS_TOKEN", &test.token(Alice));
    let browser = person.home().join("browser");
    fs::write(
        &browser,
        format!("#!/bin/sh\nprintf %s \"$*\" >{0}/new\nmv {0}/new {0}/opened\n", person.home().display()),
    )
    .unwrap();
    fs::set_permissions(&browser, fs::Permissions::from_mode(0o755)).unwrap();
    let browser = browser.to_str().unwrap().to_owned();
    person.with("BROWSER", &browser)
}

/// Every file of the home.
fn texts_of(home: &Person) -> String {
    let files = home.files().into_iter().filter(|(path, _)| path.is_file());
    files.map(|(path, _)| fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn the_browser_is_sent_to_the_link_once_and_nobody_sees_it() {
    on_sqlite(async |db| {
        let test = TestApp::start_today(db).await;
        let person = with_browser(&test);
        let child = person.command(&["console", "prod/ReadOnly"]).spawn().unwrap();
        let opened = until("the browser", Duration::from_secs(20), async || {
            fs::read_to_string(person.home().join("opened")).ok()
        })
        .await;
        assert!(opened.starts_with("http://127.0.0.1:"), "{opened}");
        let secret = "fake-signin-token";
        assert!(!arguments_of_all().contains(secret) && !texts_of(&person).contains(secret));

        let client = Client::builder().no_proxy().redirect(redirect::Policy::none()).build().unwrap();
        let get = async |url: &str, host: Option<&str>| {
            let request = host.iter().fold(client.get(url), |request, host| request.header("host", *host));
            let answer = request.send().await.unwrap();
            let location = answer.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(answer.headers()["referrer-policy"], "no-referrer");
            (answer.status().as_u16(), location)
        };
        let nothing = (404, None);
        assert_eq!(get(&format!("{opened}x"), None).await, nothing);
        let (rest, last) = opened.split_at(opened.len() - 1);
        assert_eq!(get(&format!("{rest}{}", if last == "A" { "B" } else { "A" }), None).await, nothing);
        assert_eq!(get(&opened, Some("evil.example")).await, nothing);
        let stranger = as_somebody_else(&opened);
        assert!(stranger.is_none_or(|status| status == "403"), "what `ps` shows is good for nobody else");
        let (status, location) = get(&opened, None).await;
        let location = location.unwrap();
        assert!(status == 303 && location.starts_with(&test.signin.url) && location.contains(secret), "{location}");

        let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await.unwrap().unwrap();
        let ended = Ended::of(&output);
        assert_eq!((ended.code, &*ended.out), (Some(0), ""));
        assert!(ended.err.starts_with("The console is open in your browser as prod/ReadOnly, until "), "{ended:?}");
        assert!(client.get(&opened).send().await.is_err(), "nobody listens any more");
        test.close().await;
    });
}

/// What another user of this machine gets; only root can be somebody else.
fn as_somebody_else(url: &str) -> Option<String> {
    if fs::metadata("/proc/self").is_ok_and(|about| std::os::unix::fs::MetadataExt::uid(&about) != 0)
        || !Path::new("/usr/bin/curl").exists()
    {
        skip("another user with curl");
        return None;
    }
    let mut curl = Command::new("/usr/bin/curl");
    curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", url]).env_clear().uid(65534).gid(65534).current_dir("/");
    Some(String::from_utf8(curl.output().unwrap().stdout).unwrap())
}

#[test]
fn the_link_is_printed_where_that_is_asked_for() {
    on_sqlite(async |db| {
        let test = TestApp::start_today(db).await;
        let alice = Person::new().with("HALLPASS_SERVER", &test.url).with("HALLPASS_TOKEN", &test.token(Alice));
        let link = alice.see(&["console", "prod/ReadOnly", "--print"]).await;
        assert!(link.starts_with(&test.signin.url) && link.lines().count() == 1, "{link}");
        let destination = "https://console.aws.amazon.com/s3/home";
        let answer = alice.see(&["console", "prod/ReadOnly", "--json", "--destination", destination]).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(answer["url"].as_str().unwrap().contains("Destination=https%3A%2F%2Fconsole.aws"), "{answer}");
        assert!(
            ["url_expires_at", "expires_at", "issuance_id"].iter().all(|name| answer[name].is_string()),
            "{answer}"
        );
        assert_eq!(test.sts.minted().len(), 2, "a link is never kept");

        let asked = test.signin.asked().len();
        let said = alice.fail(&["console", "prod/ReadOnly"]).await;
        assert_eq!(said, "there is no browser here: --print shows the link, for one elsewhere");
        assert_eq!(test.signin.asked().len(), asked, "nothing is asked for in vain");
        let said = alice.fail(&["console", "prod/ReadOnly", "--print", "--destination", "https://evil.example"]).await;
        assert!(said.contains("/destination"), "{said}");
        let mallory = Person::new().with("HALLPASS_SERVER", &test.url).with("HALLPASS_TOKEN", &test.token(Mallory));
        let said = mallory.fail(&["console", "prod/ReadOnly", "--print"]).await;
        assert!(said.starts_with("No grant of yours names this role"), "{said}");
        test.close().await;
    });
}
