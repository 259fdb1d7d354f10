//! Paths of a container, put where they are on this machine.
//!
//! Purpose: replace mount paths in texts. Owns the list of replacements of one pod. It must never touch a path that
//! only begins like a mount path: `/opt/spark-data` is not below `/opt/spark`.

/// Replacements, longest path first.
#[derive(Debug, Clone, Default)]
pub(super) struct Paths {
    pairs: Vec<(String, String)>,
}

impl Paths {
    pub(super) fn add(&mut self, inside: &str, outside: &str) {
        let inside = inside.trim_end_matches('/');
        if !inside.is_empty() {
            self.pairs.push((inside.to_owned(), outside.to_owned()));
            self.pairs.sort_by_key(|(inside, _)| std::cmp::Reverse(inside.len()));
        }
    }

    /// The text with every path of the container replaced; what was put in is not looked at again.
    pub(super) fn apply(&self, text: &str) -> String {
        let mut result = String::with_capacity(text.len());
        let mut rest = text;
        while !rest.is_empty() {
            let begins = result.chars().next_back().is_none_or(|before| !part_of_name(before));
            let found = self.pairs.iter().filter(|_| begins).find_map(|(inside, outside)| {
                let after = rest.strip_prefix(inside.as_str())?;
                after.chars().next().is_none_or(|next| !part_of_name(next)).then_some((outside, after))
            });
            if let Some((outside, after)) = found {
                result.push_str(outside);
                rest = after;
            } else {
                let mut characters = rest.chars();
                result.extend(characters.next());
                rest = characters.as_str();
            }
        }
        result
    }
}

fn part_of_name(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '.' | '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::Paths;

    #[test]
    fn only_whole_paths_are_replaced_and_the_longest_wins() {
        let mut paths = Paths::default();
        paths.add("/opt/spark", "/home/pyspark");
        paths.add("/opt/spark/conf", "/tmp/pod/conf");
        paths.add("/var/data/spark-1", "/tmp/pod/data");
        for (text, expected) in [
            ("/opt/spark/conf/spark.properties", "/tmp/pod/conf/spark.properties"),
            ("local:///opt/spark/examples/pi.py", "local:///home/pyspark/examples/pi.py"),
            ("a=/opt/spark,b=/opt/spark/conf", "a=/home/pyspark,b=/tmp/pod/conf"),
            ("/opt/spark-data /opt/spark2 /x/opt/spark", "/opt/spark-data /opt/spark2 /x/opt/spark"),
            ("/opt/spark/configuration", "/home/pyspark/configuration"),
            ("spark.local.dir=/var/data/spark-1\\:", "spark.local.dir=/tmp/pod/data\\:"),
            ("grüße", "grüße"),
        ] {
            assert_eq!(paths.apply(text), expected);
        }
    }

    #[test]
    fn replacements_are_not_replaced_again() {
        let mut paths = Paths::default();
        paths.add("/a", "/b/a");
        paths.add("/b", "/c");
        assert_eq!(paths.apply("/a:/b"), "/b/a:/c");
    }
}
