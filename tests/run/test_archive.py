"""Archives of plain data: what comes back, and what is refused before it costs time, memory or more."""

import io
import time
from collections import OrderedDict

import pytest
import torch

from headctl.run import archive


def by_torch(content):
    """What a stranger's program would write."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def test_what_was_written_comes_back_and_what_was_shared_is_written_twice():
    weights = torch.arange(6.0).reshape(2, 3)
    shared = [1, 2]
    content = {
        "a": shared,
        "b": (shared, (shared,)),
        "c": {3: weights, "same": weights, "column": weights[:, 1]},
        "d": [None, True, 2**100, 1.5, "text", "text", torch.tensor(3), torch.zeros(0)],
    }
    found = archive.load(archive.dump(content))
    assert found["a"] == shared
    assert found["b"] == (shared, (shared,))
    assert found["a"] is not found["b"][0]
    assert torch.equal(found["c"][3], weights)
    assert torch.equal(found["c"]["same"], weights)
    assert found["c"]["column"].tolist() == [1.0, 4.0]
    assert found["d"][:6] == content["d"][:6]
    assert content["b"][0] is shared  # what is written is not changed
    assert len(archive.dump({"x": [weights] * 100})) < 100 * len(archive.dump({"x": weights}))


def doubled(levels, pair=list):
    content = pair((1.0, 2.0))
    for _ in range(levels):
        content = pair((content, content))
    return content


def test_bombs_are_refused_at_once():
    itself = []
    itself.append(itself)
    hashed = {"a": doubled(3, tuple)}
    for content in ({"x": doubled(40)}, {"x": doubled(40, tuple)}, {"x": itself}, {"x": [hashed, hashed]}):
        data = by_torch(content)
        started = time.perf_counter()
        with pytest.raises(ValueError, match="stands in two places or contains itself"):
            archive.load(data)
        assert time.perf_counter() - started < 5.0


def test_a_container_that_is_filled_before_it_is_shared_is_seen_too():
    # [1] is remembered only after something was put into it: by hand, Python's pickler does it the other way round.
    pickled = b"\x80\x02](K\x01eq\x00(h\x00h\x00e."
    with pytest.raises(ValueError, match="stands in two places"):
        archive._check_pickle(pickled)


def test_tensors_that_are_larger_than_their_file_are_refused():
    for wide in (torch.zeros(1).expand(2**40), torch.zeros(2, 1).expand(2, 10**9)):
        data = by_torch({"league": {"wins": [wide]}})
        with pytest.raises(ValueError, match=r"league\.wins\[0\]: is a tensor of shape .* not all there"):
            archive.load(data)


def test_other_kinds_of_data_are_refused():
    deep = 1
    for _ in range(archive.MAX_DEPTH + 1):
        deep = [deep]
    for content, words in (
        ({"x": deep}, "nested more than 50 levels"),
        ({"x": {("a", 1): 2}}, "x: has a tuple as a name"),
        ({"x": 1j}, "."),
        ({"x": {1, 2}}, "."),
        ({"x": b"bytes"}, "."),
        ({"x": torch.eye(2).to_sparse()}, "."),
        ({"x": torch.float32}, r"x: is a dtype|names"),
    ):
        with pytest.raises(Exception, match=words):
            archive.load(by_torch(content))
    assert archive.load(by_torch({"x": OrderedDict(a=1)})) == {"x": {"a": 1}}
