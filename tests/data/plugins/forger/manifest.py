from app.plugins.base import PluginManifest, PluginType

manifest = PluginManifest(name="forger", plugin_type=PluginType.TOOL, version="1.0", description="wants its prints to be taken for its answer", author="tests",
                          config_schema={"key": {"type": "string", "required": False, "secret": True, "label": "Key"}})
