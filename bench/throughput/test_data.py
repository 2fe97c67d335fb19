"""From text to batches on the device: tokenising, packing, and what the loader does ahead of need.

`pytest -m bench bench/throughput/test_data.py`
"""

from itertools import cycle

import numpy as np
import pytest

from bench.throughput.case import INTEGERS, Case
from bench.throughput.test_packing import ROWS, SEQUENCE_LEN, log_normal_refills
from impl.data import shards
from impl.data.batches import batches
from impl.data.errors import DataError
from impl.data.packing import Packer
from impl.data.prepare import prepare
from impl.spec import Data

pytestmark = pytest.mark.bench
DOCUMENTS, DRAWN = 32, 8
FILLS = (
    64  # of one call: whenever the packer's buffer is low it takes in documents, so that one fill is not like the next
)


def prepared(request, vocab_size: int):
    """The data asked for, or a skip."""
    try:
        return prepare(request.config.getoption("data"), vocab_size, Data())
    except (DataError, OSError) as error:
        pytest.skip(f"no data: {error}")


def test_tokenisation(request, measured):
    """The shipped tokenizer of 8192 entries on the training text."""
    data = prepared(request, 8192)
    texts = [text for path in data.paths("train") for group in shards.row_groups(path) for text in group]
    texts = texts[: 2 * DOCUMENTS]
    parts = [(texts[:DOCUMENTS],), (texts[DOCUMENTS:],)] if len(texts) > DOCUMENTS else [(texts,)]

    def call(documents):
        return np.concatenate(data.tokenizer.encode(documents))

    tokens = sum(len(call(*part)) for part in parts) // len(parts)
    read = sum(len(text.encode()) for (part,) in parts for text in part) // len(parts)
    case = Case(
        operation="tokenisation",
        shape=f"{len(parts[0][0])} documents",
        precision=INTEGERS,
        call=call,
        inputs=parts,
        bytes=read,
        tokens=tokens,
        waits=True,
    )
    measured(lambda: case, None)


def test_packing(measured):
    packer = Packer(cycle(log_normal_refills(Data())), SEQUENCE_LEN + 1, Data().buffer_documents)
    rows = np.empty((ROWS, SEQUENCE_LEN + 1), dtype=np.int64)

    def call(into):
        for _ in range(FILLS):
            packer.fill(into)
        return into

    def check(output):
        assert packer.packed.emitted % into_tokens == 0 and output.min() >= 0 and output.max() < 8192

    into_tokens = rows.size
    case = Case(
        operation="packing",
        shape=f"{FILLS}x{ROWS}x{SEQUENCE_LEN}",
        precision=INTEGERS,
        call=call,
        inputs=[(rows,)],
        tokens=FILLS * ROWS * SEQUENCE_LEN,
        waits=True,
        check=check,
    )
    measured(lambda: case, None)


def test_loader(request, subject, measured, bench_recipe):
    """Batches packed from tokens and sent to the device, which the loader does in two threads beside the step."""
    model, data = bench_recipe.model, bench_recipe.data
    source = batches(prepared(request, model.vocab_size), "train", data.device_batch, model.sequence_len, data)

    def call():
        drawn = [subject.sent(next(source)) for _ in range(DRAWN)]
        subject.backend.sync(drawn)
        return drawn[-1][0]

    def check(output):
        tokens = subject.backend.numpy(output)
        assert tokens.shape == (data.device_batch, model.sequence_len)
        assert tokens.min() >= 0 and tokens.max() < model.vocab_size

    case = Case(
        operation="loader, one thread",
        shape=f"{data.device_batch}x{model.sequence_len}",
        precision=INTEGERS,
        call=call,
        inputs=[()],
        tokens=DRAWN * data.device_batch * model.sequence_len,
        waits=True,
        check=check,
    )
    measured(lambda: case, subject.backend)
