"""Reading policy.yaml: every finding at once with line, path and remedy; never anything but PolicyError."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared import policy_file
from shared.policy import PolicyError

FILE = Path(__file__).parents[2] / "policy.yaml"
TEXT = FILE.read_text(encoding="utf-8")

SMALL = """\
version: 1
organisation: Example Ltd
categories:
  - id: carts
    row: 1
    clause: "1"
    says: Carts go after a day.
    role: controller
    legal_basis: consent
    status: enforced
    store: {kind: cosmos, account: main, container: carts, partition_key: /cartId}
    rules:
      - id: carts-1-day
        start: {from: field, field: at}
        period: P1D
    cadence: PT1H
    on_request: erase
"""


def findings(text: str | bytes) -> list[str]:
    content = text.encode() if isinstance(text, str) else text
    return [str(finding) for finding in policy_file.inspect(content).findings]


def with_change(old: str, new: str) -> list[str]:
    assert old in SMALL
    return findings(SMALL.replace(old, new, 1))


def test_a_small_policy_is_accepted() -> None:
    policy = policy_file.parse(SMALL.encode())
    assert [category.id for category in policy.enforced()] == ["carts"]
    assert policy.promises == ()


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("P1D", "7 days", '15: categories[0].rules[0].period: "7 days" is no ISO 8601 duration; write P7D'),
        ("P1D", "7", "15: categories[0].rules[0].period: 7 is no text; put it in quotes"),
        ("PT1H", "P1M", '16: categories[0].cadence: "P1M" is no cadence; write PT1M or more, in weeks, days, hours, minutes or seconds'),
        ("PT1H", "PT30S", '16: categories[0].cadence: "PT30S" is no cadence; write PT1M or more, in weeks, days, hours, minutes or seconds'),
        ("version: 1", "version: '1'", "1: version: must be a whole number, without quotes and leading zeros"),
        ("row: 1", "row: 01", "5: categories[0].row: must be a whole number, without quotes and leading zeros"),
        ("row: 1", "row: 0", "5: categories[0].row: is too small; write 1 or more"),
        ('clause: "1"', "clause: 1", "6: categories[0].clause: must be text; put it in quotes"),
        ("says: Carts go after a day.", "says:", "7: categories[0].says: must be text; put it in quotes"),
        ("says: Carts go after a day.", "says: ''", "7: categories[0].says: is too short; 1 or more characters"),
        ("role: controller", "role: boss", '8: categories[0].role: "boss" is not allowed; write controller or processor'),
        ("    role: controller\n", "", "4: categories[0].role: is missing; add it"),
        ("role: controller", "role: controller\n    rulez: 1", '9: categories[0].rulez: is no key of the policy; did you mean "rules"?'),
        ("role: controller", "role: controller\n    field: 1", "9: categories[0].field: does not belong here; remove it"),
        ("role: controller", "role: controller\n    qwxyz: 1", "9: categories[0].qwxyz: does not belong here; remove it"),
        ("kind: cosmos", "kind: cosmo", '11: categories[0].store.kind: "cosmo" is not allowed; write one of blob, cosmos, own'),
        ("kind: cosmos, ", "", "11: categories[0].store.kind: is missing; add it"),
        ("partition_key: /cartId", "partition_key: cartId", '11: categories[0].store.partition_key: "cartId" is not allowed; write a slash and one property\'s name, such as /homeId'),
        ("container: carts", "container: My_Carts", '11: categories[0].store.container: "My_Carts" is not allowed; write a container\'s name of small letters, digits and single hyphens'),
        ("{from: field, field: at}", "{field: at}", "14: categories[0].rules[0].start.from: is missing; add it"),
        ("{from: field, field: at}", "{from: field}", "14: categories[0].rules[0].start.field: is missing; add it"),
        ("{from: field, field: at}", "{from: touched, field: at}", "14: categories[0].rules[0].start.field: does not belong here; remove it"),
        ("{from: field, field: at}", "{from: field, field: a b}", '14: categories[0].rules[0].start.field: "a b" is not allowed; write one property\'s name of letters, digits and _, such as userId'),
        ("{from: field, field: at}", "{from: then}", '14: categories[0].rules[0].start.from: "then" is not allowed; write one of name, stored, name-or-stored, field, year-end, touched, empty, follows'),
        ("period: P1D", "period: P1D\n        assumed: yes", "16: categories[0].rules[0].assumed: must be true or false"),
        ("period: P1D", "period: P1D\n        where: {field: a}", "16: categories[0].rules[0].where: needs exactly one of absent and equals; keep one"),
        ("id: carts\n", "id: Carts\n", '4: categories[0].id: "Carts" is not allowed; write small letters, digits and single hyphens, such as camera-snapshots'),
        ("on_request: erase", "on_request: erase\n    find: {pet: {by: partition}}", '18: categories[0].find.pet: "pet" is not allowed; write person, home, address, session or visit'),
        ("on_request: erase", "on_request: erase\n    find:", "18: categories[0].find: must be keys with values; write key: value below it"),
        ("on_request: erase", "on_request: erase\n    find: {home: {by: magic}}", '18: categories[0].find.home.by: "magic" is not allowed; write one of partition, field, member, name-part, line'),
        ("row: 1", "row: 1\n    row: 2", "6: categories[0].row: given twice, first on line 5; keep one"),
        ("row: 1", "row: &one 1", "5: categories[0].row: anchors are refused; remove the &name"),
        ("row: 1", "row: *one", "5: categories[0].row: aliases are refused; write the value out"),
        ("row: 1", "row: !!int 1", "5: categories[0].row: tags are refused; remove the !tag"),
        ("version: 1", "%YAML 1.1\n---\nversion: 1", "2: directives are refused; remove the line that begins with %"),
        ("on_request: erase", "on_request: erase\n---\nmore", "19: a second document; keep one"),
        ("version: 1", "[a]: b\nversion: 1", "1: a key that is no plain text; write a plain word"),
        ("Carts go after a day.", '"\\U0FFFFFFF"', "1: no YAML: an escape that is no character; correct the syntax"),
        ("Carts go after a day.", "a\x00b", "7: no YAML: a control character; remove it"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_line_path_and_remedy_and_nothing_else_is(old: str, new: str, finding: str) -> None:
    assert with_change(old, new) == [f"policy.yaml:{finding}"]


def test_broken_syntax_is_named_with_its_line() -> None:
    (finding,) = with_change("{from: field, field: at}", "{from: field, field: at")
    assert finding.startswith("policy.yaml:1")
    assert "no YAML" in finding


def test_bytes_that_are_no_utf8_are_named_with_their_line() -> None:
    assert findings(SMALL.encode() + b"# caf\xe9\n") == [
        f"policy.yaml:18: byte {len(SMALL) + 5} is no UTF-8; save the file as UTF-8"
    ]


def test_a_policy_without_categories_is_refused() -> None:
    text = SMALL[: SMALL.index("  - id")].replace("categories:", "categories: []")
    assert findings(text) == ["policy.yaml:3: categories: is empty; add a category"]


@pytest.mark.parametrize("content", ["", "# only a comment\n", "- 1\n", "text\n", "null\n"])
def test_a_file_that_is_no_mapping_is_refused(content: str) -> None:
    assert findings(content) == ["policy.yaml:1: must be keys with values; write key: value below it"]


@pytest.mark.parametrize("content", ["[" * 100_000, "{" * 100_000, "? " * 5_000, "- " * 5_000, "a: " * 5_000])
def test_nesting_without_end_is_refused_and_harmless(content: str) -> None:
    assert any("no YAML" in finding for finding in findings(content))


def test_a_huge_file_is_refused_unread() -> None:
    assert findings(b"#" * 2_000_000) == ["policy.yaml:1: the file is larger than 1048576 bytes; shorten it"]


def test_all_findings_of_syntax_types_and_sense_come_at_once_in_the_order_of_the_file() -> None:
    other = SMALL[SMALL.index("  - id:") :].replace("row: 1", "row: 1\n    row: 1").replace("partition_key", "key")
    text = SMALL.replace("P1D", "a day").replace("enforced", "on") + other.replace("carts-1-day", "x")
    third = SMALL[SMALL.index("  - id:") :].replace("id: carts\n", "id: third\n").replace("id: carts-1-day", "id: y")
    text += third.replace("from: field, field: at", "from: stored").replace("container: carts", "container: third")
    assert findings(text) == [
        'policy.yaml:10: categories[0].status: "on" is not allowed; write enforced or planned',
        'policy.yaml:15: categories[0].rules[0].period: "a day" is no ISO 8601 duration; write for example P7D (days), P24M (months) or PT60S (seconds)',
        "policy.yaml:20: categories[1].row: given twice, first on line 19; keep one",
        "policy.yaml:26: categories[1].store.partition_key: is missing; add it",
        "policy.yaml:26: categories[1].store.key: does not belong here; remove it",
        'policy.yaml:43: categories[2].rules[0].start.from: "stored" does not fit a store of kind cosmos; write field or year-end or touched or empty or follows',
    ]


def test_dates_and_yes_and_decimals_are_text_as_written() -> None:
    for text in ("2025-03-01", "yes", "1.50", "0x1F", "12:30", "1e3", ".inf"):
        assert policy_file.parse(SMALL.replace("Carts go after a day.", text).encode()).categories[0].says == text


def test_a_missing_file_is_a_policy_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"none\.yaml: cannot be read \(No such file or directory\)"):
        policy_file.load(tmp_path / "none.yaml")
    with pytest.raises(PolicyError, match="cannot be read"):
        policy_file.load(tmp_path)


def test_the_error_carries_its_findings_and_has_one_line_for_each(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(SMALL.replace("P1D", "x").replace("PT1H", "y"))
    with pytest.raises(PolicyError) as caught:
        policy_file.load(path)
    assert str(caught.value).splitlines() == [str(finding) for finding in caught.value.findings]
    assert len(caught.value.findings) == 2
    assert all(str(finding).startswith(f"{path}:") for finding in caught.value.findings)


def test_findings_print_on_one_line_whatever_the_file_says() -> None:
    (finding,) = with_change("role: controller", 'role: "a\\nb\\ud800\\e[31m"')
    assert finding.isprintable()
    assert "\n" not in finding


def only_policy_errors(content: bytes) -> None:
    """Anything else that `inspect` or a finding's text raises fails the test that calls this."""
    inspection = policy_file.inspect(content)
    assert (inspection.policy is None) == bool(inspection.findings)
    for finding in inspection.findings:
        assert finding.line >= 1
        assert finding.text
        str(finding).encode()
    if inspection.policy is None:
        with pytest.raises(PolicyError):
            policy_file.parse(content)


