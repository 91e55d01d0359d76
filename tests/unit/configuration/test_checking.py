"""Each bad configuration is told in exactly one sentence: file, line, what to do."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.configuration.checking import check
from service.configuration.command import check_file
from service.configuration.document import Document
from service.configuration.faults import BadConfiguration

FAULTS = (Path(__file__).parent / "faults.txt").read_text()
"""For each fault its name, a configuration that has it and no other, and the sentence."""


def cases() -> Iterator[tuple[str, str, str]]:
    for case in FAULTS.split("=== ")[1:]:
        name, _, rest = case.partition("\n")
        text, sentence = rest.rsplit("\n---\n", 1)
        yield name, text, sentence.strip()


def faults(text: str | bytes) -> list[str]:
    with pytest.raises(BadConfiguration) as error:
        check(text.encode() if isinstance(text, str) else text, "f.yaml")
    return error.value.sentences


@pytest.mark.parametrize(
    ("text", "sentence"), [pytest.param(*rest, id=name) for name, *rest in cases()]
)
def test_a_fault_is_one_sentence_with_its_line(text: str, sentence: str) -> None:
    assert [sentence] == faults(text)


def test_what_no_editor_shows_is_told_with_its_line() -> None:
    assert ["f.yaml:2: a control character stands here; expected text: remove it"] == faults(
        "rules: {}\nx: \x07"
    )
    (tab,) = faults("rules:\n\tpaused: true")
    assert tab.startswith("f.yaml:2: this is not YAML that can be read (found character that")


def test_all_faults_are_told_at_once_in_the_order_of_their_lines() -> None:
    """Two of a message that is otherwise in order, one of a section, one of the whole."""
    text = (
        "messages:\n  sale:\n    cooldown_s: -1\n    send_cost: much\n    tags: [a]\n"
        "rules:\n  caps: [0/1d, 3/7d, 1/99d]\nruels: {}\n"
    )
    lines = [sentence.split(" ")[0] for sentence in faults(text)]
    assert ["f.yaml:3:", "f.yaml:4:", "f.yaml:7:", "f.yaml:7:", "f.yaml:8:"] == lines


def test_an_error_is_a_sentence_for_each_fault() -> None:
    with pytest.raises(BadConfiguration) as error:
        check(b"rules: {caps: 0/1d, paused: 3}", "f.yaml")
    assert error.value.sentences == str(error.value).split("\n")
    assert 2 == len(error.value.sentences)


def test_a_text_that_is_not_utf8_is_told_with_its_line() -> None:
    expected = ["f.yaml:3: this is not UTF-8 text, which YAML is: save it as UTF-8"]
    assert expected == faults(b"rules:\n  caps: 3/7d\n# \xff")


def test_a_bomb_of_aliases_is_refused_before_it_is_built() -> None:
    """Nine lines, each ten of the one before: a thousand million values, if it were built."""
    lines = ["a0: &a0 [1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    told = "f.yaml:1: the anchor 'a0' is not used in a configuration: write the value itself"
    assert [told] == faults("\n".join(lines))


def test_a_tower_of_lists_is_refused() -> None:
    told = "f.yaml:1: values are nested too deeply to be read: flatten them"
    assert [told] == faults("[" * 20_000)


def test_a_text_beyond_the_limit_is_refused_unread() -> None:
    told = "f.yaml:1: the text has 4,194,305 bytes; expected at most 4,194,304: leave out what is "
    assert [f"{told}not needed"] == faults(b"#" * 4_194_305)


def test_a_catalog_beyond_the_limit_is_refused() -> None:
    text = "rules: {}\nmessages:\n" + "".join(f"  m{n}:\n" for n in range(10_001))
    told = "f.yaml:2: there are 10,001 messages; expected at most 10,000: leave out those of the pa"
    assert [f"{told}st"] == faults(text)


def test_words_mean_what_yaml_1_2_says() -> None:
    """In YAML 1.1 these would be false, 76,860 (21:21), 8, 1000 and a date."""
    text = (
        "messages: {m: {attributes: {country: NO, hour: 21:21, octal: 010, big: 1_000,"
        " day: 2026-11-22, quoted: '5', yes: true, small: -1.5e-3}}}"
    )
    messages = check(text.encode(), "f.yaml").messages
    assert messages is not None
    assert {
        "country": "NO",
        "hour": "21:21",
        "octal": 10.0,
        "big": "1_000",
        "day": "2026-11-22",
        "quoted": "5",
        "yes": True,
        "small": -0.0015,
    } == messages["m"].attributes


def test_a_byte_order_mark_is_no_fault() -> None:
    assert {"rules": {"paused": True}} == check(b"\xef\xbb\xbfrules: {paused: true}", "f").sections


def test_a_list_and_a_line_of_caps_are_the_same() -> None:
    listed = check(b"rules:\n  caps: [3/7d, 1/24h]\n", "f")
    assert Document({"rules": {"caps": "3/7d 1/24h"}}) == listed
    assert listed == check(b"rules:\n  caps: 3/7d 1/24h\n", "f")


def test_a_map_and_a_line_are_the_same() -> None:
    mapped = check(
        b"rules: {tag_caps: {offer: [1/7d, 2/14d], news: 3/7d}}\n"
        b"arms: {shares: {holdout: 0.05, random: .01}}\n",
        "f",
    )
    assert {
        "rules": {"tag_caps": "offer:1/7d offer:2/14d news:3/7d"},
        "arms": {"shares": "holdout:0.05 random:0.01"},
    } == mapped.sections


def test_a_message_without_keys_has_the_defaults() -> None:
    assert check(b"messages:\n  a:\n  b: {}\n", "f").parts() == {
        f"message/{name}": message.to_json()
        for name, message in (check(b"messages: {a: {}, b: {}}", "f").messages or {}).items()
    }


def test_messages_left_out_are_not_messages_removed() -> None:
    assert check(b"rules: {}", "f").messages is None
    assert check(b"messages: {}", "f").messages == {}


# -- the command ---------------------------------------------------------------------------------


def test_the_command_prints_every_fault_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "forbear.yaml"
    path.write_text("rules: {capps: 1}\nruels: {}\n")
    assert 1 == check_file(path)
    printed = capsys.readouterr()
    assert ("", 2) == (printed.out, len(printed.err.splitlines()))
    assert printed.err.startswith("forbear.yaml:1: 'capps' is not a key of rules;")


def test_the_command_tells_what_a_file_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "forbear.yaml"
    path.write_text("rules: {min_gap_s: 60}\nmessages: {a: {paused: true}, b: {}}\n")
    assert 0 == check_file(path)
    expected = (
        "forbear.yaml is in order.\nrules: min_gap_s 60.0\n"
        "messages: 2 (1 paused, 1 with rules of their own)\n"
    )
    assert (expected, "") == capsys.readouterr()


def test_a_file_that_is_not_there_is_a_fault_like_any_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert 1 == check_file(tmp_path / "none.yaml")
    expected = (
        "none.yaml:1: the file cannot be read (No such file or directory); expected a "
        "configuration: name one\n"
    )
    assert expected == capsys.readouterr().err
