"""Long texts cut into documents that a packer can use, such that the documents joined are the text again.

A packer drops what does not fit into a row, so that of whole books little would be trained on. Test with
`pytest -m fast bench/conformance/test_sources.py`.
"""

from collections.abc import Iterable, Iterator

SMALLEST_CHARS = 400  # lengths as the embedded corpus has them


def passages(lines: Iterable[str]) -> Iterator[str]:
    """The k-th passage (k from 0) of a text ends with the first blank line from 400 * 2**(k % 5) characters on.

    Where none comes, it ends with the first line from twice as many on. Each line brings its own end.
    """
    gathered, characters, closed = [], 0, 0
    for line in lines:
        gathered.append(line)
        characters += len(line)
        enough = SMALLEST_CHARS * 2 ** (closed % 5)
        if characters >= 2 * enough or (characters >= enough and not line.strip()):
            yield "".join(gathered)
            gathered, characters, closed = [], 0, closed + 1
    if gathered:
        yield "".join(gathered)
