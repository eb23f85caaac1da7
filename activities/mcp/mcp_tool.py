"""A tool of an MCP server in the form of every other tool."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from activities.mcp.errors import McpToolFailed
from activities.mcp.result_content import output_schema, step_output, text_of
from activities.mcp.sessions import McpSessions
from activities.tools.tool import Tool, ToolContext
from runs.signatures import StepSignature
from runs.tool_contract import ToolContract

#: Of what a failed tool says of itself.
_LONGEST_FAILURE = 20_000


def mcp_tool(sessions: McpSessions, contract: ToolContract) -> Tool:
    """The tool that a plan knows by `contract`; its call raises an McpError, EffectUncertain or DocumentTooLarge."""

    async def call(context: ToolContext, arguments: Mapping[str, Any]) -> Any:
        result = await sessions.call(contract, arguments)
        if result.is_error:
            raise McpToolFailed(tool=contract.name, text=text_of(result)[:_LONGEST_FAILURE])
        return await step_output(context, contract.name, result, declared=declared)

    declared = ((contract.output_schema or {}).get("properties") or {}).get("structured")
    # An answer is an answer: what does not fit what the tool has declared is no reason to lose it.
    signature = replace(signature_of(contract), output_schema=output_schema(None))
    return Tool(signature=signature, call=call, effect=contract.effect)


def signature_of(contract: ToolContract) -> StepSignature:
    """The contract as the compiler and the policy know it."""
    return StepSignature(
        name=contract.name,
        description=contract.description,
        input_schema=contract.input_schema,
        output_schema=contract.output_schema,
    )
