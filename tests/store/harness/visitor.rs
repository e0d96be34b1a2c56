//! Somebody with a browser that runs no scripts, over plain HTTP: it keeps cookies, fills in forms and follows
//! where it is sent.

use super::{Answer, Client};
use std::cell::RefCell;
use std::collections::BTreeMap;

pub struct Visitor {
    client: Client,
    cookies: RefCell<BTreeMap<String, String>>,
}

/// A page that was looked at.
pub struct Looked {
    pub answer: Answer,
    pub html: String,
}

/// The fields of a form, by name.
pub type Fields = BTreeMap<String, String>;

impl Visitor {
    pub fn new(base: &str) -> Self {
        Self { client: Client::new(base), cookies: RefCell::default() }
    }

    /// The same browser at another frontend, which it takes for the same shop.
    pub fn at(&self, base: &str) -> Self {
        Self { client: Client::new(base), cookies: self.cookies.clone() }
    }

    pub fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.borrow().get(name).cloned()
    }

    pub fn set_cookie(&self, name: &str, value: &str) {
        self.cookies.borrow_mut().insert(name.into(), value.into());
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Looked {
        self.send("GET", path, &[], None)
    }

    /// Sends a form, and does not follow.
    #[track_caller]
    pub fn post(&self, path: &str, fields: &Fields) -> Looked {
        self.post_with(path, fields, &[])
    }

    #[track_caller]
    pub fn post_with(&self, path: &str, fields: &Fields, headers: &[(&str, &str)]) -> Looked {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send("POST", path, headers, Some(&body))
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Looked {
        let cookies: Vec<_> =
            self.cookies.borrow().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let mut all = vec![("accept", "text/html,application/xhtml+xml"), ("cookie", cookies.as_str())];
        if body.is_some() {
            all.push(("content-type", "application/x-www-form-urlencoded"));
        }
        all.extend(headers);
        let answer = self.client.send(method, path, &all, body).unwrap();
        for line in answer.headers.get_all("set-cookie") {
            let line = line.to_str().unwrap();
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            match line.contains("Max-Age=0") {
                true => self.cookies.borrow_mut().remove(name),
                false => self.cookies.borrow_mut().insert(name.into(), value.into()),
            };
        }
        let html = String::from_utf8_lossy(&answer.body).into_owned();
        Looked { answer, html }
    }
}

impl Looked {
    /// Asserts that it is a page with this status. Returns it.
    #[track_caller]
    pub fn page(self, status: u16) -> Self {
        assert_eq!(self.answer.status, status, "{}", self.answer.text());
        assert_eq!(self.answer.header("content-type"), "text/html; charset=utf-8", "{}", self.answer.text());
        assert!(self.html.starts_with("<!DOCTYPE html>"), "{}", self.html);
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.html.contains(text), "no {text:?} in {}", self.main());
        self
    }

    /// Where it sends the browser.
    #[track_caller]
    pub fn goes_to(&self) -> &str {
        assert_eq!(self.answer.status, 303, "{}", self.answer.text());
        self.answer.header("location")
    }

    /// What is between the frame.
    pub fn main(&self) -> &str {
        between(&self.html, "<main", "</main>").unwrap_or(&self.html)
    }

    /// The fields of the form that buys, as the page fills them.
    #[track_caller]
    pub fn form(&self) -> Fields {
        let main = self.main();
        let form = between(main, "action=\"/buy\"", "</form>").unwrap_or_else(|| panic!("no form in {main}"));
        let inputs = form.split("<input ").skip(1);
        let attribute =
            |input: &str, name: &str| between(input, &format!("{name}=\""), "\"").map(str::to_owned);
        inputs.filter_map(|input| Some((attribute(input, "name")?, attribute(input, "value")?))).collect()
    }

    /// The values of an attribute that begin so.
    pub fn addresses(&self, attribute: &str, begins: &str) -> Vec<String> {
        let opening = format!("{attribute}=\"{begins}");
        let pieces = self.html.split(&opening).skip(1);
        pieces
            .map(|piece| format!("{begins}{}", piece.split('"').next().unwrap()).replace("&amp;", "&"))
            .collect()
    }
}

fn between<'a>(text: &'a str, before: &str, behind: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(behind).map(|(inside, _)| inside)
}
