//! What StartJobRun takes of each field, as AWS's model has it.
//!
//! Purpose: data and the checks of single texts. Owns no state. Source of every number and pattern: the service model of
//! emr-containers, version 2020-10-01.

/// What a text may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text {
    /// Shortest, in characters.
    pub(super) min: usize,
    /// Longest, in characters.
    pub(super) max: usize,
    /// What it is made of.
    pub(super) made_of: MadeOf,
}

/// What a text is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MadeOf {
    /// Lower case letters and digits.
    Id,
    /// Letters, digits and `.-_/#`.
    Name,
    /// Letters, digits and `.-_/`.
    Release,
    /// Letters, digits and `.-_#`.
    Parameter,
    /// Anything that is not blank.
    NotBlank,
    /// Anything that is not blank, without brackets: they are taken out or misread on the way to the driver.
    Argument,
    /// The name of a role of IAM.
    Role,
    /// The name of a key of KMS.
    Key,
    /// An address in S3.
    S3,
}

const fn text(min: usize, max: usize, made_of: MadeOf) -> Text {
    Text { min, max, made_of }
}

/// Longest key or value of a property.
pub const PROPERTY: usize = 1024;
/// Most properties of a classification.
pub const MOST_PROPERTIES: usize = 100;
/// Longest options of spark-submit.
pub const SPARK_PARAMETERS: usize = 102_400;

pub(super) const VIRTUAL_CLUSTER: Text = text(1, 64, MadeOf::Id);
pub(super) const TOKEN: Text = text(1, 64, MadeOf::NotBlank);
pub(super) const NAME: Text = text(1, 64, MadeOf::Name);
pub(super) const ROLE: Text = text(20, 2048, MadeOf::Role);
pub(super) const RELEASE: Text = text(1, 64, MadeOf::Release);
pub(super) const ENTRY_POINT: Text = text(1, 256, MadeOf::NotBlank);
pub(super) const ARGUMENT: Text = text(1, 10_280, MadeOf::Argument);
pub(super) const PARAMETERS: Text = text(1, SPARK_PARAMETERS, MadeOf::NotBlank);
pub(super) const CLASSIFICATION: Text = text(1, 1024, MadeOf::NotBlank);
pub(super) const MOST_CLASSIFICATIONS: usize = 100;
pub(super) const PROPERTY_TEXT: Text = text(1, PROPERTY, MadeOf::NotBlank);
pub(super) const LOG_URI: Text = text(1, 10_280, MadeOf::S3);
pub(super) const KEY: Text = text(20, 2048, MadeOf::Key);
pub(super) const LOG_GROUP: Text = text(1, 512, MadeOf::Name);
pub(super) const LOG_PREFIX: Text = text(1, 256, MadeOf::NotBlank);
pub(super) const ROTATION_SIZE: Text = text(3, 12, MadeOf::NotBlank);
pub(super) const MOST_FILES: u32 = 50;
/// One of AWS's 50 is for the hash of the request.
pub(super) const MOST_TAGS: usize = 49;
pub(super) const TAG_KEY: Text = text(1, 128, MadeOf::NotBlank);
pub(super) const TAG_VALUE: Text = text(0, 256, MadeOf::NotBlank);
pub(super) const TEMPLATE: Text = text(1, 64, MadeOf::Id);
pub(super) const MOST_TEMPLATE_PARAMETERS: usize = 100;
pub(super) const TEMPLATE_PARAMETER: Text = text(1, 512, MadeOf::Parameter);
pub(super) const TEMPLATE_VALUE: Text = text(1, 1024, MadeOf::NotBlank);
pub(super) const MOST_ATTEMPTS: u32 = 2_147_483_647;

