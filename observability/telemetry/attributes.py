"""The one table of telemetry names: OpenTelemetry's GenAI semantic conventions, and our own.

The conventions are in status Development and names change between releases, so every name that is
emitted stands here and nowhere else.
"""

from typing import Final, Literal

#: The release of open-telemetry/semantic-conventions whose GenAI names are used; the last one before they moved
#: to a repository of their own.
SEMCONV_VERSION: Final = "1.41.0"
SCHEMA_URL: Final = f"https://opentelemetry.io/schemas/{SEMCONV_VERSION}"

# Operations: the values of gen_ai.operation.name, which also open the span names.
OPERATION_NAME: Final = "gen_ai.operation.name"
INVOKE_WORKFLOW: Final = "invoke_workflow"
CHAT: Final = "chat"
EXECUTE_TOOL: Final = "execute_tool"

# Model calls.
PROVIDER_NAME: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_TEMPERATURE: Final = "gen_ai.request.temperature"
REQUEST_TOP_P: Final = "gen_ai.request.top_p"
REQUEST_MAX_TOKENS: Final = "gen_ai.request.max_tokens"
REQUEST_SEED: Final = "gen_ai.request.seed"
REQUEST_STREAM: Final = "gen_ai.request.stream"
RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
#: Seconds.
RESPONSE_TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
#: All input tokens, those read from or written to the provider's cache included.
USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
#: All output tokens, reasoning included.
USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
USAGE_CACHE_READ_INPUT_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
USAGE_CACHE_CREATION_INPUT_TOKENS: Final = "gen_ai.usage.cache_creation.input_tokens"
USAGE_REASONING_OUTPUT_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105  # A name, not a secret.
PROMPT_NAME: Final = "gen_ai.prompt.name"
#: Beside gen_ai.prompt.name, which the conventions have without a version.
PROMPT_VERSION: Final = "gen_ai.prompt.version"

# Workflows, agents, tools.
WORKFLOW_NAME: Final = "gen_ai.workflow.name"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
AGENT_ID: Final = "gen_ai.agent.id"
AGENT_NAME: Final = "gen_ai.agent.name"
AGENT_VERSION: Final = "gen_ai.agent.version"
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
TOOL_TYPE: Final = "gen_ai.tool.type"

# General conventions.
ERROR_TYPE: Final = "error.type"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
SERVICE_NAME: Final = "service.name"

# Metrics.
METRIC_TOKEN_USAGE: Final = "gen_ai.client.token.usage"  # noqa: S105  # A name, not a secret.
METRIC_OPERATION_DURATION: Final = "gen_ai.client.operation.duration"
#: 1, 4, 16 … 67,108,864 tokens.
TOKEN_USAGE_BUCKETS: Final = tuple(4**power for power in range(14))
#: 0.01, 0.02, 0.04 … 81.92 seconds.
OPERATION_DURATION_BUCKETS: Final = tuple(2**power / 100 for power in range(14))

# Ours.
ORG_ID: Final = "agentflow.org.id"
RUN_ID: Final = "agentflow.run.id"
NODE_ID: Final = "agentflow.node.id"
NODE_KIND: Final = "agentflow.node.kind"
#: The prompt reference, tool or function that the document names.
STEP_TARGET: Final = "agentflow.step.target"
ITEM_INDEX: Final = "agentflow.item.index"
ITEM_COUNT: Final = "agentflow.item.count"
#: Which execution of a node that a run executes several times.
GENERATION: Final = "agentflow.generation"
PART: Final = "agentflow.part"
ATTEMPT: Final = "agentflow.attempt"
STATUS: Final = "agentflow.status"
WORKFLOW_VERSION: Final = "agentflow.workflow.version"
#: Stands on the span of the call that spent the money, never again on a span above it.
COST_MICRO_USD: Final = "agentflow.cost_micro_usd"
#: Whether the answer came from our cache instead of the provider.
CACHE_HIT: Final = "agentflow.cache.hit"
BUDGET_MICRO_USD: Final = "agentflow.budget_micro_usd"
SPAN_TYPE: Final = "agentflow.span.type"

#: What a span of ours stands for: the value of `agentflow.span.type`.
SpanType = Literal["run", "map", "step", "llm", "tool"]
