/*
 * engine_direct.c: the table of the calls that speak Docker's API.
 */
#include "engine_internal.h"

const struct engine_driver engine_direct = {
	.probe = engine_direct_probe,
	.ping = engine_direct_ping,
	.image_pull = engine_direct_image_pull,
	.image_id = engine_direct_image_id,
	.image_label = engine_direct_image_label,
	.image_volumes = engine_direct_image_volumes,
	.image_env = engine_direct_image_env,
	.network_need = engine_direct_network_need,
	.create = engine_direct_create,
	.start = engine_direct_start,
	.rename = engine_direct_rename,
	.name_is_taken = engine_direct_name_is_taken,
	.kill = engine_direct_kill,
	.reap = engine_direct_reap,
	.inspect = engine_direct_inspect,
	.group = engine_direct_group,
	.list = engine_direct_list,
	.deliver_agent = engine_direct_deliver_agent,
	.package_volume = engine_direct_package_volume,
	.package_exists = engine_direct_package_exists,
	.package_remove = engine_direct_package_remove,
	.package_open = engine_direct_package_open,
	.package_seal = engine_direct_package_seal,
	.package_is_whole = engine_direct_package_is_whole,
	.sweep_volumes = engine_direct_sweep_volumes,
	.sweep_networks = engine_direct_sweep_networks,
	.sweep_images = engine_direct_sweep_images,
	.disk = engine_direct_disk,
	.usage = engine_direct_usage,
	.attach = engine_direct_attach,
	.events = engine_direct_events,
};
