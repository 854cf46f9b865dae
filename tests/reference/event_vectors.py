"""Writes tests/golden/events.json: event records as the tensorboard package writes them, in hexadecimal.

Run `python3 tests/reference/event_vectors.py` with the package tensorboard installed (2.x, no TensorFlow needed).
"""
import io
import json
import os
import struct
import zlib

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden")
TIME = 1700000000.25


def record(event):
    class Sink(io.BytesIO):
        pass
    sink = Sink()
    RecordWriter(sink).write(event.SerializeToString())
    return sink.getvalue().hex()


def png(width, height):
    """A grey picture, as small as a PNG can be."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes([40 * y % 256] * width) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


if __name__ == "__main__":
    scalars = [("train/loss", 0.125), ("balance/body.0.statistical/csa", 1.0625), ("negative", -3e-20)]
    picture = png(5, 300)
    out = {
        "version": event_pb2.Event(wall_time=TIME, file_version="brain.Event:2"),
        "start": event_pb2.Event(wall_time=TIME, step=301, session_log=event_pb2.SessionLog(
            status=event_pb2.SessionLog.START)),
        "scalars": event_pb2.Event(wall_time=TIME, step=70000, summary=summary_pb2.Summary(
            value=[summary_pb2.Summary.Value(tag=t, simple_value=v) for t, v in scalars])),
        "image": event_pb2.Event(wall_time=TIME, step=12, summary=summary_pb2.Summary(
            value=[summary_pb2.Summary.Value(tag="validation/p0", image=summary_pb2.Summary.Image(
                height=300, width=5, colorspace=3, encoded_image_string=picture))])),
    }
    with open(os.path.join(GOLDEN, "events.json"), "w") as file:
        json.dump(dict(source="tests/reference/event_vectors.py", time=TIME, scalars=scalars, png=picture.hex(),
                       records={k: record(v) for k, v in out.items()}), file, indent=1)
        file.write("\n")
