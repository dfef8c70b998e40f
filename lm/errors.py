"""What can go wrong in lm/.

LmError
 +- CheckpointMissing   a file of the model is not there
 +- CheckpointBroken    the file is there, but cut short, altered, or of a model this code does not run
 +- PromptInvalid       nothing to continue, an unknown role, ids that are not in the vocabulary
 |   +- PromptTooLong   prompt and new tokens do not fit the model's window
 +- DecodingInvalid     a way of decoding that there is not: a temperature below 0, no beams, an empty stop string
 +- DeviceMissing       the device asked for is not on this machine

``str(error)`` is one line that holds the offending value and the cure.
"""

from __future__ import annotations


class LmError(Exception):
    """Root of the errors of lm/."""


class CheckpointMissing(LmError):
    """A file of the model is not there."""


class CheckpointBroken(LmError):
    """A file of the model is cut short, altered, or belongs to a model that this code does not run."""


class PromptInvalid(LmError):
    """The prompt cannot be continued whatever its length."""


class PromptTooLong(PromptInvalid):
    """Prompt and new tokens together exceed the model's window."""

    def __init__(self, prompt_tokens: int, new_tokens: int, window: int) -> None:
        self.prompt_tokens = prompt_tokens
        self.new_tokens = new_tokens
        self.window = window
        super().__init__(
            f"prompt of {prompt_tokens} tokens plus {new_tokens} new ones exceeds the window of {window}: "
            f"shorten the prompt to {max(window - new_tokens, 0)} tokens or ask for fewer new ones"
        )


class DecodingInvalid(LmError):
    """A value outside what decoding can do."""


class DeviceMissing(LmError):
    """The device asked for is not on this machine."""
