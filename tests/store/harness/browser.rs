//! A real browser: headless Chromium, driven by chromedriver. Neither outlives its [`Browser`].

use super::{PATIENCE, free_port, wait_until};
use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::key::Key;
use fantoccini::wd::{WebDriverCompatibleCommand, WindowHandle};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use std::future::Future;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;
use url::{ParseError, Url};

/// For Chromium to start, which beside another test's store takes the most of all.
const STARTING: Duration = Duration::from_secs(90);

/// For the browser to close when the test is over; then it is killed.
const CLOSING: Duration = Duration::from_secs(5);

/// How a browser looks at pages.
#[derive(Clone, Copy)]
pub struct Look {
    pub width: u32,
    pub height: u32,
    pub dark: bool,
    pub scripts: bool,
}

impl Default for Look {
    fn default() -> Self {
        Self { width: 1440, height: 900, dark: false, scripts: true }
    }
}

pub struct Browser {
    runtime: Runtime,
    client: Option<Client>,
    /// Dropped last.
    _driver: Driver,
}

/// The driver, and with its process group the browser.
struct Driver(Child);

impl Browser {
    pub fn start(look: Look) -> Self {
        // One at a time, so that each has what there is of the machine.
        static START: Mutex<()> = Mutex::new(());
        let _start = START.lock().unwrap_or_else(PoisonError::into_inner);
        let port = free_port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let driver = Driver(driver.expect("chromedriver starts: scripts/test installs it"));
        wait_until("chromedriver listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut arguments = vec![
            "--headless=new".to_owned(),
            // Chromium refuses to run as root with its sandbox, and only pages of this test are looked at.
            "--no-sandbox".into(),
            "--disable-dev-shm-usage".into(),
            "--disable-gpu".into(),
            "--hide-scrollbars".into(),
            "--no-first-run".into(),
            "--disable-background-networking".into(),
            "--disable-component-update".into(),
            format!("--window-size={},{}", look.width, look.height),
        ];
        if !look.scripts {
            arguments.push("--blink-settings=scriptEnabled=false".into());
        }
        let Value::Object(capabilities) = json!({
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        }) else {
            unreachable!()
        };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities);
        let url = format!("http://127.0.0.1:{port}");
        let client = runtime.block_on(within(STARTING, builder.connect(&url))).unwrap();
        let browser = Self { runtime, client: Some(client), _driver: driver };
        // The window's size is not the page's, and Chromium has no window narrower than 500.
        browser.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({
                "width": look.width, "height": look.height, "deviceScaleFactor": 1,
                "mobile": look.width < 700,
            }),
        );
        let scheme = if look.dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        browser.devtools("Emulation.setEmulatedMedia", json!({ "features": features }));
        browser
    }

    fn client(&self) -> &Client {
        self.client.as_ref().unwrap()
    }

    #[track_caller]
    fn wait<T>(&self, command: impl Future<Output = Result<T, CmdError>>) -> T {
        self.runtime.block_on(within(PATIENCE, command)).unwrap()
    }

    #[track_caller]
    pub fn goto(&self, url: &str) {
        self.wait(self.client().goto(url));
    }

    #[track_caller]
    pub fn reload(&self) {
        self.wait(self.client().refresh());
    }

    #[track_caller]
    pub fn back(&self) {
        self.wait(self.client().back());
    }

    #[track_caller]
    pub fn title(&self) -> String {
        self.wait(self.client().title())
    }

    #[track_caller]
    pub fn url(&self) -> String {
        self.wait(self.client().current_url()).into()
    }

    fn find(&self, css: &str) -> Result<Element, CmdError> {
        self.runtime.block_on(within(PATIENCE, self.client().find(Locator::Css(css))))
    }

    /// The element, as soon as there is one.
    #[track_caller]
    fn element(&self, css: &str) -> Element {
        let mut found = None;
        wait_until(&format!("there is {css}"), || {
            found = self.find(css).ok();
            found.is_some()
        });
        found.unwrap()
    }

    pub fn has(&self, css: &str) -> bool {
        self.find(css).is_ok()
    }

    #[track_caller]
    pub fn count(&self, css: &str) -> usize {
        self.wait(self.client().find_all(Locator::Css(css))).len()
    }

    /// What a reader sees of it now; nothing if it is not there, or the page is just changing.
    pub fn text(&self, css: &str) -> Option<String> {
        self.runtime
            .block_on(within(PATIENCE, async { self.client().find(Locator::Css(css)).await?.text().await }))
            .ok()
    }

    #[track_caller]
    pub fn wait_for_text(&self, css: &str, expected: &str) {
        let mut seen = None;
        let what = format!("{css} says {expected:?}");
        wait_until(&what, || {
            seen = self.text(css);
            seen.as_deref().is_some_and(|text| text.contains(expected))
        });
    }

    #[track_caller]
    pub fn attribute(&self, css: &str, name: &str) -> Option<String> {
        self.wait(self.element(css).attr(name))
    }

    #[track_caller]
    pub fn click(&self, css: &str) {
        self.wait(self.element(css).click());
    }

    /// As fast as a nervous hand.
    #[track_caller]
    pub fn double_click(&self, css: &str) {
        let element = self.element(css);
        let click =
            fantoccini::actions::PointerAction::Down { button: fantoccini::actions::MOUSE_BUTTON_LEFT };
        let release =
            fantoccini::actions::PointerAction::Up { button: fantoccini::actions::MOUSE_BUTTON_LEFT };
        use fantoccini::actions::InputSource;
        let mouse = fantoccini::actions::MouseActions::new("mouse".into())
            .then(fantoccini::actions::PointerAction::MoveToElement {
                element,
                duration: None,
                x: 0.0,
                y: 0.0,
            })
            .then(click.clone())
            .then(release.clone())
            .then(click)
            .then(release);
        self.wait(self.client().perform_actions(mouse));
    }

    /// Takes the place of what the field held.
    #[track_caller]
    pub fn fill(&self, css: &str, text: &str) {
        let element = self.element(css);
        self.wait(async {
            element.clear().await?;
            element.send_keys(text).await
        });
    }

    #[track_caller]
    pub fn press_enter(&self, css: &str) {
        let enter = char::from(Key::Enter).to_string();
        self.wait(self.element(css).send_keys(&enter));
    }

    /// The value that `script` returns.
    #[track_caller]
    pub fn script(&self, script: &str) -> Value {
        self.wait(self.client().execute(script, Vec::new()))
    }

    /// Opens another window and looks at it from now on; returns the one before.
    #[track_caller]
    pub fn open_window(&self) -> WindowHandle {
        let before = self.wait(self.client().window());
        let opened = self.wait(self.client().new_window(false));
        self.look_at(opened.handle);
        before
    }

    #[track_caller]
    pub fn look_at(&self, window: WindowHandle) {
        self.wait(self.client().switch_to_window(window));
    }

    /// Whether the page is wider than the window.
    #[track_caller]
    pub fn scrolls_sideways(&self) -> bool {
        self.script("return document.documentElement.scrollWidth > document.documentElement.clientWidth")
            == true
    }

    /// What the browser complained about since this was last asked: scripts that failed, what the policy
    /// forbade, what could not be loaded.
    #[track_caller]
    pub fn complaints(&self) -> Vec<String> {
        let log =
            self.wait(self.client().issue_cmd(Vendor { path: "se/log", body: json!({ "type": "browser" }) }));
        let entries = log.as_array().cloned().unwrap_or_default();
        let severe = entries.iter().filter(|entry| entry["level"] == "SEVERE");
        severe.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    #[track_caller]
    fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.wait(self.client().issue_cmd(Vendor { path: "goog/cdp/execute", body }))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            let _ = self.runtime.block_on(async { tokio::time::timeout(CLOSING, client.close()).await });
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}

async fn within<T>(patience: Duration, command: impl Future<Output = T>) -> T {
    tokio::time::timeout(patience, command).await.expect("the browser answers in time")
}

/// A command of chromedriver's own.
#[derive(Debug)]
struct Vendor {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Vendor {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}
