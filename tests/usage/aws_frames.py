"""Frames of AWS event streams, as Bedrock sends them."""

import base64
import json
import struct
import zlib

ANTHROPIC = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","model":"claude-sonnet-4-5","usage":'
    b'{"input_tokens":3,"cache_read_input_tokens":100,"cache_creation_input_tokens":10,"output_tokens":1}}}\n\n'
    b'event: ping\ndata: {"type":"ping"}\n\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
    b'"text":"Hi"}}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":'
    b'{"output_tokens":12}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n'
)


def message(headers: dict[str, str], payload: bytes) -> bytes:
    head = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        for name, value in headers.items()
    )
    start = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    whole = start + struct.pack(">I", zlib.crc32(start)) + head + payload
    return whole + struct.pack(">I", zlib.crc32(whole))


def event(kind: str, values: dict) -> bytes:
    return message(
        {":event-type": kind, ":message-type": "event"}, json.dumps({**values, "p": "abc"}).encode()
    )


CONVERSE = (
    event("messageStart", {"role": "assistant"})
    + event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hi"}})
    + event("messageStop", {"stopReason": "end_turn"})
    + event(
        "metadata",
        {"usage": {"inputTokens": 5, "outputTokens": 6, "totalTokens": 11}, "metrics": {"latencyMs": 7}},
    )
)


NATIVE = b"".join(
    event("chunk", {"bytes": base64.b64encode(line[6:]).decode()})
    for line in ANTHROPIC.split(b"\n")
    if line.startswith(b"data: ")
)
