import pytest

from activities.mcp.tool_names import is_mcp_tool, split_name, tool_name


def test_a_name_is_made_and_taken_apart() -> None:
    assert ("github", "issues/list") == split_name(tool_name("github", "issues/list"))


@pytest.mark.parametrize("name", ["mcp:", "mcp:github", "mcp:github/", "mcp:/list", "github/list", "s3.fetch"])
def test_what_has_not_both_parts_is_no_name(name: str) -> None:
    assert split_name(name) is None


def test_only_the_prefix_makes_a_tool_one_of_a_server() -> None:
    assert is_mcp_tool("mcp:github/list")
    assert not is_mcp_tool("s3.fetch")
