//! A text that shows itself to nobody.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A token, a signing secret or an address that is as good as a password, already resolved from the environment or a
/// file. `Debug` and `Serialize` write a mask.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// A secret from its text or bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into().into_boxed_slice())
    }

    /// The bytes, for the one place that needs them.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// The text, for the one place that needs it; empty where the bytes are none.
    pub fn reveal_text(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_revealed_on_request_alone() {
        let secret: Secret = serde_json::from_str(r#""hunter2""#).unwrap();
        assert_eq!((secret.reveal(), secret.reveal_text()), (&b"hunter2"[..], "hunter2"));
        assert_eq!(format!("{secret:?} {}", serde_json::to_string(&secret).unwrap()), "*** \"***\"");
        assert_eq!(Secret::new([0xff]).reveal_text(), "");
    }
}
