"""Serves a connector on the socket that its supervisor handed down.

gRPC for Python can listen on a path, and cannot serve on a socket that is connected already. So the
server listens on a path in a folder of this process's own, one connection is made to it, the path is
taken away before anybody else could use it, and bytes are carried between the two sockets.
"""

import ctypes
import os
import signal
import socket
import tempfile
import threading
from concurrent import futures

import grpc

from cordon.v1 import connector_pb2_grpc

MESSAGE_BYTES_MAX = 4 * 1024 * 1024
CHUNK_BYTES = 256 * 1024
PR_SET_DUMPABLE = 4

OPTIONS = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    # The supervisor pings a connection that is silent. Without these the library takes that for
    # abuse and hangs up.
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
    ("grpc.keepalive_permit_without_calls", 1),
]


def serve(servicer):
    """Serves until the supervisor closes the socket or asks the process to end."""
    # Nobody who shares the user may read the secrets in this process's memory.
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    outer = socket.socket(fileno=int(os.environ["CORDON_FD"]))
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8), options=OPTIONS)
    connector_pb2_grpc.add_ConnectorServicer_to_server(servicer, server)
    inner = _connect(server)
    for source, target in ((outer, inner), (inner, outer)):
        threading.Thread(target=_carry, args=(source, target, over), daemon=True).start()
    over.wait()
    server.stop(grace=None)
    # Threads of the library may still wait for calls that nobody makes.
    os._exit(0)


def _connect(server):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "s")
        server.add_insecure_port("unix:" + path)
        server.start()
        inner = socket.socket(socket.AF_UNIX)
        inner.connect(path)
        return inner


def _carry(source, target, over):
    """Carries bytes one way. A target that does not read holds the source back."""
    buffer = memoryview(bytearray(CHUNK_BYTES))
    try:
        while count := source.recv_into(buffer):
            target.sendall(buffer[:count])
    except OSError:
        pass
    over.set()
