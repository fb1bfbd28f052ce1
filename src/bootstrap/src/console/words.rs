//! A command line cut into words as a shell does it, without anything else that a shell does.

/// The words of `line`: quotes and backslashes have the shell's meaning, all other characters none. `None` for a quote
/// that is not closed.
pub fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next()? {
                        '\'' => break,
                        character => word.push(character),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next()? {
                        '"' => break,
                        '\\' => match characters.next()? {
                            character @ ('"' | '\\' | '$' | '`') => word.push(character),
                            character => word.extend(['\\', character]),
                        },
                        character => word.push(character),
                    }
                }
            }
            '\\' => word.get_or_insert_default().extend(characters.next()),
            character => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_as_a_shell_cuts_them() {
        for (line, expected) in [
            ("", vec![]),
            ("  a  b ", vec!["a", "b"]),
            ("--name='a b'", vec!["--name=a b"]),
            (r#"say "it's \"so\" \n""#, vec!["say", r#"it's "so" \n"#]),
            (r"a\ b \'", vec!["a b", "'"]),
            ("'' x", vec!["", "x"]),
            ("$HOME; ls && a", vec!["$HOME;", "ls", "&&", "a"]),
        ] {
            assert_eq!(words(line).unwrap(), expected, "{line}");
        }
        assert_eq!(words("'a"), None);
        assert_eq!(words("\"a\\"), None);
    }
}
