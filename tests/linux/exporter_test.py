# SPDX-License-Identifier: MIT
"""exporter_test.py BUILD_DIR: `memplug metrics --listen` and clients that are no scraper (R50, R68).

Whatever a client sends, or does not send, it has an answer or its connection ends; the next one is
served. What cannot be listened on is refused with a sentence.
"""
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile

MEMPLUG = os.path.abspath(sys.argv[1]) + "/cli/memplug"


def refused():
    for address in ("127.0.0.1:99999", ":x", "h" * 300 + ":80", "[::1:0:0", "8.8.8.8:80"):
        done = subprocess.run([MEMPLUG, "metrics", "--listen", address], capture_output=True, text=True, timeout=60,
                              check=False)
        assert done.returncode == 1 and "cannot listen on" in done.stderr, f"--listen {address}: {done}"


def start(address):
    server = subprocess.Popen([MEMPLUG, "metrics", "--listen", address], stdout=subprocess.PIPE, text=True)
    said = server.stdout.readline()
    found = re.fullmatch(r"serving http://(\[?[0-9a-f.:]+?\]?):(\d+)/metrics\n", said)
    assert found, f"--listen {address} says {said!r}"
    return server, found[1].strip("[]"), int(found[2])


def ask(host, port, request, answered=True):
    with socket.create_connection((host, port), timeout=30) as connection:
        connection.sendall(request)
        if not answered:
            # Reset: its answer finds nobody.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return b""
        try:
            return b"".join(iter(lambda: connection.recv(65536), b""))
        except ConnectionResetError:
            return b""


def clients(host, port):
    for request, status in ((b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", b"200 OK"), (b"GET /metrics\n\n", b"200 OK"),
                            (b"GET /metrics?x=1 HTTP/1.0\r\n\r\n", b"200 OK"), (b"GET / HTTP/1.1\r\n\r\n", b"200 OK"),
                            (b"GET /metricsx HTTP/1.1\r\n\r\n", b"404 Not Found"),
                            (b"GET /elsewhr HTTP/1.1\r\n\r\n", b"404 Not Found"),
                            (b"POST /metrics HTTP/1.1\r\n\r\n", b"405 Method Not Allowed"), (b"\n\n", b"405")):
        said = ask(host, port, request)
        assert said.startswith(b"HTTP/1.1 " + status), f"{request}: {said[:80]}"
        length = int(re.search(rb"Content-Length: (\d+)", said)[1])
        assert len(said.split(b"\r\n\r\n", 1)[1]) == length, f"{request}: it is not as long as it says"
    assert ask(host, port, b"GET /metrics") == b"", "half a request"  # after two seconds
    assert ask(host, port, b"x" * 9000) == b"", "a request without end"
    for _ in range(20):
        ask(host, port, b"GET /metrics HTTP/1.1\r\n\r\n", answered=False)
        ask(host, port, b"", answered=False)
    assert ask(host, port, b"GET /metrics\n\n").startswith(b"HTTP/1.1 200"), "after all that"


def main():
    folder = tempfile.TemporaryDirectory()
    os.environ["MEMPLUG_RUNTIME_DIR"] = folder.name + "/run"
    os.mkdir(folder.name + "/run", 0o700)
    refused()
    for address in ("0", "127.0.0.1:0", ":0"):
        server, host, port = start(address)
        try:
            assert host == "127.0.0.1", host
            if address == "0":
                clients(host, port)
                done = subprocess.run([MEMPLUG, "metrics", "--listen", f"{port}"], capture_output=True, text=True,
                                      timeout=60, check=False)
                assert done.returncode == 1 and "in use" in done.stderr, done
        finally:
            server.terminate()
            server.wait()
    if os.path.exists("/proc/net/if_inet6") and open("/proc/net/if_inet6", encoding="ascii").read().strip():
        server, host, port = start("[::1]:0")
        said = ask(host, port, b"GET / HTTP/1.1\r\n\r\n")
        server.terminate()
        server.wait()
        assert said.startswith(b"HTTP/1.1 200"), said


try:
    main()
except AssertionError as error:
    print(f"exporter_test: {error}\nreplay: {sys.executable} {' '.join(sys.argv)}", file=sys.stderr)
    sys.exit(1)
