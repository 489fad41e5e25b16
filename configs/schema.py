"""A config as JSON Schema: what editors complete, explain and underline while a YAML file is written."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from .load import Config, is_list
from .reference import meanings


def schema_of(model: type[Config]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of what a YAML file of this config may say.

    It holds every key with its type, limits, default and meaning. What only values together can break (batch sizes,
    columns of rules) is for `corgi check`.
    """
    return {"$schema": GenerateJsonSchema.schema_dialect, **model.model_json_schema(schema_generator=_AsWritten)}


class _AsWritten(GenerateJsonSchema):
    """A config as people write it: with one value where a list of one is meant."""

    def model_schema(self, schema: Any) -> JsonSchemaValue:
        model: type[Config] = schema["cls"]
        written = super().model_schema(schema)
        for name, value in written.get("properties", {}).items():
            value.pop("title", None)
            if is_list(model.model_fields[name].annotation):
                default = {"default": value.pop("default")} if "default" in value else {}
                written["properties"][name] = value = {"anyOf": [value, value["items"]], **default}
            if meaning := meanings(model).get(name):
                value["description"] = meaning
        return written
