"""Checkpoints and keys: the specification's example, and everything that is not one refused."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ConfigError
from shared.ledger.checkpoint import (
    Checkpoint,
    CheckpointError,
    Signer,
    check_signature,
    open_checkpoint,
    parse_vkey,
    read_checkpoint,
)

VECTOR = json.loads((Path(__file__).parent.parent / "vectors" / "signed-note.json").read_text())
ORIGIN = "local.example/retention/2026"
SIGNER = Signer(name=ORIGIN, seed=bytes(range(32)))
CHECKPOINT = Checkpoint(origin=ORIGIN, size=20852163, root=bytes(range(32)))
NOTE = SIGNER.sign(CHECKPOINT)


def test_the_specifications_example_key_reads_and_verifies_its_note():
    verifier = parse_vkey(VECTOR["vkey"])
    assert (verifier.name, verifier.id.hex(), verifier.vkey) == ("example.com/foo", "530d903a", VECTOR["vkey"])
    check_signature(VECTOR["note"].encode(), verifier)


def test_the_specifications_example_with_another_word_does_not_verify():
    changed = VECTOR["note"].replace("example message", "example massage").encode()
    with pytest.raises(CheckpointError, match="does not verify"):
        check_signature(changed, parse_vkey(VECTOR["vkey"]))


def test_a_checkpoint_is_origin_size_and_root_then_one_signature_line():
    lines = NOTE.decode().split("\n")
    assert lines[:3] == [ORIGIN, "20852163", base64.b64encode(bytes(range(32))).decode()]
    assert lines[3] == ""
    assert lines[4].startswith(f"— {ORIGIN} ")
    assert lines[5:] == [""]
    assert len(base64.b64decode(lines[4].split(" ")[2])) == 4 + 64


def test_a_signed_checkpoint_opens_with_its_key():
    assert open_checkpoint(NOTE, parse_vkey(SIGNER.verifier.vkey)) == CHECKPOINT
    assert read_checkpoint(NOTE) == CHECKPOINT


def test_signing_the_same_again_gives_the_same_bytes():
    assert SIGNER.sign(CHECKPOINT) == NOTE


def test_signatures_by_others_are_ignored_and_ours_still_counts():
    other = Signer(name=ORIGIN, seed=bytes(32)).sign(CHECKPOINT).split(b"\n\n")[1]
    assert open_checkpoint(NOTE + other, SIGNER.verifier) == CHECKPOINT
    with pytest.raises(CheckpointError, match="no signature of this key"):
        open_checkpoint(NOTE.split(b"\n\n")[0] + b"\n\n" + other, SIGNER.verifier)


def test_a_note_with_one_good_and_one_bad_signature_of_the_key_is_refused():
    head, line = NOTE.decode().split("\n\n")
    raw = bytearray(base64.b64decode(line.split(" ")[2]))
    raw[-1] ^= 1
    bad = f"— {ORIGIN} {base64.b64encode(raw).decode()}\n"
    with pytest.raises(CheckpointError, match="does not verify"):
        open_checkpoint(f"{head}\n\n{line}{bad}".encode(), SIGNER.verifier)


def test_a_checkpoint_of_another_log_signed_with_this_key_is_refused():
    other = Checkpoint(origin="local.example/retention/2025", size=1, root=bytes(32))
    with pytest.raises(CheckpointError, match="another log"):
        open_checkpoint(SIGNER.sign(other), SIGNER.verifier)


@pytest.mark.parametrize("at", range(len(NOTE)))
def test_any_flipped_byte_is_refused(at):
    changed = bytearray(NOTE)
    changed[at] ^= 1
    with pytest.raises(CheckpointError):
        open_checkpoint(bytes(changed), SIGNER.verifier)


@given(st.binary(max_size=400) | st.text(alphabet="a01\n — =+/", max_size=80).map(str.encode))
def test_any_other_bytes_are_refused_and_nothing_else_is_raised(data):
    for read in (read_checkpoint, lambda note: open_checkpoint(note, SIGNER.verifier)):
        with pytest.raises(CheckpointError):
            read(data)


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n01\n{'A' * 43}=\n",
        f"{ORIGIN}\n-1\n{'A' * 43}=\n",
        f"{ORIGIN}\n1\n{'A' * 44}\n",
        f"{ORIGIN}\n1\nAA==\n",
        f"{ORIGIN}\n1\n{'A' * 42}B=\n",
        f"\n1\n{'A' * 43}=\n",
        f"{ORIGIN}\n1\n",
        f"{ORIGIN}\n1\n{'A' * 43}=\n\nmore\n",
        f"{ORIGIN}\n1\t\n{'A' * 43}=\n",
        f"{ORIGIN}\n{'9' * 5000}\n{'A' * 43}=\n",
    ],
)
def test_a_text_that_is_no_checkpoint_is_refused(text):
    with pytest.raises(CheckpointError):
        read_checkpoint(f"{text}\n— x AAAAAAAA\n".encode())


@pytest.mark.parametrize("at", range(len(SIGNER.verifier.vkey)))
def test_any_changed_character_of_a_verifier_key_is_refused(at):
    vkey = SIGNER.verifier.vkey
    with pytest.raises(CheckpointError):
        parse_vkey(vkey[:at] + chr(ord(vkey[at]) ^ 1) + vkey[at + 1 :])


@given(st.text(max_size=80))
def test_any_other_text_is_no_verifier_key(text):
    with pytest.raises(CheckpointError):
        parse_vkey(text)


@pytest.mark.parametrize(("name", "seed"), [("a", bytes(31)), ("", bytes(32)), ("a b", bytes(32)), ("a+b", bytes(32))])
def test_a_key_that_could_not_sign_a_note_is_refused(name, seed):
    with pytest.raises(ConfigError):
        Signer(name=name, seed=seed)


def test_a_signer_prints_no_seed():
    assert "00010203" not in repr(vars(SIGNER)) + repr(SIGNER)
