//! Base64 as Lambda's events and responses carry it: the standard alphabet, padded.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for position in 0..4 {
            let index = (group >> (18 - 6 * position)) as usize & 63;
            text.push(if position <= chunk.len() { char::from(ALPHABET[index]) } else { '=' });
        }
    }
    text
}

/// The value of each character; `NONE` for those that are none.
const VALUES: [u8; 256] = values();
const NONE: u8 = 0xff;

const fn values() -> [u8; 256] {
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < ALPHABET.len() {
        values[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    values
}

/// The bytes, or `None` where a character does not belong. Missing padding and line ends are forgiven.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches(['=', '\r', '\n']).as_bytes();
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let mut rest = text;
    // Bodies come in one line: four characters at a time, and one by one from the first that does not belong.
    while let Some((quad, tail)) = rest.split_first_chunk::<4>() {
        let [a, b, c, d] = quad.map(|character| VALUES[usize::from(character)]);
        if (a | b | c | d) == NONE {
            break;
        }
        bytes.extend_from_slice(&[a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]);
        rest = tail;
    }
    let (mut group, mut bits) = (0u32, 0);
    for character in rest {
        match VALUES[usize::from(*character)] {
            NONE if matches!(character, b'\r' | b'\n') => {}
            NONE => return None,
            value => {
                group = group << 6 | u32::from(value);
                bits += 6;
                if bits >= 8 {
                    bits -= 8;
                    bytes.push((group >> bits) as u8);
                }
            }
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_pairs_go_both_ways() {
        for (plain, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("\0\u{7f}?", "AH8/")]
        {
            assert_eq!(encode(plain.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(plain.as_bytes()));
        }
    }

    #[test]
    fn every_byte_survives() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&bytes)), Some(bytes));
    }

    #[test]
    fn foreign_characters_are_refused_and_line_ends_forgiven() {
        assert_eq!(decode("Zm9v!"), None);
        assert_eq!(decode("Zm\r\n9v\n").as_deref(), Some(&b"foo"[..]));
        assert_eq!(decode("Zg").as_deref(), Some(&b"f"[..]));
        assert_eq!(decode("Zm9v\nYmFyYmF6\r\nZm9v").as_deref(), Some(&b"foobarbazfoo"[..]));
        assert_eq!(decode("Zm9vYm=yYmF6"), None);
    }
}
