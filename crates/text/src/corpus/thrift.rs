//! Whether what a Parquet file says of itself can be as long as it says: its footer and the headers of its pages are Thrift, in the
//! compact protocol.
//!
//! The crate `parquet` passes over lists that it does not know element by element, and takes no byte for one of truth values, so
//! that six bytes stand for two billion steps. Here such lists, which neither a footer nor the header of a page has, are refused
//! first, and so are lists with more elements than there are bytes left.
//!
//! Source: the specification of Thrift's compact protocol.

/// Values within values at most.
const DEEPEST: usize = 64;
/// The numbers of the types.
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const INT16: u8 = 4;
const INT32: u8 = 5;
const INT64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;
/// The number of the field of a page's header that says how many bytes the page has.
const PAGE_BYTES: u64 = 3;

/// Whether the footer, if there is one, is whole: a structure in which every list and text is as long as it says.
pub(super) fn footer_is_whole(file: &[u8]) -> bool {
    let Some((rest, [length @ .., b'P', b'A', b'R', b'1'])) = file.split_last_chunk::<8>() else {
        return true;
    };
    let length = u32::from_le_bytes(*length) as usize;
    // Of one that is longer than the file, the reader says so.
    rest.len().checked_sub(length).is_none_or(|start| Rest(&rest[start..]).skip(STRUCT, 0).is_some())
}

/// Whether the headers of a column's pages are whole in the same sense.
pub(super) fn pages_are_whole(column: &[u8]) -> bool {
    let mut rest = Rest(column);
    while !rest.0.is_empty() {
        let Some(size) = rest.page() else { return false };
        // Of a page that is longer than the column, the reader says so.
        if rest.bytes(size).is_none() {
            break;
        }
    }
    true
}

/// Bytes that are still to be read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn bytes(&mut self, count: usize) -> Option<()> {
        self.0 = self.0.get(count..)?;
        Some(())
    }

    /// A number in groups of seven bits, the lowest first.
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// How many values follow, each at least a byte long.
    fn count(&mut self, count: u64) -> Option<usize> {
        usize::try_from(count).ok().filter(|count| *count <= self.0.len())
    }

    /// Passes over a value of that type.
    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        match kind {
            TRUE | FALSE => Some(()),
            BYTE => self.bytes(1),
            INT16..=INT64 => self.number().map(drop),
            DOUBLE => self.bytes(8),
            BINARY => {
                let length = self.number()?;
                let length = self.count(length)?;
                self.bytes(length)
            }
            LIST | SET => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.number()? } else { u64::from(head >> 4) };
                let count = self.count(count)?;
                (0..count).try_for_each(|_| self.element(head & 15, depth))
            }
            MAP => {
                let count = self.number()?;
                let count = self.count(count)?;
                let kinds = if count > 0 { self.byte()? } else { 0 };
                (0..count).try_for_each(|_| {
                    self.element(kinds >> 4, depth)?;
                    self.element(kinds & 15, depth)
                })
            }
            STRUCT => {
                let mut before = 0;
                while let Some((field, kind)) = self.field(before)? {
                    self.skip(kind, depth + 1)?;
                    before = field;
                }
                Some(())
            }
            _ => None,
        }
    }

    /// The number and the type of a structure's next field, behind the one of that number; nothing at its end.
    fn field(&mut self, before: u64) -> Option<Option<(u64, u8)>> {
        let head = self.byte()?;
        if head == 0 {
            return Some(None);
        }
        // A number is told by its distance, or in full; those with a sign are stored doubled, negative ones odd.
        let field = if head >> 4 == 0 { self.number()? >> 1 } else { before + u64::from(head >> 4) };
        Some(Some((field, head & 15)))
    }

    /// The header of a page: how many bytes the page has.
    fn page(&mut self) -> Option<usize> {
        let (mut before, mut size) = (0, 0);
        while let Some((field, kind)) = self.field(before)? {
            match (field, kind) {
                (PAGE_BYTES, INT32) => size = self.number()? >> 1,
                (_, kind) => self.skip(kind, 1)?,
            }
            before = field;
        }
        usize::try_from(size).ok()
    }

    /// A value in a list or a map, which is no truth value.
    fn element(&mut self, kind: u8, depth: usize) -> Option<()> {
        if matches!(kind, TRUE | FALSE) { None } else { self.skip(kind, depth + 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file whose footer is that structure.
    fn file(fields: &[u8]) -> Vec<u8> {
        let footer = [fields, &[0]].concat();
        let length = (footer.len() as u32).to_le_bytes();
        [b"PAR1", &footer[..], &length, b"PAR1"].concat()
    }

    #[test]
    fn what_is_as_long_as_it_says_is_whole() {
        for fields in [
            &[][..],
            &[0x15, 0x02],                                           // a number
            &[0x18, 3, b'a', b'b', b'c'],                            // a text
            &[0x19, 0x1c, 0x11, 0],          // a list of a structure with a truth value
            &[0x1b, 1, 0x85, 1, b'k', 0x02], // a map of a text to a number
            &[0x06, 0x80, 0x01, 0x04, 0x17, 0, 0, 0, 0, 0, 0, 0, 0], // a number in full, and a double
        ] {
            assert!(footer_is_whole(&file(fields)), "{fields:?}");
        }
        // What is no file of the kind is the reader's to refuse.
        assert!(
            footer_is_whole(b"") && footer_is_whole(b"not one") && footer_is_whole(b"\xff\xff\xff\x7fPAR1")
        );
    }

    #[test]
    fn headers_of_pages_are_passed_one_by_one() {
        let page = [0x15, 0, 0x25, 6, 0, 9, 9, 9];
        let two = [&page[..], &page].concat();
        assert!(pages_are_whole(&two));
        // A list of truth values beside the size; in the second page, too.
        let bad = [0x25, 6, 0x19, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07, 0];
        let second = [&page[..], &bad].concat();
        assert!(!pages_are_whole(&bad) && !pages_are_whole(&second));
        // One that is longer than the column.
        assert!(pages_are_whole(&page[..6]) && pages_are_whole(&[]));
    }

    #[test]
    fn what_promises_more_than_there_is_is_not() {
        let mut nested = vec![0x19];
        nested.extend([0x19; 100]);
        for fields in [
            &[0x19, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07][..], // truth values by the billion
            &[0x19, 0x71, 0x19, 0xf1, 0xff, 0xff, 0xff, 0xff, 0x07], // and behind seven that would be those bytes
            &[0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07],
            &[0x18, 100, b'a'],
            &[0x1b, 0xff, 0x7f, 0x55],
            &[0x15, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
            &[0x1d],
            &nested,
        ] {
            assert!(!footer_is_whole(&file(fields)), "{fields:?}");
        }
    }
}
