"""A download is bounded as a whole, not only between two bytes."""

import socket
import threading
import time

import pytest

from aggregator.access.download import download

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nkeys!"


@pytest.fixture
def serve():
    """Answer each connection with some bytes, one at a time and so many seconds apart; returns the address."""
    stop = threading.Event()
    threads, listeners = [], []

    def start(answer, pause_s=0.0):
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def work():
            line, _ = listener.accept()
            with line:
                line.recv(65536)
                for byte in answer:
                    if stop.wait(pause_s):
                        return
                    try:
                        line.sendall(bytes([byte]))
                    except OSError:
                        return

        threads.append(threading.Thread(target=work))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/certs"

    yield start
    stop.set()
    for thread in threads:
        thread.join()
    for listener in listeners:
        listener.close()


def test_what_is_there_is_fetched_and_no_more_than_allowed(serve):
    assert download(serve(ANSWER), 60, 100) == b"keys!"
    assert download(serve(ANSWER), 60, 3) == b"key"


@pytest.mark.parametrize("answer", [ANSWER, ANSWER[:30] + b"x" * 1000, b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1000])
def test_a_server_that_drips_its_answer_is_left(serve, answer):
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"in 0\.5 s"):
        download(serve(answer, pause_s=0.05), 0.5, 100)
    assert time.monotonic() - began < 30
