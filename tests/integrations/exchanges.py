"""What a provider was asked and answered, whole and streamed."""

from tests.loopback import Answer, sse

PATH = "/v1/chat/completions"


WHOLE = {
    "id": "c1",
    "object": "chat.completion",
    "model": "gpt-4o-2024",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hi"}}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
}


def piece(content=None, finish=None, usage=None):
    choices = (
        []
        if usage
        else [{"index": 0, "delta": {"content": content} if content else {}, "finish_reason": finish}]
    )
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "model": "gpt-4o-2024",
        "choices": choices,
        "usage": usage,
    }


PIECES = sse(piece(), piece("Hi"), piece(finish="stop"), piece(usage=WHOLE["usage"]))


STREAM = Answer(PIECES, content_type="text/event-stream")


ASKED = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}


def tokens(entry):
    return None if entry.usage is None else (entry.usage.prompt_tokens, entry.usage.completion_tokens)
