//! What each part adds to the executable, read from the linker's map.

use std::collections::BTreeMap;

/// Bytes by part (`ext:mbstring`, `lib:openssl`, `php`), largest first. Lines that it cannot place are `other`.
///
/// A line of lld's map is `VMA LMA SIZE ALIGN NAME`; input sections are indented once more and name their object as
/// `/ext/mbstring/mbstring.a(x.o):(.text.f)`. Sections that take no room in the file are left out.
pub fn by_part(map: &str) -> Vec<(String, u64)> {
    let mut parts: BTreeMap<String, u64> = BTreeMap::new();
    let mut in_file = true;
    for line in map.lines() {
        let mut words = line.split_whitespace();
        let (Some(_), Some(_), Some(size), Some(_), Some(name)) =
            (words.next(), words.next(), words.next(), words.next(), words.next())
        else {
            continue;
        };
        let Ok(size) = u64::from_str_radix(size, 16) else { continue };
        if let Some((object, _)) = name.split_once(":(") {
            if in_file {
                *parts.entry(part_of(object)).or_default() += size;
            }
        } else if name.starts_with('.') {
            // Symbols and version tables are stripped or small; zero-filled data takes no room.
            in_file =
                !matches!(name, ".bss" | ".tbss" | ".symtab" | ".strtab" | ".shstrtab") && !name.starts_with(".debug");
        }
    }
    let mut list: Vec<_> = parts.into_iter().collect();
    list.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    list
}

fn part_of(object: &str) -> String {
    let second = |prefix: &str| object.strip_prefix(prefix).and_then(|rest| rest.split('/').next()).map(str::to_owned);
    if let Some(name) = second("/ext/") {
        format!("ext:{name}")
    } else if let Some(name) = second("/deps/") {
        format!("lib:{name}")
    } else if object.starts_with("/opt/") || object == "modules.o" || object == "main.o" {
        "php".to_owned()
    } else {
        "other".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_section_is_counted_for_its_part() {
        let map = "             VMA              LMA     Size Align Out     In      Symbol
             2a8              2a8       10     1 .text
             2a8              2a8       0c     1         /ext/mbstring/mbstring.a(mbstring.o):(.text.f)
             2b4              2b4        4     1         /deps/openssl/lib/libcrypto.a(x.o):(.text)
             2b4              2b4        0     1                 symbol
             300              300       20     1 .bss
             300              300       20     1         /opt/lib/phplayer/core.a(main.o):(.bss)
             400              400        8     1 .rodata
             400              400        8     1         /opt/lib/phplayer/core.a(main.o):(.rodata)
";
        let expected = [("ext:mbstring", 12), ("php", 8), ("lib:openssl", 4)];
        let expected: Vec<_> = expected.map(|(part, size)| (part.to_owned(), size)).to_vec();
        assert_eq!(by_part(map), expected);
    }
}
