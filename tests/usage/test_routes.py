"""A host and a path say who is asked for what."""

import pytest

from llm_logging.usage.routes import Route, match_route
from tests.recordings import needs_recordings, recordings


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://api.openai.com/v1/chat/completions", Route("openai", "chat")),
        ("https://api.openai.com/v1/responses", Route("openai", "chat")),
        ("https://api.openai.com/v1/embeddings", Route("openai", "embeddings")),
        ("https://api.openai.com/v1/images/generations", Route("openai", "image_generation")),
        ("https://api.openai.com/v1/audio/transcriptions", Route("openai", "transcription")),
        ("https://api.anthropic.com/v1/messages?beta=true", Route("anthropic", "chat")),
        ("https://x.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=1",
         Route("azure", "chat", "gpt-4o")),
        ("https://x.services.ai.azure.com/anthropic/v1/messages", Route("azure", "chat")),
        ("https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
         Route("google", "generate_content", "gemini-2.5-flash", True)),
        ("https://generativelanguage.googleapis.com/v1beta/openai/chat/completions", Route("google", "chat")),
        ("https://us-central1-aiplatform.googleapis.com/v1/projects/p/publishers/anthropic/models/claude-sonnet-4-5@20250929:streamRawPredict", Route("vertex_ai", "chat", "claude-sonnet-4-5@20250929", True)),
        ("https://bedrock-runtime.us-east-1.amazonaws.com/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse-stream",
         Route("bedrock", "chat", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", True)),
        ("https://api.cohere.com/v2/chat", Route("cohere", "chat")),
        ("https://api.cohere.com/v2/rerank", Route("cohere", "rerank")),
        ("http://localhost:11434/api/chat", Route("ollama", "chat")),
        ("http://127.0.0.1:11434/api/generate", Route("ollama", "text_completion")),
        ("https://router.huggingface.co/together/v1/chat/completions", Route("huggingface_together", "chat")),
        ("https://router.huggingface.co/v1/chat/completions", Route("huggingface", "chat")),
        ("https://openrouter.ai/api/v1/chat/completions", Route("openrouter", "chat")),
        ("https://API.openai.com./v1/chat/completions", Route("openai", "chat")),
        ("https://generativelanguage.googleapis.com/v1beta/interactions/?key=k", Route("google", "generate_content")),
        ("https://us-south.ml.cloud.ibm.com/ml/v1/text/generation_stream?version=2024-03-14",
         Route("watsonx", "text_completion", None, True)),
        ("https://us-south.ml.cloud.ibm.com/ml/v1/deployments/d/text/chat", Route("watsonx", "chat", "d")),
        ("https://eu-de.ml.cloud.ibm.com/ml/v1/text/embeddings", Route("watsonx", "embeddings")),
        ("https://api.writer.com/v1/chat", Route("writer", "chat")),
        ("https://api.openai.com/v1/threads/runs", Route("openai", "invoke_agent")),
        ("https://x.openai.azure.com/openai/threads/t/runs/r/submit_tool_outputs?api-version=1",
         Route("azure", "invoke_agent")),
        ("https://openrouter.ai/api/v1/images", Route("openrouter", "image_generation")),
        ("https://api.mistral.ai/v1/conversations", Route("mistral", "invoke_agent")),
        ("https://api.mistral.ai/v1/conversations/conv_1/restart#stream", Route("mistral", "invoke_agent")),
        ("https://api.mistral.ai/v1/audio/transcriptions", Route("mistral", "transcription")),
        ("https://api.cloudflare.com/client/v4/accounts/a/ai/run/@cf/meta/llama-3.1-8b-instruct",
         Route("cloudflare", "chat", "@cf/meta/llama-3.1-8b-instruct")),
        ("https://gateway.ai.cloudflare.com/v1/a/g/workers-ai/@cf/baai/bge-m3",
         Route("cloudflare", "embeddings", "@cf/baai/bge-m3")),
        ("https://dashscope-intl.aliyuncs.com/api/v1/services/aigc/text-generation/generation",
         Route("dashscope", "chat")),
        ("https://dashscope.aliyuncs.com/api/v1/services/rerank/text-rerank/text-rerank", Route("dashscope", "rerank")),
        ("https://api.replicate.com/v1/models/meta/llama-3/predictions", Route("replicate", "predict", "meta/llama-3")),
        ("https://api.openai.com/v1/moderations", Route("openai", "moderation")),
        ("https://api.anthropic.com/v1/messages/batches", Route("anthropic", "batch")),
        # Nobody's business
        ("https://api.openai.com/v1/conversations", None),
        ("https://api.openai.com/v1/threads", None),
        ("https://api.openai.com/v1/threads/t/messages", None),
        ("https://api.mistral.ai/v1/agents", None),
        ("https://api.replicate.com/v1/predictions/p/cancel", None),
        ("https://api.openai.com/v1/images", None),
        ("https://example.com/v1/chat/completions", None),
        ("https://api.openai.com.evil.example/v1/chat/completions", None),
        ("https://api.openai.com/v1/files", None),
        ("https://api.anthropic.com/v1/messages/count_tokens", None),
        ("https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:countTokens", None),
        ("https://api.openai.com/v1/responses/input_tokens", None),
        ("http://localhost:8000/v1/chat/completions", None),
        ("not a url", None),
    ],
)  # fmt: skip
def test_routes(url, expected):
    assert match_route("POST", url) == expected
    assert match_route("GET", url) is None


def test_hosts_of_ones_own():
    url = "http://localhost:8000/v1/chat/completions"
    assert match_route("POST", url, {"localhost:8000": "vllm"}) == Route("vllm", "chat")
    assert match_route("POST", url, {"localhost": "vllm"}) == Route("vllm", "chat")
    assert match_route("POST", url, {"localhost:8001": "vllm"}) is None


@needs_recordings
def test_every_recorded_answer_with_tokens_has_a_route():
    """All but token counters, polls and hosts that are a test's own."""
    for recording in recordings():
        if recording.has_usage and recording.url and recording.kind != "grpc_json":
            skipped = ("count_tokens", "input_tokens", "/responses/ID", "countTokens")
            if any(part in recording.url for part in skipped) or "/responses/resp_" in recording.url:
                continue
            if "localhost" in recording.url:
                continue
            assert match_route("POST", recording.url) is not None, recording.url
