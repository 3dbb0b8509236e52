//! Production values as canonical bytes: two worlds with the same future get the same ones.
//!
//! Whatever derives `Serialize` is written field by field, with these exceptions: an instant is
//! written as its distance from the reader's own clock, cut off where no rule tells the distances
//! apart any more; an index of the log is written as its rank among all indices of the world; what
//! is for people alone (events, evidence, wall clocks) is left out.

use model::Moment;
use serde::ser::{self, Serialize};
use std::fmt::{self, Display};

/// Bytes under way.
#[derive(Debug, Default)]
pub struct Encoder {
    bytes: Vec<u8>,
    indices: Vec<(usize, u64)>,
}

/// What is of no account in a world whose leaders only prove fences: when a witness heard what.
const SOFT: &[(&str, &str)] = &[
    ("LocalView", "renewed"),
    ("LocalView", "seen"),
    ("LocalView", "leading"),
    ("LocalView", "applied"),
    ("LocalView", "reports"),
    ("LocalView", "rows"),
    ("StackMarks", "closed"),
    ("StackMarks", "elected"),
    ("StackMarks", "promoted"),
    ("StackMarks", "completed"),
    ("StackMarks", "automatic"),
];

/// What decides nothing in any world.
const DEAD: &[(&str, &str)] = &[
    ("State", "index"),
    ("State", "events"),
    ("State", "digested"),
    ("State", "digest_agreed"),
    ("State", "policy"), // its revision is written by the owner of the state
    ("Stack", "fence"),
    ("LocalView", "me"),
    ("LocalView", "witnesses"),
    ("LocalView", "ticked"),
    ("LocalView", "renewals"),
    ("Memory", "told"), // written by its owner, without the instant, of which only epoch 0 knows
    ("StepReport", "evidence"),
];

impl Encoder {
    /// Appends a value that holds instants of the clock that reads `now`.
    pub fn put<T: Serialize + ?Sized>(&mut self, value: &T, now: Moment, cut: u64) {
        let cut = i64::try_from(cut).unwrap_or(i64::MAX);
        let mut writer = Writer { out: self, now, cut, past: Past::Kept, number: Number::Plain };
        value.serialize(&mut writer).expect("memory takes everything, and every type is known");
    }

    /// Appends a small number.
    pub fn small(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Appends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The bytes, every index replaced by its rank; 0 stays 0.
    pub fn finish(mut self) -> Vec<u8> {
        let mut known: Vec<u64> = self.indices.iter().map(|(_, index)| *index).chain([0]).collect();
        known.sort_unstable();
        known.dedup();
        for (place, index) in self.indices {
            let rank = known.binary_search(&index).unwrap_or_default();
            self.bytes[place] = u8::try_from(rank).unwrap_or(u8::MAX);
        }
        self.bytes
    }
}

/// How instants that are over are told apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Past {
    /// By how long ago they were, up to the cut.
    Kept,
    /// Not at all.
    Gone,
}

/// What the next number is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Number {
    Plain,
    Index,
    /// A reading of the clock that stands at this.
    Instant(u64),
}

struct Writer<'a> {
    out: &'a mut Encoder,
    now: Moment,
    cut: i64,
    past: Past,
    number: Number,
}

impl Writer<'_> {
    fn put(&mut self, value: u64) {
        // Almost every number of a bounded world is small.
        match u8::try_from(value) {
            Ok(byte) if byte < u8::MAX => self.out.bytes.push(byte),
            _ => {
                self.out.bytes.push(u8::MAX);
                self.out.bytes.extend_from_slice(&value.to_le_bytes());
            }
        }
    }

    fn as_number<T: Serialize + ?Sized>(&mut self, number: Number, value: &T) -> Put {
        self.number = number;
        let end = value.serialize(&mut *self);
        self.number = Number::Plain;
        end
    }

    fn index(&mut self, index: u64) {
        self.out.indices.push((self.out.bytes.len(), index));
        self.out.bytes.push(0);
    }

    fn instant(&mut self, at: u64, now: u64) {
        let distance = i64::try_from(at).unwrap_or(i64::MAX) - i64::try_from(now).unwrap_or(i64::MAX);
        let low = if self.past == Past::Gone { -1 } else { -self.cut };
        self.out.bytes.extend_from_slice(&distance.clamp(low, self.cut).to_le_bytes());
    }
}

/// Nothing fails here; the trait wants a type.
#[derive(Debug)]
pub struct Never;

impl Display for Never {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a type that the encoder does not know")
    }
}

impl std::error::Error for Never {}

impl ser::Error for Never {
    fn custom<T: Display>(_: T) -> Self {
        Self
    }
}

type Put = Result<(), Never>;

impl<'a, 'b> ser::Serializer for &'b mut Writer<'a> {
    type Ok = ();
    type Error = Never;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Fields<'a, 'b>;
    type SerializeStructVariant = Fields<'a, 'b>;

