from app.plugins.base import PluginManifest, PluginType

manifest = PluginManifest(name="context", plugin_type=PluginType.TOOL, version="1.0", description="says what it sees", author="tests",
                          config_schema={"key": {"type": "string", "required": False, "secret": True, "label": "Key"}})
