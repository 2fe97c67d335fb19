"""Mistakes in packing: rows, refills, choices, tails, epochs.

`pytest -m meta bench/meta/test_data_mutants.py`
"""

from collections.abc import Callable
from heapq import heapify, heappush
from itertools import chain, count

from bench.mutants.checked import mutant
from bench.mutants.subject import instead
from impl.data import batches
from impl.data.batches import Batches
from impl.data.packing import Packer
from impl.spec import Data


def shorter_rows(packer):
    return lambda refills, capacity, buffer_documents: packer(refills, capacity - 1, buffer_documents)


def topped_up_once_a_row(top_up):
    def once(self):
        if vars(self).get("topped_up_at") != self._emitted or not self._buffered_documents:
            top_up(self)
            self.topped_up_at = self._emitted

    return once


def topped_up_when_empty(top_up):
    return lambda self: None if self._buffered_documents else top_up(self)


def one_refill(self):
    if self._buffered_documents < self.buffer_documents:
        self._refill()


def one_document_more(self):
    while self._buffered_documents <= self.buffer_documents:
        self._refill()


def across_groups(encoded):
    def joined(prepared, split, refill_documents):
        documents = list(chain.from_iterable(encoded(prepared, split, refill_documents)))
        for start in range(0, len(documents), refill_documents):
            yield documents[start : start + refill_documents]

    return joined


def shortest_that_fits(self, remaining):
    fitting = self._occupied & ((2 << remaining) - 1)
    return (fitting & -fitting).bit_length() - 1 if fitting else 0


def newest(oldest):
    def popped(self, length):
        self._queues[length].rotate(1)
        document = oldest(self, length)
        self._queues[length].rotate(-1)
        return document

    return popped


def gap_filled_by_the_last(oldest):
    def popped(self, length):
        document = oldest(self, length)
        self._queues[length].rotate(1)
        return document

    return popped


def longest_cropped(self):
    if not self._long:
        return self._oldest(self._occupied.bit_length() - 1)
    longest = max(self._long, key=lambda entry: (entry[0], -entry[1]))
    return taken(self, longest)


def last_shortest_cropped(shortest):
    def cropped(self):
        if self._occupied:
            return newest(Packer._oldest)(self, (self._occupied & -self._occupied).bit_length() - 1)
        return taken(self, min(self._long, key=lambda entry: (entry[0], -entry[1])))

    return cropped


def taken(self, entry):
    self._long.remove(entry)
    heapify(self._long)
    self._buffered_documents -= 1
    return entry[2]


def tail_kept(cropped):
    """What does not fit waits for the next row."""

    def kept(self, document, remaining):
        tail = document[remaining:]
        if len(tail) > self.capacity:
            heappush(self._long, (len(tail), self._documents, tail))
            self._documents += 1
        elif len(tail):
            self._queues[len(tail)].append(tail)
            self._occupied |= 1 << len(tail)
        self._buffered_documents += len(tail) > 0
        return document[:remaining]

    return kept


def filled_in_another_order(fill):
    return lambda self, rows: fill(self, rows[::-1])


def buffer_emptied_after_a_batch(fill):
    def filled(self, rows):
        epoch = fill(self, rows)
        self.__init__(self._refills, self.capacity, self.buffer_documents)
        return epoch

    return filled


def epoch_before_the_row(fill):
    def filled(self, rows):
        before = self.epoch
        fill(self, rows)
        return before

    return filled


def epochs_from_zero(refills):
    return lambda *arguments: ((documents, epoch - 1) for documents, epoch in refills(*arguments))


def other_order_each_time(encoded):
    """Every second reading of the text goes through its documents backwards."""
    readings = count()

    def read(*arguments):
        backwards = -1 if next(readings) % 2 else 1
        return (documents[::backwards] for documents in encoded(*arguments))

    return read


def unshifted(following):
    def batch(self):
        inputs, _, epoch = following(self)
        return inputs, inputs, epoch

    return batch


def with_default(**changed) -> Callable:
    return lambda defaults: {**defaults, **changed}


PLAIN = "test_packing.test_rows_and_epochs_match_the_plain_packer"
REAL = "test_packing.test_real_text_matches_the_plain_packer_into_the_third_epoch"
AGAIN = "test_packing.test_the_second_epoch_is_the_first_again_and_tokenises_nothing"
ACCOUNT = "test_packing.test_every_token_read_is_emitted_discarded_or_buffered"
BATCH = "test_packing.test_rows_do_not_depend_on_the_batch"
EPOCHS = "test_properties_data.test_every_epoch_has_every_document_once_in_order"
CONSTANTS = "test_spec.test_the_constants_are_upstreams"

PACKING_MUTANTS = (
    mutant("rows of T tokens", REAL, batches, "Packer", shorter_rows),
    mutant("buffer topped up once a row", PLAIN, Packer, "_top_up", topped_up_once_a_row),
    mutant("buffer topped up when empty", PLAIN, Packer, "_top_up", topped_up_when_empty),
    mutant("one refill before a placement", PLAIN, Packer, "_top_up", instead(one_refill)),
    mutant("buffer of one document more", PLAIN, Packer, "_top_up", instead(one_document_more)),
    mutant("a row group at a time", EPOCHS, batches, "encoded", lambda of: lambda p, split, _: of(p, split, 10**9)),
    mutant("refills across row groups", EPOCHS, batches, "encoded", across_groups),
    mutant("shortest that fits", PLAIN, Packer, "_longest", instead(shortest_that_fits)),
    mutant("no exact fit", PLAIN, Packer, "_longest", lambda longest: lambda self, rest: longest(self, rest - 1)),
    mutant("newest among equals", PLAIN, Packer, "_oldest", newest),
    mutant("last document fills the gap", PLAIN, Packer, "_oldest", gap_filled_by_the_last),
    mutant("longest cropped", PLAIN, Packer, "_shortest", instead(longest_cropped)),
    mutant("last of the shortest cropped", PLAIN, Packer, "_shortest", last_shortest_cropped),
    mutant("tail kept for later", PLAIN, Packer, "_cropped", tail_kept),
    mutant("head discarded", PLAIN, Packer, "_cropped", lambda of: lambda self, d, rest: of(self, d[::-1], rest)[::-1]),
    mutant("rows padded", PLAIN, Packer, "_cropped", lambda of: lambda self, d, rest: of(self, d, rest) * 0),
    mutant("discarded not counted", ACCOUNT, Packer, "_cropped", instead(lambda self, document, rest: document[:rest])),
    mutant("rows filled from the last", BATCH, Packer, "fill", filled_in_another_order),
    mutant("buffer emptied after a batch", BATCH, Packer, "fill", buffer_emptied_after_a_batch),
    mutant("epoch before the row", PLAIN, Packer, "fill", epoch_before_the_row),
    mutant("epochs from 0", REAL, batches, "refills", epochs_from_zero),
    mutant("later epochs in another order", AGAIN, batches, "encoded", other_order_each_time),
    mutant("targets not shifted", REAL, Batches, "__next__", unshifted),
    mutant("buffer of 500 documents", CONSTANTS, Data.__init__, "__kwdefaults__", with_default(buffer_documents=500)),
    mutant("refills of 256 documents", CONSTANTS, Data.__init__, "__kwdefaults__", with_default(refill_documents=256)),
)
