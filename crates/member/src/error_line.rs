//! Finds the exception's line in the end of a driver's log.
//!
//! Owns no state. Pure. What it returns is shown to everybody who may read the job: secrets are taken out, and the line
//! is cut.

/// Longest line that is returned, in bytes.
const LONGEST: usize = 1024;
/// What stands in place of a secret.
const HIDDEN: &str = "***";
/// Words behind which a secret stands, as `word=secret`, `word: secret` or `"word": "secret"`.
const SECRET_WORDS: [&str; 12] = [
    "password",
    "passwd",
    "pwd",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "access_key",
    "access.key",
    "accesskey",
    "credential",
];

/// The line that says what went wrong, without secrets and at most 1 kB; `None` where no line does.
///
/// Java: the last line of `Exception in thread "main"`, or the last `Caused by:` after it, which is the root. Python: the
/// last line that follows a traceback and names an exception. Whichever comes last wins: the driver's own end.
pub fn find(log: &str) -> Option<String> {
    let lines: Vec<&str> = log.lines().map(str::trim_end).collect();
    let java = java_error(&lines);
    let python = python_error(&lines);
    let number = match (java, python) {
        // A Python error that wraps a Java one prints the Java stack first and is the later of the two.
        (Some(java), Some(python)) => java.max(python),
        (java, python) => java.or(python)?,
    };
    let line = without_stamp(lines.get(number)?.trim());
    Some(shown(line))
}

/// The root cause of the last Java exception that ended something.
fn java_error(lines: &[&str]) -> Option<usize> {
    let start =
        lines.iter().rposition(|line| line.contains("Exception in thread \"") || is_java_head(line))?;
    let mut found = start;
    for (n, line) in lines.iter().enumerate().skip(start + 1) {
        let line = line.trim_start();
        if line.starts_with("Caused by: ") {
            found = n;
        } else if !(line.starts_with("at ")
            || line.starts_with("... ")
            || line.is_empty()
            || line.starts_with("Suppressed: "))
        {
            // A message of several lines goes on; anything that looks like a new log line ends the exception.
            if looks_like_log(line) {
                break;
            }
        }
    }
    Some(found)
}

/// `org.apache.spark.SparkException: text`, as at the beginning of a stack trace.
fn is_java_head(line: &str) -> bool {
    let head = line.split([':', ' ']).next().unwrap_or_default();
    let last = head.rsplit('.').next().unwrap_or_default();
    head.contains('.')
        && (last.ends_with("Exception") || last.ends_with("Error"))
        && head.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '$'))
        && line.len() > head.len()
}

/// `ValueError: text` after the last `Traceback (most recent call last):`.
fn python_error(lines: &[&str]) -> Option<usize> {
    let start =
        lines.iter().rposition(|line| line.trim_start().starts_with("Traceback (most recent call last)"))?;
    let named = |line: &&str| {
        let head = line.split(':').next().unwrap_or_default();
        !line.starts_with(char::is_whitespace)
            && !head.is_empty()
            && head.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && head.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_'))
    };
    let offset = lines.get(start + 1..)?.iter().position(named)?;
    Some(start + 1 + offset)
}

/// Whether a line begins as Spark's log lines do: a date, a time or a level.
fn looks_like_log(line: &str) -> bool {
    let first = line.split_whitespace().next().unwrap_or_default();
    matches!(first, "INFO" | "WARN" | "ERROR" | "DEBUG" | "TRACE" | "FATAL")
        || (first.len() >= 8
            && first.starts_with(|c: char| c.is_ascii_digit())
            && first.contains(['/', '-', ':']))
}

/// The line without `26/01/01 10:00:00 ERROR Name: ` in front of an exception.
fn without_stamp(line: &str) -> &str {
    match line.find("Exception in thread \"") {
        Some(at) => &line[at..],
        None => line,
    }
}

/// What the words before the present one announce.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    Nothing,
    /// The name of a secret: one follows if this is a sign between name and value.
    Sign,
    Secret,
}

/// A text as everybody may see it: without secrets, and at most 1 kB.
pub fn shown(text: &str) -> String {
    let mut text = redact(text);
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST - '…'.len_utf8()));
        text.push('…');
    }
    text
}

/// Takes secrets out of a line.
fn redact(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut next = Next::Nothing;
    for piece in line.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end();
        let space = &piece[word.len()..];
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_ascii_lowercase();
        next = match next {
            _ if word.is_empty() => next,
            _ if bare == "bearer" => {
                out.push_str(word);
                Next::Secret
            }
            Next::Secret => {
                out.push_str(&hidden(word));
                Next::Nothing
            }
            Next::Sign if matches!(word, "=" | ":" | "=>" | "->") => {
                out.push_str(word);
                Next::Secret
            }
            Next::Sign | Next::Nothing => {
                let (text, next) = redact_word(word, &bare);
                out.push_str(&text);
                next
            }
        };
        out.push_str(space);
    }
    out
}

