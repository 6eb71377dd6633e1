"""What is sealed opens under the same key, as what it was sealed of, and not otherwise."""

import pytest

from aggregator.access.sealing import Seal, SealError

KEY, OTHER = bytes(32), bytes([1]) * 32
SECRET = b"mailtos://me:geheim@mail.example.org"


def test_what_is_sealed_shows_nothing_and_opens_again():
    seal = Seal(KEY)
    sealed = seal.close(SECRET, "team")
    assert "geheim" not in sealed
    assert sealed != seal.close(SECRET, "team")
    assert Seal(KEY).open(sealed, "team") == SECRET


@pytest.mark.parametrize(
    ("key", "of", "change"),
    [
        (OTHER, "team", lambda sealed: sealed),
        (KEY, "boss", lambda sealed: sealed),
        (KEY, "team", lambda sealed: sealed[:-8] + "AAAAAAA="),
        (KEY, "team", lambda _: ""),
        (KEY, "team", lambda _: "no base64"),
    ],
)
def test_what_was_not_sealed_so_does_not_open(key, of, change):
    sealed = change(Seal(KEY).close(SECRET, "team"))
    with pytest.raises(SealError, match="enter them again"):
        Seal(key).open(sealed, of)
