"""Mistakes in the files of tokens: when they are made, kept, believed.

`pytest -m meta bench/meta/test_data_mutants.py`
"""

from contextlib import contextmanager
from unittest.mock import ANY

from bench.mutants.checked import mutant
from bench.mutants.subject import instead
from impl.data import atomic, prepared, tokens


@contextmanager
def under_its_name(path):
    yield path


def text_not_counted(census):
    def counted(paths, tokenizer):
        return census(paths, tokenizer)[0], ANY

    return counted


def without_empty(row_groups):
    return lambda path: ([ids for ids in group if len(ids) > 1] for group in row_groups(path))


HELD = "test_tokens.test_a_file_holds_what_the_tokenizer_says_by_row_group"
FAILING = "test_tokens.test_a_failing_writer_leaves_no_file"
DAMAGED = "test_tokens.test_damaged_tokens_are_refused_in_one_line_and_made_again"
INTERRUPTED = "test_tokens.test_an_interrupted_preparation_goes_on_with_the_next_file"
LEFT = "test_tokens.test_tokens_left_by_an_interrupt_serve_no_other_tokenizer_and_no_other_shard"
UNSEALED = "test_tokens.test_tokens_that_do_not_stand_for_the_text_are_not_sealed"

TOKEN_MUTANTS = (
    mutant("tokens kept whatever they are of", LEFT, tokens, "made_from", lambda of: lambda path: of(path) and ANY),
    mutant("tokens never kept", INTERRUPTED, tokens, "made_from", instead(lambda path: None)),
    mutant("tokens believed unread", DAMAGED, prepared, "_content", instead(lambda files: "")),
    mutant("tokens not held against the text", UNSEALED, tokens, "census", text_not_counted),
    mutant("tokens written under their name", FAILING, atomic, "replacing", instead(under_its_name)),
    mutant("empty documents left out", HELD, tokens, "row_groups", without_empty),
)
