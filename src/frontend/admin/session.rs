//! Who is signed in, and which forms are ours.
//!
//! A session is a cookie that every frontend with the same admin token can check, and none has to remember: a random
//! number, when it ends, and a MAC over both by a key of the token. It is not the token and does not lead to it; another
//! token ends all sessions. While there are two, sessions begin under the new one, and those of the old one go on. The same number, under another key, makes the secret that every form of the session carries: a page from
//! elsewhere can make a browser send a form here, but not say that.

use crate::token::{AdminToken, MacKey};
use std::time::Duration;
use subtle::ConstantTimeEq;

/// A working day. Signing out ends it in that browser; nothing but another token ends it everywhere.
const LENGTH: Duration = Duration::from_secs(8 * 3600);

const COOKIE: &str = "bazar-admin";

pub struct Sessions {
    /// Of each token, the new one's first.
    sessions: Vec<MacKey>,
    forms: Vec<MacKey>,
}

/// Somebody who is signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session(u128);

impl Sessions {
    pub fn new(token: &AdminToken) -> Self {
        let keys = |purpose| token.derive(purpose).iter().map(MacKey::new).collect();
        Self { sessions: keys("bazar admin session 1"), forms: keys("bazar admin form 1") }
    }

    /// What `Set-Cookie` says to who has signed in at `now_ms`. `secure`: the browser came by HTTPS.
    pub fn begin(&self, id: u128, now_ms: i64, secure: bool) -> String {
        let length_ms = i64::try_from(LENGTH.as_millis()).unwrap_or(i64::MAX);
        let ends_ms = now_ms.saturating_add(length_ms).cast_unsigned();
        let mac = self.sessions.first().map(|key| hex::encode(mac(key, id, ends_ms))).unwrap_or_default();
        cookie(&format!("{id:032x}.{ends_ms:016x}.{mac}"), LENGTH.as_secs(), secure)
    }

    /// The session that a `Cookie` header names.
    pub fn read(&self, header: &str, now_ms: i64) -> Option<Session> {
        let mut cookies = header.split(';').filter_map(|cookie| cookie.trim().split_once('='));
        let (_, value) = cookies.find(|(name, _)| *name == COOKIE)?;
        let mut parts = value.split('.');
        let (id, ends, sum) = (parts.next()?, parts.next()?, parts.next()?);
        let id = u128::from_str_radix(id, 16).ok()?;
        let ends_ms = u64::from_str_radix(ends, 16).ok()?;
        let mut given = [0; 32];
        hex::decode_to_slice(sum, &mut given).ok()?;
        let ours = self.sessions.iter().any(|key| given.ct_eq(&mac(key, id, ends_ms)).into());
        (ours && now_ms < ends_ms.cast_signed()).then_some(Session(id))
    }

    /// What each form of the session carries.
    pub fn form_secret(&self, session: Session) -> String {
        self.forms.first().map(|key| form_secret(key, session)).unwrap_or_default()
    }

    pub fn is_form_secret(&self, session: Session, given: &str) -> bool {
        self.forms.iter().any(|key| form_secret(key, session).as_bytes().ct_eq(given.as_bytes()).into())
    }
}

fn mac(key: &MacKey, id: u128, ends_ms: u64) -> [u8; 32] {
    key.mac(&[&id.to_be_bytes(), &ends_ms.to_be_bytes()])
}

fn form_secret(key: &MacKey, session: Session) -> String {
    hex::encode(key.mac(&[&session.0.to_be_bytes()]))
}

/// What `Set-Cookie` says to who signs out.
pub fn end(secure: bool) -> String {
    cookie("", 0, secure)
}

/// `Strict`: no link or form on another site brings the session along.
fn cookie(value: &str, seconds: u64, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/admin; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_700_000_000_000;
    const HOUR_MS: i64 = 3_600_000;

    fn sessions(token: &str) -> Sessions {
        Sessions::new(&AdminToken::parse(token).unwrap())
    }

    fn begun(sessions: &Sessions) -> String {
        sessions.begin(7, NOW_MS, false).split(';').next().unwrap().to_owned()
    }

    #[test]
    fn a_session_lasts_a_working_day_and_at_every_frontend_with_the_token() {
        let cookie = begun(&sessions("0123456789abcdef"));
        let elsewhere = sessions("0123456789abcdef");
        for (hours, signed_in) in [(0, true), (7, true), (8, false), (100, false)] {
            let read = elsewhere.read(&format!("a=b; {cookie}; c"), NOW_MS + hours * HOUR_MS);
            assert_eq!(read.is_some(), signed_in, "after {hours} hours");
        }
        assert_eq!(sessions("another-token-altogether").read(&cookie, NOW_MS), None);
    }

    #[test]
    fn a_session_goes_on_while_its_token_is_one_of_two_and_ends_with_it() {
        let (old, new) = ("the-old-admin-token", "the-new-admin-token");
        let (before, both, after) = (sessions(old), sessions(&format!("{new}\n{old}")), sessions(new));
        let (of_old, of_new) = (begun(&before), begun(&both));
        assert!(both.read(&of_old, NOW_MS).is_some() && both.read(&of_new, NOW_MS).is_some());
        assert!(after.read(&of_old, NOW_MS).is_none() && after.read(&of_new, NOW_MS).is_some());
        let form = before.form_secret(Session(7));
        assert!(both.is_form_secret(Session(7), &form) && !after.is_form_secret(Session(7), &form));
    }

    #[test]
    fn a_cookie_that_is_not_ours_signs_nobody_in() {
        let sessions = sessions("0123456789abcdef");
        let cookie = begun(&sessions);
        assert!(!cookie.contains("0123456789abcdef"), "it is not the token");
        let (id, rest) = cookie.split_once('.').unwrap();
        let (_, mac) = rest.split_once('.').unwrap();
        for forged in [
            String::new(),
            "bazar-admin=".into(),
            format!("{id}.ffffffffffffff.{mac}"),
            format!("{}8.{rest}", &id[..id.len() - 1]),
            cookie[..cookie.len() - 1].to_owned(),
            cookie.replace("bazar-admin", "other"),
        ] {
            assert_eq!(sessions.read(&forged, NOW_MS), None, "{forged}");
        }
    }

    #[test]
    fn a_form_of_another_session_is_not_ours() {
        let sessions = sessions("0123456789abcdef");
        let secret = sessions.form_secret(Session(7));
        assert!(sessions.is_form_secret(Session(7), &secret));
        assert!(!sessions.is_form_secret(Session(8), &secret) && !sessions.is_form_secret(Session(7), ""));
    }

    #[test]
    fn no_script_and_no_other_site_gets_at_the_cookie() {
        let header = sessions("0123456789abcdef").begin(7, NOW_MS, true);
        for word in ["HttpOnly", "SameSite=Strict", "Path=/admin", "Secure"] {
            assert!(header.contains(word), "{header}");
        }
        assert!(!end(false).contains("Secure") && end(true).contains("Max-Age=0"));
    }
}