    fn serialize_bool(self, v: bool) -> Put {
        self.out.bytes.push(u8::from(v));
        Ok(())
    }
    fn serialize_i8(self, v: i8) -> Put {
        self.serialize_i64(i64::from(v))
    }
    fn serialize_i16(self, v: i16) -> Put {
        self.serialize_i64(i64::from(v))
    }
    fn serialize_i32(self, v: i32) -> Put {
        self.serialize_i64(i64::from(v))
    }
    fn serialize_i64(self, v: i64) -> Put {
        self.out.bytes.extend_from_slice(&v.to_le_bytes());
        Ok(())
    }
    fn serialize_u8(self, v: u8) -> Put {
        self.serialize_u64(u64::from(v))
    }
    fn serialize_u16(self, v: u16) -> Put {
        self.serialize_u64(u64::from(v))
    }
    fn serialize_u32(self, v: u32) -> Put {
        self.serialize_u64(u64::from(v))
    }
    fn serialize_u64(self, v: u64) -> Put {
        match self.number {
            Number::Plain => self.put(v),
            Number::Index => self.index(v),
            Number::Instant(now) => self.instant(v, now),
        }
        Ok(())
    }
    fn serialize_f32(self, _: f32) -> Put {
        Err(Never)
    }
    fn serialize_f64(self, _: f64) -> Put {
        Err(Never)
    }
    fn serialize_char(self, v: char) -> Put {
        self.serialize_u64(u64::from(u32::from(v)))
    }
    fn serialize_str(self, v: &str) -> Put {
        self.put(v.len() as u64);
        self.out.bytes.extend_from_slice(v.as_bytes());
        Ok(())
    }
    fn serialize_bytes(self, v: &[u8]) -> Put {
        self.put(v.len() as u64);
        self.out.bytes.extend_from_slice(v);
        Ok(())
    }
    fn serialize_none(self) -> Put {
        self.out.bytes.push(0);
        Ok(())
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Put {
        self.out.bytes.push(1);
        value.serialize(self)
    }
    fn serialize_unit(self) -> Put {
        Ok(())
    }
    fn serialize_unit_struct(self, _: &'static str) -> Put {
        Ok(())
    }
    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Put {
        self.serialize_u32(index)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Put {
        match name {
            "WallMillis" => Ok(()),
            "LogIndex" => self.as_number(Number::Index, value),
            "Horizon" | "Deadline" => {
                let before = std::mem::replace(&mut self.past, Past::Gone);
                let end = value.serialize(&mut *self);
                self.past = before;
                end
            }
            _ => value.serialize(self),
        }
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Put {
        self.put(u64::from(index));
        value.serialize(self)
    }
    fn serialize_seq(self, len: Option<usize>) -> Result<Self, Never> {
        self.put(len.unwrap_or_default() as u64);
        Ok(self)
    }
    fn serialize_tuple(self, _: usize) -> Result<Self, Never> {
        Ok(self)
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Never> {
        Ok(self)
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Never> {
        self.put(u64::from(index));
        Ok(self)
    }
    fn serialize_map(self, len: Option<usize>) -> Result<Self, Never> {
        self.put(len.unwrap_or_default() as u64);
        Ok(self)
    }
    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Fields<'a, 'b>, Never> {
        Ok(Fields { writer: self, name })
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Fields<'a, 'b>, Never> {
        self.put(u64::from(index));
        Ok(Fields { writer: self, name })
    }
}

macro_rules! elements {
    ($($one:ident $method:ident,)*) => {
        $(impl ser::$one for &mut Writer<'_> {
            type Ok = ();
            type Error = Never;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Put {
                value.serialize(&mut **self)
            }
            fn end(self) -> Put {
                Ok(())
            }
        })*
    };
}

elements! {
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field,
}

impl ser::SerializeMap for &mut Writer<'_> {
    type Ok = ();
    type Error = Never;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Put {
        key.serialize(&mut **self)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Put {
        value.serialize(&mut **self)
    }
    fn end(self) -> Put {
        Ok(())
    }
}

/// The fields of a struct, those of no account left out.
pub struct Fields<'a, 'b> {
    writer: &'b mut Writer<'a>,
    name: &'static str,
}

impl Fields<'_, '_> {
    fn field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Put {
        match (self.name, key) {
            ("Moment", "boottime") => {
                let now = Number::Instant(self.writer.now.boottime);
                self.writer.as_number(now, value)
            }
            ("Moment", "raw") => {
                let now = Number::Instant(self.writer.now.raw);
                self.writer.as_number(now, value)
            }
            field if SOFT.contains(&field) || DEAD.contains(&field) => Ok(()),
            _ => value.serialize(&mut *self.writer),
        }
    }
}

macro_rules! named_fields {
    ($($one:ident,)*) => {
        $(impl ser::$one for Fields<'_, '_> {
            type Ok = ();
            type Error = Never;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Put {
                self.field(key, value)
            }
            fn end(self) -> Put {
                Ok(())
            }
        })*
    };
}

named_fields! {
    SerializeStruct,
    SerializeStructVariant,
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Deadline, LogIndex, Millis};

    fn bytes(indices: [u64; 3], at: u64, now: u64) -> Vec<u8> {
        let now = Moment { boottime: now, raw: now };
        let at = Moment { boottime: at, raw: at };
        let mut encoder = Encoder::default();
        encoder.put(&(indices.map(LogIndex), Deadline::new(at, Millis(1))), now, 10_000);
        encoder.finish()
    }

    #[test]
    fn only_order_of_indices_and_distance_of_instants_count() {
        assert_eq!(bytes([7, 0, 9], 500, 1_000), bytes([3, 0, 4], 2_500, 3_000));
        assert_ne!(bytes([7, 0, 9], 500, 1_000), bytes([9, 0, 7], 500, 1_000));
        assert_ne!(bytes([7, 0, 9], 500, 1_000), bytes([7, 0, 9], 501, 1_000));
        assert_eq!(bytes([7, 0, 9], 500, 50_000), bytes([7, 0, 9], 600, 50_000), "over is over");
    }
}
