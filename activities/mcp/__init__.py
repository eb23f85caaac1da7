"""Tools of servers that speak the Model Context Protocol (modelcontextprotocol.io), through its own SDK."""
