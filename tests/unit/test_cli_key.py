"""`retention audit key`: the public key of a seed that comes by standard input, and of the same seed's other years."""

import base64
import io
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.config import DEVELOPMENT_SEED
from shared.ledger.checkpoint import Signer

SEED = bytes(range(32))
Key = Callable[..., tuple[int, str, str]]


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def key(retention: Key, monkeypatch: pytest.MonkeyPatch) -> Key:
    """The command with bytes on standard input: (exit code, stdout, stderr)."""

    def run(*arguments: str, stdin: bytes | io.BytesIO = b"") -> tuple[int, str, str]:
        given = stdin if isinstance(stdin, io.BytesIO) else io.BytesIO(stdin)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(given))
        return retention("audit", "key", *arguments)

    return run


def vkey(year: str, origin: str = "log.example/a") -> str:
    return Signer(name=f"{origin}/{year}", seed=SEED).verifier.vkey


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_key_of_a_seed_is_the_one_that_the_ledger_signs_with(key: Key, end: bytes) -> None:
    code, out, err = key("--origin", "log.example/a", "--year", "2031", stdin=base64.b64encode(SEED) + end)
    assert (code, out, err) == (0, f"{vkey('2031')}\n", "")


def test_without_options_it_is_this_years_key_under_the_settings_origin(key: Key, tmp_path: Path) -> None:
    (tmp_path / "local.settings.json").write_text(json.dumps({"Values": {"LEDGER_ORIGIN": "log.example/b"}}))
    year = f"{datetime.now(UTC).year}"
    code, out, _ = key("--json", stdin=base64.b64encode(SEED))
    assert (code, json.loads(out)) == (0, {"log": f"log.example/b/{year}", "key": vkey(year, "log.example/b")})


def test_the_key_of_another_year_is_made_of_a_published_one_and_reads_no_seed(key: Key) -> None:
    closed = io.BytesIO()
    assert key("--of", vkey("2031"), "--year", "2032", stdin=closed)[:2] == (0, f"{vkey('2032')}\n")


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (("--origin", "o/a"), b"", "32 bytes"),
        (("--origin", "o/a"), base64.b64encode(SEED[:31]), "32 bytes"),
        (("--origin", "o/a"), base64.b64encode(SEED) + b"AAAA", "32 bytes"),
        (("--origin", "o/a"), SEED, "32 bytes"),
        (("--origin", "o/a p"), base64.b64encode(SEED), "--origin: a log's name is a host and a path"),
        (("--origin", ""), base64.b64encode(SEED), "--origin: a log's name is a host and a path"),
        (("--origin", "https://log.example/a"), base64.b64encode(SEED), "--origin: a log's name is a host and a path"),
        (("--origin", "log.example/a/"), base64.b64encode(SEED), "--origin: a log's name is a host and a path"),
        (("--origin", "", "--of", vkey("2031")), b"", "--origin: a log's name is a host and a path"),
        (("--origin", "log.example/a/", "--of", vkey("2031")), b"", "--origin: a log's name is a host and a path"),
        (("--origin", "o/a", "--year", "31"), base64.b64encode(SEED), "four digits"),
        ((), base64.b64encode(SEED), "LEDGER_ORIGIN"),
        (("--of", "nonsense"), b"", "verifier key"),
        (("--of", Signer(name="no-year", seed=SEED).verifier.vkey), b"", "end with a year"),
    ],
)
def test_anything_else_is_refused_and_nothing_of_the_seed_is_shown(
    key: Key, arguments: tuple[str, ...], stdin: bytes, said: str
) -> None:
    code, out, err = key(*arguments, stdin=stdin)
    assert (code, out) == (2, "")
    assert said in err
    assert base64.b64encode(SEED)[:12].decode() not in err


def test_a_setting_that_is_no_logs_name_is_refused_as_the_option_is(key: Key, tmp_path: Path) -> None:
    (tmp_path / "local.settings.json").write_text(json.dumps({"Values": {"LEDGER_ORIGIN": "https://log.example/b"}}))
    code, out, err = key(stdin=base64.b64encode(SEED))
    assert (code, out) == (2, "")
    assert "setting LEDGER_ORIGIN: a log's name is a host and a path" in err


def test_a_terminal_is_not_asked_for_a_seed(key: Key) -> None:
    code, out, err = key("--origin", "o/a", stdin=Terminal(DEVELOPMENT_SEED.encode()))
    assert (code, out) == (2, "")
    assert "terminal" in err
