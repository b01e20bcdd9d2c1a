"""Newer and rarer forms of usage, the laws of counting, and every usage class of the installed SDKs."""

import dataclasses
import importlib
import inspect
import json
import pkgutil

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_logging.models.counting.usage_objects import as_usage
from llm_logging.usage.body import BodyReader
from llm_logging.usage.extract import extract, usage_from_response


def pair(response, **kwargs):
    usage = usage_from_response(response, **kwargs)
    return None if usage is None else (usage.prompt_tokens, usage.completion_tokens)


INTERACTION = {
    "total_tokens": 100, "total_input_tokens": 20, "total_output_tokens": 30, "total_tool_use_tokens": 10,
    "total_thought_tokens": 40, "total_cached_tokens": 5,
    "input_tokens_by_modality": [{"modality": "audio", "tokens": 7}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        # Gemini Interactions, whole, as an event and with the names of the SDK in camel case
        ({"id": "v", "object": "interaction", "usage": INTERACTION}, (30, 70)),
        ({"event_type": "interaction.completed", "interaction": {"id": "v", "usage": INTERACTION}}, (30, 70)),
        ({"usage": {"totalTokens": 60, "totalInputTokens": 20, "totalOutputTokens": 40, "totalThoughtTokens": 30}},
         (20, 40)),
        # Gemini Live: the modalities leave no room for the thoughts, though these are fewer than the answer
        ({"usageMetadata": {"promptTokenCount": 10, "responseTokenCount": 74, "thoughtsTokenCount": 50,
                            "totalTokenCount": 84, "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 74}]}},
         (10, 124)),
        # OpenAI's realtime API keeps its usage in the response, xAI's next to it
        ({"type": "response.done", "response": {"id": "r", "object": "realtime.response",
                                                "usage": {"input_tokens": 5, "output_tokens": 6}}}, (5, 6)),
        ({"type": "response.completed", "response": {"id": "r", "object": "response", "usage": None},
          "usage": {"input_tokens": 5, "output_tokens": 6}}, (5, 6)),
        # watsonx, its answer in two results
        ({"model_id": "m", "results": [{"input_token_count": 9, "generated_token_count": 2},
                                       {"input_token_count": 9, "generated_token_count": 3}]}, (9, 5)),
        # KoboldCpp
        ({"results": [{"text": "x", "finish_reason": "stop", "prompt_tokens": 4, "completion_tokens": 2}]}, (4, 2)),
        # Titan with two results, as whole floats
        ({"inputTextTokenCount": 3.0, "results": [{"tokenCount": 2.0}, {"tokenCount": 5.0}]}, (3, 7)),
        # llama.cpp, whose cached tokens are left out of the evaluated ones in `timings` alone
        ({"content": "x", "tokens_evaluated": 12, "tokens_predicted": 3}, (12, 3)),
        ({"choices": [], "timings": {"cache_n": 8, "prompt_n": 4, "predicted_n": 3}}, (12, 3)),
        # LM Studio's two native APIs
        ({"output": [], "stats": {"input_tokens": 9, "total_output_tokens": 8, "reasoning_output_tokens": 2}}, (9, 8)),
        ({"type": "chat.end", "result": {"stats": {"input_tokens": 9, "total_output_tokens": 8}}}, (9, 8)),
        # Text Generation Inference answers several prompts with a list
        ([{"generated_text": "a", "details": {"generated_tokens": 2, "prefill": [{"id": 1}]}},
          {"generated_text": "b", "details": {"generated_tokens": 5, "prefill": [{"id": 1}, {"id": 2}]}}], (3, 7)),
        # SGLang likewise
        ([{"text": "a", "meta_info": {"id": "1", "prompt_tokens": 4, "completion_tokens": 2}},
          {"text": "b", "meta_info": {"id": "2", "prompt_tokens": 5, "completion_tokens": 3}}], (9, 5)),
        # Vertex `:predict`: of a text model, of embeddings, of a model that speaks OpenAI
        ({"predictions": [{"content": "x"}], "metadata": {"tokenMetadata": {
            "inputTokenCount": {"totalTokens": 6}, "outputTokenCount": {"totalTokens": 7}}}}, (6, 7)),
        ({"predictions": [{"embeddings": {"values": [0.1], "statistics": {"token_count": 4.0}}},
                          {"embeddings": {"values": [0.1], "statistics": {"token_count": 5.0}}}]}, (9, None)),
        ({"predictions": {"object": "chat.completion", "choices": [], "usage": {"prompt_tokens": 1,
                                                                              "completion_tokens": 2}}}, (1, 2)),
        # Mistral's connectors stand in addition to the prompt
        ({"object": "conversation.response", "usage": {"prompt_tokens": 188, "completion_tokens": 55,
                                                       "connector_tokens": 7112, "total_tokens": 7355}}, (7300, 55)),
        # The AI SDK, before version 6 and since
        ({"usage": {"promptTokens": 3, "completionTokens": 4, "totalTokens": 7}}, (3, 4)),
        ({"usage": {"inputTokens": {"total": 10, "noCache": 6, "cacheRead": 4}, "outputTokens": {"total": 5}}}, (10, 5)),
        # A batch of Bedrock, of Gemini, of Mistral
        ([{"recordId": str(n), "modelOutput": {"usage": {"input_tokens": n, "output_tokens": 1}}} for n in (1, 2, 3)],
         (6, 3)),
        ([{"key": str(n), "response": {"usageMetadata": {"promptTokenCount": n, "candidatesTokenCount": 1,
                                                         "totalTokenCount": n + 1}}} for n in (1, 2)], (3, 2)),
        ([{"custom_id": "a", "response": {"status_code": 200, "body": {"usage": {"prompt_tokens": 5,
                                                                               "completion_tokens": 1}}}},
          {"custom_id": "b", "response": {"status_code": 400, "body": {"error": {"message": "no"}}}}], (5, 1)),
        # Two whole responses are two
        ([{"id": n, "object": "chat.completion", "choices": [], "usage": {"prompt_tokens": 2, "completion_tokens": 1}}
          for n in "ab"], (4, 2)),
        # OpenAI's threads: a run's steps are counted in the run
        ([{"event": "thread.run.step.completed", "data": {"id": "s", "object": "thread.run.step",
                                                          "usage": {"prompt_tokens": 5, "completion_tokens": 1}}},
          {"event": "thread.run.completed", "data": {"id": "r", "object": "thread.run",
                                                     "usage": {"prompt_tokens": 9, "completion_tokens": 4}}}], (9, 4)),
    ],
)  # fmt: skip
def test_newer_and_rarer_forms(response, expected):
    assert pair(response) == expected
    if isinstance(response, list):
        assert pair("\n".join(map(json.dumps, response)) + "\n") == expected


def test_parts_of_newer_forms():
    found = usage_from_response({"usage": INTERACTION})
    assert (found.cache_read_tokens, found.reasoning_tokens, found.audio_prompt_tokens) == (5, 40, 7)
    written = usage_from_response(
        {
            "usage": {
                "input_tokens": 20,
                "output_tokens": 1,
                "input_tokens_details": {"cache_creation_input_tokens": 9},
            }
        }
    )
    assert written.cache_write_tokens == 9


def test_a_batch_has_no_id_and_a_model_only_if_all_have_the_same():
    def line(name, model):
        body = {"id": name, "model": model, "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
        return {"custom_id": name, "response": {"body": body}}

    same = extract([line("a", "m"), line("b", "m")])
    assert (same.response_model, same.provider_response_id, same.usage.raw) == ("m", None, {"responses": 2})
    assert extract([line("a", "m"), line("b", "other")]).response_model is None


CHUNK = {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": []}
BODIES = {
    "sse": f"data: {json.dumps({**CHUNK, 'usage': {'prompt_tokens': 7, 'completion_tokens': 9}})}\n\ndata: [DONE]\n\n",
    "comment": f": wait\n\ndata: {json.dumps({**CHUNK, 'usage': {'prompt_tokens': 7, 'completion_tokens': 9}})}\n\n",
    "json": json.dumps({"id": "c", "model": "m", "usage": {"prompt_tokens": 7, "completion_tokens": 9}}),
    "indented": json.dumps({"id": "c", "usage": {"prompt_tokens": 7, "completion_tokens": 9}}, indent=1),
    "lines": '{"done":false}\n{"done":true,"prompt_eval_count":7,"eval_count":9}\n',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize(
    "label", ["application/json", "text/event-stream", "application/x-ndjson", "text/plain", None]
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_the_bytes_decide_over_the_header(body, label, size):
    reader = BodyReader(label)
    data = b"\xef\xbb\xbf" + body.encode() if size == 7 else body.encode()
    for at in range(0, len(data), size):
        reader.feed(data[at : at + size])
    usage = reader.close().usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (7, 9)


FORMS = (
    ("prompt_tokens", "completion_tokens"),
    ("input_tokens", "output_tokens"),
    ("promptTokenCount", "candidatesTokenCount"),
    ("inputTokens", "outputTokens"),
    ("prompt_eval_count", "eval_count"),
    ("input_token_count", "generated_token_count"),
    ("total_input_tokens", "total_output_tokens"),
)
numbers = st.integers(0, 10**9)


@given(st.sampled_from(FORMS), numbers, numbers, st.sampled_from([int, float, str]))
def test_a_count_is_whole_however_it_is_written(names, prompt, completion, kind):
    usage = {names[0]: kind(prompt), names[1]: kind(completion)}
    if kind is float:
        usage = {name: float(value) for name, value in usage.items()}
    assert pair({"usage": usage}) == (prompt, completion)


@given(st.sampled_from(FORMS), st.sampled_from([True, False, -1, -3.0, 1.5, "1e3", "-2", float("nan"), [1]]))
def test_what_is_no_count_is_none_and_stays_in_raw(names, wrong):
    found = extract({"usage": {names[0]: wrong, names[1]: 3}})
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (None, 3)
    assert names[0] in found.usage.raw


@given(
    st.sampled_from(FORMS[:4]),
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50), st.sampled_from(["all", "zero", "none", "absent"])),
             min_size=1, max_size=5),
)  # fmt: skip
def test_zero_and_absent_counts_never_replace_known_ones(names, steps):
    events, prompt, completion = [], 0, 0
    for more, made, how in steps:
        if how == "all" or not events:
            prompt, completion = max(prompt, more), completion + made
            usage = {names[0]: prompt, names[1]: completion}
        else:
            value = 0 if how == "zero" else None
            usage = {} if how == "absent" else {names[0]: value, names[1]: value}
        events.append({"object": "chat.completion.chunk", "id": "c", "choices": [], "usage": usage})
    assert pair(events) == (prompt, completion)


@given(
    numbers, numbers, st.integers(1, 10**6), st.booleans(),
    st.sampled_from([("thoughts", 1), ("reasoning_tokens", 1), ("audio", 0), ("cached", 0), ("connector_tokens", 0)]),
)  # fmt: skip
def test_the_total_decides_whether_a_part_is_inside(prompt, completion, part, aside, kind):
    name, side = kind
    wholes = [prompt + part, completion + part]
    usage = {"prompt_tokens": wholes[0], "completion_tokens": wholes[1]}
    usage["total_tokens"] = sum(wholes) + (part if aside else 0)
    usage |= {
        "thoughts": {"thoughts_token_count": part},
        "audio": {"prompt_tokens_details": {"audio_tokens": part}},
        "cached": {"prompt_tokens_details": {"cached_tokens": part}},
    }.get(name, {name: part})
    wholes[side] += part if aside else 0
    assert pair({"usage": usage}) == tuple(wholes)


@given(
    st.dictionaries(st.sampled_from(["in_tok", "out_tok", "tally", "used"]), st.integers(1, 99), min_size=1)
)
def test_an_unknown_shape_with_numbers_is_kept(usage):
    found = extract({"id": "x", "usage": usage})
    assert found.usage is None
    assert found.unread == usage


# -- the classes of the SDKs ----------------------------------------------------------------------------------------

SDKS = ("openai.types", "anthropic.types", "google.genai.types", "mistralai", "cohere.types", "groq.types",
        "litellm.types.utils", "ollama")  # fmt: skip
PROMPTS = ("prompt_tokens", "input_tokens", "prompt_token_count", "total_input_tokens")
COMPLETIONS = ("completion_tokens", "output_tokens", "candidates_token_count", "response_token_count",
               "total_output_tokens")  # fmt: skip


def usage_classes():
    found = {}
    for root in SDKS:
        try:
            package = importlib.import_module(root)
        except ImportError:
            continue
        modules = [package]
        for info in pkgutil.walk_packages(
            getattr(package, "__path__", ()), root + ".", onerror=lambda _: None
        ):
            if "usage" in info.name.lower() or root in ("openai.types", "anthropic.types", "groq.types"):
                try:
                    modules.append(importlib.import_module(info.name))
                except Exception:
                    continue
        for module in modules:
            for name, kind in inspect.getmembers(module, inspect.isclass):
                if (
                    "Usage" in name
                    and issubclass(kind, pydantic.BaseModel)
                    and kind.__module__.startswith(root.split(".")[0])
                ):
                    found[f"{kind.__module__}.{kind.__qualname__}"] = kind
    return found


def test_every_usage_class_of_the_installed_sdks_is_read():
    read = 0
    for name, kind in usage_classes().items():
        fields = kind.model_fields.keys()
        sides = [
            next((field for field in names if field in fields), None) for names in (PROMPTS, COMPLETIONS)
        ]
        if None in sides:
            continue
        values = dict(zip(sides, (11, 5), strict=True))
        held = kind.model_construct(**values)
        for form in (held, held.model_dump(mode="python", warnings=False) if "genai" not in name else values):
            usage = usage_from_response({"usage": as_usage(form)})
            assert usage is not None, name
            assert (usage.prompt_tokens, usage.completion_tokens) == (11, 5), name
        read += 1
    if read == 0:
        pytest.skip("no SDK is installed; the extra [sdks] brings them")
    assert read >= 15, read


@dataclasses.dataclass
class Counted:
    input_tokens: int = 3
    output_tokens: int = 4


class Slotted:
    __slots__ = ("completion_tokens", "prompt_tokens")

    def __init__(self):
        self.prompt_tokens, self.completion_tokens = 3, 4


@pytest.mark.parametrize("usage", [Counted(), Slotted()])
def test_objects_are_read_by_what_they_store(usage):
    assert pair({"usage": usage}) == (3, 4)
