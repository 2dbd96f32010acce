//! Whose components a pipeline runs: `trust` in its manifest names public keys, and a version is prepared on no host unless one of them
//! has signed it. A signature is Ed25519 (RFC 8032) over a statement that names pipeline, function and component, so that a file signed
//! for one function runs as no other.

pub mod file;

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

/// What stands in front of keys and signatures.
const KIND: &str = "ed25519:";

/// What stands in front of a private key.
const PRIVATE: &str = "ed25519-private:";

/// A public key, 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl std::str::FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not a public key: `{KIND}` and 44 characters, as `millstream sign --new-key` prints it"
            )
        };
        let bytes = STANDARD.decode(text.strip_prefix(KIND).ok_or_else(wrong)?).map_err(|_| wrong())?;
        Ok(Self(bytes.try_into().map_err(|_| wrong())?))
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{KIND}{}", STANDARD.encode(self.0))
    }
}

/// What is signed: one line each, so that no part can run into the next (names have no line ends).
fn statement(pipeline: &str, function: &str, digest: &str) -> Vec<u8> {
    format!("millstream function version 1\n{pipeline}\n{function}\n{digest}\n").into_bytes()
}

/// Keys that a pipeline trusts; none: everybody who can reach it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// The pipeline.
    pub pipeline: String,
    /// Its keys.
    pub keys: Vec<PublicKey>,
}

impl Trust {
    /// Whether one of the keys has signed a component, given by its digest, as this function.
    ///
    /// # Errors
    /// That none has, and what to do.
    pub fn check(&self, function: &str, digest: &str, signature: &str) -> anyhow::Result<()> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let pipeline = &self.pipeline;
        let what_to_do = || {
            format!(
                "sign it: `millstream sign {pipeline}/{function} FILE.wasm --key KEY`, with the key of one that `trust` names"
            )
        };
        if signature.trim().is_empty() {
            bail!("the component is not signed, and pipeline `{pipeline}` takes none that is not; {}", what_to_do());
        }
        let text = signature.trim();
        let bytes = text.strip_prefix(KIND).and_then(|text| STANDARD.decode(text).ok());
        let bytes = bytes.with_context(|| format!("`{text}` is no signature; {}", what_to_do()))?;
        let said = statement(pipeline, function, digest);
        let by = |key: &&PublicKey| UnparsedPublicKey::new(&ED25519, key.0).verify(&said, &bytes).is_ok();
        let found = self.keys.iter().find(by);
        found.map(|_| ()).with_context(|| {
            format!(
                "the signature is not that of this file for function `{function}` of pipeline `{pipeline}` by a key that it \
                 trusts; {}",
                what_to_do()
            )
        })
    }
}

/// A private key.
pub struct PrivateKey(Ed25519KeyPair);

impl PrivateKey {
    /// A new one, and the text to keep it as.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new() -> anyhow::Result<(Self, String)> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        let document = document.ok().context("the system gives no random bytes")?;
        let text = format!("{PRIVATE}{}\n", STANDARD.encode(document.as_ref()));
        Ok((Self::read(&text)?, text))
    }

    /// Reads one as [`PrivateKey::new`] gave it.
    ///
    /// # Errors
    /// That it is none. The text is not repeated.
    pub fn read(text: &str) -> anyhow::Result<Self> {
        let text = text.trim();
        ensure!(!text.starts_with(KIND), "this is a public key; to sign takes the private one");
        let bytes = text.strip_prefix(PRIVATE).and_then(|text| STANDARD.decode(text).ok());
        let pair = bytes.and_then(|bytes| Ed25519KeyPair::from_pkcs8(&bytes).ok());
        Ok(Self(pair.context("this is not a private key as `millstream sign --new-key` writes it")?))
    }

    /// The public key to it.
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    /// Signs a component, given by its digest, as a function of a pipeline.
    pub fn sign(&self, pipeline: &str, function: &str, digest: &str) -> String {
        format!("{KIND}{}", STANDARD.encode(self.0.sign(&statement(pipeline, function, digest)).as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_runs_as_what_it_was_signed_for() {
        let ((own, text), (other, _)) = (PrivateKey::new().unwrap(), PrivateKey::new().unwrap());
        assert_eq!(PrivateKey::read(&text).unwrap().public(), own.public());
        let trust = Trust { pipeline: "p".into(), keys: vec![other.public(), own.public()] };
        let signature = own.sign("p", "f", "ab");
        assert!(trust.check("f", "ab", &format!("{signature}\n")).is_ok());
        let stranger = PrivateKey::new().unwrap().0;
        for (function, digest, by) in [("g", "ab", &own), ("f", "ac", &own), ("f", "ab", &stranger)] {
            let signature = by.sign("p", "f", "ab");
            let why = trust.check(function, digest, &signature);
            assert!(why.unwrap_err().to_string().contains("not that of this file"), "{function} {digest}");
        }
        let elsewhere = Trust { pipeline: "q".into(), ..trust.clone() };
        assert!(elsewhere.check("f", "ab", &signature).is_err(), "of another pipeline");
        for (signature, part) in
            [("", "is not signed"), ("hello", "is no signature"), ("ed25519:AAAA", "not that of this file")]
        {
            let why = trust.check("f", "ab", signature).unwrap_err().to_string();
            assert!(why.contains(part) && why.contains("millstream sign p/f FILE.wasm"), "{why}");
        }
        assert!(Trust::default().check("f", "ab", "").is_ok(), "who names no key trusts everybody");
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        let (own, text) = PrivateKey::new().unwrap();
        let public = own.public().to_string();
        assert_eq!(public.parse::<PublicKey>(), Ok(own.public()));
        for wrong in ["", "ed25519:", "ed25519:AAAA", public.trim_start_matches(KIND), &text] {
            assert!(wrong.parse::<PublicKey>().is_err(), "{wrong}");
        }
        let why = PrivateKey::read(&public).err().unwrap().to_string();
        assert!(why.contains("public key"), "{why}");
        let why = PrivateKey::read("ed25519-private:AAAA").err().unwrap().to_string();
        assert!(!why.contains("AAAA"), "a secret is not told: {why}");
    }
}
