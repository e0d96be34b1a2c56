//! Secrets: the internal token, which the roles of one store share, and the admin token, which a keeper has.
//!
//! Invariant: while the internal token is being changed there are two, and whatever one of them made is accepted;
//! only the first makes anything new.

mod metrics;

use crate::secret_file;
use crate::shutdown::Shutdown;
use crate::signing::{self, KeyId, SigningKey};
use arc_swap::{ArcSwap, Guard};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;
use tokio::sync::watch;

pub use crate::signing::MacKey;

/// Between two looks at the file of the internal token. A changed one counts when it is the same at two looks: one
/// that is just being written is not half believed.
pub const LOOK: Duration = Duration::from_secs(1);

pub use metrics::MetricsTokens;

/// At least [`Secret::MIN_BYTES`] visible ASCII characters, which are never printed.
#[derive(Clone, PartialEq, Eq)]
struct Secret(Arc<str>);

impl Secret {
    /// Sixteen random characters are out of reach of guessing over a network.
    const MIN_BYTES: usize = 16;

    /// Takes the secret as it stands in a file or a variable, without the white space around it.
    fn parse(text: &str, what: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.len() < Self::MIN_BYTES || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(format!("{what} must have at least {} visible ASCII characters", Self::MIN_BYTES));
        }
        Ok(Self(text.into()))
    }

    /// In time that does not depend on how much of what is given is right.
    fn is(&self, given: &[u8]) -> bool {
        given.ct_eq(self.0.as_bytes()).into()
    }

    /// Whether an `Authorization` header carries it.
    fn authorizes(&self, header: &[u8]) -> bool {
        header.strip_prefix(b"Bearer ").is_some_and(|given| self.is(given))
    }

    /// A key for another purpose, of which nothing leads back here (HMAC-SHA256 of `purpose`).
    fn derive(&self, purpose: &str) -> [u8; 32] {
        signing::derive(self.0.as_bytes(), purpose)
    }
}

/// What the roles of one store know and nobody else does: one secret, or two while it is being changed. Clones
/// share it, and what is read from its file later.
#[derive(Clone)]
pub struct InternalToken(Arc<Shared>);

struct Shared {
    held: ArcSwap<Held>,
    /// Counts the changes.
    changes: watch::Sender<u64>,
    /// Where it stands, if that is a file.
    file: Option<PathBuf>,
}

/// The secrets of one moment, and the keys that are made of them. The first signs.
pub struct Held {
    /// Which change made it.
    number: u64,
    secrets: Vec<Secret>,
    /// Of members of the store.
    members: Vec<Arc<SigningKey>>,
    /// Of those who may keep the catalog (import, export), and nothing else.
    keepers: Vec<Arc<SigningKey>>,
}

impl Held {
    /// One signs; the other is the one before, or the one to come.
    const MOST: usize = 2;

    fn of(number: u64, secrets: Vec<Secret>) -> Self {
        let key = |secret: &Secret| Arc::new(SigningKey::of(secret.0.as_bytes()));
        let members = secrets.iter().map(key).collect();
        let keepers = secrets.iter().map(keeper_of).map(|secret| key(&secret)).collect();
        Self { number, secrets, members, keepers }
    }

    fn parse(text: &str) -> Result<Vec<Secret>, String> {
        let lines: Vec<&str> = text.split_whitespace().collect();
        // Nothing at all is one that is too short.
        let lines = if lines.is_empty() { vec![""] } else { lines };
        if lines.len() > Self::MOST || lines.len() == 2 && lines[0] == lines[1] {
            return Err("there can be two different internal tokens at most, one a line".into());
        }
        lines.into_iter().map(|line| Secret::parse(line, "the internal token")).collect()
    }

    /// Which change made it: the first is 0.
    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn members(&self) -> &[Arc<SigningKey>] {
        &self.members
    }

    pub fn keepers(&self) -> &[Arc<SigningKey>] {
        &self.keepers
    }
}

/// Who has the token can make it; nothing leads back.
fn keeper_of(secret: &Secret) -> Secret {
    Secret(hex::encode(secret.derive("bazar keeper 1")).into())
}

