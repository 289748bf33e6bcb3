//! Reads the wire format of Protocol Buffers in place
//! (<https://protobuf.dev/programming-guides/encoding/>).
//!
//! In: the bytes of a message. Out: its fields, in their order. A generated decoder makes a value of
//! some hundred bytes from a message of two bytes. A hostile sender could so turn one megabyte into a
//! hundred. Here each field borrows from the message, and who reads it takes only what it needs.

/// The bytes are not a message, or a field has another type than the published one.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the bytes are not the Protocol Buffers message that was asked for")]
pub struct Malformed;

/// The value of a field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Value<'a> {
    /// A number, a boolean or an enumeration.
    Number(u64),
    /// A text, a message, or packed numbers.
    Bytes(&'a [u8]),
    /// Four or eight bytes. No field that is read here has this type.
    Fixed,
}

impl<'a> Value<'a> {
    pub fn number(self) -> Result<u64, Malformed> {
        match self {
            Self::Number(number) => Ok(number),
            Self::Bytes(_) | Self::Fixed => Err(Malformed),
        }
    }

    pub fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) | Self::Fixed => Err(Malformed),
        }
    }

    pub fn message(self) -> Result<Fields<'a>, Malformed> {
        self.bytes().map(Fields)
    }

    pub fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }
}

/// Iterates over the fields of a message, in the order of the bytes, and stops after an error.
#[derive(Clone, Debug)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<(u64, Value<'a>), Malformed> {
        let key = self.varint()?;
        let (number, kind) = (key >> 3, key & 7);
        if number == 0 {
            return Err(Malformed);
        }
        let value = match kind {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            // Groups. Neither Tetragon's API nor that of Kubernetes has them.
            _ => return Err(Malformed),
        };
        Ok((number, value))
    }

    /// Each byte holds seven bits, the lowest first; its highest bit is set if more bytes follow.
    /// 64 bits need at most ten bytes.
    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for place in 0..10 {
            let [byte] = self.take(1)? else {
                return Err(Malformed);
            };
            // The tenth byte holds only the 64th bit.
            if place == 9 && *byte > 1 {
                return Err(Malformed);
            }
            value |= u64::from(byte & 0x7f) << (7 * place);
            if *byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::encoding::{WireType, encode_key, encode_varint};

    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<(u64, Value<'_>)>, Malformed> {
        Fields(bytes).collect()
    }

    #[test]
    fn each_wire_type_is_read() {
        let bytes = [
            0x08, 0x96, 0x01, 0x12, 2, b'h', b'i', 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8,
            0x2a, 0,
        ];
        let expected = [
            (1, Value::Number(150)),
            (2, Value::Bytes(b"hi")),
            (3, Value::Fixed),
            (4, Value::Fixed),
            (5, Value::Bytes(b"")),
        ];
        assert_eq!(read(&bytes).as_deref(), Ok(&expected[..]));
    }

    #[test]
    fn malformed_bytes_are_an_error() {
        for bytes in [
            &[0x08][..],
            &[0x0a, 2, 0],
            &[0x00, 0],
            &[0x0b],
            &[0x0c],
            &[0x0e],
            &[0xff; 20],
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        ] {
            assert_eq!(read(bytes), Err(Malformed), "{bytes:x?}");
        }
        assert_eq!(Value::Bytes(&[0xff]).text(), Err(Malformed));
    }

    proptest! {
        #[test]
        fn fields_of_another_encoder_are_read_back(
            fields in prop::collection::vec((1u32..1 << 29, any::<u64>(), ".{0,9}"), 0..20),
        ) {
            let mut bytes = Vec::new();
            for (number, value, text) in &fields {
                encode_key(*number, WireType::Varint, &mut bytes);
                encode_varint(*value, &mut bytes);
                encode_key(*number, WireType::LengthDelimited, &mut bytes);
                encode_varint(text.len() as u64, &mut bytes);
                bytes.extend_from_slice(text.as_bytes());
            }
            let expected: Vec<_> = fields.iter().flat_map(|(number, value, text)| {
                let number = u64::from(*number);
                [(number, Value::Number(*value)), (number, Value::Bytes(text.as_bytes()))]
            }).collect();
            prop_assert_eq!(read(&bytes), Ok(expected));
        }

        #[test]
        fn reading_any_bytes_ends(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Fields(&bytes).count() <= bytes.len());
        }
    }
}
