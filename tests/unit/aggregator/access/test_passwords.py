"""Passwords: hashed by argon2id, and checked the same way for names that nobody has."""

from aggregator.access import passwords
from aggregator.access.passwords import draw_password, hash_password, is_password


def test_a_password_is_known_by_its_hash_alone():
    known = hash_password("correct horse battery")
    assert known.startswith("$argon2id$")
    assert is_password("correct horse battery", known)
    assert not is_password("wrong horse battery", known)


def test_an_unknown_name_costs_the_same_check(monkeypatch):
    checked = []
    monkeypatch.setattr(passwords._HASHER, "verify", lambda password, known: checked.append(known) or True)
    assert not is_password("whatever it is", None)
    assert checked == [passwords._nobodys_hash()]


def test_the_first_check_of_a_process_makes_the_hash_for_unknown_names_whoever_it_is(monkeypatch):
    known, made = hash_password("correct horse battery"), []
    monkeypatch.setattr(passwords, "_nobodys_hash", lambda: made.append(True))
    assert is_password("correct horse battery", known)
    assert made


def test_what_is_no_hash_matches_nothing():
    assert not is_password("whatever it is", "not a hash")


def test_drawn_passwords_are_long_and_new():
    drawn = {draw_password() for _ in range(100)}
    assert len(drawn) == 100
    assert all(len(password) >= passwords.MIN_LENGTH for password in drawn)