impl InternalToken {
    /// Takes the secret as it stands in a file or a variable, without the white space around it; or two of them,
    /// one a line.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(Self::holding(Held::parse(text)?, None))
    }

    /// As it stands in `file`, which [`InternalToken::follow`] reads again.
    pub fn read(file: &Path) -> Result<Self, String> {
        let text = secret_file::read(file)?;
        Ok(Self::holding(Held::parse(&text)?, Some(file.to_owned())))
    }

    /// A fresh one of 128 random bits, for a store that lives in one process.
    pub fn random() -> Self {
        Self::holding(vec![Secret(format!("{:032x}", rand::random::<u128>()).into())], None)
    }

    fn holding(secrets: Vec<Secret>, file: Option<PathBuf>) -> Self {
        let held = ArcSwap::from_pointee(Held::of(0, secrets));
        Self(Arc::new(Shared { held, changes: watch::channel(0).0, file }))
    }

    /// The secrets as they are now.
    pub fn held(&self) -> Guard<Arc<Held>> {
        self.0.held.load()
    }

    /// A secret that allows to keep the catalog (import, export, backup), and nothing else. Who has the token can make
    /// it; nothing leads back. It does not change when the token does.
    pub fn keeper(&self) -> Self {
        Self::holding(self.held().secrets.iter().map(keeper_of).collect(), None)
    }

    /// As it would stand in a file.
    pub fn text(&self) -> String {
        let held = self.held();
        let lines: Vec<&str> = held.secrets.iter().map(|secret| &*secret.0).collect();
        lines.join("\n")
    }

    /// Where it stands, if that is a file.
    pub fn file(&self) -> Option<&Path> {
        self.0.file.as_deref()
    }

    /// Keys for another purpose, of which nothing leads back to the token.
    pub fn derived(&self, purpose: &'static str) -> DerivedKeys {
        let made = ArcSwap::from_pointee(Derived::of(&self.held(), purpose));
        DerivedKeys { token: self.clone(), purpose, made }
    }

    /// Tells of each change.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Reads its file again whenever that changes, until `stop`. What cannot be read or is no token changes
    /// nothing, and the log says so.
    pub async fn follow(self, stop: Shutdown) {
        let Some(file) = self.0.file.clone() else { return };
        let mut before = Look { text: Some(self.text()), settled: true };
        loop {
            tokio::select! { () = tokio::time::sleep(LOOK) => {}, () = stop.cancelled() => return }
            let path = file.clone();
            let text = tokio::task::spawn_blocking(move || secret_file::read_again(&path)).await;
            let text = text.map_err(|error| error.to_string()).flatten();
            let text = text.map_err(|sentence| log::debug!("{sentence}")).ok();
            if before.text != text {
                before = Look { text, settled: false };
            } else if !std::mem::replace(&mut before.settled, true) {
                self.take(&file, before.text.as_deref());
            }
        }
    }

    fn take(&self, file: &Path, text: Option<&str>) {
        let secrets = match text.ok_or_else(|| "it cannot be read".to_owned()).and_then(Held::parse) {
            Ok(secrets) => secrets,
            Err(cause) => {
                log::warn!("{}: {cause}; the internal token stays as it was", file.display());
                return;
            }
        };
        let held = self.0.held.load();
        if held.secrets == secrets {
            return;
        }
        let new = Held::of(held.number + 1, secrets);
        let keys: Vec<KeyId> = new.members.iter().map(|key| key.id()).collect();
        let number = new.number;
        self.0.held.store(Arc::new(new));
        self.0.changes.send_replace(number);
        match keys.as_slice() {
            [signs, accepted] => {
                log::info!("the internal token has changed: {signs} signs, {accepted} is accepted too");
            }
            [signs, ..] => log::info!("the internal token has changed: {signs} signs, no other is accepted"),
            [] => {}
        }
    }
}

/// What a file held when it was looked at last.
struct Look {
    text: Option<String>,
    /// Whether it held the same at the look before, and was acted on.
    settled: bool,
}

impl fmt::Debug for InternalToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InternalToken(…)")
    }
}

/// Keys that are made of the internal token for one purpose, and change with it: the first makes, all are accepted.
pub struct DerivedKeys {
    token: InternalToken,
    purpose: &'static str,
    made: ArcSwap<Derived>,
}

struct Derived {
    /// Of which change of the token.
    of: u64,
    keys: Vec<MacKey>,
}

