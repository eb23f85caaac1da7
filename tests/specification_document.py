"""The workflow document of the platform's specification, for the tests of every layer."""

#: The document under "Your First Workflow" in the platform's specification, letter by letter.
DOCUMENT_ANALYSIS = """\
name: document_analysis
version: 1
nodes:
  - id: ingest
    type: tool
    config:
      tool_name: s3.fetch
      tool_args:
        bucket: documents
        key: "{{document_key}}"
  - id: analyze
    type: llm
    config:
      prompt_ref: document_analyzer@3
      inputs:
        content: "ingest.output"
    policy:
      quality: Gold
      sla_ms: 30000
edges:
  - from: ingest
    to: analyze
"""
