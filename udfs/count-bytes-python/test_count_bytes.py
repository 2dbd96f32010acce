import struct
import unittest

from count_bytes import COUNT, CountBytes
from millstream import BytesColumn, Group, Record
from millstream.columns import items
from millstream.folding import migrate


class Counts(unittest.TestCase):
    def test_records_and_bytes_are_counted(self):
        counter = CountBytes()
        state = counter.start(Group())
        for value in (b"ab", b"", b"cde"):
            state = counter.add(state, Record(value=value))
        self.assertEqual(counter.finish(counter.merge(state, state), Group()), "6 records, 10 bytes")

    def test_states_of_count_are_read_and_written_back(self):
        counter, old = CountBytes(), [COUNT.pack(3), None]
        keys = BytesColumn.of([b"a", b"b"])
        new = migrate(counter, "", 0, 1, keys, BytesColumn.of(old))
        self.assertEqual((counter.decode(items(new)[0]), items(new)[1]), ((3, 0), None))
        self.assertEqual(items(migrate(counter, "", 1, 0, keys, new)), old)
        for wrong in (b"1234567", b"123456789"):
            with self.assertRaises(struct.error):
                counter.decode(wrong)
            with self.assertRaises(struct.error):
                migrate(counter, "", 0, 1, BytesColumn.of([b"a"]), BytesColumn.of([wrong]))