/// A hidden word that keeps the punctuation around it.
fn hidden(word: &str) -> String {
    let end = word.trim_end_matches([',', ';', ')', ']', '}', '"', '\'', '.']).len();
    let start = word.len() - word.trim_start_matches(['"', '\'', '(', '[', '{']).len();
    let (start, end) = if start < end { (start, end) } else { (0, word.len()) };
    format!("{}{HIDDEN}{}", &word[..start], &word[end..])
}

fn redact_word(word: &str, bare: &str) -> (String, Next) {
    // user:password@host in a URL.
    let mut text = word.to_owned();
    if let Some(scheme) = text.find("://") {
        let rest = &text[scheme + 3..];
        let authority = rest.find(['/', '?', '"', '\'']).unwrap_or(rest.len());
        if let Some(at) = rest[..authority].rfind('@') {
            text = format!("{}{HIDDEN}{}", &text[..scheme + 3], &rest[at..]);
        }
    }
    // word=secret and word:secret, each pair of a query or a list by itself.
    let mut next =
        if SECRET_WORDS.iter().any(|secret| bare.ends_with(secret)) { Next::Sign } else { Next::Nothing };
    let mut parts: Vec<String> = text.split_inclusive(['&', ',', ';', '?']).map(str::to_owned).collect();
    for part in &mut parts {
        let lower = part.to_ascii_lowercase();
        let Some(split) = separator(&lower) else { continue };
        if SECRET_WORDS.iter().any(|secret| lower[..split].contains(secret)) {
            let value = &part[split + 1..];
            let end = value.trim_end_matches(['&', ',', ';', '?']).len();
            if value[..end].trim_matches(['"', '\'']).is_empty() {
                next = Next::Secret;
            } else {
                *part = format!("{}{}{}", &part[..=split], hidden(&value[..end]), &value[end..]);
                next = Next::Nothing;
            }
        }
    }
    text = parts.concat();
    (if text.contains(HIDDEN) { text } else { hide_keys(&text) }, next)
}

/// Where a key ends and its value begins: at the first `=`, or at the first `:` that is not part of `://`.
fn separator(text: &str) -> Option<usize> {
    text.char_indices()
        .find(|(at, c)| *c == '=' || (*c == ':' && !text[*at..].starts_with("://")))
        .map(|(at, _)| at)
}

/// AWS access key ids, JSON Web Tokens, and long runs that are only fit to be keys.
fn hide_keys(word: &str) -> String {
    let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '_' | '-' | '.');
    let mut out = String::with_capacity(word.len());
    let mut rest = word;
    while !rest.is_empty() {
        let run = rest.find(|c: char| !is_key(c)).unwrap_or(rest.len());
        if run == 0 {
            let next = rest.chars().next().map_or(1, char::len_utf8);
            out.push_str(&rest[..next]);
            rest = &rest[next..];
            continue;
        }
        let (candidate, after) = rest.split_at(run);
        out.push_str(if is_secret(candidate) { HIDDEN } else { candidate });
        rest = after;
    }
    out
}

