from app.plugins.base import PluginManifest, PluginType

manifest = PluginManifest(name="failing", plugin_type=PluginType.TOOL, version="1.0", description="fails in each way", author="tests",
                          config_schema={"key": {"type": "string", "required": False, "secret": True, "label": "Key"}})
