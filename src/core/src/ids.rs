//! Names and digests as types, so that one is never taken for another.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The name of an incident: 1 to 63 of `A-Z a-z 0-9 . _ -`, beginning and ending with a letter or digit.
///
/// It becomes a folder, a branch, an annotation and a Lease, so it is as narrow as the narrowest of them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IncidentId(String);

/// Why a text cannot name an incident.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` cannot name an incident: use 1 to 63 letters, digits, dots, underscores or dashes, with a letter or digit at both ends"
)]
pub struct BadIncidentId(String);

impl FromStr for IncidentId {
    type Err = BadIncidentId;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let fits = (1..=63).contains(&text.len())
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
            && edge(text.chars().next())
            && edge(text.chars().last())
            && !text.contains("..");
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadIncidentId(crate::text::line(text)))
        }
    }
}

impl TryFrom<String> for IncidentId {
    type Error = BadIncidentId;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<IncidentId> for String {
    fn from(id: IncidentId) -> Self {
        id.0
    }
}

impl IncidentId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    };
}

text_id!(
    /// Names one external write. The world keeps it beside the effect, so that the write can be found again.
    OpId
);
text_id!(
    /// The SHA-256 of some bytes in lower-case hexadecimal; names a blob of the journal.
    Digest
);
text_id!(
    /// A full Git commit id.
    Commit
);

impl Commit {
    /// The first seven characters, as people write it.
    pub fn short(&self) -> &str {
        self.0.get(..7).unwrap_or(&self.0)
    }
}

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(hex(&sha2::Sha256::digest(bytes)))
    }
}

/// Bytes as lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
            let _ = write!(out, "{b:02x}");
            out
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incident_name_fits_every_place_it_goes() {
        for good in ["INC-441", "a", "2026.11.21_x"] {
            assert!(good.parse::<IncidentId>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-x",
            "x-",
            "a/b",
            "a..b",
            "..",
            "a b",
            "ü",
            &"x".repeat(64),
        ] {
            assert!(bad.parse::<IncidentId>().is_err(), "{bad}");
        }
    }
}
