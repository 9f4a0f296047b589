//! A certified OpenID provider (`oidc-provider` from npm) as a process of its own, and a browser without a screen.

use super::{Killed, free_port, service::keep, skip, until, variable};
use reqwest::{StatusCode, Url, header, redirect};
use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

pub(crate) struct Provider {
    pub(crate) url: String,
    pub(crate) process: Killed,
    log: Arc<Mutex<Vec<String>>>,
}

impl Provider {
    /// `None` where it is not installed, and that may be.
    pub(crate) async fn start() -> Option<Self> {
        let Some(folder) = variable("HALLPASS_TEST_OIDC") else {
            skip("the OpenID provider (node and npm)");
            return None;
        };
        let port = free_port();
        let mut command = Command::new("node");
        command.arg("provider.js").arg(port.to_string()).current_dir(folder).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        keep(child.stdout.take().unwrap(), &log);
        let provider = Self { url: format!("http://127.0.0.1:{port}"), process: Killed(child), log };
        until("OpenID provider", Duration::from_secs(20), async || (provider.count("ready") == 1).then_some(())).await;
        Some(provider)
    }

    /// How often it has printed this line.
    pub(crate) fn count(&self, line: &str) -> usize {
        self.log.lock().unwrap().iter().filter(|its| its.starts_with(line)).count()
    }

    /// Asks an endpoint of its own with these fields.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> (StatusCode, String) {
        let body = encode(fields.iter().copied());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(format!("{}{path}", self.url)).header(header::CONTENT_TYPE, FORM).body(body);
        let answer = request.send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

fn encode<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut url = Url::parse("http://x").unwrap();
    url.query_pairs_mut().extend_pairs(fields);
    url.query().unwrap_or_default().to_owned()
}

/// Follows redirects and fills forms in, with cookies. One for each person.
pub(crate) struct Browser {
    client: reqwest::Client,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    pub(crate) fn new() -> Self {
        let client = reqwest::Client::builder().no_proxy().redirect(redirect::Policy::none()).build().unwrap();
        Self { client, cookies: BTreeMap::new() }
    }

    /// Goes there, and fills in every form with what it has already and with `fields`, until a page has none. The last
    /// page's status and text.
    pub(crate) async fn walk(&mut self, url: &str, fields: &[(&str, &str)]) -> (StatusCode, String) {
        let (mut at, mut form) = (Url::parse(url).unwrap(), None);
        for _ in 0..20 {
            let (status, next, text) = self.go(&at, form.take()).await;
            if let Some(next) = next {
                at = at.join(&next).unwrap();
                continue;
            }
            let Some((action, mut filled)) = read_form(&text) else { return (status, text) };
            filled.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
            at = at.join(&action).unwrap();
            form = Some(encode(filled.iter().map(|(name, value)| (name.as_str(), value.as_str()))));
        }
        panic!("no end at {at}");
    }

    async fn go(&mut self, at: &Url, form: Option<String>) -> (StatusCode, Option<String>, String) {
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = match form {
            Some(form) => self.client.post(at.clone()).header(header::CONTENT_TYPE, FORM).body(form),
            None => self.client.get(at.clone()),
        };
        let answer = request.header(header::COOKIE, cookies.join("; ")).send().await.unwrap();
        for cookie in answer.headers().get_all(header::SET_COOKIE) {
            let (name, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            match value {
                "" => self.cookies.remove(name),
                value => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        let next = answer.headers().get(header::LOCATION).map(|next| next.to_str().unwrap().to_owned());
        (answer.status(), next, answer.text().await.unwrap())
    }
}

/// Where a page's form goes, and what it holds already.
fn read_form(page: &str) -> Option<(String, BTreeMap<String, String>)> {
    let attribute = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let form = page.split("<form").nth(1)?;
    let inputs = form.split("<input").skip(1).map(|tag| tag.split('>').next().unwrap());
    let filled = inputs.filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value").unwrap_or_default())));
    Some((attribute(&format!(" {form}"), "action")?, filled.collect()))
}
