//! How a Kafka cluster is spoken to: encrypted or not, and who we say that we are.

use std::{fmt, path::PathBuf};

use rdkafka::ClientConfig;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The cluster's listener, by Kafka's own `security.protocol`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Neither encrypted nor authenticated.
    #[default]
    Plaintext,
    /// Encrypted; authenticated by a certificate if one is given.
    Ssl,
    /// Authenticated by name and password, not encrypted: for a network that is trusted.
    SaslPlaintext,
    /// Encrypted, and authenticated by name and password.
    SaslSsl,
}

/// How a name and a password are proven, by Kafka's own names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mechanism {
    /// The password travels as it is: only where it is encrypted.
    #[serde(rename = "PLAIN")]
    Plain,
    /// RFC 7677.
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    /// The same with a longer hash.
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

/// Who we say that we are: the `[bus.sasl]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sasl {
    /// How it is proven.
    pub mechanism: Mechanism,
    /// The name.
    pub user: String,
    /// The password.
    pub password: Password,
}

/// A password. It shows itself to nobody: `Debug` and `Serialize` write a mask.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

/// Certificates: the `[bus.tls]` section.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Whom to believe that they are the cluster, as a PEM file; those that the system believes if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Our own certificate, as a PEM file, where the cluster asks for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// Its private key, as a PEM file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

/// Whether this build's Kafka client has OpenSSL.
const HAS_TLS: bool = cfg!(feature = "tls");

impl Protocol {
    fn is_encrypted(self) -> bool {
        matches!(self, Self::Ssl | Self::SaslSsl)
    }

    fn is_authenticated(self) -> bool {
        matches!(self, Self::SaslPlaintext | Self::SaslSsl)
    }

    fn word(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }
}

impl Mechanism {
    fn word(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// What is wrong with these settings together, as a sentence that names the key; `has_tls` says what the client can do.
fn problem(protocol: Protocol, tls: &Tls, sasl: Option<&Sasl>, has_tls: bool) -> Option<String> {
    let rebuild = "this build's Kafka client has no OpenSSL; build with `--features tls`";
    match (protocol.is_authenticated(), sasl) {
        (true, None) => return Some("`security` asks for a name and a password: add `[bus.sasl]`".to_owned()),
        (false, Some(_)) => {
            return Some("`sasl` is used with `security` = \"sasl_ssl\" or \"sasl_plaintext\" only".to_owned());
        }
        (true, Some(sasl)) if sasl.user.is_empty() => return Some("`sasl.user` is empty".to_owned()),
        (true, Some(sasl)) if sasl.mechanism != Mechanism::Plain && !has_tls => {
            return Some(format!("`sasl.mechanism` \"{}\" cannot be used: {rebuild}", sasl.mechanism.word()));
        }
        _ => {}
    }
    if !protocol.is_encrypted() {
        return (*tls != Tls::default())
            .then(|| "`tls` is used with `security` = \"ssl\" or \"sasl_ssl\" only".to_owned());
    }
    if !has_tls {
        return Some(format!("`security` = \"{}\" cannot be used: {rebuild}", protocol.word()));
    }
    if tls.certificate.is_some() != tls.key.is_some() {
        return Some("`tls.certificate` and `tls.key` go together".to_owned());
    }
    let files = [("ca", &tls.ca), ("certificate", &tls.certificate), ("key", &tls.key)];
    files.into_iter().find_map(|(key, file)| {
        let file = file.as_ref()?;
        let error = std::fs::File::open(file).err()?;
        Some(format!("`tls.{key}` names {}, which cannot be read: {error}", file.display()))
    })
}

/// Checks these settings against each other and against what this build can do.
///
/// # Errors
/// What to mend, as a sentence that names the key.
pub(crate) fn check(protocol: Protocol, tls: &Tls, sasl: Option<&Sasl>) -> Result<(), String> {
    problem(protocol, tls, sasl, HAS_TLS).map_or(Ok(()), Err)
}

/// Hands the settings to a client.
pub(crate) fn apply(client: &mut ClientConfig, protocol: Protocol, tls: &Tls, sasl: Option<&Sasl>) {
    client.set("security.protocol", protocol.word());
    let files =
        [("ssl.ca.location", &tls.ca), ("ssl.certificate.location", &tls.certificate), ("ssl.key.location", &tls.key)];
    for (setting, file) in files {
        if let Some(file) = file {
            client.set(setting, file.to_string_lossy());
        }
    }
    if let Some(sasl) = sasl {
        client
            .set("sasl.mechanism", sasl.mechanism.word())
            .set("sasl.username", &sasl.user)
            .set("sasl.password", &sasl.password.0);
    }
}

impl Password {
    /// A password, already resolved from the environment or a file.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Password {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sasl(mechanism: Mechanism) -> Sasl {
        Sasl { mechanism, user: "deployline".to_owned(), password: Password::new("hunter2") }
    }

    #[track_caller]
    fn check(protocol: Protocol, tls: Tls, sasl: Option<Sasl>, has_tls: bool, expected: &str) {
        let problem = problem(protocol, &tls, sasl.as_ref(), has_tls).unwrap_or_default();
        assert!(problem.contains(expected) && problem.is_empty() == expected.is_empty(), "{problem}");
    }

    #[test]
    fn settings_that_do_not_go_together_are_refused_by_their_key() {
        let none = Tls::default;
        check(Protocol::Plaintext, none(), None, false, "");
        check(Protocol::SaslPlaintext, none(), Some(sasl(Mechanism::Plain)), false, "");
        check(Protocol::SaslSsl, none(), Some(sasl(Mechanism::ScramSha512)), true, "");
        check(Protocol::SaslSsl, none(), None, true, "add `[bus.sasl]`");
        check(Protocol::Ssl, none(), Some(sasl(Mechanism::Plain)), true, "`sasl` is used with");
        let anonymous = Sasl { user: String::new(), ..sasl(Mechanism::Plain) };
        check(Protocol::SaslPlaintext, none(), Some(anonymous), false, "`sasl.user` is empty");
        let ca = |path: &str| Tls { ca: Some(path.into()), ..none() };
        check(Protocol::Plaintext, ca("/"), None, true, "`tls` is used with");
        check(Protocol::Ssl, ca("/nowhere.pem"), None, true, "`tls.ca` names /nowhere.pem, which cannot be read");
        let half = Tls { certificate: Some("/a.pem".into()), ..none() };
        check(Protocol::Ssl, half, None, true, "go together");
    }

    #[test]
    fn what_this_build_cannot_do_is_said_before_a_connection_is_tried() {
        let rebuild = "build with `--features tls`";
        check(Protocol::Ssl, Tls::default(), None, false, rebuild);
        check(Protocol::SaslSsl, Tls::default(), Some(sasl(Mechanism::Plain)), false, rebuild);
        check(Protocol::SaslPlaintext, Tls::default(), Some(sasl(Mechanism::ScramSha256)), false, rebuild);
    }

    #[test]
    fn a_password_is_shown_to_nobody() {
        let sasl: Sasl = toml::from_str("mechanism = 'PLAIN'\nuser = 'u'\npassword = 'hunter2'").unwrap();
        assert_eq!(sasl.password, Password::new("hunter2"));
        assert!(!format!("{sasl:?}").contains("hunter2") && !toml::to_string(&sasl).unwrap().contains("hunter2"));
    }
}
