//! What each part adds to the executable, read from the linker's map.

use std::collections::BTreeMap;

/// Bytes by part (`ext:mbstring`, `lib:openssl`, `php`), largest first. Lines that it cannot place are `other`.
///
/// A line of lld's map is `VMA LMA SIZE ALIGN NAME`; input sections are indented once more and name their object as
/// `/ext/mbstring/mbstring.a(x.o):(.text.f)`. Sections that take no room in the file are left out.
pub fn by_part(map: &str) -> Vec<(String, u64)> {
    let parts = match map.split_once(GNU_START) {
        Some((_, sections)) => gnu(sections),
        None => lld(map),
    };
    let mut list: Vec<_> = parts.into_iter().collect();
    list.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    list
}

/// Before it GNU ld tells what it pulled in and threw away.
const GNU_START: &str = "\nLinker script and memory map\n";

/// GNU ld: an output section begins its line; an input section is indented, with ` 0xADDRESS 0xSIZE OBJECT` behind its name
/// or, if that is long, in the next line.
fn gnu(sections: &str) -> BTreeMap<String, u64> {
    let mut parts = BTreeMap::new();
    let mut in_file = true;
    for line in sections.lines() {
        if let Some(name) = line.split_whitespace().next().filter(|name| line.starts_with('.') && name.len() > 1) {
            in_file = takes_room(name) && name != ".comment";
            continue;
        }
        let numbers = line.find(" 0x").map(|at| line[at..].split_whitespace()).unwrap_or_else(|| "".split_whitespace());
        let [_, size, object] = numbers.collect::<Vec<_>>()[..] else { continue };
        let size = size.strip_prefix("0x").and_then(|size| u64::from_str_radix(size, 16).ok());
        if let Some(size) = size.filter(|_| in_file && (object.ends_with(".o") || object.ends_with(".o)"))) {
            *parts.entry(part_of(object)).or_default() += size;
        }
    }
    parts
}

/// Symbols and version tables are stripped or small; zero-filled data takes no room.
fn takes_room(section: &str) -> bool {
    !matches!(section, ".bss" | ".tbss" | ".symtab" | ".strtab" | ".shstrtab") && !section.starts_with(".debug")
}

fn lld(map: &str) -> BTreeMap<String, u64> {
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
            in_file = takes_room(name);
        }
    }
    parts
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

    #[test]
    fn gnu_lds_map_is_read_too() {
        let map = [
            "Discarded input sections",
            "",
            " .text.x  0x0000000000000000  0x99 /ext/exif/exif.a(x.o)",
            "",
            "Linker script and memory map",
            "",
            "LOAD main.o",
            ".text           0x0000000000401000   0x3000",
            " *(.text .text.*)",
            " .text.short    0x0000000000401000       0x10 /ext/exif/exif.a(x.o)",
            " .text.a_name_too_long_for_its_column",
            "                0x0000000000401010       0x20 /deps/zlib/lib/libz.a(y.o)",
            "                0x0000000000401012                a_symbol",
            ".bss            0x0000000000405000     0x1000",
            " .bss.z         0x0000000000405000     0x1000 /ext/exif/exif.a(x.o)",
        ];
        assert_eq!(by_part(&map.join("\n")), [("lib:zlib".to_owned(), 0x20), ("ext:exif".to_owned(), 0x10)]);
    }
}