impl Derived {
    fn of(held: &Held, purpose: &str) -> Self {
        let key = |secret: &Secret| MacKey::new(&secret.derive(purpose));
        Self { of: held.number, keys: held.secrets.iter().map(key).collect() }
    }
}

impl DerivedKeys {
    /// The MAC of the concatenation of `parts`.
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.made().keys.first().map_or([0; 32], |key| key.mac(parts))
    }

    /// Whether `given` is the MAC of the concatenation of `parts` by one of the keys, or its first half; in time
    /// that does not depend on how much of it is right.
    pub fn is_mac(&self, parts: &[&[u8]], given: &[u8]) -> bool {
        self.made().keys.iter().any(|key| key.is_mac(parts, given))
    }

    fn made(&self) -> Guard<Arc<Derived>> {
        let (held, made) = (self.token.held(), self.made.load());
        if made.of == held.number {
            return made;
        }
        self.made.store(Arc::new(Derived::of(&held, self.purpose)));
        self.made.load()
    }
}

/// What lets a keeper change the catalog from outside. It is no internal token, and none leads to it: who has one of
/// the two can do nothing with it where the other is wanted.
///
/// There may be two, so that one can take the other's place while both are in use: the first is the new one.
#[derive(Clone)]
pub struct AdminToken {
    first: Secret,
    second: Option<Secret>,
}

