//! What a token of EKS must be, by the rules of aws-iam-authenticator.
//!
//! Purpose: refuse whatever a real one refuses. Owns no state.

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;

const PREFIX: &str = "k8s-aws-v1.";
/// Longer tokens are refused unread.
const LONGEST: usize = 4096;
/// What a question may have, in lower case, each once.
const ALLOWED: [&str; 9] = [
    "action",
    "version",
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
];
/// The longest that a question may say it is valid, in seconds.
const MOST_EXPIRES: u32 = 900;

/// A question to STS, read from a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The host that it is for.
    pub host: String,
    /// Its path and query.
    pub path: String,
    /// When it was signed.
    pub date: Timestamp,
}

impl Question {
    /// Reads a token.
    ///
    /// # Errors
    /// Why a real authenticator would refuse it before it asks anybody.
    pub fn read(token: &str) -> Result<Self, String> {
        if token.len() > LONGEST {
            return Err(format!("the token has {} characters", token.len()));
        }
        let encoded = token.strip_prefix(PREFIX).ok_or("the token does not begin as one of EKS")?;
        let url = BASE64URL_NOPAD.decode(encoded.as_bytes()).map_err(|error| error.to_string())?;
        let url = String::from_utf8(url).map_err(|error| error.to_string())?;
        let rest = url.strip_prefix("https://").ok_or("the question is not asked by https")?;
        let (host, path) = rest.split_at(rest.find('/').ok_or("the question has no path")?);
        let region = host.strip_prefix("sts.").and_then(|rest| rest.strip_suffix(".amazonaws.com"));
        if region.is_none_or(|region| region.is_empty() || region.contains('.')) {
            return Err(format!("{host} is no STS of a region"));
        }
        let query = path.strip_prefix("/?").ok_or("the path is not /")?;
        let mut given = BTreeMap::new();
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').ok_or_else(|| format!("{pair} is no pair"))?;
            let key = key.to_ascii_lowercase();
            if !ALLOWED.contains(&key.as_str()) {
                return Err(format!("{key} is not allowed"));
            }
            if given.insert(key.clone(), value).is_some() {
                return Err(format!("{key} is there twice"));
            }
        }
        let get = |key: &str| given.get(key).copied().ok_or_else(|| format!("{key} is missing"));
        if get("action")? != "GetCallerIdentity" {
            return Err("the question is another one".to_owned());
        }
        let signed = get("x-amz-signedheaders")?.replace("%3B", ";");
        if !signed.split(';').any(|header| header == "x-k8s-aws-id") {
            return Err("the cluster's name is not signed".to_owned());
        }
        let expires: u32 = get("x-amz-expires")?.parse().map_err(|_| "x-amz-expires is no number")?;
        if expires == 0 || expires > MOST_EXPIRES {
            return Err(format!("x-amz-expires is {expires}"));
        }
        get("x-amz-signature")?;
        let date = get("x-amz-date")?;
        let read = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", date);
        let date = read.and_then(|read| read.to_zoned(jiff::tz::TimeZone::UTC));
        let date = date.map_err(|error| format!("x-amz-date: {error}"))?.timestamp();
        Ok(Self { host: host.to_owned(), path: path.to_owned(), date })
    }
}

/// The ARN that entries name: of the role, for any session of it.
pub(super) fn canonical(arn: &str) -> String {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    if let [arn, partition, "sts", region, account, resource] = parts.as_slice()
        && let Some(rest) = resource.strip_prefix("assumed-role/")
    {
        let role = rest.split_once('/').map_or(rest, |(role, _)| role);
        return format!("{arn}:{partition}:iam:{region}:{account}:role/{role}");
    }
    arn.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "https://sts.eu-west-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=A\
                        &X-Amz-Credential=C&X-Amz-Date=20261126T120000Z&X-Amz-Expires=60\
                        &X-Amz-SignedHeaders=host%3Bx-k8s-aws-id&X-Amz-Signature=S";

    fn token(url: &str) -> String {
        format!("{PREFIX}{}", BASE64URL_NOPAD.encode(url.as_bytes()))
    }

    #[test]
    fn a_question_that_a_real_one_would_not_ask_is_refused() {
        let good = Question::read(&token(GOOD)).unwrap();
        assert_eq!(
            (good.host.as_str(), good.date.to_string().as_str()),
            ("sts.eu-west-1.amazonaws.com", "2026-11-26T12:00:00Z")
        );
        for (from, to) in [
            ("https://", "http://"),
            ("sts.eu-west-1.amazonaws.com", "evil.example.com"),
            ("sts.eu-west-1.amazonaws.com", "sts.eu-west-1.evil.amazonaws.com"),
            ("/?", "/admin?"),
            ("GetCallerIdentity", "AssumeRole"),
            ("host%3Bx-k8s-aws-id", "host"),
            ("Expires=60", "Expires=901"),
            ("&X-Amz-Signature=S", ""),
            ("&X-Amz-Signature=S", "&X-Amz-Signature=S&X-Amz-Signature=T"),
            ("&Version", "&Fault=1&Version"),
            ("20261126T120000Z", "today"),
        ] {
            assert!(GOOD.contains(from));
            assert!(Question::read(&token(&GOOD.replace(from, to))).is_err(), "{from} {to}");
        }
        assert!(Question::read("eyJhbGciOi").is_err());
        assert!(Question::read(&token(&format!("{GOOD}{}", "x".repeat(4096)))).is_err());
    }

    #[test]
    fn a_role_is_known_whatever_the_session() {
        assert_eq!(canonical("arn:aws:sts::1:assumed-role/router/session"), "arn:aws:iam::1:role/router");
        assert_eq!(canonical("arn:aws:iam::1:user/ci"), "arn:aws:iam::1:user/ci");
    }
}
