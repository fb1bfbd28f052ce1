//! A number of bytes as people write it.

use std::fmt;
use std::str::FromStr;

use super::mistake::Refusal;

/// Bytes; written as `40 MiB`, `512 KiB`, `52428800 B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(transparent)]
pub struct ByteSize(pub u64);

/// From the largest, so that a size is shown in the largest unit that divides it.
const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
    ("B", 1),
];

impl FromStr for ByteSize {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let unit = unit.strip_prefix(' ').unwrap_or(unit);
        let factor = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, factor)| *factor);
        let bytes = number.parse::<u64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
        bytes.map(Self).ok_or_else(|| {
            let help = "write a whole number and a unit, such as `40 MiB`".to_owned();
            Refusal::new(format!("`{text}` is not a size"), "units are B, kB, KiB, MB, MiB, GB, GiB", help)
        })
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = UNITS.iter().find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor));
        let (name, factor) = fits.copied().unwrap_or(("B", 1));
        write!(f, "{} {name}", self.0 / factor)
    }
}

impl schemars::JsonSchema for ByteSize {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ByteSize".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9]+ ?([kKmMgG][iI]?)?[bB]$", "examples": ["40 MiB"] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_unit() {
        for (text, bytes) in [("40 MiB", 40 << 20), ("40MiB", 40 << 20), ("1 kb", 1000), ("7 B", 7)] {
            assert_eq!(text.parse::<ByteSize>().expect(text), ByteSize(bytes));
        }
        for wrong in ["40", "MiB", "4.5 MiB", "-1 B", "99999999999999999999 B", "99999999999 GiB", "40  MiB", ""] {
            assert!(wrong.parse::<ByteSize>().is_err(), "{wrong}");
        }
        assert_eq!(ByteSize(40 << 20).to_string(), "40 MiB");
        assert_eq!(ByteSize(1001).to_string(), "1001 B");
    }
}