impl AdminToken {
    /// Takes one secret or two, a line each, as they stand in a file or a variable.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let first = Secret::parse(lines.next().unwrap_or_default(), "the admin token")?;
        let second = lines.next().map(|line| Secret::parse(line, "the second admin token")).transpose()?;
        match lines.next() {
            Some(_) => Err("there can be two admin tokens at most, a line each".into()),
            None => Ok(Self { first, second }),
        }
    }

    fn each(&self) -> impl Iterator<Item = &Secret> {
        std::iter::once(&self.first).chain(&self.second)
    }

    /// Whether an `Authorization` header carries it, in time that does not depend on how much of it is right.
    pub fn authorizes(&self, header: &[u8]) -> bool {
        self.each().fold(false, |right, secret| right | secret.authorizes(header))
    }

    /// The same for what was typed into a form.
    pub fn is(&self, given: &str) -> bool {
        self.each().fold(false, |right, secret| right | secret.is(given.as_bytes()))
    }

    /// For a process that we start ourselves.
    pub fn to_text(&self) -> String {
        self.each().map(|secret| &*secret.0).collect::<Vec<_>>().join("\n")
    }

    pub fn is_internal(&self, token: &InternalToken) -> bool {
        token.held().secrets.iter().any(|secret| self.is(&secret.0))
    }

    /// A key for another purpose for each of them, the new one's first; nothing leads back to the tokens.
    pub fn derive(&self, purpose: &str) -> Vec<[u8; 32]> {
        self.each().map(|secret| secret.derive(purpose)).collect()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "the-old-secret-00";
    const NEW: &str = "the-new-secret-00";

    fn members(token: &InternalToken) -> Vec<KeyId> {
        token.held().members().iter().map(|key| key.id()).collect()
    }

    #[test]
    fn a_token_that_could_be_guessed_is_refused_and_none_is_ever_printed() {
        assert!(InternalToken::parse("short").is_err());
        assert!(InternalToken::parse("").is_err());
        assert!(AdminToken::parse("fifteen-letters").is_err());
        let (internal, admin) = (InternalToken::random(), AdminToken::parse("0123456789abcdef").unwrap());
        assert!(!format!("{internal:?}").contains(&internal.text()));
        assert!(!format!("{admin:?}").contains("0123456789abcdef"));
    }

    #[test]
    fn two_tokens_may_stand_in_a_file_and_no_more() {
        let one = InternalToken::parse(&format!(" {OLD}\n")).unwrap();
        let two = InternalToken::parse(&format!("{NEW}\n{OLD}\n")).unwrap();
        assert_eq!((members(&one).len(), members(&two).len()), (1, 2));
        assert_eq!(members(&two)[1], members(&one)[0]);
        assert_eq!(InternalToken::parse(&two.text()).unwrap().text(), two.text());
        for wrong in [format!("{OLD}\n{OLD}"), format!("{OLD}\n{NEW}\n{NEW}x"), format!("{OLD}\nshort")] {
            assert!(InternalToken::parse(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_keepers_key_is_none_of_a_members_and_known_to_whoever_has_the_token() {
        let token = InternalToken::parse(OLD).unwrap();
        let keeper = members(&token.keeper());
        assert_eq!(keeper, [token.held().keepers()[0].id()]);
        assert_ne!(keeper, members(&token));
    }

    #[test]
    fn what_either_token_made_is_accepted_and_the_first_makes_what_is_new() {
        let keys = |text: &str| InternalToken::parse(text).unwrap().derived("test");
        let (old, new, both) = (keys(OLD), keys(NEW), keys(&format!("{NEW}\n{OLD}")));
        let (by_old, by_new) = (old.mac(&[b"x"]), new.mac(&[b"x"]));
        assert!(both.is_mac(&[b"x"], &by_old) && both.is_mac(&[b"x"], &by_new[..16]));
        assert_eq!(both.mac(&[b"x"]), by_new);
        assert!(!new.is_mac(&[b"x"], &by_old) && !both.is_mac(&[b"y"], &by_old));
        let otherwise = InternalToken::parse(OLD).unwrap().derived("another purpose");
        assert!(!otherwise.is_mac(&[b"x"], &by_old));
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_file_counts_when_it_is_the_same_at_two_looks_and_nonsense_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, OLD).unwrap();
        let token = InternalToken::read(&file).unwrap();
        let (derived, stop) = (token.derived("test"), Shutdown::new());
        let by_old = derived.mac(&[b"x"]);
        let mut changes = token.changes();
        let following = tokio::spawn(token.clone().follow(stop.clone()));
        for nonsense in ["", "short", "three\ntokens-of-which\nnone-is-long"] {
            std::fs::write(&file, nonsense).unwrap();
            tokio::time::sleep(3 * LOOK).await;
            assert_eq!(token.text(), OLD);
        }
        std::fs::remove_file(&file).unwrap();
        tokio::time::sleep(3 * LOOK).await;
        std::fs::write(&file, format!("{NEW}\n{OLD}\n")).unwrap();
        changes.changed().await.unwrap();
        assert_eq!(token.text(), format!("{NEW}\n{OLD}"));
        assert!(derived.is_mac(&[b"x"], &by_old));
        assert_ne!(derived.mac(&[b"x"]), by_old);
        std::fs::write(&file, NEW).unwrap();
        changes.changed().await.unwrap();
        assert!(!derived.is_mac(&[b"x"], &by_old));
        stop.cancel();
        following.await.unwrap();
    }

    #[test]
    fn the_admin_token_is_itself_only() {
        let token = AdminToken::parse(" 0123456789abcdef\n").unwrap();
        assert!(token.is("0123456789abcdef") && token.authorizes(b"Bearer 0123456789abcdef"));
        for header in
            ["", "Bearer ", "0123456789abcdef", "Bearer 0123456789abcde", "Bearer 0123456789abcdef0"]
        {
            assert!(!token.authorizes(header.as_bytes()), "{header}");
        }
        assert!(!token.is("0123456789abcde") && !token.is(""));
        assert!(token.is_internal(&InternalToken::parse("0123456789abcdef").unwrap()));
        assert!(token.is_internal(&InternalToken::parse("the-new-secret-00\n0123456789abcdef").unwrap()));
        assert!(!token.is_internal(&InternalToken::random()));
    }

    #[test]
    fn two_admin_tokens_are_right_while_one_takes_the_others_place() {
        let both = AdminToken::parse("the-new-admin-token\n\n the-old-admin-token \n").unwrap();
        assert!(both.is("the-new-admin-token") && both.authorizes(b"Bearer the-old-admin-token"));
        assert!(!both.is("the-new-admin-token\nthe-old-admin-token") && !both.is(""));
        assert!(both.is_internal(&InternalToken::parse("the-old-admin-token").unwrap()));
        assert_eq!(AdminToken::parse(&both.to_text()).unwrap().derive("x"), both.derive("x"));
        assert!(AdminToken::parse("the-new-admin-token\nshort").is_err());
        assert!(
            AdminToken::parse("the-new-admin-token\nthe-old-admin-token\nthe-oldest-admin-token").is_err()
        );
    }
}
