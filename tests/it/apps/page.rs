//! The project's own pages under docs/: the blocks of code in them are what the tests run.
#![allow(clippy::unwrap_used, reason = "a test helper fails its test")]

use fs_err as fs;

use crate::lamp::parts::repository;

/// A block of code.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// The heading that it stands under.
    pub heading: String,
    pub language: String,
    pub text: String,
}

/// The blocks of docs/NAME, in their order.
pub fn blocks(name: &str) -> Vec<Block> {
    read(&fs::read_to_string(repository().join("docs").join(name)).unwrap())
}

/// The only block of a page in this language.
pub fn block(name: &str, language: &str) -> String {
    let mut found: Vec<Block> = blocks(name).into_iter().filter(|block| block.language == language).collect();
    assert_eq!(found.len(), 1, "{language} blocks of docs/{name}");
    found.remove(0).text
}

fn read(page: &str) -> Vec<Block> {
    let mut all = Vec::new();
    let mut heading = String::new();
    let mut open: Option<Block> = None;
    for line in page.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                let (heading, language) = (heading.clone(), language.to_owned());
                open = Some(Block { heading, language, text: String::new() });
            }
            (Some(_), Some("")) => all.extend(open.take()),
            (Some(block), _) => block.text.extend([line, "\n"]),
            (None, None) => {
                if let Some(title) = line.strip_prefix('#') {
                    heading = title.trim_start_matches('#').trim().to_owned();
                }
            }
        }
    }
    assert!(open.is_none(), "a block without an end: {open:?}");
    all
}

#[test]
fn blocks_are_read_as_they_stand() {
    let page = "# One\n\n```php\n<?php\n# no heading\n```\n\n## Two\n```json\n{}\n```\n";
    let block = |heading: &str, language: &str, text: &str| Block {
        heading: heading.to_owned(),
        language: language.to_owned(),
        text: text.to_owned(),
    };
    assert_eq!(read(page), [block("One", "php", "<?php\n# no heading\n"), block("Two", "json", "{}\n")]);
}
