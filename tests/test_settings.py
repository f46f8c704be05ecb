"""Settings from the environment and the file, and the sentences said about either."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from rlaif.errors import InputError
from rlaif.settings import ModelPrice, Server, Settings

GOOD = """\
concurrency = 8

[compatible.lab]
base_url = "http://127.0.0.1:8000/v1/"
api_key_env = "LAB_KEY"
input_price = 0.1
output_price = 0.4
timeout = 30

[prices."openai:my-model"]
input = 1.0
output = 2.5
"""


def load(folder: Path, text: str | None = None, **environ: str) -> Settings:
    if text is not None:
        (folder / "rlaif.toml").write_text(text)
    return Settings.load(environ, folder)


def refusal(folder: Path, text: str, **environ: str) -> InputError:
    with pytest.raises(InputError) as caught:
        load(folder, text, **environ)
    return caught.value


def test_without_file_or_environment(tmp_path: Path) -> None:
    found = load(tmp_path)
    assert found.home == Path.home() / ".cache/rlaif"
    assert (found.openai_url, found.anthropic_url) == (
        "https://api.openai.com/v1", "https://api.anthropic.com",
    )  # fmt: skip
    assert (found.compatible, found.prices, found.keys, found.concurrency) == ({}, {}, {}, 1024)


def test_a_whole_file(tmp_path: Path) -> None:
    found = load(tmp_path, GOOD, LAB_KEY="k-1", RLAIF_HOME="/data/rlaif")
    assert found.compatible == {
        "lab": Server(base_url="http://127.0.0.1:8000/v1", api_key_env="LAB_KEY",
                      input_price=0.1, output_price=0.4, timeout=30.0),
    }  # fmt: skip
    assert found.prices == {"openai:my-model": ModelPrice(input=1.0, output=2.5)}
    assert (found.concurrency, found.home, found.key("LAB_KEY")) == (8, Path("/data/rlaif"), "k-1")


def test_endpoints_from_the_environment(tmp_path: Path) -> None:
    found = load(tmp_path, OPENAI_BASE_URL="http://gate.example/v1/", ANTHROPIC_BASE_URL="https://a.example")
    assert (found.openai_url, found.anthropic_url) == ("http://gate.example/v1", "https://a.example")


def test_a_named_file_wins_over_the_folder(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("concurrency = 3")
    assert load(tmp_path, GOOD, RLAIF_CONFIG=str(tmp_path / "other.toml")).concurrency == 3


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"RLAIF_CONFIG names '.*nowhere.toml'"):
        load(tmp_path, RLAIF_CONFIG=str(tmp_path / "nowhere.toml"))


def test_keys_are_not_shown(tmp_path: Path) -> None:
    found = load(tmp_path, GOOD, LAB_KEY="k-canary", OPENAI_API_KEY="sk-canary")
    for shown in (repr(found), str(found), found.model_dump_json(), repr(found.keys)):
        assert "canary" not in shown
    assert found.key("OPENAI_API_KEY") == "sk-canary"


def test_only_named_variables_are_kept(tmp_path: Path) -> None:
    found = load(tmp_path, GOOD, LAB_KEY="a", OTHER_KEY="b", OPENAI_API_KEY="c")
    assert sorted(found.keys) == ["LAB_KEY", "OPENAI_API_KEY"]


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="OPENAI_API_KEY is not set; run: export OPENAI_API_KEY="):
        load(tmp_path).key("OPENAI_API_KEY")


def test_an_empty_key_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not set"):
        load(tmp_path, OPENAI_API_KEY="").key("OPENAI_API_KEY")


@pytest.mark.parametrize("key", ["sk-canary\r\nX-Evil: 1", "sk canary", "sk-canäry", "sk-canary\n"])
def test_a_key_that_would_break_a_header_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(InputError, match="the key in OPENAI_API_KEY") as caught:
        load(tmp_path, OPENAI_API_KEY=key)
    assert "can" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line", "field"),
    [
        ('api_key = "sk-canary"', 1, "api_key"),
        ('OPENAI_API_KEY = "sk-canary"', 1, "OPENAI_API_KEY"),
        ('[compatible.lab]\nbase_url = "http://h/v1"\napi_key = "sk-canary"', 3, "compatible.lab.api_key"),
        ('[compatible.lab]\nbase_url = "http://h/v1"\ntoken = "sk-canary"', 3, "compatible.lab.token"),
        ('[compatible.lab]\nbase_url = "http://h/v1"\napi_key_env = "sk-canary"', 3,
         "compatible.lab.api_key_env"),
        ('[openai]\napi-key = "sk-canary"', 2, "openai.api-key"),
    ],
)  # fmt: skip
def test_a_key_in_the_file_is_refused_and_not_repeated(
    tmp_path: Path, text: str, line: int, field: str
) -> None:
    error = refusal(tmp_path, text)
    assert "may not stand in a file" in str(error)
    assert "canary" not in str(error)
    assert (error.line, error.field) == (line, field)


@pytest.mark.parametrize(
    ("text", "line", "field", "said"),
    [
        ("concurency = 8", 1, "concurency", "'concurency' is not a setting here; allowed: compatible, conc"),
        ("concurrency = 0", 1, "concurrency", "greater than or equal to 1"),
        ('concurrency = "many"', 1, "concurrency", "integer"),
        ("\n[compatible.lab]\n\nurl = 'x'\nbase_url = 'http://h'", 4, "compatible.lab.url",
         "allowed: api_key_env, base_url, input_price, output_price, timeout"),
        ("[compatible.lab]\ntimeout = 5", 1, "compatible.lab.base_url", "Field required"),
        ("[compatible.a]\nbase_url='http://h'\n[compatible.b]\nbase_url = 'ftp://h'", 4,
         "compatible.b.base_url", "http:// or https://"),
        ("compatible.lab.base_url = 'ftp://h'", 1, "compatible.lab.base_url", "http:// or https://"),
        ("[prices.\"openai:m\"]\ninput = -1\noutput = 1", 2, "prices.openai:m.input", "greater than"),
        ("[prices.\"openai:m\"]\ninput = inf\noutput = 1", 2, "prices.openai:m.input", "finite"),
        ("[prices.\"openai:m\"]\ninput = 1", 1, "prices.openai:m.output", "Field required"),
        ("[compatible.'Bad Name']\nbase_url = 'http://h'", 1, "compatible.Bad Name", "pattern"),
        ("[compatible.lab]\nbase_url = 'http://h'\ninput_price = 1", 1, "compatible.lab", "come together"),
        ("prices = 3", 1, "prices", "dictionary"),
    ],
)  # fmt: skip
def test_a_bad_setting_is_named_with_line_and_field(
    tmp_path: Path, text: str, line: int, field: str, said: str
) -> None:
    error = refusal(tmp_path, text)
    assert (error.path, error.line, error.field) == (tmp_path / "rlaif.toml", line, field)
    assert said in error.message


@pytest.mark.parametrize("text", ["= 1", "[a", "x = [", "a = 1\na = 2", "\0", "a = '" + "'" * 2 + "["])
def test_bad_toml_names_the_file(tmp_path: Path, text: str) -> None:
    error = refusal(tmp_path, text)
    assert "not TOML" in str(error)
    assert "rlaif.toml" in str(error)


def test_bad_encoding_and_depth(tmp_path: Path) -> None:
    (tmp_path / "rlaif.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(InputError, match="byte 5 is not UTF-8"):
        load(tmp_path)
    refusal(tmp_path, "x = " + "[" * 100_000)


BAD_URLS = [
    "", "h", "//h/v1", "ftp://h/v1", "file:///etc/passwd", "gopher://h:70/_x", "javascript:alert(1)",
    "http://", "http:///v1", "http://user@h/v1", "http://user:pw@h/v1", "http://good.example@evil.example",
    "http://h/v1?x=1", "http://h/v1#frag", "http://h/v1\r\nX-Evil: 1", "http://h /v1", "http://h/\t",
    "http://h:0/v1", "http://h:99999/v1", "http://h:port/v1", "http://[::1/v1", "http://h/\u202e",
]  # fmt: skip


@pytest.mark.parametrize("url", BAD_URLS)
def test_what_is_no_plain_address_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError):
        load(tmp_path, f"[compatible.lab]\nbase_url = {json.dumps(url)}")
    (tmp_path / "rlaif.toml").unlink()
    if url:
        with pytest.raises(InputError, match="OPENAI_BASE_URL"):
            load(tmp_path, OPENAI_BASE_URL=url)


@limits(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    st.text(max_size=80)
    | st.lists(
        st.sampled_from(
            ["[compatible.x]", "base_url = 'http://h'", "timeout = 1e9", "prices = {}", "[prices]",
             "[[compatible]]", "a.b.c = 1", "concurrency = true", "api_key = 1", "api_key_env = []"]
        ),
        max_size=5,
    ).map("\n".join)
)  # fmt: skip
def test_any_file_loads_or_is_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "rlaif.toml").write_bytes(text.encode("utf-8", "replace"))
    try:
        load(tmp_path)
    except InputError as error:
        assert "rlaif.toml" in str(error)  # noqa: PT017