@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(st.sampled_from("a:-? []{}\"'\\&*!|>%#@`\n\t,1~<=é\x85\ufeff"), max_size=60).map(str.encode),
    )
)
@example(b"%YAML 1.1")
@example(b'"\\ud800"')
@example(b"? a")
@example(b"!<a: b")
@example(b"\xef\xbb\xbfversion: 1")
@settings(max_examples=300)
def test_any_bytes_give_a_policy_or_a_policy_error(content: bytes) -> None:
    only_policy_errors(content)


LINES = SMALL.splitlines(keepends=True)
junk = st.sampled_from(["", "x", ": ", "- ", "[", "{", "}", "null", "1", "*a", "&a ", "!t ", "'", '"', "\t", "\0", "\\", "field", "P1D", "kind", "{from: field, by: field, kind: own}", "\n", "  "])  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid file with a few lines cut, doubled or moved and a few pieces replaced."""
    lines = list(LINES)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        line = lines[at]
        match draw(st.sampled_from(["cut", "double", "insert", "replace", "value"])):
            case "cut":
                del lines[at]
            case "double":
                lines.insert(draw(st.integers(0, len(lines))), line)
            case "insert":
                column = draw(st.integers(0, len(line)))
                lines[at] = line[:column] + draw(junk) + line[column:]
            case "replace":
                column = draw(st.integers(0, len(line)))
                lines[at] = line[:column] + draw(junk) + line[column + draw(st.integers(0, 5)) :]
            case _:
                lines[at] = line.partition(":")[0] + ": " + draw(junk) + "\n"
        lines = lines or [""]
    return "".join(lines).encode()


@given(mutated())
@settings(max_examples=500)
def test_a_valid_file_with_any_damage_gives_a_policy_or_a_policy_error(content: bytes) -> None:
    only_policy_errors(content)


@given(st.integers(0, len(TEXT) - 1), st.integers(0, 3), junk)
@settings(max_examples=25, deadline=None)
def test_the_shipped_file_with_any_damage_gives_a_policy_or_a_policy_error(at: int, cut: int, put: str) -> None:
    only_policy_errors((TEXT[:at] + put + TEXT[at + cut :]).encode())
