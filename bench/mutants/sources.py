"""Mistakes in where text comes from: what is kept of a set, how long texts are cut, what is believed to stand.

`pytest -m meta bench/meta/test_data_mutants.py`
"""

from itertools import islice

from bench.mutants.checked import mutant
from bench.mutants.subject import instead
from impl.data import folder, kept, passages, wiki
from impl.data.hub import Hub
from impl.data.kept import Kept

JOINED = "test_sources.test_passages_joined_are_the_text"
CUT = "test_sources.test_passages_end_at_blank_lines_and_grow_as_the_embedded_ones"
WIKI = "test_sources.test_every_byte_of_enwik8_is_in_a_document_and_each_page_begins_one"
TEXT = "test_sources.test_a_folder_of_text_keeps_every_byte"
KEPT = "test_sources.test_a_file_gives_the_documents_that_its_set_keeps"
HEAD = "test_sources.test_the_head_ends_with_the_document_that_reaches_it"
STANDS = "test_sources.test_a_shard_that_was_altered_does_not_stand"


def stripped(passages):
    return lambda lines: (text.strip() for text in passages(lines))


def first_only(head):
    return lambda texts, least_bytes: islice(head(texts, least_bytes), 1)


def above(keeps):
    return lambda self, text, score: keeps(self, text, score) and not (score and score[0] == self.at_least[1])


SOURCE_MUTANTS = (
    mutant("blank ends of passages dropped", JOINED, passages, "passages", stripped),
    mutant("a document a line", CUT, passages, "passages", instead(iter)),
    mutant("bytes of enwik8 dropped", WIKI, wiki, "passages", stripped),
    mutant("pages of enwik8 not told apart", WIKI, wiki, "documents", instead(lambda content: [content.decode()])),
    mutant("bytes of a text dropped", TEXT, folder, "passages", stripped),
    mutant("whole texts", TEXT, folder, "passages", instead(lambda lines: ["".join(lines)])),
    mutant("only what is above the least score", KEPT, Hub, "_keeps", above),
    mutant("short documents kept", KEPT, Hub, "_keeps", instead(lambda self, text, score: text is not None)),
    mutant("one document to score", HEAD, kept, "head", first_only),
    mutant("whatever is there stands", STANDS, Kept, "stands", instead(lambda self, name: self.path(name).exists())),
)
