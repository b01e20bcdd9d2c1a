"""One agent with one tool in each framework: asked once, it calls the tool, then answers.

Each is a program's main part, with `URL` where the OpenAI API is, and the name of the package that it needs.
"""

FRAMEWORKS = {
    "pydantic-ai": ("pydantic_ai", """
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

agent = Agent(OpenAIChatModel("gpt-4o", provider=OpenAIProvider(base_url=URL, api_key="k")))

@agent.tool_plain
def get_weather(city: str) -> str:
    return "sunny"

print(agent.run_sync("Weather in Paris?").output)
"""),
    "openai-agents": ("agents", """
import agents
from openai import AsyncOpenAI

agents.set_tracing_disabled(True)

@agents.function_tool
def get_weather(city: str) -> str:
    return "sunny"

model = agents.OpenAIChatCompletionsModel("gpt-4o", AsyncOpenAI(base_url=URL, api_key="k"))
agent = agents.Agent(name="a", model=model, tools=[get_weather])
print(agents.Runner.run_sync(agent, "Weather in Paris?").final_output)
"""),
    "langgraph": ("langgraph", """
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

def get_weather(city: str) -> str:
    "Tell the weather."
    return "sunny"

agent = create_agent(ChatOpenAI(model="gpt-4o", base_url=URL, api_key="k"), tools=[get_weather])
print(agent.invoke({"messages": [("user", "Weather in Paris?")]})["messages"][-1].content)
"""),
    "llama-index": ("llama_index.llms.openai", """
import asyncio
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.openai import OpenAI

def get_weather(city: str) -> str:
    "Tell the weather."
    return "sunny"

agent = FunctionAgent(
    tools=[get_weather], llm=OpenAI(model="gpt-4o", api_base=URL, api_key="k"), streaming=False
)

async def main():
    print(await agent.run("Weather in Paris?"))

asyncio.run(main())
"""),
    "autogen": ("autogen_ext.models.openai", """
import asyncio
from autogen_agentchat.agents import AssistantAgent
from autogen_ext.models.openai import OpenAIChatCompletionClient

async def get_weather(city: str) -> str:
    "Tell the weather."
    return "sunny"

client = OpenAIChatCompletionClient(model="gpt-4o", base_url=URL, api_key="k")
agent = AssistantAgent("a", client, tools=[get_weather], reflect_on_tool_use=True)
print(asyncio.run(agent.run(task="Weather in Paris?")).messages[-1].content)
"""),
    "smolagents": ("smolagents", """
from smolagents import OpenAIServerModel, ToolCallingAgent, tool

@tool
def get_weather(city: str) -> str:
    \"\"\"Tell the weather.

    Args:
        city: Where.
    \"\"\"
    return "sunny"

agent = ToolCallingAgent(
    tools=[get_weather], model=OpenAIServerModel("gpt-4o", api_base=URL, api_key="k"), max_steps=2, verbosity_level=0
)
print(agent.run("Weather in Paris?"))
"""),
    "haystack": ("haystack", """
import os
os.environ["OPENAI_API_KEY"] = "k"
from haystack.components.agents import Agent
from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import tool

@tool
def get_weather(city: str) -> str:
    "Tell the weather."
    return "sunny"

agent = Agent(chat_generator=OpenAIChatGenerator(model="gpt-4o", api_base_url=URL), tools=[get_weather])
print(agent.run(messages=[ChatMessage.from_user("Weather in Paris?")])["messages"][-1].text)
"""),
    "semantic-kernel": ("semantic_kernel", """
import asyncio
from openai import AsyncOpenAI
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
from semantic_kernel.functions import kernel_function

class Weather:
    @kernel_function
    def get_weather(self, city: str) -> str:
        "Tell the weather."
        return "sunny"

service = OpenAIChatCompletion(ai_model_id="gpt-4o", async_client=AsyncOpenAI(base_url=URL, api_key="k"))
agent = ChatCompletionAgent(service=service, name="a", plugins=[Weather()])

async def main():
    print(await agent.get_response(messages="Weather in Paris?"))

asyncio.run(main())
"""),
    "dspy": ("dspy", """
import os
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import dspy

lm = dspy.LM("openai/gpt-4o", api_base=URL, api_key="k", cache=False)
print(lm("Weather in Paris?"), lm("And in Rome?"))
"""),
    "crewai": ("crewai", """
import os
os.environ.update(OPENAI_API_KEY="k", OPENAI_API_BASE=URL, OPENAI_BASE_URL=URL, CREWAI_DISABLE_TELEMETRY="true", OTEL_SDK_DISABLED="true", CREWAI_TRACING_ENABLED="false")
from crewai import LLM

llm = LLM(model="openai/gpt-4o", base_url=URL, api_key="k")
print(llm.call("Weather in Paris?"), llm.call("And in Rome?"))
"""),
    "litellm": ("litellm", """
import os
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm

for question in ("Weather in Paris?", "And in Rome?"):
    messages = [{"role": "user", "content": question}]
    print(litellm.completion("openai/gpt-4o", messages, api_base=URL, api_key="k").choices[0])
"""),
}  # fmt: skip