/// What is wrong with a text. Its value is never part of the answer, only its length or the character at fault.
pub(super) fn fault(value: &str, limit: Text) -> Option<String> {
    let length = value.chars().count();
    if value.trim().is_empty() {
        return Some("is blank, which EMR on EKS does not take; set it or leave it out".to_owned());
    }
    if length < limit.min || length > limit.max {
        let (min, max) = (limit.min, limit.max);
        let what = if length > max { "shorten it" } else { "it is incomplete" };
        return Some(format!("has {length} characters; EMR on EKS takes {min} to {max}: {what}"));
    }
    if let Some(control) = value.chars().find(|c| c.is_control()) {
        return Some(format!(
            "has the control character {control:?}, of which nobody knows what EMR on EKS makes; take it out, or put the \
             text into a file"
        ));
    }
    let alphanumeric = |more: &'static str| move |c: &char| !(c.is_ascii_alphanumeric() || more.contains(*c));
    let odd = |found: Option<char>, words: &str| {
        found.map(|c| format!("has the character {c:?}; EMR on EKS takes {words}: take it out"))
    };
    match limit.made_of {
        MadeOf::Id => odd(
            value.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit())),
            "lower case letters and digits",
        ),
        MadeOf::Name => odd(value.chars().find(alphanumeric(".-_/#")), "letters, digits and .-_/#"),
        MadeOf::Release => odd(value.chars().find(alphanumeric(".-_/")), "letters, digits and .-_/"),
        MadeOf::Parameter => odd(value.chars().find(alphanumeric(".-_#")), "letters, digits and .-_#"),
        MadeOf::NotBlank => None,
        MadeOf::Argument => value.chars().find(|c| "(){}[]".contains(*c)).map(|c| {
            format!(
                "has the character {c:?}; EMR on EKS takes no arguments with brackets, so no JSON: hand it over in base64, \
                 or in a file"
            )
        }),
        MadeOf::Role => (!is_role(value)).then(|| {
            "is no role of IAM; it is written arn:aws:iam::123456789012:role/name".to_owned()
        }),
        MadeOf::Key => (!is_key(value)).then(|| {
            "is no key of KMS; it is written arn:aws:kms:region:123456789012:key/id".to_owned()
        }),
        MadeOf::S3 => (!is_s3(value))
            .then(|| "is no address in S3; it is written s3://bucket/folder/".to_owned()),
    }
}

fn is_role(value: &str) -> bool {
    let mut parts = value.splitn(6, ':');
    let mut next = || parts.next().unwrap_or_default();
    let (arn, partition, service, region, account, role) = (next(), next(), next(), next(), next(), next());
    let Some((path, name)) =
        role.strip_prefix("role/").map(|rest| rest.rsplit_once('/').unwrap_or(("", rest)))
    else {
        return false;
    };
    arn == "arn"
        && is_partition(partition)
        && (service, region) == ("iam", "")
        && is_account(account)
        && path.chars().all(|c| c.is_ascii_graphic())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c))
}

