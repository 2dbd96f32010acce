"""Makes the vectors beside it with the formats' reference libraries: bytes of theirs, and the JSON that ours are to be.

    pip install fastavro protobuf grpcio-tools jsonschema && python make.py

Avro: bytes by fastavro; the JSON is written by hand here, as docs/formats.md has it. Protobuf: bytes and JSON by Google's
own library. JSON Schema: the verdicts of the Python library.
"""

import datetime
import decimal
import importlib
import io
import json
import pathlib
import subprocess
import sys
import tempfile
import uuid

import fastavro
import jsonschema
from google.protobuf import any_pb2, json_format, struct_pb2

HERE = pathlib.Path(__file__).parent
D = decimal.Decimal


def record(name, *fields, **more):
    named = [dict(name=f[0], type=f[1], **(f[2] if len(f) > 2 else {})) for f in fields]
    return dict(type="record", name=name, fields=named, **more)


LIST = record("List", ("value", "long"), ("next", ["null", "List"]))
SUIT = {"type": "enum", "name": "Suit", "namespace": "cards", "symbols": ["SPADES", "HEARTS"]}

# Name, schema, value as fastavro takes it, the JSON that functions get.
AVRO = [
    ("null", "null", None, "null"),
    ("true", "boolean", True, "true"),
    ("false", "boolean", False, "false"),
    ("int 0", "int", 0, "0"),
    ("int -1", "int", -1, "-1"),
    ("int max", "int", 2**31 - 1, "2147483647"),
    ("int min", "int", -(2**31), "-2147483648"),
    ("long max", "long", 2**63 - 1, "9223372036854775807"),
    ("long min", "long", -(2**63), "-9223372036854775808"),
    ("long above 2^53", "long", 2**53 + 1, "9007199254740993"),
    ("float", "float", 0.1, "0.1"),
    ("float whole", "float", 3.0, "3.0"),
    ("double", "double", 0.1, "0.1"),
    ("double large", "double", 1e300, "1e300"),
    ("double small", "double", -5e-324, "-5e-324"),
    ("double -0", "double", -0.0, "-0.0"),
    ("double nan", "double", float("nan"), '"NaN"'),
    ("double inf", "double", float("inf"), '"Infinity"'),
    ("float -inf", "float", float("-inf"), '"-Infinity"'),
    ("string", "string", 'é"\\\n\u0001😀', '"é\\"\\\\\\n\\u0001😀"'),
    ("string empty", "string", "", '""'),
    ("bytes", "bytes", b"\x00\xff\x10", '"AP8Q"'),
    ("bytes empty", "bytes", b"", '""'),
    ("fixed", {"type": "fixed", "name": "F", "size": 4}, b"\x01\x02\x03\x04", '"AQIDBA=="'),
    ("enum", SUIT, "HEARTS", '"HEARTS"'),
    ("array", {"type": "array", "items": "int"}, [1, 2, 3], "[1,2,3]"),
    ("array empty", {"type": "array", "items": "int"}, [], "[]"),
    ("map", {"type": "map", "values": "string"}, {"b": "x", "a": "y"}, '{"b":"x","a":"y"}'),
    ("record keeps order", record("R", ("z", "int"), ("a", "string")), {"a": "x", "z": 1}, '{"z":1,"a":"x"}'),
    ("recursive", LIST, {"value": 1, "next": {"value": 2, "next": None}}, '{"value":1,"next":{"value":2,"next":null}}'),
    ("nullable there", ["null", "string"], "x", '"x"'),
    ("nullable null", ["null", "string"], None, "null"),
    ("nullable, null behind", ["string", "null"], None, "null"),
    ("union of one", ["int"], 7, "7"),
    ("union int", ["int", "string"], 7, '{"int":7}'),
    ("union string", ["int", "string"], "7", '{"string":"7"}'),
    ("union of three null", ["null", "int", "string"], None, "null"),
    ("union of three", ["null", "int", "string"], "x", '{"string":"x"}'),
    ("union named", ["null", SUIT, {"type": "array", "items": "int"}], "SPADES", '{"cards.Suit":"SPADES"}'),
    ("union array", ["null", SUIT, {"type": "array", "items": "int"}], [4], '{"array":[4]}'),
    ("names in a namespace", record("R", ("a", SUIT), ("b", ["int", "cards.Suit"]), namespace="x.y"),
     {"a": "SPADES", "b": "HEARTS"}, '{"a":"SPADES","b":{"cards.Suit":"HEARTS"}}'),
    ("decimal", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, D("-1234.50"), '"-1234.50"'),
    ("decimal 0", {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, D("0.00"), '"0.00"'),
    ("decimal fixed", {"type": "fixed", "name": "M", "size": 8, "logicalType": "decimal", "precision": 18, "scale": 3},
     D("-0.001"), '"-0.001"'),
    ("decimal long", {"type": "bytes", "logicalType": "decimal", "precision": 60, "scale": 0},
     D("-123456789012345678901234567890123456789012345678901234567890"),
     '"-123456789012345678901234567890123456789012345678901234567890"'),
    ("no decimal", {"type": "bytes", "logicalType": "decimal", "precision": 2, "scale": 3}, b"\x01", '"AQ=="'),
    ("date", {"type": "int", "logicalType": "date"}, datetime.date(2024, 5, 1), "19844"),
    ("time-millis", {"type": "int", "logicalType": "time-millis"}, datetime.time(1, 2, 3, 4000), "3723004"),
    ("timestamp-millis", {"type": "long", "logicalType": "timestamp-millis"},
     datetime.datetime(2024, 5, 1, 12, tzinfo=datetime.timezone.utc), "1714564800000"),
    ("timestamp-micros", {"type": "long", "logicalType": "timestamp-micros"},
     datetime.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=datetime.timezone.utc), "-1"),
    ("uuid", {"type": "string", "logicalType": "uuid"}, uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
]


def avro():
    for name, schema, value, expected in AVRO:
        out = io.BytesIO()
        # The names of decimals that make no sense are not for fastavro, which refuses them.
        written = schema if name != "no decimal" else "bytes"
        fastavro.schemaless_writer(out, fastavro.parse_schema(written), value)
        yield dict(name=name, schema=schema, hex=out.getvalue().hex(), json=expected)


PROTO = (HERE / "shop.proto").read_text()


def protobuf():
    folder = tempfile.mkdtemp()
    (pathlib.Path(folder) / "shop.proto").write_text(PROTO)
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", f"--python_out={folder}", "shop.proto"]
    subprocess.run(command, cwd=folder, check=True)
    sys.path.insert(0, folder)
    shop = importlib.import_module("shop_pb2")
    order = shop.Order
    tree = order.Line(article="a", count=1, parts={"y": order.Line(article="b"), "x": order.Line(count=2)})
    free = struct_pb2.Struct()
    free.update({"b": [1, {"z": None, "a": True}], "a": "text"})
    packed = any_pb2.Any()
    packed.Pack(order(id=5, tags={"q": 1, "p": 2}))
    cases = [
        ("nothing", order()),
        ("numbers", order(id=2**53 + 1, price=0.1, rate=0.1, mark=2**64 - 1, steps=[-1, 0, 1])),
        ("not numbers", order(price=float("nan"), rate=float("-inf"))),
        ("enum and bytes", order(state=order.PAID, raw=b"\x00\xff\x10")),
        ("enum unknown", order(state=7)),
        ("lists within maps", order(lines=[tree])),
        ("maps", order(tags={"bb": 1, "a": 2, "c": -3}, names={10: "ten", -1: "less", 2: "two"},
                       flags={True: 1.5, False: 2.0}, deltas={-5: "x", 5: "y", 0: "z"})),
        ("times", order(at={"seconds": 1714564800, "nanos": 500000000}, took={"seconds": -3, "nanos": -1000000})),
        ("struct", order(free=free)),
        ("wrapper 0", order(maybe={"value": 0})),
        ("oneof", order(pick_up=False)),
        ("optional 0", order(given=0)),
        ("any", order(any=packed)),
    ]
    for name, message in cases:
        bytes_ = message.SerializeToString(deterministic=True)
        try:
            text = json_format.MessageToDict(message, descriptor_pool=None)
        except Exception as error:  # noqa: BLE001
            raise SystemExit(f"{name}: {error}")
        yield dict(name=name, hex=bytes_.hex(), json=text)


SCHEMAS = [
    ("type", {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}},
     ['{"a":1}', '{"a":1.0}', '{"a":"1"}', "{}", "[]", '{"a":1,"b":2}']),
    ("pattern", {"type": "string", "pattern": "^[a-z]+$"}, ['"abc"', '"ABC"', '""']),
    ("defs", {"$defs": {"p": {"type": "object", "properties": {"next": {"$ref": "#/$defs/p"}, "n": {"minimum": 0}}}},
              "$ref": "#/$defs/p"},
     ['{"n":1,"next":{"n":2}}', '{"n":1,"next":{"n":-2}}', '{"next":{"next":{"next":{}}}}']),
    ("any of", {"anyOf": [{"type": "null"}, {"type": "array", "items": {"enum": [1, "x"]}, "uniqueItems": True}]},
     ["null", '[1,"x"]', "[1,1]", "[2]", "0"]),
    ("draft 7", {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"s": {"maxLength": 2}},
                 "properties": {"s": {"$ref": "#/definitions/s"}}, "additionalProperties": False},
     ['{"s":"ab"}', '{"s":"abc"}', '{"t":1}']),
]


def schemas():
    for name, schema, values in SCHEMAS:
        checker = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)(schema)
        yield dict(name=name, schema=schema, values=[[v, checker.is_valid(json.loads(v))] for v in values])


def write(name, lines):
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (HERE / name).write_text(text, encoding="utf-8")


write("avro.jsonl", avro())
write("protobuf.jsonl", protobuf())
write("json-schema.jsonl", schemas())
