from app.plugins.base import PluginManifest, PluginType

manifest = PluginManifest(name="noisy", plugin_type=PluginType.TOOL, version="1.0", description="prints a lot", author="tests",
                          config_schema={"key": {"type": "string", "required": False, "secret": True, "label": "Key"}})
