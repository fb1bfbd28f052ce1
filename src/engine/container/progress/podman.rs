//! What podman prints. Its stages take turns, and those that wait for each other do so in no order.

use super::super::dockerfile::MARK;

/// What a line is, besides the beginning of an instruction.
#[derive(Debug, PartialEq, Eq)]
pub enum Word<'w> {
    /// The instruction's outcome was there.
    Cached,
    /// It has become a layer.
    Done,
    /// The build's end: a step has failed, known by its key.
    Failed {
        step: Option<&'w str>,
    },
    Other,
}

pub fn word(line: &str) -> Word<'_> {
    let layer = |id: &str| id.len() >= 11 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    match line.strip_prefix("--> ") {
        Some(rest) if rest.starts_with("Using cache ") => Word::Cached,
        Some(id) if layer(id) => Word::Done,
        None if line.starts_with("Error: building at STEP ") => Word::Failed { step: step(line) },
        _ => Word::Other,
    }
}

/// The key of the step whose script an instruction writes.
pub fn step(instruction: &str) -> Option<&str> {
    let (_, rest) = instruction.split_once(MARK)?;
    rest.split(|letter: char| !letter.is_ascii_hexdigit()).next()
}

/// `[2/9] STEP 3/3: RUN …` is an instruction of the second stage; where there is one stage, nothing stands before `STEP`.
pub fn instruction(line: &str) -> Option<(usize, &str)> {
    let (stage, step) = match line.strip_prefix('[') {
        Some(rest) => {
            let (place, step) = rest.split_once("] ")?;
            (place.split('/').next()?.parse::<usize>().ok()?.checked_sub(1)?, step)
        }
        None => (0, line),
    };
    let (count, instruction) = step.strip_prefix("STEP ")?.split_once(": ")?;
    count.split_once('/').is_some_and(|(at, _)| at.parse::<usize>().is_ok()).then_some((stage, instruction))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_what_it_is() {
        let failed = "Error: building at STEP \"RUN printf '%s\\n' '# step d250' 'set -eu'\": while running runtime: exit status 1";
        let table = [
            ("--> Using cache 66a423959722e5c8d51817587ffdc11c1223d1d719600dca60ac44f84242ea17", Word::Cached),
            ("--> 66a42395972", Word::Done),
            ("--> configure: no", Word::Other),
            (failed, Word::Failed { step: Some("d250") }),
            ("Error: building at STEP \"RUN dnf\": exit status 1", Word::Failed { step: None }),
            ("Error: creating build container: no", Word::Other),
        ];
        for (line, expected) in table {
            assert_eq!(word(line), expected, "{line}");
        }
        assert_eq!(instruction("[3/6] STEP 2/2: RUN x"), Some((2, "RUN x")));
        assert_eq!(instruction("STEP 1/2: FROM x"), Some((0, "FROM x")));
        for text in ["[3/6] RUN x", "[0/6] STEP 2/2: RUN x", "STEP one: x", "make: STEP 1/2"] {
            assert_eq!(instruction(text), None, "{text}");
        }
    }
}
