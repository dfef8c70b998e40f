"""OpenAI's shape of requests and responses, as far as it means something here; the Answer is an extension field."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.schemas import MAX_TURN_CHARS, MAX_TURNS, Answer, One, Response, Text

Content = Annotated[Text, Field(max_length=MAX_TURN_CHARS)]


class TextPart(BaseModel):
    """A piece of a message; only text is taken."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: Literal["text"]
    text: Content


class Message(BaseModel):
    """A message; those of the system and of developers are taken and not read: the documents alone decide."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: Content | Annotated[list[TextPart], Field(max_length=MAX_TURNS)]

    def text(self) -> str:
        """The message's text."""
        return self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    """Whether a stream ends with the usage."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    include_usage: bool = False


class ChatRequest(BaseModel):
    """A conversation. ``model`` is "answerable" or "answerable/COLLECTION".

    Fields of OpenAI's that are not listed here, such as temperature or max_tokens, are taken and change nothing.
    """

    model_config = ConfigDict(
        extra="ignore",
        strict=True,
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "model": "answerable",
                    "messages": [{"role": "user", "content": "How many days of annual leave do I get?"}],
                }
            ]
        },
    )

    model: Annotated[Text, Field(min_length=1, max_length=100)]
    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_TURNS)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: One | None = Field(None, description="answers to make: one")
    tools: Annotated[list[Any], Field(max_length=0, description="none: no tools are called")] | None = None


class ChatMessage(Response):
    """The answer's text."""

    role: Literal["assistant"]
    content: str
    refusal: str | None


class Choice(Response):
    """The one answer."""

    index: int
    message: ChatMessage
    finish_reason: Literal["stop"]
    logprobs: None = None


class ChatUsage(Response):
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatResponse(Response):
    """OpenAI's chat completion, with the whole Answer, citations included, as ``answerable``."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: ChatUsage
    answerable: Answer


class Model(Response):
    """A collection that can be asked, as a model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(Response):
    """The models."""

    object: Literal["list"]
    data: list[Model]
