//! What the two halves of a join by foreign key write to each other, through repartition topics of their own; see ADR 0015.
//!
//! Subscriptions have the foreign key for their key, answers that of the left row. Both begin with the version of the form.

use alloc::vec::Vec;

use crate::codec::{Reader, put_bytes, put_signed, put_varint};
use crate::record::Timestamp;

/// The version of both forms, and of what is kept of a subscription.
const FORM: u8 = 1;

/// A left row asks for a right one, or no longer does: `[form][gone][partition varint][mark, 4 bytes][row]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscription<'a> {
    /// It no longer does.
    pub gone: bool,
    /// By whom, and for which of the row's values.
    pub asker: Asker,
    /// Key of the left row.
    pub row: &'a [u8],
}

/// Who wants an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    /// Number of the task that has the left row.
    pub partition: u32,
    /// What the row's value was: its murmur2. An answer about another value is one too many; another value with the same mark only means
    /// that such an answer is not left out.
    pub mark: u32,
}

/// What the right row is: `[form][partition varint][mark, 4 bytes][foreign key with its length][bits: 1 time, 2 value][time][value]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    /// Who asked.
    pub asker: Asker,
    /// For which row.
    pub foreign: &'a [u8],
    /// Its value; `None`: there is no such row.
    pub value: Option<&'a [u8]>,
    /// Its time, or when it was removed; `None`: that is not known.
    pub time: Option<Timestamp>,
}

impl Asker {
    fn put(self, out: &mut Vec<u8>) {
        put_varint(out, self.partition.into());
        out.extend_from_slice(&self.mark.to_be_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let partition = u32::try_from(reader.varint()?).ok()?;
        Some(Self { partition, mark: u32::from_be_bytes(reader.take(4)?.try_into().ok()?) })
    }

    /// As the store of subscriptions keeps it.
    pub fn encode(self) -> Vec<u8> {
        let mut out = alloc::vec![FORM];
        self.put(&mut out);
        out
    }

    /// Reads what [`Asker::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        (reader.byte()? == FORM).then(|| Self::read(&mut reader))?.filter(|_| reader.0.is_empty())
    }
}

impl<'a> Subscription<'a> {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = alloc::vec![FORM, u8::from(self.gone)];
        self.asker.put(&mut out);
        out.extend_from_slice(self.row);
        out
    }

    /// `None`: somebody else wrote these bytes.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let gone = match (reader.byte()?, reader.byte()?) {
            (FORM, gone @ 0..=1) => gone == 1,
            _ => return None,
        };
        Some(Self { gone, asker: Asker::read(&mut reader)?, row: reader.0 })
    }
}

impl<'a> Answer<'a> {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = alloc::vec![FORM];
        self.asker.put(&mut out);
        put_bytes(&mut out, self.foreign);
        out.push(u8::from(self.time.is_some()) | u8::from(self.value.is_some()) << 1);
        self.time.iter().for_each(|time| put_signed(&mut out, *time));
        out.extend_from_slice(self.value.unwrap_or_default());
        out
    }

    /// `None`: somebody else wrote these bytes.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        if reader.byte()? != FORM {
            return None;
        }
        let (asker, foreign) = (Asker::read(&mut reader)?, reader.bytes()?);
        let bits = reader.byte().filter(|bits| *bits < 4)?;
        let time = if bits & 1 == 1 { Some(reader.signed()?) } else { None };
        let value = (bits & 2 == 2).then_some(reader.0);
        (value.is_some() || reader.0.is_empty()).then_some(Self { asker, foreign, value, time })
    }
}

/// To which partition an answer goes: that of the task that asked, wherever its keys are.
pub(crate) fn partition_of(value: Option<&[u8]>) -> Option<u32> {
    value.and_then(Answer::decode).map(|answer| answer.asker.partition)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn messages_come_back(gone: bool, partition: u32, mark: u32, row: Vec<u8>, foreign: Vec<u8>, value: Option<Vec<u8>>, time: Option<i64>) {
            let asker = Asker { partition, mark };
            prop_assert_eq!(Asker::decode(&asker.encode()), Some(asker));
            let subscription = Subscription { gone, asker, row: &row };
            let bytes = subscription.encode();
            prop_assert_eq!(Subscription::decode(&bytes), Some(subscription));
            let answer = Answer { asker, foreign: &foreign, value: value.as_deref(), time };
            let bytes = answer.encode();
            prop_assert_eq!(Answer::decode(&bytes), Some(answer));
            prop_assert_eq!(partition_of(Some(&bytes)), Some(partition));
        }

        #[test]
        fn what_others_wrote_is_no_panic(bytes: Vec<u8>) {
            Asker::decode(&bytes);
            Subscription::decode(&bytes);
            Answer::decode(&bytes);
        }
    }

    #[test]
    fn forms_are_as_they_are_written_down() {
        let asker = Asker { partition: 300, mark: 0x0102_0304 };
        let subscription = Subscription { gone: true, asker, row: b"r" };
        assert_eq!(subscription.encode(), [1, 1, 0xac, 2, 1, 2, 3, 4, b'r']);
        let answer = Answer { asker, foreign: b"f", value: Some(b"v"), time: Some(-1) };
        assert_eq!(answer.encode(), [1, 0xac, 2, 1, 2, 3, 4, 1, b'f', 3, 1, b'v']);
        assert_eq!(Answer { value: None, ..answer }.encode(), [1, 0xac, 2, 1, 2, 3, 4, 1, b'f', 1, 1]);
    }
}
