from app.plugins.base import PluginManifest, PluginType

manifest = PluginManifest(name="calculator", plugin_type=PluginType.TOOL, version="1.0", description="adds and divides", author="tests",
                          config_schema={"key": {"type": "string", "required": False, "secret": True, "label": "Key"}})
