# SPDX-License-Identifier: MIT
"""hostile.py FOLDER KIND NAME: a pool that is none: it listens like one, and answers as KIND says.

silent: never; trickle: a blank now and then; endless: blanks without end; nested, types, huge, keys,
escapes, cut: JSON that no pool would send. It prints a line when it listens.
"""
import json
import os
import socket
import sys
import threading
import time

ESCAPE = "\x1b]0;mine\x07\x1b[2J\u009b31m\u202e\u2066\u2069\r\n"
# Like those that turn a line, and harmless.
NEAR = "\u00a0\u2029\u202f\u2065\u206a\u20ac\u2126"
ANSWERS = {
    "nested": "[" * 100000 + "]" * 100000,
    "types": json.dumps({name: value for name in (
        "blocks", "ranges", "cells", "findings", "pools", "events", "moved_pages", "port", "engine", "zones",
        "metadata", "took", "phases", "bounds_ns", "text", "name", "first", "count", "attrs", "together", "remove")
        for value in [[{"a": 1}, 3, "x", None, [1]]]}),
    "numbers": json.dumps({"blocks": 7, "ranges": "x", "cells": {}, "first": -1, "count": 2**63, "text": 5,
                           "name": 3.5, "pid": "x", "findings": None, "together": []}),
    "huge": '{"blocks":[' + ",".join(["1"] * 9000000) + "]}",
    "keys": json.dumps({"a\x1b[31m\n": "x", 'b"} 1': "y"}),
    "escapes": json.dumps({"name": ESCAPE + NEAR, "text": ESCAPE + NEAR, "version": ESCAPE + NEAR, "blocks": [
        {"state": ESCAPE, "zone": ESCAPE, "text": ESCAPE, "backing": ESCAPE}], "ranges": [
        {"state": ESCAPE, "zone": ESCAPE, "first": 1, "count": 1}], "together": {"text": ESCAPE},
        "findings": [{"what": ESCAPE}], "count": 1, "memplug": 1, "event": ESCAPE + NEAR, "movable_why": ESCAPE},
        ensure_ascii=False).replace("\\u001b", "\x1b"),
    "refusal": '{"error":-22,"text":' + json.dumps(ESCAPE, ensure_ascii=False) + "}",
    "cut": '{"blocks":[{"index":1,',
    "bytes": '{"text":"' + "".join(map(chr, range(128, 256))) + '"',
}


def answer(connection, kind):
    try:
        connection.recv(65536)
        if kind in ("silent", "trickle"):
            while kind == "silent" or connection.send(b" "):
                time.sleep(0.2)
        elif kind == "endless":
            connection.sendall(b'{"blocks":[')
            while True:
                connection.sendall(b" " * (1 << 20))
        else:
            connection.sendall(ANSWERS[kind].encode("latin-1" if kind == "bytes" else "utf-8", "surrogatepass")
                               + b"\n")
    except OSError:
        pass
    connection.close()


def main():
    folder, kind, name = sys.argv[1:]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{folder}/{os.getpid()}-{name}.sock")
    listener.listen(64)
    print("listening", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer, args=(connection, kind), daemon=True).start()


main()
