"""Batches fetched ahead by a thread, so that the device never waits for the tokenizer and the packer.

Test with `pytest -m fast -k loader`.
"""

import queue
import threading
import time
from collections.abc import Iterator

import torch

REST, REST_S = 0.1, 0.01  # of the time that the producer waited for room, and at most


def prefetch(batches, backend, depth: int = 2) -> Iterator[tuple]:
    """(inputs, targets, epoch) on the device for each NumPy (inputs, targets, epoch); `depth` are kept ready.

    What `batches` raises is raised here, after the batches before it. Closing the generator ends the thread.
    """
    ready, closed = queue.Queue(maxsize=depth), threading.Event()

    def put(kind, item):
        start_s = time.monotonic()
        while not closed.is_set():
            try:
                ready.put((kind, item), timeout=0.1)
                break
            except queue.Full:
                continue
        # Now the loop launches a step's first work. One interpreter does not pack meanwhile, or the device would wait.
        closed.wait(min(REST_S, REST * (time.monotonic() - start_s)))

    def produce():
        try:
            for inputs, targets, epoch in batches:
                put("batch", (staged(inputs, backend), staged(targets, backend), epoch))
                if closed.is_set():
                    return
            put("end", None)
        except BaseException as error:
            put("error", error)

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    try:
        while True:
            kind, item = ready.get()
            if kind == "end":
                return
            if kind == "error":
                raise item
            inputs, targets, epoch = item
            yield sent(inputs, backend), sent(targets, backend), epoch
    finally:
        closed.set()
        thread.join()


def staged(tokens, backend):  # (B, T) NumPy -> what the other thread sends; pinned, so that the copy can overlap
    staged = torch.empty(tokens.shape, dtype=torch.int64, pin_memory=backend.device.type == "cuda")
    staged.numpy()[...] = tokens  # by NumPy: for half a megabyte PyTorch would wake a thread of every core
    return staged


def sent(staged, backend):  # -> (B, T) int64 on the device
    # Only pinned memory outlives the copy by itself: MPS would read what has been freed (pytorch#139550).
    return staged.to(backend.device, non_blocking=backend.device.type == "cuda")
