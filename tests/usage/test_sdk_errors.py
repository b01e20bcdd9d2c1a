"""Exceptions of SDKs become status, HTTP status, code and message."""

import asyncio
from types import SimpleNamespace

import pytest

from llm_logging.usage.sdk_errors import failure_of


def summary(error):
    found = failure_of(error)
    told = found["error"]
    return (
        found["status"],
        found.get("http_status"),
        told.get("code"),
        told.get("message"),
        told.get("type"),
    )


def test_builtin_exceptions():
    assert summary(ValueError("no")) == ("error", None, None, "no", "ValueError")
    assert summary(TimeoutError("slow")) == ("timeout", None, "timeout", "slow", "TimeoutError")
    assert summary(TimeoutError()) == ("timeout", None, "timeout", None, "TimeoutError")
    assert summary(ConnectionRefusedError("refused"))[2] == "connection_error"
    assert summary(asyncio.CancelledError()) == ("error", None, "cancelled", None, "CancelledError")
    assert summary(GeneratorExit())[2] == "cancelled"
    assert summary(KeyboardInterrupt())[2] == "cancelled"


def test_what_an_application_says_itself():
    assert failure_of("no") == {"status": "error", "error": "no"}
    assert failure_of({"code": "x"}) == {"status": "error", "error": {"code": "x"}}


def test_an_exception_that_cannot_be_read():
    class Bad(Exception):
        def __str__(self):
            raise RuntimeError("no words")

    assert summary(Bad()) == ("error", None, None, None, "test_an_exception_that_cannot_be_read.<locals>.Bad")


def test_stainless_sdks():
    """openai, anthropic, groq, cerebras: made by one generator."""

    class APIError(Exception):
        pass

    class RateLimitError(APIError):
        status_code = 429

    error = RateLimitError("Error code: 429")
    error.body = {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}
    error.code, error.type = "rate_limit_exceeded", "requests"
    assert summary(error)[:4] == ("error", 429, "rate_limit_exceeded", "Rate limit reached")
    error = RateLimitError("Error code: 429")
    error.body = {"type": "error", "error": {"type": "rate_limit_error", "message": "Slow down"}}
    assert summary(error)[:4] == ("error", 429, "rate_limit_error", "Slow down")

    class APITimeoutError(APIError):
        pass

    assert summary(APITimeoutError("Request timed out."))[:3] == ("timeout", None, "timeout")

    class APIConnectionError(APIError):
        pass

    assert summary(APIConnectionError("Connection error."))[:3] == ("error", None, "connection_error")


def test_google_genai():
    class ClientError(Exception):
        pass

    error = ClientError("429 RESOURCE_EXHAUSTED")
    error.code, error.status, error.message = 429, "RESOURCE_EXHAUSTED", "Quota exceeded"
    error.details = {"error": {"code": 429, "message": "Quota exceeded", "status": "RESOURCE_EXHAUSTED"}}
    assert summary(error)[:4] == ("error", 429, "RESOURCE_EXHAUSTED", "Quota exceeded")


def test_botocore():
    class ThrottlingException(Exception):
        pass

    error = ThrottlingException("An error occurred")
    error.response = {
        "Error": {"Code": "ThrottlingException", "Message": "Too many requests"},
        "ResponseMetadata": {"HTTPStatusCode": 429},
    }
    assert summary(error)[:4] == ("error", 429, "ThrottlingException", "Too many requests")


def test_http_clients():
    class HTTPStatusError(Exception):
        pass

    error = HTTPStatusError("Server error '503'")
    error.response = SimpleNamespace(status_code=503)
    assert summary(error)[:2] == ("error", 503)

    class ReadTimeoutError(Exception):
        pass

    assert summary(ReadTimeoutError("x"))[0] == "timeout"


@pytest.mark.parametrize("status", [408, 504])
def test_statuses_that_are_timeouts(status):
    class APIStatusError(Exception):
        pass

    error = APIStatusError("x")
    error.status_code = status
    assert summary(error)[:3] == ("timeout", status, "timeout")


def test_grpc():
    class RpcError(Exception):
        def code(self):
            return SimpleNamespace(name="RESOURCE_EXHAUSTED")

    assert summary(RpcError("x"))[:2] == ("error", 429)


def test_numbers_that_are_no_http_status():
    error = Exception("x")
    error.code = 4003
    assert "http_status" not in failure_of(error)
