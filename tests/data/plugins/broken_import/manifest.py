from app.plugins.base import PluginManifest, PluginType

manifest = PluginManifest(name="broken_import", plugin_type=PluginType.TOOL, version="1.0", description="cannot be imported", author="tests",
                          config_schema={"key": {"type": "string", "required": False, "secret": True, "label": "Key"}})
