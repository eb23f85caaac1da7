"""A map on LangGraph: one task an item by `Send`, checkpointed to PostgreSQL, durability `sync`."""

import operator
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send


class MapState(TypedDict):
    count: int
    results: Annotated[list[dict[str, int]], operator.add]


class ItemState(TypedDict):
    number: int


def _fan_out(state: MapState) -> list[Send]:
    return [Send("item", {"number": number}) for number in range(state["count"])]


async def _item(state: ItemState) -> dict[str, list[dict[str, int]]]:
    return {"results": [{"value": state["number"]}]}


@asynccontextmanager
async def langgraph_map(database_url: str) -> AsyncIterator[Any]:
    """The compiled graph; its checkpoint tables are made in `database_url`."""
    async with AsyncPostgresSaver.from_conn_string(database_url) as saver:
        await saver.setup()
        graph = StateGraph(MapState)
        graph.add_node("item", _item)
        graph.add_conditional_edges(START, _fan_out, ["item"])
        graph.add_edge("item", END)
        yield graph.compile(checkpointer=saver)


async def run_langgraph_map(graph: Any, *, count: int, thread_id: str) -> int:
    """Runs the map; gives the number of its results."""
    config = {"configurable": {"thread_id": thread_id}, "max_concurrency": 100}
    state = await graph.ainvoke({"count": count, "results": []}, config, durability="sync")
    return len(state["results"])
