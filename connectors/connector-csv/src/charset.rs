//! Turns a feed's bytes into text, and says which byte is none.
//!
//! In UTF-8 and in every encoding of one byte a character, delimiters, quotes and line ends are the
//! same bytes as in ASCII, so rows are split first and fields decoded after: a bad byte costs one
//! row. UTF-16 has to be decoded before it can be split. Other encodings, in which a delimiter's
//! byte may be half of a character, are refused.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};
use std::ops::Range;

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// Bytes of text that are decoded at once.
const WIDENED_BYTES: usize = 64 * 1024;

/// How a feed's text is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Charset(&'static Encoding);

/// A byte that is no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("byte 0x{byte:02X} at place {place} of the field is not {encoding}")]
pub(crate) struct Undecodable {
    byte: u8,
    /// Counted from 1.
    place: usize,
    encoding: &'static str,
}

impl Charset {
    /// The encoding with that name, if feeds may have it.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let encoding = Encoding::for_label(name.as_bytes())?;
        let is_wide = encoding == UTF_16LE || encoding == UTF_16BE;
        (encoding == UTF_8 || is_wide || encoding.is_single_byte()).then_some(Self(encoding))
    }

    /// The encoding that a mark at the beginning of the file tells, and the mark's length.
    pub(crate) fn marked(head: &[u8]) -> Option<(Self, usize)> {
        Encoding::for_bom(head).map(|(encoding, length)| (Self(encoding), length))
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        self.0.name()
    }

    /// Whether it must be decoded before rows can be split.
    pub(crate) fn is_wide(self) -> bool {
        self.0 == UTF_16LE || self.0 == UTF_16BE
    }

    /// Decodes a field. Fields of wide encodings are UTF-8 by then.
    pub(crate) fn decode(self, bytes: &[u8]) -> Result<Cow<'_, str>, Undecodable> {
        let encoding = if self.is_wide() { UTF_8 } else { self.0 };
        let decoded = encoding.decode_without_bom_handling_and_without_replacement(bytes);
        decoded.ok_or_else(|| {
            let place = if encoding == UTF_8 {
                std::str::from_utf8(bytes).err().map_or(0, |error| error.valid_up_to())
            } else {
                let is_bad = |byte: &u8| {
                    encoding.decode_without_bom_handling_and_without_replacement(&[*byte]).is_none()
                };
                bytes.iter().position(is_bad).unwrap_or(0)
            };
            let byte = bytes.get(place).copied().unwrap_or_default();
            Undecodable { byte, place: place + 1, encoding: encoding.name() }
        })
    }

    /// Decodes a stream of a wide encoding into UTF-8; `offset` bytes of it were taken before.
    pub(crate) fn widened<R: BufRead>(self, input: R, offset: u64) -> Widened<R> {
        Widened {
            input,
            decoder: self.0.new_decoder_without_bom_handling(),
            name: self.0.name(),
            offset,
            text: vec![0; WIDENED_BYTES],
            left: 0..0,
            end: None,
        }
    }
}

/// A stream of UTF-16 as UTF-8.
pub(crate) struct Widened<R> {
    input: R,
    decoder: Decoder,
    name: &'static str,
    /// Bytes taken from the input.
    offset: u64,
    /// Decoded text, of which `left` was not yet taken.
    text: Vec<u8>,
    left: Range<usize>,
    end: Option<End>,
}

/// Why there is no more text. What was decoded before it is still given out.
#[derive(Debug, Clone, Copy)]
enum End {
    Reached,
    /// At bytes that are no text.
    Malformed,
}

impl<R> Widened<R> {
    /// Gives the input back.
    pub(crate) fn into_inner(self) -> R {
        self.input
    }
}

impl<R: BufRead> BufRead for Widened<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.left.is_empty() {
            match self.end {
                Some(End::Reached) => break,
                Some(End::Malformed) => {
                    let (name, offset) = (self.name, self.offset);
                    let message = format!("the bytes before byte {offset} are not {name}");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, message));
                }
                None => {}
            }
            let input = self.input.fill_buf()?;
            let is_last = input.is_empty();
            let (result, read, written) =
                self.decoder.decode_to_utf8_without_replacement(input, &mut self.text, is_last);
            self.input.consume(read);
            self.offset += read as u64;
            self.left = 0..written;
            self.end = match result {
                DecoderResult::Malformed(..) => Some(End::Malformed),
                DecoderResult::InputEmpty if is_last => Some(End::Reached),
                DecoderResult::InputEmpty | DecoderResult::OutputFull => None,
            };
        }
        Ok(&self.text[self.left.clone()])
    }

    fn consume(&mut self, bytes: usize) {
        self.left.start = (self.left.start + bytes).min(self.left.end);
    }
}

impl<R: BufRead> Read for Widened<R> {
    fn read(&mut self, output: &mut [u8]) -> io::Result<usize> {
        let text = self.fill_buf()?;
        let taken = text.len().min(output.len());
        output[..taken].copy_from_slice(&text[..taken]);
        self.consume(taken);
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn encodings_that_can_be_split_are_taken_and_others_refused() {
        for name in ["utf-8", "UTF8", "windows-1252", "latin1", "iso-8859-15", "utf-16le", "ascii"]
        {
            assert!(Charset::named(name).is_some(), "{name}");
        }
        for name in ["gbk", "shift_jis", "gb18030", "big5", "utf-7", "klingon", ""] {
            assert!(Charset::named(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_byte_that_is_no_text_is_named() {
        let utf8 = Charset::named("utf-8").unwrap();
        assert_eq!(utf8.decode("José".as_bytes()).unwrap(), "José");
        let error = utf8.decode(b"Jos\xe9").unwrap_err().to_string();
        assert_eq!(error, "byte 0xE9 at place 4 of the field is not UTF-8");
        let latin = Charset::named("windows-1252").unwrap();
        assert_eq!(latin.decode(b"Jos\xe9 \x80").unwrap(), "José €");
        let hebrew = Charset::named("iso-8859-8").unwrap();
        let error = hebrew.decode(b"ab\xfb").unwrap_err().to_string();
        assert_eq!(error, "byte 0xFB at place 3 of the field is not ISO-8859-8");
    }

    #[test]
    fn wide_text_is_decoded_whatever_the_buffers_cut() {
        let text = "id,näme\n1,😀 € x\n";
        for (name, bytes) in [
            ("utf-16le", text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()),
            ("utf-16be", text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        ] {
            for (input, output) in [(1, 1), (3, 5), (64, 64)] {
                let charset = Charset::named(name).unwrap();
                let widened = charset.widened(BufReader::with_capacity(input, bytes.as_slice()), 0);
                let mut decoded = String::new();
                BufReader::with_capacity(output, widened).read_to_string(&mut decoded).unwrap();
                assert_eq!(decoded, text, "{name} {input} {output}");
            }
        }
    }

    #[test]
    fn half_a_character_of_wide_text_is_an_error_after_what_came_before_it() {
        let charset = Charset::named("utf-16le").unwrap();
        let mut text = String::new();
        let broken: &[u8] = &[b'a', 0, 0x00, 0xd8, b'b', 0];
        let error = charset.widened(broken, 0).read_to_string(&mut text).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let mut widened = charset.widened(broken, 0);
        assert_eq!(widened.fill_buf().unwrap(), b"a");
        widened.consume(1);
        assert!(widened.fill_buf().is_err());
        let odd: &[u8] = &[b'a', 0, b'b'];
        assert!(charset.widened(odd, 0).read_to_string(&mut text).is_err());
    }
}
