//! Any bytes as php-fpm's answer: however they are cut, the same parts come out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use phplayer_bootstrap::fastcgi::{Decoder, NotFastCgi, Part};

type Decoded = (Vec<u8>, Vec<u8>, Vec<bool>);

fn decode(data: &[u8], size: usize) -> Result<Decoded, NotFastCgi> {
    let (mut decoder, mut output, mut log, mut ends) = (Decoder::default(), Vec::new(), Vec::new(), Vec::new());
    for piece in data.chunks(size) {
        decoder.feed(piece, |part| match part {
            Part::Output(bytes) => output.extend_from_slice(bytes),
            Part::Log(bytes) => log.extend_from_slice(bytes),
            Part::End { served } => ends.push(served),
        })?;
    }
    Ok((output, log, ends))
}

fuzz_target!(|data: &[u8]| {
    let Some((&first, rest)) = data.split_first() else { return };
    let whole = decode(rest, rest.len().max(1));
    let pieces = decode(rest, usize::from(first).max(1));
    assert_eq!(whole, pieces);
    assert!(whole.is_err() || whole.is_ok_and(|(output, log, _)| output.len() + log.len() <= rest.len()));
});
