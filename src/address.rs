//! Addresses as they may be shown: in errors, logs and progress.

/// Keys and passwords stand before `@`, signatures after `?`. What is shown of an address must not be what its owner would
/// have to change then.
pub fn shown(text: &str) -> String {
    let (scheme, rest) = text.split_at(text.find("://").map_or(0, |at| at + "://".len()));
    let rest = rest.rsplit_once('@').map_or_else(|| rest.to_owned(), |(_, place)| format!("***@{place}"));
    let rest = rest.split_once('?').map_or_else(|| rest.clone(), |(place, _)| format!("{place}?***"));
    format!("{scheme}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_is_not_shown() {
        let table = [
            ("s3://key:se/cr@t@builds/x", "s3://***@builds/x"),
            ("s3://builds/x?X-Amz-Signature=secret", "s3://builds/x?***"),
            ("https://user:secret@mirror.example/a.tar.gz", "https://***@mirror.example/a.tar.gz"),
            ("https://key:secret@builds?secret@", "https://***@"),
            ("key:secret@builds", "***@builds"),
            ("https://builds", "https://builds"),
        ];
        for (text, expected) in table {
            assert_eq!(shown(text), expected);
        }
    }
}
