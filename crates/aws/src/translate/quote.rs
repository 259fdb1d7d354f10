//! Options of spark-submit as one text.
//!
//! Owns no state. How EMR takes the text apart is not documented, but AWS's own converter and samples quote as a shell
//! does. So a token is written as a shell would take it back, and one with a character that a shell might read otherwise
//! is refused: nobody would notice what became of it.

/// Joins tokens with blanks.
///
/// # Errors
/// The number of the first token that cannot be written, and the character at fault.
pub(super) fn join<'a>(tokens: impl IntoIterator<Item = &'a str>) -> Result<String, (usize, char)> {
    let mut text = String::new();
    for (n, token) in tokens.into_iter().enumerate() {
        if n > 0 {
            text.push(' ');
        }
        if !token.is_empty() && token.chars().all(is_bare) {
            text.push_str(token);
        } else if let Some(odd) = odd(token) {
            return Err((n, odd));
        } else {
            text.push('"');
            text.push_str(token);
            text.push('"');
        }
    }
    Ok(text)
}

/// The first character that cannot be written in any way.
pub(super) fn odd(token: &str) -> Option<char> {
    token.chars().find(|c| "\"\\$`".contains(*c) || c.is_control())
}

fn is_bare(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tokens_are_bare_or_in_double_quotes() {
        for (tokens, expected) in [
            (vec!["--class", "org.X"], "--class org.X"),
            (
                vec!["--conf", "spark.jars=s3://a/b.jar,s3://c%20d@1+2:3.jar"],
                "--conf spark.jars=s3://a/b.jar,s3://c%20d@1+2:3.jar",
            ),
            (vec!["--conf", "spark.x=a b"], "--conf \"spark.x=a b\""),
            (vec!["spark.x=it's; a|b & (c) {d} ~ * ? # !"], "\"spark.x=it's; a|b & (c) {d} ~ * ? # !\""),
            (vec![""], "\"\""),
            (vec!["ä"], "\"ä\""),
        ] {
            assert_eq!(join(tokens.iter().copied()).as_deref(), Ok(expected), "{tokens:?}");
        }
        for odd in ['"', '\\', '$', '`', '\n', '\t', '\0', '\u{7f}'] {
            assert_eq!(join(["--conf", &format!("x={odd}")]), Err((1, odd)));
        }
    }

    /// `shlex` only takes words apart; a shell does more with what is not quoted.
    #[test]
    fn a_real_shell_hands_on_every_character_as_it_is() {
        let tokens: Vec<_> =
            (' '..='~').map(|c| format!("x{c}y")).filter(|token| odd(token).is_none()).collect();
        assert_eq!(tokens.len(), 95 - 4);
        let text = join(tokens.iter().map(String::as_str)).unwrap();
        let script = format!("printf '%s\\n' {text}");
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        let lines: Vec<_> = std::str::from_utf8(&output.stdout).unwrap().lines().collect();
        assert_eq!(lines, tokens, "{}", String::from_utf8_lossy(&output.stderr));
    }

    proptest! {
        #[test]
        fn a_shell_takes_the_same_tokens_back(tokens in prop::collection::vec(".{0,40}", 0..20)) {
            match join(tokens.iter().map(String::as_str)) {
                Ok(text) => prop_assert_eq!(shlex::split(&text).unwrap_or_default(), tokens),
                Err((n, c)) => prop_assert!(tokens[n].contains(c)),
            }
        }

        #[test]
        fn what_a_shell_reads_plainly_is_never_refused(tokens in prop::collection::vec("[A-Za-z0-9 _@%+=:,./#!'(){}~*?;|&<>-]{0,40}", 1..20)) {
            let text = join(tokens.iter().map(String::as_str)).unwrap();
            prop_assert_eq!(shlex::split(&text).unwrap(), tokens);
        }
    }
}
