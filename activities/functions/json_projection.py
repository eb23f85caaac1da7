"""`json_projection`: its arguments as an object, for picking and renaming parts of other nodes' outputs."""

from activities.functions.function import Function
from runs.signatures import StepSignature

JSON_PROJECTION = Function(
    signature=StepSignature(
        name="json_projection",
        description="Gives its inputs back as an object: expressions pick, rename and nest parts of other outputs.",
        input_schema={"type": "object"},
        output_schema={"type": "object"},
    ),
    call=dict,
)
