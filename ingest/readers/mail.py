"""Messages (.eml) and mailboxes (.mbox), by Python's own email package: subject, sender, date and the words.

Of a message in several forms the plain text is taken, else the HTML. Attachments are named, not opened: what hides in
a message is not what its reader was shown. Nothing that a message refers to is fetched.
"""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterator
from email.message import EmailMessage

from ingest.normalise import inline, lines
from ingest.readers.builder import TextBuilder
from ingest.readers.decode import decode
from ingest.readers.html import write_html
from ingest.readers.html_tree import content_root
from ingest.readers.names import title_of
from rag.types import DocumentRejected, ParsedDocument

VERSION = "mail/1"

_SHOWN = ("From", "To", "Cc", "Date")
_START = re.compile(rb"^From [^\r\n]*\r?\n", re.MULTILINE)
_QUOTED_START = re.compile(rb"^>(>*From )", re.MULTILINE)
_HEADER = re.compile(rb"[A-Za-z][A-Za-z0-9-]{0,60}[ \t]*:", re.MULTILINE)
_MOST_PARTS = 1000  # of one message
_MOST_MESSAGES = 100_000  # of one mailbox
_HOSTILE = (ValueError, LookupError, TypeError, AttributeError, OverflowError)  # the parser's, on hostile headers


def read_mail(name: str, data: bytes) -> ParsedDocument:
    """Reads one message, or all of a mailbox, each under its subject. Raises DocumentRejected for what is neither."""
    builder = TextBuilder()
    title = ""
    messages = 0
    for raw in _messages(data):
        messages += 1
        subject = _message(builder, raw)
        title = title or subject
    return builder.finish(title if messages == 1 and title else title_of(name), VERSION)


def _messages(data: bytes) -> Iterator[bytes]:
    """The raw messages of a mailbox, or the one that the file is."""
    data = data.lstrip(b"\xef\xbb\xbf\r\n")
    if not data.startswith(b"From "):
        if not _HEADER.match(data):
            raise DocumentRejected("it is no mail message: it does not begin with header lines; save it again as .eml")
        yield data
        return
    starts = [found.span() for found in _START.finditer(data)]
    for number, (_, end) in enumerate(starts[:_MOST_MESSAGES]):
        following = starts[number + 1][0] if number + 1 < len(starts) else len(data)
        if _HEADER.match(data[end:following]):
            yield _QUOTED_START.sub(rb"\1", data[end:following])


def _message(builder: TextBuilder, raw: bytes) -> str:
    """Adds a message; returns its subject."""
    # compat32 headers never raise on odd bytes; the default policy's parser does on some.
    message = email.message_from_bytes(raw, policy=email.policy.default)
    subject = _header(message, "Subject")
    builder.heading(1, subject or "Message without a subject")
    builder.paragraph(*(f"{key}: {value}" for key in _SHOWN if (value := _header(message, key))))
    attached: list[str] = []
    parts = _parts(message, attached)
    plain = [part for part in parts if part.get_content_type() == "text/plain"]
    for part in plain or [part for part in parts if part.get_content_type() == "text/html"]:
        _body(builder, part)
    for file in attached:
        builder.paragraph(f"Attachment: {file}")
    return subject


def _header(message: EmailMessage, key: str) -> str:
    try:
        return inline(str(message.get(key, "")))[:1000]
    except _HOSTILE:  # as it stands, then
        return next((inline(str(raw))[:1000] for name, raw in message.raw_items() if name.lower() == key.lower()), "")


def _parts(message: EmailMessage, attached: list[str]) -> list[EmailMessage]:
    """The parts that hold words; names of attachments go to ``attached``."""
    found = []
    for number, part in enumerate(message.walk()):
        if number >= _MOST_PARTS:
            break
        if part.is_multipart():
            continue
        try:
            name = part.get_filename()
            aside = part.get_content_disposition() == "attachment"
        except _HOSTILE:
            name, aside = "", True
        if name or aside:
            attached.append(inline(name or "without a name")[:200])
        elif part.get_content_maintype() == "text":
            found.append(part)
    return found


def _body(builder: TextBuilder, part: EmailMessage) -> None:
    try:
        payload = part.get_payload(decode=True)
        declared = part.get_content_charset() or ""
    except (*_HOSTILE, AssertionError):
        return
    if not isinstance(payload, bytes) or not payload.strip():
        return
    text = decode(payload, declared)
    if part.get_content_type() == "text/html":
        root, _ = content_root(text)
        if root:
            write_html(root, builder)
        return
    for paragraph in lines(text).split("\n\n"):
        builder.paragraph(*paragraph.split("\n"))
