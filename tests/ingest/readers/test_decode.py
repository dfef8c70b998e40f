from __future__ import annotations

import codecs

import pytest

from ingest.readers.decode import decode
from rag.types import DocumentRejected

_SAMPLES = {
    "cp1252": "Café à la crème, où êtes-vous? “Le garçon” l’a déjà vu près de la frontière.",
    "cp1250": "Zażółć gęślą jaźń. Wszyscy ludzie rodzą się wolni i równi w swojej godności.",
    "cp1251": "Привет мир, это обычный русский текст о погоде. Сегодня хорошо.",
    "koi8_r": "Привет мир, это обычный русский текст о погоде. Сегодня хорошо.",
    "shift_jis": "これは日本語の文章です。東京は日本の首都であり、世界最大級の都市です。",
    "gb18030": "这是一个中文文档的内容。北京是中国的首都，人口众多。",
}


@pytest.mark.parametrize("encoding", _SAMPLES)
def test_an_encoding_that_nothing_declares_is_guessed(encoding: str) -> None:
    """Unrestricted, the guesser took this KOI8-R text for Japanese and a French one for Lithuanian."""
    assert decode(_SAMPLES[encoding].encode(encoding)) == _SAMPLES[encoding]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le"])
def test_unicode_encodings_are_known(encoding: str) -> None:
    assert decode("Grüße, plain words in several lines.\n".encode(encoding)) == "Grüße, plain words in several lines.\n"


def test_the_declared_encoding_counts_unless_it_is_wrong() -> None:
    assert decode("Größe".encode("cp1252"), "iso-8859-1") == "Größe"
    assert decode("Größe".encode(), "ascii-art") == "Größe"
    assert decode("今日".encode(), "shift_jis") == "今日"


def test_codecs_that_are_no_encodings_of_pages_are_passed_over() -> None:
    assert decode(b"abc-def", "punycode") == "abc-def"


def test_a_few_control_bytes_do_not_make_text_binary() -> None:
    assert decode(b"x" * 500 + b"\0") == "x" * 500 + "\0"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (codecs.BOM_UTF16_LE + b"a", "byte order mark of utf-16 but breaks at byte 2"),
        (b"\0\1\2\3" * 100, "binary data"),
        (bytes(range(128, 256)) * 3 + b"\x81\x8d\x8f\x90\x9d" * 30, "cannot be told; save it as UTF-8"),
    ],
)
def test_what_is_no_text_is_rejected(data: bytes, said: str) -> None:
    with pytest.raises(DocumentRejected, match=said):
        decode(data)
