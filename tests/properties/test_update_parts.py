"""Parts made on the host bring a node what it lacks, whatever both builds are."""

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from kerbline.bundle import parts
from kerbline.firmware import cross
from kerbwire import manifest
from kerbwire.manifest import Manifest
from tests.wire.test_parts import Held, applied

ROWS = st.binary(min_size=1, max_size=400)
NAMES = ("a", "b.mpy", "c/d.mpy", "e.json")
WORDS = st.lists(st.sampled_from([f"word_{number}" for number in range(200)]), max_size=150)


def named(files: Mapping[str, bytes]) -> tuple[bytes, dict[bytes, bytes]]:
    """A manifest of these files, and their contents by digest."""
    made = Manifest(1, (0, 0, 1), "b")
    made.entries = tuple((name, len(data), manifest.digest(data)) for name, data in files.items())
    return manifest.encoded(made), {manifest.digest(data): data for data in files.values()}


def brought(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> bytes:
    """The parts; checked to bring all that lacks, and to be the same when made again."""
    old, held = named(before)
    new, wanted = named(after)
    told = parts.made(new, wanted.__getitem__, old, held.__getitem__)
    assert told == parts.made(new, dict(wanted).__getitem__, old, dict(held).__getitem__)
    lacks = {digest: data for digest, data in wanted.items() if digest not in held}
    if not lacks:
        assert told == b""
        return told
    node = Held(held)
    assert applied(told, new, node) == "" and node.made == lacks
    return told


@given(st.dictionaries(st.sampled_from(NAMES), ROWS), st.dictionaries(st.sampled_from(NAMES), ROWS))
@settings(max_examples=60, deadline=None)
def test_any_files_are_brought(before: dict[str, bytes], after: dict[str, bytes]) -> None:
    brought(before, after)


@given(ROWS, ROWS, ROWS, ROWS)
@settings(max_examples=60, deadline=None)
def test_what_is_alike_is_copied(one: bytes, two: bytes, three: bytes, four: bytes) -> None:
    before = one + bytes(range(256)) * 3 + two
    after = three + bytes(range(256)) * 3 + four
    told = brought({"a": before}, {"a": after})
    assert len(told) < len(three) + len(four) + 400


@given(WORDS, WORDS)
@settings(max_examples=25, deadline=None)
def test_compiled_modules_are_renumbered(one: list[str], two: list[str]) -> None:
    """Real ones, from what mpy-cross makes of them."""
    source = "def run(thing, {}=0):\n    return thing.{}('text {}', {}, 12345678901234567890)\n"
    texts = (
        "".join(source.format(word, word, word, word) for word in words) + "LAST = (1, None, b'x')"
        for words in (one, two)
    )
    before, after = (cross.compile_text(text, "m.py", "").content for text in texts)
    brought({"b.mpy": before}, {"b.mpy": after})


def test_a_name_more_moves_the_numbers_of_others_for_nothing() -> None:
    """Which is what renumbering is for: edits alone would tell each use of each name."""
    body = "".join(f"    thing.name_{n % 150}(thing.name_{n * 7 % 150})\n" for n in range(400))
    old = cross.compile_text(f"def run(thing):\n{body}", "m.py", "").content
    new = cross.compile_text(
        f"def fresh(a_thing):\n    return 1\ndef run(thing):\n{body}", "m.py", ""
    )
    told = brought({"b.mpy": old}, {"b.mpy": new.content})
    assert len(told) < 200 < len(old) / 10