fn is_key(value: &str) -> bool {
    let mut parts = value.splitn(6, ':');
    let mut next = || parts.next().unwrap_or_default();
    let (arn, partition, service, region, account, key) = (next(), next(), next(), next(), next(), next());
    let id = key.strip_prefix("key/").unwrap_or_default();
    arn == "arn"
        && is_partition(partition)
        && service == "kms"
        && !region.is_empty()
        && is_account(account)
        && !id.is_empty()
        && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

fn is_partition(text: &str) -> bool {
    text.starts_with("aws") && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.chars().all(|c| c.is_ascii_digit())
}

fn is_s3(value: &str) -> bool {
    value.strip_prefix("s3://").is_some_and(|rest| {
        !rest.is_empty() && !rest.starts_with('/') && !rest.chars().any(char::is_whitespace)
    })
}

/// Whether a size for rotation is one, between 2 KB and 2 GB.
pub(super) fn is_rotation_size(value: &str) -> bool {
    let body = value.strip_suffix(['B', 'b']).unwrap_or(value);
    let (number, unit) = match body.char_indices().next_back() {
        Some((at, unit)) => (body.get(..at).unwrap_or_default(), unit),
        None => return false,
    };
    let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let is_number = match number.split_once('.') {
        Some((whole, part)) => digits(whole) && digits(part),
        None => digits(number),
    };
    let factor = match unit {
        'K' => 1.0,
        'M' => 1024.0,
        'G' => 1024.0 * 1024.0,
        _ => return false,
    };
    let kilobytes = number.parse::<f64>().map_or(0.0, |number| number * factor);
    is_number && (2.0..=2.0 * 1024.0 * 1024.0).contains(&kilobytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_holds_at_its_edges() {
        let of = |n: usize| "a".repeat(n);
        for (limit, what) in [
            (VIRTUAL_CLUSTER, "virtual cluster"),
            (TOKEN, "token"),
            (NAME, "name"),
            (RELEASE, "release"),
            (ENTRY_POINT, "entry point"),
            (ARGUMENT, "argument"),
            (PARAMETERS, "parameters"),
            (CLASSIFICATION, "classification"),
            (PROPERTY_TEXT, "property"),
            (LOG_GROUP, "log group"),
            (LOG_PREFIX, "log prefix"),
            (TAG_KEY, "tag key"),
            (TAG_VALUE, "tag value"),
            (TEMPLATE, "template"),
            (TEMPLATE_PARAMETER, "template parameter"),
            (TEMPLATE_VALUE, "template value"),
        ] {
            assert_eq!(fault(&of(limit.max), limit), None, "{what}");
            let long = fault(&of(limit.max + 1), limit).unwrap();
            assert!(long.contains(&format!("has {} characters", limit.max + 1)), "{what}: {long}");
            for blank in ["", " ", "\t "] {
                assert!(fault(blank, limit).unwrap().contains("blank"), "{what}: {blank:?}");
            }
            assert!(fault("a\nb", limit).unwrap().contains("'\\n'"), "{what}");
        }
    }

    #[test]
    fn lengths_are_counted_in_characters_as_aws_does() {
        assert_eq!(fault(&"ä".repeat(256), ENTRY_POINT), None);
        assert!(fault(&"ä".repeat(257), ENTRY_POINT).is_some());
    }

    #[test]
    fn texts_are_made_of_what_aws_takes() {
        let role = "arn:aws:iam::123456789012:role/";
        for (limit, fine, bad) in [
            (VIRTUAL_CLUSTER, vec!["0az9"], vec!["A", "a-b", "ä"]),
            (NAME, vec!["a.b-c_d/e#F9"], vec!["a b", "a:b", "ä"]),
            (RELEASE, vec!["emr-7.13.0-latest", "notebook-spark/emr-7"], vec!["emr 7", "emr#7"]),
            (TEMPLATE_PARAMETER, vec!["a.b-c_d#E"], vec!["a/b"]),
            (ARGUMENT, vec!["--x=1", "a b", "\"q\"", "$HOME"], vec!["{\"a\":1}", "f(x)", "a[0]", ")"]),
            (
                ROLE,
                vec![
                    "arn:aws:iam::123456789012:role/etl",
                    "arn:aws-us-gov:iam::123456789012:role/a/b/etl+=,.@-_x",
                ],
                vec![
                    "arn:aws:iam::12345678901:role/etl",
                    "arn:aws:iam::123456789012:user/etl",
                    "arn:aws:sts::123456789012:role/etl",
                    "arn:gcp:iam::123456789012:role/etl",
                    role,
                    "arn:aws:iam::123456789012:role/e tl",
                    "just-a-name-of-a-role-that-is-long",
                ],
            ),
            (
                KEY,
                vec!["arn:aws:kms:eu-central-1:123456789012:key/0a-1b"],
                vec!["arn:aws:kms::123456789012:key/0a-1b", "arn:aws:kms:eu-central-1:123456789012:alias/x"],
            ),
            (LOG_URI, vec!["s3://a", "s3://a/b/"], vec!["s3://", "s3:///a", "https://a", "s3://a b"]),
        ] {
            for value in fine {
                assert_eq!(fault(value, limit), None, "{value}");
            }
            for value in bad {
                assert!(fault(value, limit).is_some(), "{value}");
            }
        }
    }

    #[test]
    fn sizes_for_rotation() {
        for value in ["2KB", "2K", "2048kb", "64MB", "1.5G", "2GB", "2Gb"] {
            assert_eq!(is_rotation_size(value), !value.contains("kb"), "{value}");
        }
        for value in ["1KB", "2.1GB", "64", "MB", "64TB", "1.KB", ".5GB", "-4MB", "1e3KB", "ä"] {
            assert!(!is_rotation_size(value), "{value}");
        }
    }
}
