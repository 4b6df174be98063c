"""An MCP client that is not ours (PyPI mcp) against `ccl-agent mcp`: initialise, list, call, error.

Called by mcp.rs with the command line of the server; prints `done` when everything was as it should be.
"""

import asyncio
import json
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


def structured(result):
    """The answer of a call that worked."""
    assert not result.is_error, result
    content = result.structured_content
    assert content == json.loads(result.content[0].text)
    return content


async def session(allowed, command):
    server = StdioServerParameters(command=command[0], args=command[1:])
    async with stdio_client(server) as (read, write), ClientSession(read, write) as client:
        greeting = await client.initialize()
        assert greeting.server_info.name == "ccl-agent", greeting
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert ("apply" in tools) == allowed, sorted(tools)
        assert tools["list_task_keys"].annotations.read_only_hint
        # The client checks each answer against the schema that the tool gave for it.
        keys = structured(await client.call_tool("list_task_keys", {}))["keys"]
        assert keys[0]["number"] == 1, keys
        choice = {"algorithm": "Ring", "protocol": "Simple", "channels": 8}
        passes = structured(await client.call_tool("compile_and_validate", {"key": "1", "choice": choice}))
        assert passes["passes"], passes
        wrong = await client.call_tool("predict", {"key": "77", "choice": choice})
        assert wrong.is_error and "no task key" in wrong.content[0].text, wrong
        try:
            await client.call_tool("no_such_tool", {})
            raise AssertionError("a tool that is not there was called")
        except Exception as error:  # the client library's own kind of error
            assert "there is no tool" in str(error), error
        if not allowed:
            refused = await client.call_tool("apply", {"proposals": [1]})
            assert refused.is_error, refused
            return
        found = structured(await client.call_tool("numeric_search", {"most": 6}))["proposals"]
        numbers = [one["proposal"] for one in found]
        structured(await client.call_tool("apply", {"proposals": numbers, "because": "a test"}))
        structured(await client.call_tool("measure", {"iterations": 30}))
        compared = structured(await client.call_tool("compare_with_baseline", {}))
        assert compared["verdict"] == "faster", compared


asyncio.run(session(sys.argv[1] == "allowed", sys.argv[2:]))
print("done")