fn is_secret(run: &str) -> bool {
    let aws = run.len() == 20 && (run.starts_with("AKIA") || run.starts_with("ASIA"));
    let jwt = run.starts_with("eyJ") && run.matches('.').count() == 2;
    // AWS secret keys and other random text: long, of one piece, with upper case, lower case and digits. Class names and
    // paths have dots or many slashes.
    let random = run.len() >= 40
        && !run.contains('.')
        && run.matches('/').count() <= 2
        && run.chars().any(|c| c.is_ascii_uppercase())
        && run.chars().any(|c| c.is_ascii_lowercase())
        && run.chars().any(|c| c.is_ascii_digit());
    aws || jwt || random
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_says_what_went_wrong_is_found() {
        for (log, expected) in [
            (
                "26/01/01 10:00:00 INFO SparkContext: Running Spark version 4.0.1\n\
                 Exception in thread \"main\" org.apache.spark.SparkException: Job aborted\n\
                 \tat org.apache.spark.scheduler.DAGScheduler.abortStage(DAGScheduler.scala:2844)\n\
                 Caused by: java.lang.RuntimeException: outer\n\
                 \tat x.Y.z(Y.scala:1)\n\
                 Caused by: java.io.FileNotFoundException: s3a://bucket/in.csv\n\
                 \t... 12 more\n\
                 26/01/01 10:00:09 INFO ShutdownHookManager: Shutdown hook called\n",
                Some("Caused by: java.io.FileNotFoundException: s3a://bucket/in.csv"),
            ),
            (
                "Exception in thread \"main\" java.lang.IllegalArgumentException: two\nlines of text\n\tat a.B.c(B.java:1)",
                Some("Exception in thread \"main\" java.lang.IllegalArgumentException: two"),
            ),
            (
                "Traceback (most recent call last):\n  File \"/app/job.py\", line 12, in <module>\n    main()\n\
                 ValueError: no rows for 2026-01-01\n26/01/01 10:00:09 INFO ShutdownHookManager: Shutdown hook called\n",
                Some("ValueError: no rows for 2026-01-01"),
            ),
            (
                "Traceback (most recent call last):\n  File \"a.py\", line 1\nKeyError: 'first'\n\
                 During handling of the above exception, another exception occurred:\n\n\
                 Traceback (most recent call last):\n  File \"a.py\", line 2\n\
                 pyspark.errors.exceptions.captured.AnalysisException: [TABLE_OR_VIEW_NOT_FOUND] no `t`\n",
                Some(
                    "pyspark.errors.exceptions.captured.AnalysisException: [TABLE_OR_VIEW_NOT_FOUND] no `t`",
                ),
            ),
            ("Traceback (most recent call last):\n  File \"a.py\", line 1\nSystemExit\n", Some("SystemExit")),
            (
                "ERROR SparkContext: Error initializing SparkContext.\norg.apache.spark.SparkException: no master\n\tat a.B(c)\n",
                Some("org.apache.spark.SparkException: no master"),
            ),
            ("26/01/01 10:00:00 INFO all is well\nPi is roughly 3.14\n", None),
            ("", None),
        ] {
            assert_eq!(find(log).as_deref(), expected, "{log}");
        }
    }

    #[test]
    fn secrets_are_taken_out() {
        for (line, expected) in [
            ("ValueError: password=hunter2 is wrong", "ValueError: password=*** is wrong"),
            ("ValueError: db_password: hunter2", "ValueError: db_password: ***"),
            ("ValueError: {\"token\": \"abc\", \"n\": 1}", "ValueError: {\"token\": \"***\", \"n\": 1}"),
            ("ValueError: {\"token\":\"abc\",\"n\":1}", "ValueError: {\"token\":\"***\",\"n\":1}"),
            ("ValueError: Authorization: Bearer abc.def", "ValueError: Authorization: Bearer ***"),
            (
                "ValueError: jdbc:postgresql://u:pw@db:5432/x?ssl=true",
                "ValueError: jdbc:postgresql://***@db:5432/x?ssl=true",
            ),
            (
                "ValueError: jdbc:mysql://db/x?user=a&password=b&c=d",
                "ValueError: jdbc:mysql://db/x?user=a&password=***&c=d",
            ),
            ("ValueError: key AKIAIOSFODNN7EXAMPLE denied", "ValueError: key *** denied"),
            ("ValueError: wJalrXUtnFEMIK7MDENG+bPxRfiCYEXAMPLEKEY01 denied", "ValueError: *** denied"),
            ("ValueError: fs.s3a.secret.key=abc", "ValueError: fs.s3a.secret.key=***"),
            ("ValueError: fs.s3a.access.key = abc", "ValueError: fs.s3a.access.key = ***"),
            ("ValueError: bad token in line 3", "ValueError: bad token in line 3"),
            ("ValueError: token eyJhbGciOi.eyJzdWIi.c2ln rejected", "ValueError: token *** rejected"),
            (
                "ValueError: s3a://bucket/path/to/file.parquet missing",
                "ValueError: s3a://bucket/path/to/file.parquet missing",
            ),
            (
                "ValueError: org.apache.spark.sql.catalyst.expressions.codegen.GenerateUnsafeProjection2",
                "ValueError: org.apache.spark.sql.catalyst.expressions.codegen.GenerateUnsafeProjection2",
            ),
        ] {
            let log = format!("Traceback (most recent call last):\n  File \"a.py\", line 1\n{line}\n");
            assert_eq!(find(&log).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_long_line_is_cut_at_a_character() {
        let log = format!("Traceback (most recent call last):\n  x\nValueError: {}\n", "ä".repeat(2000));
        let line = find(&log).unwrap();
        assert!(line.len() <= LONGEST && line.len() > LONGEST - 4 && line.ends_with('…'));
    }
}
